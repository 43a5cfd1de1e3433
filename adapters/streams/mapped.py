"""Records by their own names, and the events that a mapping, or without one the catalogue itself, sees in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adapters.streams.cloudevents import NOT_TAKEN, json_fault
from adapters.streams.json_rows import flat, parse
from adapters.streams.mapping import SourceMapping, field_cells, identity, moments, positions_of
from adapters.streams.standard import Decoded, Edge, Rows, merged, raw_of, standardise
from common.kernel.dead_letter import DeadLetter, DeadLetters, DeadReason, dead_letter, gathered
from common.kernel.event import EventType
from common.kernel.event_catalogue import BY_NAME, BY_WIRE_NAME

SAMPLE = 64
WHOLE_MAX = np.iinfo(np.int64).max
ROUNDS_MAX = 32
"""Of reading records whose members are of other JSON types than those of the records before."""


def decode_lines(values: Sequence[bytes], positions: NDArray[np.int64], edge: Edge, mapping: SourceMapping) -> Decoded:
    """A JSON object each. What becomes of one does not depend on the others."""
    rows, parts, letters = np.arange(len(values)), list[Decoded](), list[DeadLetter]()
    for _ in range(ROUNDS_MAX):
        if not len(rows):
            break
        some = [values[row] for row in rows.tolist()]
        parsed = parse(some, _schema_seen(some, mapping))
        columns = {name: flat(parsed.table[name]) for name in parsed.table.column_names}
        parts.append(decoded(Table(columns, positions[rows[parsed.rows]]), edge, mapping))
        faults = [_fault(some[row], mapping, first=row == 0) for row in parsed.bad.tolist()]
        rows = rows[parsed.bad]
        told = [(row, *fault) for row, fault in zip(rows.tolist(), faults, strict=True) if fault]
        letters += [dead_letter(int(positions[row]), reason, why, values[row]) for row, reason, why in told]
        rows = rows[[fault is None for fault in faults]]
    why = "its members are of other JSON types than in any record before"
    letters += [dead_letter(int(positions[row]), DeadReason.WRONG_TYPE, why, values[row]) for row in rows.tolist()]
    return merged([*parts, Decoded((), gathered(letters))])


def _schema_seen(values: Sequence[bytes], mapping: SourceMapping) -> pa.Schema:
    """The JSON type of each member that is read, as the first records write it; the first of all fits by itself."""
    seen: dict[str, pa.DataType] = {}
    for value in values[:SAMPLE]:
        if json_fault(value) is None:
            for name, member in json.loads(value).items():
                if member is not None:
                    seen.setdefault(name, _json_type(member, exact=name in mapping.names()))
    return pa.schema([(name, seen.get(name, pa.string())) for name in mapping.columns()])


def _json_type(member: Any, *, exact: bool) -> pa.DataType:
    if isinstance(member, bool):
        return pa.bool_()
    if isinstance(member, int | float):
        return pa.int64() if exact else pa.float64()
    return pa.string()


def _fault(value: bytes, mapping: SourceMapping, *, first: bool) -> tuple[DeadReason, str] | None:
    """None where it may fit once it is the first."""
    if fault := json_fault(value):
        return fault
    found = json.loads(value)
    for name in mapping.columns():
        member = found.get(name)
        if isinstance(member, list | dict):
            return DeadReason.WRONG_TYPE, f"{name}: a list or an object"
        if name in mapping.names() and isinstance(member, float):
            return DeadReason.WRONG_TYPE, f"{name}: a number with a fraction"
        if name in mapping.names() and isinstance(member, int) and abs(member) > WHOLE_MAX:
            return DeadReason.WRONG_TYPE, f"{name}: a number of too many digits; the source should write it as a text"
    return (DeadReason.NOT_JSON, NOT_TAKEN) if first else None


@dataclass(frozen=True, slots=True)
class Table:
    """Some of a file's rows by the file's own column names, and what of it was no row at all."""

    columns: dict[str, pa.Array]
    positions: NDArray[np.int64]
    dead: DeadLetters = DeadLetters()  # noqa: RUF009 - a frozen value

    def __getitem__(self, rows: NDArray[np.int64]) -> Table:
        if len(rows) == len(self.positions):
            return self
        places = pa.array(rows)
        return Table({name: cells.take(places) for name, cells in self.columns.items()}, self.positions[rows])


def decoded(table: Table, edge: Edge, mapping: SourceMapping | None) -> Decoded:
    """Without a mapping the columns are the catalogue's own."""
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


def _by_type(table: Table, mapping: SourceMapping | None) -> Iterator[tuple[EventType | None, NDArray[np.int64]]]:
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


def _rows(table: Table, event_type: EventType, mapping: SourceMapping | None) -> Rows:
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
