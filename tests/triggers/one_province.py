"""A province with people and a rule of its own, without any process, at noon of a day in 2026."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text
from typer.testing import CliRunner

from adapters.warehouse.population import make_population
from common.kernel.subscriber import subscriber_keys
from common.runtime.clock import write_offset
from common.runtime.database import Database
from deploy.cli.root import app
from deploy.local.federation import World, fill, lay_out, layout
from province.store import triggers
from tests.triggers.documents import document
from tests.triggers.engine_world import event

CODE = "45"
NOON = int(datetime(2026, 3, 2, 4, tzinfo=UTC).timestamp())
PEOPLE = 40


@dataclass(frozen=True)
class Province:
    """A province with people and a rule of its own, at noon."""

    root: Path
    store: Database
    keys: Sequence[int]

    @property
    def config(self) -> Path:
        return self.root / CODE / "province.toml"

    def run(self, *arguments: object) -> str:
        done = CliRunner().invoke(app, [*map(str, arguments), "--config", str(self.config)])
        assert done.exit_code == 0, (done.output, done.exception)
        return done.stdout

    def replay(self, *arguments: object) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("triggers", "replay", *arguments, "--json"))
        return found

    def stored(self) -> tuple[int, int, int]:
        with self.store.snapshot() as connection:
            counts = [
                connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
                for table in ("fire", "local_request", "trigger_wave")
            ]
        return counts[0], counts[1], counts[2]

    def files(self) -> dict[str, bytes]:
        return {
            str(path): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and not path.name.endswith(("-shm", "-wal"))
        }


def made(root: Path) -> Province:
    local = layout(root)
    lay_out(local, World(3, NOON - 12 * 3600, 3, None, {}), make_population(400, 3), datetime.now(UTC))
    write_offset(local.clock_file, NOON - int(time.time()))
    fill(local, CODE)
    store = Database(f"sqlite:///{local.database(CODE)}")
    with store.transaction() as connection:
        triggers.put_local(connection, "own", document("data-80"), False, 1)
        wanted = text("SELECT msisdn FROM vault WHERE active AND province = :here ORDER BY msisdn LIMIT :people")
        numbers = list(connection.execute(wanted, {"here": int(CODE), "people": PEOPLE}).scalars())
    keys = subscriber_keys((local.home(CODE) / "federation.key").read_bytes(), numbers)
    assert len(keys) == PEOPLE
    return Province(root, store, sorted(keys.tolist()))


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def history(keys: Sequence[int], at: int = NOON) -> list[bytes]:
    """Sorted by person, not by time; each comes to the limit in two steps, an hour apart, the second twice there."""
    steps = ((0, -7200), (1, -3600), (1, -3600))
    told = [event("data_used", f"{key}-{n}", key, _moment(at + off), used_bytes=3000) for key in keys
            for n, off in steps]  # fmt: skip
    return [*told, b"{", event("power_on", "p", keys[0], _moment(at - 9000), cell_id="460-01-1-1")]
