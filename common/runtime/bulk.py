"""The bulk sink: many rows in one statement, past SQLAlchemy, for SQLite and PostgreSQL.

SQLite takes `executemany`; PostgreSQL takes a binary COPY into a temporary table and one set-based insert.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BigInteger, Boolean, Connection, Integer, LargeBinary, SmallInteger, Table

Column = NDArray[Any] | Sequence[Any]


def insert_new(connection: Connection, table: Table, columns: Mapping[str, Column]) -> int:
    """Insert the rows whose primary key is not there yet; answers how many were new. Repeats are left as they were."""
    return _insert(connection, table, columns, "DO NOTHING")


def upsert(connection: Connection, table: Table, columns: Mapping[str, Column]) -> int:
    """Insert rows, overwriting the non-key columns given where the primary key is there. Keys must not repeat."""
    keys = {column.name for column in table.primary_key}
    sets = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in keys)
    return _insert(connection, table, columns, f"DO UPDATE SET {sets}")


def lookup(
    connection: Connection, table: Table, key: str, keys: NDArray[np.int64], columns: Sequence[str]
) -> list[tuple[Any, ...]]:
    """Rows (key, *columns) of `table` whose unique `key` is among `keys`, ascending by key."""
    names = ", ".join(f"t.{name}" for name in (key, *columns))
    if connection.dialect.name == "sqlite":
        wanted, value = "json_each(?) w ON t.{0} = w.value", "[" + ",".join(map(str, keys.tolist())) + "]"
    else:
        wanted, value = "unnest(%s::bigint[]) w(value) ON t.{0} = w.value", keys.tolist()
    statement = f"SELECT {names} FROM {table.name} t JOIN {wanted.format(key)} ORDER BY t.{key}"  # noqa: S608
    return [tuple(row) for row in connection.exec_driver_sql(statement, (value,))]


def _insert(connection: Connection, table: Table, columns: Mapping[str, Column], on_conflict: str) -> int:
    rows = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns.values()]
    if not rows or len(rows[0]) == 0:
        return 0
    names = ", ".join(columns)
    key = ", ".join(column.name for column in table.primary_key)
    into = f"INSERT INTO {table.name} ({names})"
    if connection.dialect.name == "sqlite":
        return _insert_sqlite(connection, f"{into} VALUES ({{}}) ON CONFLICT ({key}) {on_conflict}", rows)
    statement = f"{into} SELECT {names} FROM {{}} ON CONFLICT ({key}) {on_conflict}"  # noqa: S608 - our own names
    return _insert_postgresql(connection, table, names, statement, rows)


def _insert_sqlite(connection: Connection, statement: str, rows: list[Sequence[Any]]) -> int:
    cursor = connection.connection.cursor()
    try:
        cursor.executemany(statement.format(", ".join("?" * len(rows))), zip(*rows, strict=True))  # type: ignore[arg-type]
        return int(cursor.rowcount)
    finally:
        cursor.close()


_POSTGRESQL_TYPES = {Boolean: "bool", BigInteger: "int8", SmallInteger: "int2", Integer: "int4", LargeBinary: "bytea"}


def _insert_postgresql(
    connection: Connection, table: Table, names: str, statement: str, rows: list[Sequence[Any]]
) -> int:
    stage = f"stage_{table.name}"
    types = [_postgresql_type(table.c[name].type) for name in names.split(", ")]
    cursor: Any = connection.connection.cursor()
    cursor.execute(f"CREATE TEMP TABLE {stage} AS SELECT {names} FROM {table.name} LIMIT 0")  # noqa: S608
    with cursor.copy(f"COPY {stage} ({names}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(types)
        for row in zip(*rows, strict=True):
            copy.write_row(row)
    cursor.execute(statement.format(stage))
    inserted = int(cursor.rowcount)
    cursor.execute(f"DROP TABLE {stage}")
    cursor.close()
    return inserted


def _postgresql_type(declared: object) -> str:
    return next((name for kind, name in _POSTGRESQL_TYPES.items() if isinstance(declared, kind)), "text")
