"""Events in files, in file order, a batch at a time: JSON Lines, CSV, Parquet, and packed batches one after another.

Without a mapping a file has the catalogue's own form: lines of CloudEvents, or the columns id, source, type, subject,
time and the fields. Positions are lines from 1, of Parquet rows from 1, of packed files events from 1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from adapters.streams import packed
from adapters.streams.cloudevents import decode_structured, json_fault
from adapters.streams.json_rows import RECORD_BYTES_MAX, flat, parse
from adapters.streams.mapping import SourceMapping, field_cells, identity, moments, positions_of
from adapters.streams.standard import Decoded, Edge, Rows, merged, raw_of, standardise
from adapters.warehouse.rejects import Rejects
from adapters.warehouse.text_form import repaired, survey
from adapters.warehouse.text_records import blocks
from common.kernel.dead_letter import DeadLetters, DeadReason, dead_letter, gathered
from common.kernel.event import EventType
from common.kernel.event_catalogue import BY_NAME, BY_WIRE_NAME
from common.kernel.refusal import invalid, missing

BATCH_ROWS = 20_000
READ_BYTES = 4 << 20
SAMPLE_LINES = 64
FORMATS = {".jsonl": "jsonl", ".json": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".txt": "csv", ".parquet": "parquet",
           ".arrows": "packed"}  # fmt: skip


def decode_file(path: Path, edge: Edge, mapping: SourceMapping | None = None) -> Iterator[Decoded]:
    """Raises Refusal where the file is not there, or is none of these."""
    if not path.is_file():
        raise missing(f"there is no file {path}; check the path")
    form = mapping.format if mapping else FORMATS.get(path.suffix.lower())
    if form is None:
        raise invalid(f"{path.name}: how it is written cannot be told; name it {', '.join(FORMATS)} or give a mapping")
    if form == "packed":
        yield from _packed(path, edge)
    elif form == "jsonl":
        yield from _json_lines(path, edge, mapping)
    else:
        tables = _csv(path, mapping) if form == "csv" else _parquet(path)
        for table in tables:
            yield _decoded(table, edge, mapping)


@dataclass(frozen=True, slots=True)
class _Table:
    """Some of a file's rows by the file's own column names, and what of it was no row at all."""

    columns: dict[str, pa.Array]
    positions: NDArray[np.int64]
    dead: DeadLetters = DeadLetters()  # noqa: RUF009 - a frozen value

    def __getitem__(self, rows: NDArray[np.int64]) -> _Table:
        if len(rows) == len(self.positions):
            return self
        places = pa.array(rows)
        return _Table({name: cells.take(places) for name, cells in self.columns.items()}, self.positions[rows])


def _decoded(table: _Table, edge: Edge, mapping: SourceMapping | None) -> Decoded:
    parts = [Decoded((), table.dead)]
    for event_type, rows in _by_type(table, mapping):
        part = table[rows]
        if not len(rows):
            continue
        if event_type is None:
            raw, why = raw_of(part.columns), "type: what the record says is not in the catalogue"
            letters = [dead_letter(int(p), DeadReason.UNKNOWN_TYPE, why, raw(i)) for i, p in enumerate(part.positions)]
            parts.append(Decoded((), DeadLetters(tuple(letters))))
        else:
            parts.append(standardise(event_type, _rows(part, event_type, mapping), edge))
    return merged(parts)


def _by_type(table: _Table, mapping: SourceMapping | None) -> Iterator[tuple[EventType | None, NDArray[np.int64]]]:
    """Each type with its rows; None for those whose type is unknown."""
    count = len(table.positions)
    if mapping and mapping.type_by is None:
        yield mapping.types()[""], np.arange(count)
        return
    known: dict[str, EventType] = mapping.types() if mapping else BY_NAME | BY_WIRE_NAME
    column = mapping.type_by.field if mapping and mapping.type_by else "type"
    words = pc.cast(table.columns.get(column, pa.nulls(count)), pa.string())
    unknown = np.ones(count, dtype=np.bool_)
    for word in pc.unique(words).to_pylist():
        if word in known:
            rows = positions_of(words, word)
            unknown[rows] = False
            yield known[word], rows
    yield None, np.flatnonzero(unknown)


def _rows(table: _Table, event_type: EventType, mapping: SourceMapping | None) -> Rows:
    if mapping is None:
        columns = {name: cells for name, cells in table.columns.items() if name != "type"}
        return Rows(_unblanked(columns), table.positions, raw_of(table.columns))
    count, cells = len(table.positions), table.columns
    envelope = {
        "id": identity([cells.get(name, pa.nulls(count, pa.string())) for name in mapping.id]),
        "source": pa.DictionaryArray.from_arrays(np.zeros(count, dtype=np.int32), [mapping.source]),
        "subject": cells.get(mapping.subject.field, pa.nulls(count, pa.string())),
        "time": moments(mapping.time, cells.get(mapping.time.field, pa.nulls(count, pa.string()))),
    }
    fields = {f.name: field_cells(mapping.fields[f.name], f, cells, count)
              for f in event_type.fields if f.name in mapping.fields}  # fmt: skip
    return Rows(fields | envelope, table.positions, raw_of(cells), mapping.subject.as_ == "msisdn")


def _unblanked(columns: dict[str, pa.Array]) -> dict[str, pa.Array]:
    """A blank cell is an absent value."""
    none = pa.scalar(None, pa.string())
    return {
        name: pc.if_else(pc.equal(cells, ""), none, cells) if pa.types.is_string(cells.type) else cells
        for name, cells in columns.items()
    }


def _csv(path: Path, mapping: SourceMapping | None) -> Iterator[_Table]:
    form = survey(path, mapping.encoding if mapping else None)
    names, _ = repaired(form.header, ())
    _refuse_lacking(path, names, mapping)
    rejects, told = Rejects(), 0
    for block in blocks(path, form, rejects):
        columns = dict(zip(names, block.cells, strict=True))
        letters = [dead_letter(r.line, DeadReason.SCHEMA_MISMATCH, r.reason, b"") for r in list(rejects)[told:]]
        told += len(letters)
        table = _Table(columns, block.lines, DeadLetters(tuple(letters)))
        for first in range(0, len(block.lines), BATCH_ROWS):
            yield _slice(table, first, first + BATCH_ROWS)
    letters = [dead_letter(r.line, DeadReason.SCHEMA_MISMATCH, r.reason, b"") for r in list(rejects)[told:]]
    if letters:
        empty = {name: pa.nulls(0, pa.string()) for name in names}
        yield _Table(empty, np.zeros(0, dtype=np.int64), DeadLetters(tuple(letters)))


def _slice(table: _Table, first: int, last: int) -> _Table:
    columns = {name: cells.slice(first, last - first) for name, cells in table.columns.items()}
    return _Table(columns, table.positions[first:last], DeadLetters() if first else table.dead)


def _refuse_lacking(path: Path, names: Sequence[str], mapping: SourceMapping | None) -> None:
    wanted = mapping.columns() if mapping else ["id", "source", "type", "subject", "time"]
    lacking = [name for name in wanted if name not in names]
    if lacking:
        raise invalid(f"{path.name} has no column {', '.join(lacking)}; it has {', '.join(names)[:400]}")


def _parquet(path: Path) -> Iterator[_Table]:
    try:
        file, first = parquet.ParquetFile(path), 1
        for batch in file.iter_batches(BATCH_ROWS):
            columns = dict(zip(batch.schema.names, map(_undictionaried, batch.columns), strict=True))
            yield _Table(columns, np.arange(first, first + batch.num_rows, dtype=np.int64))
            first += batch.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise invalid(f"{path.name} is a damaged Parquet file; export it again") from error


def _undictionaried(cells: pa.Array) -> pa.Array:
    return pc.cast(cells, cells.type.value_type) if pa.types.is_dictionary(cells.type) else cells


def _packed(path: Path, edge: Edge) -> Iterator[Decoded]:
    """Arrow streams one after another, each a record of packed mode; what follows a damaged one cannot be found."""
    first = 1
    with pa.OSFile(str(path), "rb") as file:
        while file.tell() < file.size():
            begin = file.tell()
            try:
                batch = packed.next_batch(file)
            except packed.UNREADABLE:
                why = f"no whole Arrow stream from byte {begin} of the file on"
                yield Decoded((), DeadLetters((dead_letter(first, DeadReason.TRUNCATED, why, b""),)))
                return
            found = packed.rows_of(batch, first, edge)
            yield found
            first += found.count


def _json_lines(path: Path, edge: Edge, mapping: SourceMapping | None) -> Iterator[Decoded]:
    with path.open("rb") as file:
        for values, lines in _batches_of_lines(file):
            if mapping is None:
                yield decode_structured(values, edge, lines)
            else:
                yield _decoded(_mapped_lines(values, lines, mapping), edge, mapping)


def _mapped_lines(values: Sequence[bytes], lines: NDArray[np.int64], mapping: SourceMapping) -> _Table:
    parsed = parse(values, _schema_seen(values, mapping))
    columns = {name: flat(parsed.table[name]) for name in parsed.table.column_names}
    why = "a member is of another JSON type than in the lines before"
    letters = []
    for row in parsed.bad.tolist():
        reason, told = json_fault(values[row]) or (DeadReason.WRONG_TYPE, why)
        letters.append(dead_letter(int(lines[row]), reason, told, values[row]))
    return _Table(columns, lines[parsed.rows], gathered(letters))


def _schema_seen(values: Sequence[bytes], mapping: SourceMapping) -> pa.Schema:
    """The JSON type of each member that is read, as the first lines write it."""
    seen: dict[str, pa.DataType] = {}
    for value in values[:SAMPLE_LINES]:
        if json_fault(value) is None:
            for name, member in json.loads(value).items():
                if member is not None:
                    seen.setdefault(name, _json_type(member))
    return pa.schema([(name, seen.get(name, pa.string())) for name in mapping.columns()])


def _json_type(member: Any) -> pa.DataType:
    if isinstance(member, bool):
        return pa.bool_()
    return pa.float64() if isinstance(member, int | float) else pa.string()


def _batches_of_lines(file: BinaryIO) -> Iterator[tuple[list[bytes], NDArray[np.int64]]]:
    """Lines that are not blank, and their numbers. Of a line that is too long only the beginning is kept."""
    number, rest = 1, b""
    while raw := file.read(READ_BYTES):
        if number == 1 and not rest:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        *lines, rest = (rest + raw).split(b"\n")
        rest = rest[: RECORD_BYTES_MAX + 1]
        yield from _cut(lines, number)
        number += len(lines)
    yield from _cut([rest], number)


def _cut(lines: list[bytes], number: int) -> Iterator[tuple[list[bytes], NDArray[np.int64]]]:
    for first in range(0, len(lines), BATCH_ROWS):
        some = lines[first : first + BATCH_ROWS]
        kept = [i for i, line in enumerate(some) if line and not line.isspace()]
        if kept:
            yield [some[i] for i in kept], np.array(kept, dtype=np.int64) + (number + first)
