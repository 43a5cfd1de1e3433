"""Runs the nodes' statements as SQLAlchemy does on SQLite, each compiled once: it is where a simulation's time goes.

Only what nodes ask of a connection is here. What cannot be compiled once and for all goes through SQLAlchemy itself,
on the same database and in the same transaction. A test holds whole runs on both to the same end.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

Parameters = Mapping[str, Any]


class Rows:
    """A result, as far as nodes look at one."""

    def __init__(self, rows: list[Any], rowcount: int) -> None:
        self._rows = rows
        self.rowcount = rowcount

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def all(self) -> list[Any]:
        return self._rows

    def first(self) -> Any:
        return self._rows[0] if self._rows else None

    def one_or_none(self) -> Any:
        if len(self._rows) > 1:
            raise ValueError(f"{len(self._rows)} rows where at most one was expected")
        return self.first()

    def one(self) -> Any:
        if not self._rows:
            raise ValueError("no row where one was expected")
        return self.one_or_none()

    def scalar(self) -> Any:
        return self._rows[0][0] if self._rows else None

    def scalar_one(self) -> Any:
        return self.one()[0]

    def scalars(self) -> _Scalars:
        return _Scalars(row[0] for row in self._rows)


class _Scalars(list[Any]):
    def all(self) -> list[Any]:
        return self


@dataclass(frozen=True, slots=True)
class _Bind:
    name: str
    default: Any
    process: Callable[[Any], Any] | None


@dataclass(slots=True)
class _Prepared:
    """`statement` is None where SQLAlchemy must run it."""

    sql: str | None
    binds: tuple[_Bind, ...] = ()
    row: Callable[[Any], Any] = tuple
    processes: tuple[tuple[int, Callable[[Any], Any]], ...] = ()

    def values(self, given: Parameters) -> list[Any]:
        found = [(bind, given.get(bind.name, bind.default)) for bind in self.binds]
        return [
            value if bind.process is None else bind.process(value)
            for bind, value in found
        ]  # fmt: skip

    def shaped(self, row: tuple[Any, ...]) -> Any:
        if not self.processes:
            return self.row(row)
        values = list(row)
        for place, process in self.processes:
            values[place] = process(values[place])
        return self.row(values)


class FastConnection:
    """In place of a SQLAlchemy connection; `slow` is one, on the same database, that never begins nor commits."""

    dialect = SQLiteDialect_pysqlite()
    dialect.positional = True

    def __init__(self, raw: sqlite3.Connection, slow: Connection) -> None:
        self.connection = raw
        self._slow = slow
        self._prepared: WeakKeyDictionary[Any, dict[frozenset[str], _Prepared | None]] = WeakKeyDictionary()

    def execute(self, statement: Any, parameters: Parameters | Sequence[Parameters] | None = None) -> Any:
        many = isinstance(parameters, list)
        first: Parameters = (parameters[0] if many else parameters) or {}  # type: ignore[assignment, index]
        prepared = self._of(statement, frozenset(first))
        if prepared is None or prepared.sql is None:
            return self._slow.execute(statement, parameters)
        if many:
            cursor = self.connection.executemany(prepared.sql, [prepared.values(row) for row in parameters])  # type: ignore[union-attr, arg-type]
            return Rows([], cursor.rowcount)
        cursor = self.connection.execute(prepared.sql, prepared.values(first))
        return Rows([prepared.shaped(row) for row in cursor.fetchall()], cursor.rowcount)

    def exec_driver_sql(self, statement: str, parameters: tuple[Any, ...] = ()) -> Any:
        cursor = self.connection.execute(statement, parameters)
        return Rows(cursor.fetchall(), cursor.rowcount)

    def _of(self, statement: Any, keys: frozenset[str]) -> _Prepared | None:
        """None for a statement never seen before: many are built for one use."""
        known = self._prepared.setdefault(statement, {})
        if keys not in known:
            known[keys] = None
            return None
        found = known[keys]
        if found is None:
            found = known[keys] = _prepare(statement, keys, self.dialect)
        return found


def _prepare(statement: Any, keys: frozenset[str], dialect: Any) -> _Prepared:
    compiled = statement.compile(dialect=dialect, column_keys=sorted(keys))
    if compiled.post_compile_params or compiled.literal_execute_params or getattr(compiled, "insert_prefetch", ()):
        return _Prepared(None)
    columns = compiled._result_columns
    processors = [(n, _result_process(column, dialect)) for n, column in enumerate(columns)]
    return _Prepared(
        sql=compiled.string,
        binds=tuple(
            _Bind(name, compiled.binds[name].effective_value, compiled._bind_processors.get(name))
            for name in compiled.positiontup
        ),
        row=partial(tuple.__new__, _row_type(tuple(column.keyname for column in columns))),
        processes=tuple((n, process) for n, process in processors if process is not None),
    )


def _result_process(column: Any, dialect: Any) -> Callable[[Any], Any] | None:
    found: Callable[[Any], Any] | None = column.type._cached_result_processor(dialect, None)
    return found


def _row_type(names: tuple[str, ...]) -> Any:
    fields = namedtuple("fields", [str(name) for name in names], rename=True)  # type: ignore[misc]

    class Row(fields):
        __slots__ = ()

        @property
        def _mapping(self) -> dict[str, Any]:
            return dict(zip(names, self, strict=True))

    return Row
