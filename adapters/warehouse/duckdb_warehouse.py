"""The warehouse on DuckDB over one Parquet snapshot. Each query has a connection of its own, bounded in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import duckdb
import numpy as np
import pyarrow as pa

from adapters.warehouse.snapshots import Snapshot, Snapshots
from common.kernel.columns import Keys
from common.kernel.refusal import invalid, missing
from common.kernel.tag import CHOICE, KEY, ORDINAL, PROVINCE, Catalogue, Person

MEMORY_LIMIT = "256MB"
"""What a query holds before it spills to disk."""
BATCH_ROWS = 122_880


class Condition(Protocol):
    """A rule that was checked: an engine is given nothing else."""

    def sql(self, dialect: str = ...) -> str: ...


class DuckDbWarehouse:
    """People as of one snapshot: immutable, so the same question has the same answer for ever."""

    def __init__(self, snapshots: Snapshots, snapshot: Snapshot) -> None:
        self._snapshots = snapshots
        self._snapshot = snapshot

    @classmethod
    def open(cls, snapshots: Snapshots, version: int | None = None) -> DuckDbWarehouse:
        """At `version`, the newest where it is None. Raises Refusal NOT_FOUND where nobody was imported yet."""
        snapshot = snapshots.latest() if version is None else snapshots.open(version)
        if snapshot is None:
            raise missing("no people are known yet; run liandong import subscribers FILE")
        return cls(snapshots, snapshot)

    @property
    def version(self) -> int:
        return self._snapshot.version

    @property
    def sha256(self) -> str:
        return self._snapshot.sha256

    @property
    def catalogue(self) -> Catalogue:
        return self._snapshot.catalogue

    def at(self, version: int | None = None) -> DuckDbWarehouse:
        return self.open(self._snapshots, version)

    def count(self, rule: Condition) -> dict[int, int]:
        query = f"SELECT {PROVINCE}, count(*) FROM people WHERE {rule.sql('duckdb')} GROUP BY ALL ORDER BY ALL"  # noqa: S608
        with self._connect() as connection:
            return dict(connection.execute(query).fetchall())

    def select(
        self, rule: Condition, columns: Sequence[str] = (), limit: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        names = ", ".join([KEY, ORDINAL, PROVINCE, *self._quoted(columns)])
        where = f"WHERE {rule.sql('duckdb')}" + (f" LIMIT {int(limit)}" if limit is not None else "")
        # Snapshots are sorted and the engine keeps a file's order: sorting again would hold everybody in memory.
        yield from _ascending(self._stream(f"SELECT {names} FROM people {where}"))  # noqa: S608

    def assign(
        self,
        rule: Condition,
        choices: Sequence[Condition | None],
        columns: Sequence[str] = (),
        keys: Keys | None = None,
    ) -> Iterator[pa.RecordBatch]:
        cases = " ".join(
            f"WHEN {choice.sql('duckdb') if choice else 'TRUE'} THEN {place}" for place, choice in enumerate(choices)
        )
        names = ", ".join([PROVINCE, KEY, *self._quoted(columns)])
        wanted, near = "", ""
        if keys is not None and len(keys):
            # The range lets the engine pass over the parts of the file where nobody wanted can be.
            wanted, near = f"SEMI JOIN wanted USING ({KEY})", f"AND {KEY} BETWEEN {int(keys[0])} AND {int(keys[-1])}"
        elif keys is not None:
            return
        query = (
            f"SELECT * FROM (SELECT CAST(CASE {cases} END AS SMALLINT) AS {CHOICE}, {names} "  # noqa: S608
            f"FROM people {wanted} WHERE ({rule.sql('duckdb')}) {near}) "
            f"WHERE {CHOICE} IS NOT NULL ORDER BY {CHOICE}, {PROVINCE}, {KEY}"
        )
        yield from self._stream(query, keys)

    def person(self, key: int, rules: Sequence[Condition], columns: Sequence[str] = ()) -> Person | None:
        shown = [name for name in columns if name != PROVINCE]
        names = [PROVINCE, *(f"coalesce({rule.sql('duckdb')}, FALSE)" for rule in rules), *self._quoted(shown)]
        # The file is sorted by key, so the engine passes over all but one of its parts.
        query = f"SELECT {', '.join(names)} FROM read_parquet(?) WHERE {KEY} = {int(key)}"  # noqa: S608
        row = lookup_engine(self._snapshot.path.parent).cursor().execute(query, [str(self._snapshot.path)]).fetchone()
        if row is None:
            return None
        split = 1 + len(rules)
        return Person(row[0], tuple(row[1:split]), dict(zip(shown, row[split:], strict=True)))

    def _quoted(self, columns: Sequence[str]) -> list[str]:
        found = [(name, self.catalogue.find(name)) for name in columns]
        unknown = [name for name, tag in found if tag is None]
        if unknown:
            near = self.catalogue.nearest(unknown[0])
            raise invalid(f"there is no column {unknown[0]}" + (f"; did you mean {' or '.join(near)}?" if near else ""))
        return [quoted(tag.name) for _, tag in found if tag and tag.name != PROVINCE]

    def _stream(self, query: str, keys: Keys | None = None) -> Iterator[pa.RecordBatch]:
        with self._connect() as connection:
            if keys is not None:
                connection.register("wanted", pa.table({KEY: np.ascontiguousarray(keys)}))
            yield from connection.sql(query).to_arrow_reader(BATCH_ROWS)

    def _connect(self) -> duckdb.DuckDBPyConnection:
        connection = connect(self._snapshot.path.parent)
        connection.read_parquet(str(self._snapshot.path)).create_view("people")
        return connection


def _ascending(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same batches; raises where their keys do not rise, so that a broken promise of the engine is seen."""
    last = -1
    for batch in batches:
        keys = batch.column(KEY).to_numpy()
        if len(keys) and (keys[0] <= last or (keys[1:] <= keys[:-1]).any()):
            raise RuntimeError("the warehouse answered out of order; nothing was selected")
        last = int(keys[-1]) if len(keys) else last
        yield batch


def connect(scratch: Path) -> duckdb.DuckDBPyConnection:
    """An engine of its own that loads nothing by itself and spills into `scratch`."""
    connection = duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"})
    connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
    connection.execute("SET temp_directory = ?", [str(scratch / "spill")])
    return connection


@lru_cache(maxsize=1)
def lookup_engine(scratch: Path) -> duckdb.DuckDBPyConnection:
    """One that stays: to open another takes longer than to find a person. Use a cursor of it."""
    return connect(scratch)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
