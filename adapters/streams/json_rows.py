"""JSON objects, many at once, as Arrow columns: the good ones never wait for the bad ones.

All are joined, a line each, and parsed whole. That one value is one row rests on this: each value begins with { and
ends with }, and a line end is no part of a string. So what begins inside an unfinished value is never a good value
again, each value gives a row or an error, and as many rows as values means one each. The parser must also never see
a block that begins with null, which it does not survive: a block begins where a value does.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as arrow_json
from numpy.typing import NDArray

RECORD_BYTES_MAX = 1 << 20
BLOCK_BYTES = 1 << 20
PART_ROWS = 256
"""The bad ones are looked for in parts of so many: each costs its part a few parses more."""
_OPEN, _CLOSE = b"{}"
_BLANKS = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class JsonRows:
    """`rows` are the positions, among the values, of the table's rows; `bad` those of the others. Both ascend."""

    table: pa.Table
    rows: NDArray[np.int64]
    bad: NDArray[np.int64]


def parse(values: Sequence[bytes], schema: pa.Schema) -> JsonRows:
    """Members that are not in the schema are passed over; those that are must be of its type, or missing, or null."""
    sizes = np.fromiter(map(len, values), dtype=np.int64, count=len(values))
    good = (sizes >= 2) & (sizes <= RECORD_BYTES_MAX)
    lines = _Lines.of(values, sizes, good)
    if not lines.shaped().all():
        values = list(values)
        for row in lines.rows[~lines.shaped()].tolist():
            values[row] = values[row].strip(_BLANKS)
            sizes[row] = len(values[row])
        good &= sizes >= 2
        lines = _Lines.of(values, sizes, good)
    good[lines.rows[~lines.shaped()]] = False
    good[lines.rows[lines.not_utf8()]] = False
    if len(lines.rows) != int(good.sum()):
        lines = _Lines.of(values, sizes, good)
    table = _read(lines, 0, len(lines.rows), schema)
    for look in (_stumbles, _halved):
        if table is None or table.num_rows != len(lines.rows):
            good[lines.rows[list(look(lines, schema))]] = False
            lines = _Lines.of(values, sizes, good)
            table = _read(lines, 0, len(lines.rows), schema)
    if table is None or table.num_rows != len(lines.rows):
        raise AssertionError("values that parse one by one must parse together")
    return JsonRows(table.combine_chunks(), lines.rows, np.flatnonzero(~good))


@dataclass(frozen=True, slots=True)
class _Lines:
    data: bytes
    starts: NDArray[np.int64]
    """Where each value begins, and one past the end."""
    rows: NDArray[np.int64]
    longest: int
    folded: bool
    """Some value has line ends inside."""

    @classmethod
    def of(cls, values: Sequence[bytes], sizes: NDArray[np.int64], good: NDArray[np.bool_]) -> _Lines:
        rows = np.flatnonzero(good)
        taken = values if len(rows) == len(values) else [values[row] for row in rows.tolist()]
        starts = np.concatenate([[0], np.cumsum(sizes[rows] + 1)])
        data = b"\n".join([*taken, b""])
        return cls(data, starts, rows, int(sizes[rows].max(initial=0)) + 1, data.count(b"\n") != len(rows))

    def shaped(self) -> NDArray[np.bool_]:
        data = np.frombuffer(self.data, dtype=np.uint8)
        fits: NDArray[np.bool_] = (data[self.starts[:-1]] == _OPEN) & (data[self.starts[1:] - 2] == _CLOSE)
        return fits

    def not_utf8(self) -> NDArray[np.int64]:
        """Positions of the values that are no UTF-8."""
        found, begin, view = [], 0, memoryview(self.data)
        while begin < len(view):
            try:
                codecs.utf_8_decode(view[begin:], "strict", True)
                break
            except UnicodeDecodeError as error:
                row = int(np.searchsorted(self.starts, begin + error.start, side="right")) - 1
                found.append(row)
                begin = int(self.starts[row + 1])
        return np.array(found, dtype=np.int64)


def _read(lines: _Lines, first: int, last: int, schema: pa.Schema, told: list[str] | None = None) -> pa.Table | None:
    """Those from `first` to `last`; None where something does not parse, which the parser tells in its own words."""
    if first == last:
        return schema.empty_table()
    data = memoryview(lines.data)[lines.starts[first] : lines.starts[last]]
    # A block ends at a line end. Where values have such inside, all is one block, so that it begins with a value.
    block = len(data) + 1 if lines.folded else max(min(BLOCK_BYTES, len(data) + 1), 2 * lines.longest)
    try:
        return arrow_json.read_json(
            pa.BufferReader(pa.py_buffer(data)),
            arrow_json.ReadOptions(use_threads=len(data) > block, block_size=block),
            arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as problem:
        if told is not None:
            told.append(str(problem))
        return None


def _parts(lines: _Lines) -> list[tuple[int, int]]:
    count = len(lines.rows)
    return [(first, min(first + PART_ROWS, count)) for first in range(0, count, PART_ROWS)]


def _stumbles(lines: _Lines, schema: pa.Schema) -> Iterator[int]:
    """Values the parser itself points at, and which indeed do not parse alone; it may point past the one at fault."""
    for first, last in _parts(lines):
        told: list[str] = []
        while first < last and _read(lines, first, last, schema, told) is None:
            row = first + _row_told(told.pop())
            if not first <= row < last or _parses_alone(lines, row, schema):
                break
            yield row
            first = row + 1


def _row_told(problem: str) -> int:
    """-1 where the parser does not say in which row."""
    _, _, row = problem.rpartition(" in row ")
    return int(row) if row.isdigit() else -1


def _parses_alone(lines: _Lines, row: int, schema: pa.Schema) -> bool:
    table = _read(lines, row, row + 1, schema)
    return table is not None and table.num_rows == 1


def _halved(lines: _Lines, schema: pa.Schema) -> Iterator[int]:
    """Every value that is not one row, whatever the parser says."""
    waiting = _parts(lines)
    while waiting:
        first, last = waiting.pop()
        table = _read(lines, first, last, schema)
        if table is not None and table.num_rows == last - first:
            continue
        if last - first == 1:
            yield first
            continue
        middle = (first + last) // 2
        waiting += [(first, middle), (middle, last)]


def flat(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def members(column: pa.Array) -> dict[str, pa.Array]:
    """A struct's members; a struct that is NULL has none."""
    kind = column.type
    return {kind.field(i).name: pc.struct_field(column, [i]) for i in range(kind.num_fields)}
