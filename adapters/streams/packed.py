"""Packed mode: a Kafka record's value is one Arrow IPC stream with one record batch of one type's events.

The columns are id, source, subject, time and the type's fields; the schema's metadata names the type.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa

from adapters.streams.cells import MILLIS
from adapters.streams.json_rows import RECORD_BYTES_MAX
from adapters.streams.standard import Decoded, Edge, Rows, merged, raw_of, standardise
from common.kernel.dead_letter import DeadLetters, DeadReason, dead_letter
from common.kernel.event import EventType, Kind
from common.kernel.event_catalogue import BY_WIRE_NAME
from common.kernel.refusal import invalid

CONTENT_TYPE = "application/vnd.apache.arrow.stream"
TYPE_KEY = b"type"
WORDS = pa.dictionary(pa.int32(), pa.string())

REMEMBERED_SCHEMAS = 256

UNREADABLE = (pa.ArrowException, OSError, MemoryError, StopIteration, UnicodeDecodeError)
"""What the library says of bytes that are no stream."""

_ARROW: dict[Kind, pa.DataType] = {
    Kind.INT: pa.int64(),
    Kind.NUMBER: pa.float64(),
    Kind.TEXT: WORDS,
    Kind.CODE: WORDS,
    Kind.TIME: MILLIS,
    Kind.FLAG: pa.bool_(),
}


def schema_of(event_type: EventType) -> pa.Schema:
    envelope = [("id", pa.string()), ("source", WORDS), ("subject", pa.int64()), ("time", MILLIS)]
    fields = [(field.name, _ARROW[field.kind]) for field in event_type.fields]
    return pa.schema([*envelope, *fields], metadata={TYPE_KEY: event_type.wire_name})


def type_of(schema: pa.Schema) -> EventType | None:
    name = (schema.metadata or {}).get(TYPE_KEY, b"")
    return BY_WIRE_NAME.get(name.decode(errors="replace"))


def encode(batch: pa.RecordBatch) -> bytes:
    """`batch` has the schema of its type. Raises Refusal where it takes more than a record may."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    value: bytes = sink.getvalue().to_pybytes()
    if len(value) > RECORD_BYTES_MAX:
        raise invalid(f"{batch.num_rows} events take {len(value)} bytes, a record at most {RECORD_BYTES_MAX}; cut them")
    return value


def decode(values: Sequence[bytes], edge: Edge) -> Decoded:
    """Every event of every record once; a record that cannot be read counts as one. Positions are the records'."""
    parts, alike = list[Decoded](), dict[tuple[EventType, pa.Schema], list[tuple[int, pa.RecordBatch]]]()
    for position, value in enumerate(values):
        found = _record(value, position)
        if isinstance(found, Decoded):
            parts.append(found)
        else:
            event_type, batch = found
            alike.setdefault((event_type, batch.schema), []).append((position, batch))
    return merged([*parts, *(_together(event_type, some, edge) for (event_type, _), some in alike.items())])


def _record(value: bytes, position: int) -> tuple[EventType, pa.RecordBatch] | Decoded:
    if len(value) > RECORD_BYTES_MAX:
        why = f"the record has {len(value)} bytes, at most {RECORD_BYTES_MAX} are taken"
        return _dead(value, position, DeadReason.TOO_LARGE, why)
    try:
        batch = next_batch(value)
    except UNREADABLE:
        why = f"no whole Arrow stream with one record batch in {len(value)} bytes"
        return _dead(value, position, DeadReason.TRUNCATED, why)
    return _typed(batch, position, value)


def _typed(batch: pa.RecordBatch, position: int, value: bytes) -> tuple[EventType, pa.RecordBatch] | Decoded:
    event_type = type_of(batch.schema)
    if event_type is None:
        return _dead(value, position, DeadReason.UNKNOWN_TYPE, "the schema's metadata names no type of the catalogue")
    if wrong := _mismatch(batch.schema, event_type.wire_name):
        return _dead(value, position, DeadReason.SCHEMA_MISMATCH, wrong)
    return event_type, batch


def rows_of(batch: pa.RecordBatch, position: int, edge: Edge) -> Decoded:
    """The events of one batch that somebody else read."""
    found = _typed(batch, position, b"")
    return found if isinstance(found, Decoded) else _together(found[0], [(position, batch)], edge)


def _together(event_type: EventType, some: Sequence[tuple[int, pa.RecordBatch]], edge: Edge) -> Decoded:
    """Batches of one schema as one: what is done once a batch costs as much for few rows as for many."""
    try:
        columns = _joined([batch for _, batch in some])
    except pa.ArrowException:  # there are dictionaries that do not become one
        return merged([_together(event_type, [each], edge) for each in some])
    positions = np.repeat([position for position, _ in some], [batch.num_rows for _, batch in some])
    if not len(positions):
        return Decoded((), DeadLetters())
    return standardise(event_type, Rows(columns, positions, raw_of(columns)), edge)


def _joined(batches: Sequence[pa.RecordBatch]) -> dict[str, pa.Array]:
    columns = zip(*(batch.columns for batch in batches), strict=True)
    joined = (parts[0] if len(parts) == 1 else pa.concat_arrays(parts) for parts in columns)
    return dict(zip(batches[0].schema.names, joined, strict=True))


def next_batch(source: bytes | pa.NativeFile) -> pa.RecordBatch:
    """The one batch of the stream that begins here. Raises one of UNREADABLE."""
    with pa.ipc.open_stream(source) as reader:
        batch = reader.read_next_batch()
        if next(iter(reader), None) is not None:
            raise pa.ArrowInvalid("more than one record batch")
    # What came over the wire may lie about its own names, offsets and indices.
    str(batch.schema.names)
    batch.validate(full=True)
    return batch


@lru_cache(maxsize=REMEMBERED_SCHEMAS)
def _mismatch(schema: pa.Schema, wire_name: str) -> str:
    """What keeps the schema from being the type's; optional fields may be left out, and texts need not be coded."""
    event_type = BY_WIRE_NAME[wire_name]
    wanted = schema_of(event_type)
    required = {"id", "source", "subject", "time", *(field.name for field in event_type.fields if field.required)}
    if len(set(schema.names)) != len(schema.names):
        return "a column is there twice"
    for column in wanted:
        place = schema.get_field_index(column.name)
        if place < 0 and column.name in required:
            return f"column {column.name} is missing"
        if place >= 0 and not _same(schema.field(place).type, column.type):
            return f"column {column.name} must be {column.type}"
    extra = set(schema.names) - set(wanted.names)
    return f"{len(extra)} columns that the type does not have" if extra else ""


def _same(found: pa.DataType, wanted: pa.DataType) -> bool:
    if wanted != WORDS:
        return bool(found == wanted)
    return bool(found == pa.string() or (pa.types.is_dictionary(found) and found.value_type == pa.string()))


def _dead(value: bytes, position: int, reason: DeadReason, why: str) -> Decoded:
    return Decoded((), DeadLetters((dead_letter(position, reason, why, value),)))
