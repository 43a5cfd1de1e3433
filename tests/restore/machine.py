"""A node's store that can be put back from a backup, on each kind of database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, make_url, text

from common.delivery.fence import FILE, Fence
from common.runtime.database import Database
from province import link
from province.uplink import HqOutlet

NOON = 1_800_000_000
_numbers = count()


class Still:
    """A clock that stands at `time`."""

    time = NOON

    def now(self) -> int:
        return self.time

    def monotonic(self) -> float:
        return float(self.time)


class Node:
    """A province's store, and the folder beside it. `fence()` is a process that starts."""

    def __init__(self, url: str, directory: Path) -> None:
        self.url, self.directory = url, directory
        self.clock: Any = Still()
        self.database = Database(url)

    @property
    def file(self) -> Path:
        return self.directory / FILE

    def fence(self) -> Fence:
        outlet = HqOutlet(self.clock)
        return Fence(self.database, self.clock, "45", outlet, self.directory, link.begin_incarnation, dated=True)

    def do(self, work: Callable[..., Any], *arguments: Any) -> Any:
        with self.database.transaction() as connection:
            return work(connection, *arguments)

    def backup(self) -> str | Path:
        self.database.close()
        if self.url.startswith("sqlite"):
            copy = self.directory / f"backup-{next(_numbers)}.db"
            with closing(sqlite3.connect(self._path)) as here, closing(sqlite3.connect(copy)) as there:
                here.backup(there)
            kept: str | Path = copy
        else:
            kept = f"backup_{next(_numbers)}"
            self._server(f"CREATE DATABASE {kept} TEMPLATE {make_url(self.url).database}")
        self.database = Database(self.url)
        return kept

    def put_back(self, kept: str | Path) -> None:
        self.database.close()
        if isinstance(kept, Path):
            for path in self._path.parent.glob(f"{self._path.name}*"):
                path.unlink()
            self._path.write_bytes(kept.read_bytes())
        else:
            name = make_url(self.url).database
            self._server(f"DROP DATABASE {name} WITH (FORCE)")
            self._server(f"CREATE DATABASE {name} TEMPLATE {kept}")
        self.database = Database(self.url)

    @property
    def _path(self) -> Path:
        return Path(make_url(self.url).database or "")

    def _server(self, statement: str) -> None:
        engine = create_engine(make_url(self.url).set(database="postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()
