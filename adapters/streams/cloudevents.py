"""CloudEvents 1.0 in JSON, as they are on Kafka: structured mode (the whole event in the value) and binary mode."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adapters.streams.alike import Alike, alike
from adapters.streams.json_rows import RECORD_BYTES_MAX, flat, members, parse
from adapters.streams.standard import ENVELOPE, Decoded, Edge, Rows, merged, standardise
from common.kernel.dead_letter import DeadLetter, DeadLetters, DeadReason, dead_letter, gathered, masked
from common.kernel.event import EventType, Kind
from common.kernel.event_catalogue import BY_WIRE_NAME

SPECVERSION = "1.0"
JSON = "application/json"
STRUCTURED = "application/cloudevents+json"
CONTENT_TYPE = "content-type"
HEADER_PREFIX = "ce_"
SAMPLE = 32
PATTERN_ROWS, ALIKE_ROWS = 16, 6_000
"""Of fewer it is not worth while to look for a pattern; of more, not all at once."""
_FIXED = frozenset({("specversion",), ("type",), ("datacontenttype",)})
BATCH_BYTES_MAX = 64 << 20
DATA = "data"
NOT_TAKEN = "the JSON reader does not take it: a member twice, a number too large, or characters out of order"

_ATTRIBUTES = ("specversion", "id", "source", "type", "subject", "time", "datacontenttype")
_PARSED = {Kind.INT: pa.float64(), Kind.NUMBER: pa.float64(), Kind.FLAG: pa.bool_()}
"""All else is a string. JSON knows one kind of number: whether it is whole is seen later, for all rows at once."""

Headers = Sequence[tuple[str, bytes]]


class Message(NamedTuple):
    """A Kafka record."""

    value: bytes
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Envelope:
    """One event read by itself, of any type: its attributes, and its data."""

    attributes: Mapping[str, str]
    data: Any


def envelope_of(message: Message) -> Envelope:
    """Raises ValueError. For looking at single records; `decode` reads them in bulk."""
    headers = {name.lower(): value.decode() for name, value in message.headers}
    if _is_structured(headers.get(CONTENT_TYPE, STRUCTURED)):
        event = json.loads(message.value)
        if not isinstance(event, dict):
            raise ValueError("a CloudEvent is an object")
        return Envelope({name: value for name, value in event.items() if name != "data"}, event.get("data"))
    attributes = {n.removeprefix(HEADER_PREFIX): v for n, v in headers.items() if n.startswith(HEADER_PREFIX)}
    return Envelope(attributes | {"datacontenttype": headers[CONTENT_TYPE]}, json.loads(message.value))


def decode(messages: Sequence[Message], edge: Edge) -> Decoded:
    """Each message by the mode its headers tell; without headers it is structured. Positions count from 0."""
    binary = [i for i, message in enumerate(messages) if message.headers and not _says_structured(message.headers)]
    if not binary:
        return decode_structured([message.value for message in messages], edge)
    others = sorted(set(range(len(messages))) - set(binary))
    parts = (
        _decode_binary([messages[i] for i in binary], np.array(binary, dtype=np.int64), edge),
        decode_structured([messages[i].value for i in others], edge, np.array(others, dtype=np.int64)),
    )
    return merged(parts)


def decode_structured(values: Sequence[bytes], edge: Edge, positions: NDArray[np.int64] | None = None) -> Decoded:
    """Whole events, one a value. `positions` say where each stood, in place of 0, 1, 2, …."""
    batch = _Batch(values, np.arange(len(values)) if positions is None else positions, edge)
    return merged([decoded for part in _bounded(batch) for decoded in _patterned(part)])


@dataclass(frozen=True, slots=True)
class _Batch:
    values: Sequence[bytes]
    positions: NDArray[np.int64]
    edge: Edge

    def __getitem__(self, rows: NDArray[np.int64]) -> _Batch:
        return replace(self, values=[self.values[row] for row in rows.tolist()], positions=self.positions[rows])

    def cut(self, begin: int, count: int) -> _Batch:
        part = slice(begin, begin + count)
        return replace(self, values=self.values[part], positions=self.positions[part])


def _patterned(batch: _Batch) -> Iterator[Decoded]:
    """What is written alike, a little at a time, so that it stays in the processor's cache; the parser has the rest."""
    left = []
    for begin in range(0, len(batch.values), ALIKE_ROWS):
        rows, some = np.arange(begin, min(begin + ALIKE_ROWS, len(batch.values))), batch.cut(begin, ALIKE_ROWS)
        decoded, rest = _decode_alike(some)
        yield from decoded
        left.append(rows[rest])
    others = np.concatenate(left) if left else np.zeros(0, dtype=np.int64)
    if len(others):
        batch = batch if len(others) == len(batch.values) else batch[others]
        yield _rounds(batch, _types_seen(batch.values))


def _decode_alike(batch: _Batch) -> tuple[list[Decoded], NDArray[np.int64]]:
    """What has the usual pattern, and the rows of the others."""
    found = alike(batch.values, _FIXED) if len(batch.values) >= PATTERN_ROWS else None
    event_type = BY_WIRE_NAME.get(found.constants.get(("type",), "")) if found is not None else None
    columns = _columns_of(found, event_type) if found is not None and event_type is not None else None
    if found is None or event_type is None or columns is None or not len(found.rows):
        return [], np.arange(len(batch.values))
    same = batch[found.rows] if len(found.rest) else batch
    return [standardise(event_type, Rows(columns, same.positions, same.values.__getitem__), same.edge)], found.rest


def _columns_of(found: Alike, event_type: EventType) -> dict[str, pa.Array] | None:
    """None where it is left to the parser to say what is wrong."""
    told, columns = found.constants, found.columns
    if told.get(("specversion",)) != SPECVERSION or not told.get(("datacontenttype",), JSON).startswith(JSON):
        return None
    envelope = {(name,): pa.string() for name in _ATTRIBUTES}
    fields = {(DATA, name): kind for name, kind in _data_fields((event_type,))}
    wanted = fields | envelope
    if any(path in wanted and column.type != wanted[path] for path, column in columns.items()):
        return None
    if (DATA,) in columns or not all((name,) in columns for name in ENVELOPE):
        return None
    if any(len(path) > 1 and path[0] in _ATTRIBUTES for path in columns):
        return None
    data = {name: columns[DATA, name] for _, name in fields if (DATA, name) in columns}
    return data | {name: columns[(name,)] for name in ENVELOPE}


def _bounded(batch: _Batch) -> Iterator[_Batch]:
    """Parts that can be parsed whole within bounded memory."""
    if len(batch.values) < 2 or sum(map(len, batch.values)) <= BATCH_BYTES_MAX:
        yield batch
        return
    middle = len(batch.values) // 2
    for begin in (0, middle):
        yield from _bounded(batch.cut(begin, middle if not begin else len(batch.values)))


def _rounds(batch: _Batch, expected: Sequence[EventType]) -> Decoded:
    """Parses with the fields of the types expected; what turns out to be of others, or not to fit, is parsed anew.

    Types share a schema as long as they share a parse, so a record is only called bad under its own type's alone.
    """
    parsed = parse(batch.values, _structured_schema(expected))
    if not len(parsed.bad) and (done := _uniform(batch, parsed.table, expected)):
        return done
    parts, later = [], dict[EventType, list[int]]()
    for name, rows in _by_name(flat(parsed.table["type"])):
        event_type = BY_WIRE_NAME.get(name or "")
        if event_type is None:
            parts.append(_untyped(batch[parsed.rows[rows]], name))
        elif event_type in expected:
            parts.append(_standard(batch[parsed.rows[rows]], parsed.table.take(rows), event_type))
        else:
            later.setdefault(event_type, []).extend(parsed.rows[rows].tolist())
    letters = []
    for row in parsed.bad.tolist():
        event_type, letter = _fault(batch.values[row], int(batch.positions[row]))
        if letter is not None:
            letters.append(letter)
        elif event_type is not None:
            _retry(batch, row, event_type, expected, later, letters)
    parts.append(Decoded((), gathered(letters)))
    parts += [_rounds(batch[np.array(sorted(rows))], (each,)) for each, rows in later.items()]
    return merged(parts)


def _by_name(names: pa.Array) -> Iterator[tuple[str | None, NDArray[np.int64]]]:
    coded = pc.dictionary_encode(names, null_encoding="encode")
    refs = coded.indices.to_numpy(zero_copy_only=False)
    for place, name in enumerate(coded.dictionary.to_pylist()):
        yield name, np.flatnonzero(refs == place)


def _retry(
    batch: _Batch, row: int, event_type: EventType, expected: Sequence[EventType],
    later: dict[EventType, list[int]], letters: list[DeadLetter],
) -> None:  # fmt: skip
    if tuple(expected) != (event_type,):
        later.setdefault(event_type, []).append(row)
        return
    letters.append(dead_letter(int(batch.positions[row]), DeadReason.NOT_JSON, NOT_TAKEN, batch.values[row]))


def _uniform(batch: _Batch, table: pa.Table, expected: Sequence[EventType]) -> Decoded | None:
    """The usual case: all of one type, and it was expected."""
    types = flat(table["type"])
    if types.null_count or not len(types):
        return None
    first = BY_WIRE_NAME.get(types[0].as_py())
    if first is None or first not in expected or not pc.all(pc.equal(types, types[0])).as_py():
        return None
    return _standard(batch, table, first)


def _types_seen(values: Sequence[bytes]) -> tuple[EventType, ...]:
    """The types of a few records from all over the batch."""
    seen = dict[EventType, None]()
    for value in values[:: max(1, len(values) // SAMPLE)]:
        try:
            name = json.loads(value[:RECORD_BYTES_MAX])["type"]
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
        if isinstance(name, str) and (found := BY_WIRE_NAME.get(name)):
            seen[found] = None
    return tuple(seen)


def _structured_schema(types: Iterable[EventType]) -> pa.Schema:
    attributes = [(name, pa.string()) for name in _ATTRIBUTES]
    return pa.schema([*attributes, (DATA, pa.struct(_data_fields(types)))])


def _data_fields(types: Iterable[EventType]) -> list[tuple[str, pa.DataType]]:
    fields = {field.name: _PARSED.get(field.kind, pa.string()) for each in types for field in each.fields}
    return list(fields.items())


def _standard(batch: _Batch, table: pa.Table, event_type: EventType) -> Decoded:
    """Rows of one type, once their envelope says that it is a CloudEvent with JSON data."""
    version, content = flat(table["specversion"]), flat(table["datacontenttype"])
    fits = pc.fill_null(pc.equal(version, SPECVERSION), fill_value=False)
    told = pc.fill_null(pc.starts_with(content, JSON), fill_value=True)
    wrong = ~pc.and_(fits, told).to_numpy(zero_copy_only=False)
    if wrong.any():
        why = f"specversion must be {SPECVERSION}, and datacontenttype, where it is written, {JSON}"
        good, bad = np.flatnonzero(~wrong), batch[np.flatnonzero(wrong)]
        refused = Decoded((), _all_dead(bad, DeadReason.NOT_CLOUDEVENT, why))
        return merged([refused, _standard(batch[good], table.take(good), event_type)])
    if not table.num_rows:
        return Decoded((), DeadLetters())
    envelope = {name: flat(table[name]) for name in ENVELOPE}
    columns = members(flat(table[DATA])) | envelope
    return standardise(event_type, Rows(columns, batch.positions, batch.values.__getitem__), batch.edge)


def _untyped(batch: _Batch, name: str | None) -> Decoded:
    if name is None:
        return Decoded((), _all_dead(batch, DeadReason.NOT_CLOUDEVENT, "type: missing"))
    return Decoded((), _all_dead(batch, DeadReason.UNKNOWN_TYPE, _unknown(name)))


def _unknown(name: str) -> str:
    told = masked(name[:80].encode(errors="replace")).decode(errors="replace")
    return f"type: {told!r} is not in the catalogue"


def _all_dead(batch: _Batch, reason: DeadReason, why: str) -> DeadLetters:
    pairs = zip(batch.positions.tolist(), batch.values, strict=True)
    return DeadLetters(tuple(dead_letter(position, reason, why, value) for position, value in pairs))


def _fault(value: bytes, position: int) -> tuple[EventType | None, DeadLetter | None]:
    """What is wrong with a record that did not parse in bulk; else its type, to try it under that alone."""
    found = json_fault(value)
    if found is not None:
        return None, dead_letter(position, *found, value)
    event = json.loads(value)
    name = event.get("type")
    event_type = BY_WIRE_NAME.get(name) if isinstance(name, str) else None
    if wrong := [n for n in _ATTRIBUTES if not isinstance(event.get(n), str | None)]:
        reason = DeadReason.SUBJECT_INVALID if wrong == ["subject"] else DeadReason.NOT_CLOUDEVENT
        return None, dead_letter(position, reason, f"{', '.join(wrong)}: must be text", value)
    if event_type is None:
        told = (
            (DeadReason.NOT_CLOUDEVENT, "type: missing") if name is None else (DeadReason.UNKNOWN_TYPE, _unknown(name))
        )
        return None, dead_letter(position, *told, value)
    if found := data_fault(event_type, event.get("data")):
        return None, dead_letter(position, *found, value)
    return event_type, None


def json_fault(value: bytes) -> tuple[DeadReason, str] | None:
    """Why `value` is no JSON object that can be taken, if so."""
    if len(value) > RECORD_BYTES_MAX:
        return DeadReason.TOO_LARGE, f"the record has {len(value)} bytes, at most {RECORD_BYTES_MAX} are taken"
    try:
        found = json.loads(value)
    except json.JSONDecodeError as error:
        unfinished = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated")
        if unfinished:
            return DeadReason.TRUNCATED, f"the record ends after {len(value)} bytes, before the JSON is complete"
        return DeadReason.NOT_JSON, f"no JSON from character {error.pos + 1} on"
    except UnicodeDecodeError as error:
        return DeadReason.NOT_JSON, f"no UTF-8 from byte {error.start + 1} on"
    except (RecursionError, ValueError):
        return DeadReason.NOT_JSON, "nested too deep, or a number too long"
    return None if isinstance(found, dict) else (DeadReason.NOT_JSON, "no JSON object")


def data_fault(event_type: EventType, data: Any) -> tuple[DeadReason, str] | None:
    """The first member of the data that is of another JSON type than its field."""
    if data is None:
        return None
    if not isinstance(data, dict):
        return DeadReason.WRONG_TYPE, "data: must be an object"
    for field in event_type.fields:
        value, wanted = data.get(field.name), _WANTED.get(field.kind, str)
        is_flag = isinstance(value, bool)
        if value is not None and (not isinstance(value, wanted) or is_flag is not (field.kind is Kind.FLAG)):
            return DeadReason.WRONG_TYPE, f"data.{field.name}: no {field.kind}"
        if wanted is _NUMBER and value is not None and abs(value) > 1e308:
            return DeadReason.OUT_OF_RANGE, f"data.{field.name}: out of the bounds the catalogue gives"
    return None


_NUMBER = int | float
_WANTED: dict[Kind, Any] = {Kind.INT: _NUMBER, Kind.NUMBER: _NUMBER, Kind.FLAG: bool}


def _decode_binary(messages: Sequence[Message], positions: NDArray[np.int64], edge: Edge) -> Decoded:
    parts = []
    by_type: dict[str, list[int]] = {}
    letters = []
    headers = [_headers(message.headers) for message in messages]
    for row, named in enumerate(headers):
        found = _header_fault(named)
        if found is None:
            by_type.setdefault(named["type"], []).append(row)
        else:
            letters.append(dead_letter(int(positions[row]), *found, messages[row].value))
    for name, rows in by_type.items():
        places = np.array(rows, dtype=np.int64)
        batch = _Batch([messages[row].value for row in rows], positions[places], edge)
        told = {int(positions[row]): headers[row] for row in rows}
        parts += [_binary_of(part, told, BY_WIRE_NAME[name]) for part in _bounded(batch)]
    return merged([*parts, Decoded((), gathered(letters))])


def _binary_of(batch: _Batch, headers: Mapping[int, Mapping[str, str]], event_type: EventType) -> Decoded:
    """`headers` are by position."""
    parsed = parse(batch.values, pa.schema(_data_fields((event_type,))))
    good = batch[parsed.rows]
    told = [headers[position] for position in good.positions.tolist()]
    envelope = {n: pa.array([each.get(n) for each in told], pa.string()) for n in ("id", "source", "subject", "time")}
    columns = {name: flat(parsed.table[name]) for name in parsed.table.column_names} | envelope
    letters = [_binary_fault(batch.values[r], int(batch.positions[r]), event_type) for r in parsed.bad.tolist()]
    dead = Decoded((), DeadLetters(tuple(letters)))
    if not len(parsed.rows):
        return dead
    return merged([dead, standardise(event_type, Rows(columns, good.positions, good.values.__getitem__), batch.edge)])


def _binary_fault(value: bytes, position: int, event_type: EventType) -> DeadLetter:
    found = json_fault(value) or data_fault(event_type, json.loads(value))
    return dead_letter(position, *(found or (DeadReason.NOT_JSON, NOT_TAKEN)), value)


def _headers(headers: Headers) -> dict[str, str]:
    """The attributes, and `content`. Bytes that are no UTF-8 become text that no attribute may be."""
    return {_attribute(name): str(value, "utf-8", "replace") for name, value in headers}


@lru_cache(maxsize=256)
def _attribute(header: str) -> str:
    """The attribute a header is for; one that is none of CloudEvents' keeps a name that is none of theirs."""
    lower = header.lower()
    if lower.startswith(HEADER_PREFIX):
        return lower[len(HEADER_PREFIX) :]
    return "content" if lower == CONTENT_TYPE else f"-{lower}"


def _header_fault(named: Mapping[str, str]) -> tuple[DeadReason, str] | None:
    if named.get("specversion") != SPECVERSION or not named.get("content", JSON).startswith(JSON):
        return DeadReason.NOT_CLOUDEVENT, f"ce_specversion must be {SPECVERSION}, and content-type {JSON}"
    if "type" not in named:
        return DeadReason.NOT_CLOUDEVENT, "ce_type: missing"
    if named["type"] not in BY_WIRE_NAME:
        return DeadReason.UNKNOWN_TYPE, _unknown(named["type"])
    return None


def _says_structured(headers: Headers) -> bool:
    named = {_attribute(name): value for name, value in headers}
    content = named.get("content")
    if content is None:
        return "specversion" not in named and "type" not in named
    return _is_structured(str(content, "utf-8", "replace"))


@lru_cache(maxsize=256)
def _is_structured(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == STRUCTURED


def encode(batch: pa.RecordBatch) -> pa.Array:
    """Events of a packed batch, each as one line of structured JSON."""
    fields, envelope = _encoded_members(batch)
    head = f'{{"specversion":"{SPECVERSION}","type":"{_wire_name(batch)}","datacontenttype":"{JSON}",'
    return pc.binary_join_element_wise(head, *_joined(envelope), ',"data":{', *_joined(fields), "}}", "")


def encode_binary(batch: pa.RecordBatch) -> list[Message]:
    """Events of a packed batch, each as data under headers."""
    fields, envelope = _encoded_members(batch)
    values = pc.binary_join_element_wise("{", *_joined(fields), "}", "").to_pylist()
    fixed = [
        ("ce_specversion", SPECVERSION.encode()),
        ("ce_type", _wire_name(batch).encode()),
        (CONTENT_TYPE, JSON.encode()),
    ]
    names = [f"{HEADER_PREFIX}{name}" for name, _ in envelope]
    rows = zip(*([json.loads(cell) for cell in cells.to_pylist()] for _, cells in envelope), strict=True)
    return [
        Message(value.encode(), [*fixed, *((name, text.encode()) for name, text in zip(names, row, strict=True))])
        for value, row in zip(values, rows, strict=True)
    ]


def _wire_name(batch: pa.RecordBatch) -> str:
    found: bytes = batch.schema.metadata[b"type"]
    return found.decode()


def _encoded_members(batch: pa.RecordBatch) -> tuple[list[tuple[str, pa.Array]], list[tuple[str, pa.Array]]]:
    """The data's members and the envelope's, each with its cells as JSON; NULL where there is none."""
    written = {name: _json_cells(column) for name, column in zip(batch.schema.names, batch.columns, strict=True)}
    envelope = [(name, written.pop(name)) for name in ("id", "source", "subject", "time")]
    envelope[2] = ("subject", _quoted(envelope[2][1]))
    return list(written.items()), envelope


def _joined(members_of: Iterable[tuple[str, pa.Array]]) -> list[pa.Array]:
    """`"name":cell` with commas between; the first is never NULL."""
    pieces = []
    for number, (name, cells) in enumerate(members_of):
        begin = f'{"," if number else ""}"{name}":'
        pieces.append(pc.fill_null(pc.binary_join_element_wise(begin, cells, ""), ""))
    return pieces


def _json_cells(column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        words = [
            None if word is None else json.dumps(word, ensure_ascii=False) for word in column.dictionary.to_pylist()
        ]
        return pa.array(words, pa.string()).take(column.indices)
    if pa.types.is_string(column.type):
        return pa.array([None if text is None else json.dumps(text, ensure_ascii=False) for text in column.to_pylist()])
    if pa.types.is_timestamp(column.type):
        return _quoted(pc.replace_substring(pc.cast(column, pa.string()), " ", "T"))
    return pc.cast(column, pa.string())


def _quoted(cells: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise('"', cells, '"', "")
