"""Standardisation: one type's rows, from whatever source, become `Events`, and what does not fit is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adapters.streams.cells import (
    Cells,
    absent,
    buffers,
    cast_or_null,
    convert,
    decimals,
    filled_up,
    is_text,
    times,
    whole_numbers,
)
from adapters.streams.mapping import SourceMapping
from common.kernel.columns import Keys, Mask
from common.kernel.dead_letter import DeadLetter, DeadLetters, DeadReason, dead_letter, gathered
from common.kernel.event import Column, EventIds, Events, EventType, Millis
from common.kernel.keyed_hash import salt
from common.kernel.refusal import invalid
from common.kernel.text_hash import text_hashes

FUTURE_SECONDS_MAX = 300
"""How far a source's clock may be ahead of ours."""
YEAR_2000 = 946_684_800_000
ID_BYTES_MAX = 128
SOURCE_BYTES_MAX = 256
POSITION = ("longitude", "latitude", "coordinate_system")
"""A point is all of them or none."""
KEY_MAX = np.iinfo(np.int64).max

ENVELOPE = ("id", "source", "subject", "time")


@dataclass(frozen=True, slots=True)
class Edge:
    """What a decoder is given of the node it works for."""

    now: int
    """Unix milliseconds."""
    keys_of: Callable[[NDArray[np.int64]], Keys] | None = None
    """Subscriber keys for E.164 numbers; needed where a source names people by number."""
    known: Callable[[Keys], Mask] | None = None
    """Which keys are subscribers of this node; None takes them all."""
    mappings: Mapping[str, SourceMapping] = field(default_factory=dict)
    """Of topics that do not bring CloudEvents, by topic."""


Raw = Callable[[int], bytes]
"""What the record of a row says, for its dead letter."""


@dataclass(frozen=True, slots=True)
class Rows:
    """One type's rows as the source wrote them: `columns` has id, source, subject, time and the data's fields.

    What the source does not have is not in `columns`. `numbers`: the subjects are E.164 numbers, not keys.
    """

    columns: Mapping[str, pa.Array]
    positions: NDArray[np.int64]
    raw: Raw
    numbers: bool = False

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True, slots=True)
class Decoded:
    """Every record that came in is in one of the two."""

    events: tuple[Events, ...]
    dead: DeadLetters

    @property
    def count(self) -> int:
        return sum(map(len, self.events)) + len(self.dead)


@dataclass(slots=True)
class _Faults:
    """The first fault of each row."""

    count: int
    first: NDArray[np.uint32] = field(init=False)
    """0 for none, else one more than the position in `told`."""
    told: list[tuple[DeadReason, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.first = np.zeros(self.count, dtype=np.uint32)

    def add(self, rows: Mask | None, reason: DeadReason, why: str) -> None:
        if rows is None or not rows.any():
            return
        self.told.append((reason, why))
        self.first[rows & (self.first == 0)] = len(self.told)

    def everywhere(self, reason: DeadReason, why: str) -> None:
        self.add(np.ones(self.count, dtype=np.bool_), reason, why)


def standardise(event_type: EventType, rows: Rows, edge: Edge) -> Decoded:
    """The rows as events in the same order, but for those that do not fit the type."""
    faults = _Faults(len(rows))
    ids = _ids(rows, faults)
    keys = _keys(rows, edge, faults)
    at = _at(rows, edge, faults)
    columns = _columns(event_type, rows, faults)
    if edge.known is not None:
        faults.add(~edge.known(keys), DeadReason.UNKNOWN_SUBSCRIBER, "subject: this node does not know the subscriber")
    events = Events(event_type, ids, keys, at, rows.positions, columns)
    if not faults.told:
        return Decoded((events,), DeadLetters())
    good = np.flatnonzero(faults.first == 0)
    return Decoded((events[good],) if len(good) else (), gathered(_letters(rows, faults)))


def merged(parts: Sequence[Decoded]) -> Decoded:
    return Decoded(
        tuple(events for part in parts for events in part.events),
        gathered(letter for part in parts for letter in part.dead),
    )


def raw_of(columns: Mapping[str, pa.Array]) -> Raw:
    """Records that came as columns, told as JSON."""

    def raw(row: int) -> bytes:
        cells = {name: column[row] for name, column in columns.items()}
        plain = {name: _plain_cell(cell) for name, cell in cells.items()}
        return json.dumps(plain, ensure_ascii=False, default=str).encode(errors="replace")

    return raw


def _plain_cell(cell: pa.Scalar) -> object:
    """A timestamp need not be one that Python can hold."""
    return (pc.cast(cell, pa.string()) if pa.types.is_timestamp(cell.type) else cell).as_py()


def _letters(rows: Rows, faults: _Faults) -> list[DeadLetter]:
    letters = []
    for row in np.flatnonzero(faults.first).tolist():
        reason, why = faults.told[faults.first[row] - 1]
        letters.append(dead_letter(int(rows.positions[row]), reason, why, rows.raw(row)))
    return letters


def _ids(rows: Rows, faults: _Faults) -> EventIds:
    texts, sources = rows.columns.get("id"), rows.columns.get("source")
    if texts is None or sources is None or not is_text(texts.type):
        faults.everywhere(DeadReason.ID_INVALID, "id, source: both must be there, as texts")
        return np.zeros(len(rows), dtype=np.uint64)
    coded = sources if pa.types.is_dictionary(sources.type) else pc.dictionary_encode(sources)
    salts = [
        salt(word) if word and len(word.encode()) <= SOURCE_BYTES_MAX else 0 for word in coded.dictionary.to_pylist()
    ]
    seeds = np.array([*salts, 0], dtype=np.uint64)[filled_up(coded.indices, len(salts))]
    faults.add(seeds == 0, DeadReason.ID_INVALID, f"source: missing, empty or over {SOURCE_BYTES_MAX} bytes")
    offsets, data = buffers(texts)
    sizes = np.diff(offsets)
    wrong = (sizes == 0) | (sizes > ID_BYTES_MAX)
    if wrong.any():
        faults.add(wrong, DeadReason.ID_INVALID, f"id: missing, empty or over {ID_BYTES_MAX} bytes")
        texts = pc.if_else(pa.array(wrong), pa.scalar("", texts.type), texts)
        offsets, data = buffers(texts)
    return text_hashes(data, offsets, seeds)


def _keys(rows: Rows, edge: Edge, faults: _Faults) -> Keys:
    cells = rows.columns.get("subject")
    if cells is None:
        faults.everywhere(DeadReason.SUBJECT_INVALID, "subject: missing")
        return np.zeros(len(rows), dtype=np.int64)
    if rows.numbers:
        return _keys_of_numbers(cells, edge, faults)
    numbers = _decimal(cells)
    keys: Keys = filled_up(numbers, -1)
    faults.add(keys < 0, DeadReason.SUBJECT_INVALID, "subject: missing, or no subscriber key in decimal")
    return keys


_MOBILE = r"^(?:\+?86|0086)?(1[3-9]\d{9})$"


def _keys_of_numbers(cells: pa.Array, edge: Edge, faults: _Faults) -> Keys:
    if edge.keys_of is None:
        raise invalid("this source names people by number; give the federation key, so that numbers become keys")
    texts = pc.replace_substring_regex(pc.cast(_unpointed(cells), pa.string()), r"[\s\-()]+", "")
    found = pc.struct_field(pc.extract_regex(texts, _MOBILE.replace("(1", "(?P<number>1")), "number")
    numbers = pc.fill_null(pc.cast(found, pa.int64()), 0).to_numpy(zero_copy_only=False)
    wrong = numbers == 0
    faults.add(wrong, DeadReason.SUBJECT_INVALID, "subject: missing, or no mobile number")
    keys = np.full(len(numbers), -1, dtype=np.int64)
    distinct, places = np.unique(numbers[~wrong], return_inverse=True)
    keys[~wrong] = edge.keys_of(distinct + 86 * 10**11)[places]
    return keys


def _unpointed(cells: pa.Array) -> pa.Array:
    """Numbers somebody wrote as numbers, without a point."""
    return cast_or_null(cells, lambda some: pc.cast(some, pa.int64())) if pa.types.is_floating(cells.type) else cells


def _decimal(cells: pa.Array) -> pa.Array:
    return decimals(cells) if is_text(cells.type) else whole_numbers(cells)


def _at(rows: Rows, edge: Edge, faults: _Faults) -> Millis:
    cells = rows.columns.get("time")
    if cells is None:
        faults.everywhere(DeadReason.TIME_INVALID, "time: missing")
        return np.zeros(len(rows), dtype=np.int64)
    at: Millis = filled_up(times(cells).view(pa.int64()), -1)
    why = "time: missing, or no RFC 3339 time with its offset since the year 2000"
    faults.add(at < YEAR_2000, DeadReason.TIME_INVALID, why)
    ahead = f"time: more than {FUTURE_SECONDS_MAX} seconds ahead of this node's clock"
    faults.add(at > edge.now + FUTURE_SECONDS_MAX * 1000, DeadReason.FAR_FUTURE, ahead)
    return at


def _columns(event_type: EventType, rows: Rows, faults: _Faults) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    filled: dict[str, Mask | None] = {}
    for each in event_type.fields:
        cells = rows.columns.get(each.name)
        got = absent(each, len(rows)) if cells is None else convert(each, cells)
        columns[each.name], filled[each.name] = got.column, got.there
        _judge(each.name, str(each.kind), got, faults)
        if each.required and got.there is not None:
            faults.add(~got.there, DeadReason.FIELD_MISSING, f"data.{each.name}: missing")
    if POSITION[0] in filled:
        _whole_points(len(rows), filled, faults)
    return columns


def _judge(name: str, kind: str, got: Cells, faults: _Faults) -> None:
    faults.add(got.misfit, DeadReason.WRONG_TYPE, f"data.{name}: no {kind}")
    faults.add(got.out, DeadReason.OUT_OF_RANGE, f"data.{name}: out of the bounds the catalogue gives")


def _whole_points(count: int, filled: Mapping[str, Mask | None], faults: _Faults) -> None:
    parts = np.zeros(count, dtype=np.uint8)
    for name in POSITION:
        there = filled[name]
        parts += 1 if there is None else there
    why = "data: longitude, latitude and coordinate_system belong together"
    faults.add((parts > 0) & (parts < len(POSITION)), DeadReason.FIELD_MISSING, why)
