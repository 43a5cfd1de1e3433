"""Runs the nodes' statements as SQLAlchemy does on SQLite, each compiled once: it is where a simulation's time goes.

Only what nodes ask of a connection is here. What cannot be compiled once and for all goes through SQLAlchemy itself,
on the same database and in the same transaction. A test holds whole runs on both to the same end.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from operator import itemgetter
from typing import Any
from weakref import WeakSet

from sqlalchemy import Connection
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

Parameters = Mapping[str, Any]


class Rows:
    """A result, as far as nodes look at one; a row is shaped when it is looked at."""

    __slots__ = ("_rows", "_shape", "rowcount")

    def __init__(self, rows: list[Any], rowcount: int, shape: Callable[[Any], Any] = tuple) -> None:
        self._rows = rows
        self._shape = shape
        self.rowcount = rowcount

    def __iter__(self) -> Iterator[Any]:
        return map(self._shape, self._rows)

    def all(self) -> list[Any]:
        return list(self)

    def first(self) -> Any:
        return self._shape(self._rows[0]) if self._rows else None

    def one_or_none(self) -> Any:
        if len(self._rows) > 1:
            raise ValueError(f"{len(self._rows)} rows where at most one was expected")
        return self.first()

    def one(self) -> Any:
        if not self._rows:
            raise ValueError("no row where one was expected")
        return self.one_or_none()

    def scalar(self) -> Any:
        return self.first()[0] if self._rows else None

    def scalar_one(self) -> Any:
        return self.one()[0]

    def scalars(self) -> _Scalars:
        return _Scalars(row[0] for row in self)


class _Scalars(list[Any]):
    def all(self) -> list[Any]:
        return self


Process = Callable[[Any], Any] | None


@dataclass(frozen=True, slots=True)
class _Prepared:
    sql: str
    values: Callable[[Parameters], Sequence[Any]]
    shape: Callable[[Any], Any]
    returns: bool


@dataclass(slots=True)
class _Known:
    """A statement that comes again, prepared for each set of parameters; those of an IN, for each number of values."""

    statement: Any
    """Held, so that no other takes its place in memory."""
    shapes: dict[Any, _Prepared | None]
    """None where SQLAlchemy must run it."""
    lists: tuple[str, ...]

    def shape_of(self, given: Parameters) -> Any:
        return (tuple(given), *(len(given[name]) for name in self.lists))


class FastConnection:
    """In place of a SQLAlchemy connection; `slow` is one, on the same database, that never begins nor commits."""

    dialect = SQLiteDialect_pysqlite()
    dialect.positional = True

    def __init__(self, raw: sqlite3.Connection, slow: Connection) -> None:
        self.connection = raw
        self._slow = slow
        self._known: dict[int, _Known] = {}
        self._seen: WeakSet[Any] = WeakSet()

    def execute(self, statement: Any, parameters: Parameters | list[Parameters] | None = None) -> Any:
        many = isinstance(parameters, list)
        given: Parameters = (parameters[0] if many else parameters) or {}  # type: ignore[assignment, index]
        prepared = self._prepared(statement, given)
        if prepared is None:
            return self._slow.execute(statement, parameters)
        if many:
            cursor = self.connection.executemany(prepared.sql, map(prepared.values, parameters))  # type: ignore[arg-type]
            return Rows([], cursor.rowcount)
        cursor = self.connection.execute(prepared.sql, prepared.values(given))
        return Rows(cursor.fetchall() if prepared.returns else [], cursor.rowcount, prepared.shape)

    def exec_driver_sql(self, statement: str, parameters: tuple[Any, ...] = ()) -> Any:
        cursor = self.connection.execute(statement, parameters)
        return Rows(cursor.fetchall(), cursor.rowcount)

    def _prepared(self, statement: Any, given: Parameters) -> _Prepared | None:
        """None for a statement never seen before: many are built for one use."""
        known = self._known.get(id(statement))
        if known is None:
            if statement not in self._seen:
                self._seen.add(statement)
                return None
            lists = tuple(name for name, value in given.items() if isinstance(value, list))
            known = self._known[id(statement)] = _Known(statement, {}, lists)
        shape = known.shape_of(given) if known.lists else tuple(given)
        try:
            return known.shapes[shape]
        except KeyError:
            return known.shapes.setdefault(shape, _prepare(statement, given, known.lists, self.dialect))


def _prepare(statement: Any, given: Parameters, lists: tuple[str, ...], dialect: Any) -> _Prepared | None:
    compiled = statement.compile(dialect=dialect, column_keys=sorted(given))
    if compiled.literal_execute_params or getattr(compiled, "insert_prefetch", ()):
        return None
    process, default = compiled._bind_processors, {name: bind.effective_value for name, bind in compiled.binds.items()}
    names, sql = compiled.positiontup, compiled.string
    if compiled.post_compile_params:
        expanded = compiled._process_parameters_for_postcompile({**default, **given})
        names, sql = expanded.positiontup, expanded.statement
    columns = compiled._result_columns
    binds = [(name, default.get(name), process.get(name)) for name in names]
    return _Prepared(sql, _values(binds, given, lists), _shape(columns, dialect), bool(columns))


def _values(
    binds: list[tuple[str, Any, Process]], given: Parameters, lists: tuple[str, ...]
) -> Callable[[Parameters], Sequence[Any]]:
    """What takes a statement's values from the parameters, in its order. `binds`: name, value where none is given, and
    what makes it the driver's. `lists`: those of an IN.
    """
    names = [name for name, _, _ in binds]
    if len(names) > 1 and all(name in given and process is None for name, _, process in binds):
        taken: Callable[[Parameters], Sequence[Any]] = itemgetter(*names)
        return taken

    def values(given: Parameters) -> Sequence[Any]:
        for name in lists:
            given = {**given, **{f"{name}_{n}": value for n, value in enumerate(given[name], 1)}}
        return [
            given.get(name, default) if process is None else process(given.get(name, default))
            for name, default, process in binds
        ]

    return values


def _shape(columns: Sequence[Any], dialect: Any) -> Callable[[Any], Any]:
    row = partial(tuple.__new__, _row_type(tuple(column.keyname for column in columns)))
    processes = [(n, process) for n, column in enumerate(columns) if (process := _result_process(column, dialect))]
    if not processes:
        return row

    def shaped(raw: tuple[Any, ...]) -> Any:
        values = list(raw)
        for place, process in processes:
            values[place] = process(values[place])
        return row(values)

    return shaped


def _result_process(column: Any, dialect: Any) -> Callable[[Any], Any] | None:
    found: Callable[[Any], Any] | None = column.type._cached_result_processor(dialect, None)
    return found


@cache
def _row_type(names: tuple[str, ...]) -> Any:
    fields = namedtuple("fields", [str(name) for name in names], rename=True)  # type: ignore[misc]

    class Row(fields):
        __slots__ = ()

        @property
        def _mapping(self) -> dict[str, Any]:
            return dict(zip(names, self, strict=True))

    return Row
