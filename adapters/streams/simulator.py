"""Made-up events of any type: a seed, a population and a rate make the same events every time, columns first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adapters.streams.cells import MILLIS
from adapters.streams.packed import schema_of
from common.kernel.columns import Keys
from common.kernel.event import EventType, Field, Kind
from common.kernel.keyed_hash import mix, salt
from common.kernel.subscriber import KEY_BITS

BATCH_ROWS = 5_000
"""A batch packs into well under a record's largest size."""
ABSENT_SHARE = 0.1
WORDS_COUNT = 24
EXAMPLE_AT = 1_772_323_200_000
"""2026-03-01 08:00 in Beijing."""
EXAMPLE_KEY = 4_815_162_342_108
SOURCE = "simulator/{node}/{name}"
SHARES = {"data_used": 30.0, "url_visit": 12.0, "voice_call": 8.0, "out_of_province": 3.0, "third_party_app": 6.0}
"""How often a type comes in a mixture; 1 where it is not named."""

_POOLS: dict[str, tuple[str, ...]] = {
    "host": ("v.example.com", "music.example.com", "game.example.com", "news.example.net", "shop.example.org"),
    "app": ("wo_video", "wo_music", "short_video", "chess", "maps", "mail"),
    "apn": ("3gnet", "3gwap", "wonet"),
    "mcc": ("460",),
    "mnc": ("01", "06", "09"),
    "month_day": ("01-15", "03-01", "07-20", "12-31"),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """`count` events a `rate` a second from `start` on, of `types` in a mixture, by people drawn from `people`."""

    types: tuple[EventType, ...]
    count: int
    seed: int
    people: Keys
    start: int
    """Unix milliseconds."""
    rate: float = 1_000.0
    node: str = "45"


def population(count: int, seed: int) -> Keys:
    """Subscriber keys that look like any others."""
    hashes = mix(np.arange(count, dtype=np.int64), salt("people", seed))
    return (hashes >> np.uint64(64 - KEY_BITS)).astype(np.int64)


def batches(plan: Plan, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
    """Batches of one type each, in the packed schema; together they go forward in time."""
    weights = np.array([SHARES.get(each.name, 1.0) for each in plan.types])
    for first in range(0, plan.count, rows):
        numbers = np.arange(first, min(first + rows, plan.count), dtype=np.int64)
        draw = np.random.default_rng([plan.seed, first])
        chosen = draw.choice(len(plan.types), len(numbers), p=weights / weights.sum())
        for place in np.unique(chosen).tolist():
            yield _batch(plan, plan.types[place], numbers[chosen == place], draw)


def _batch(plan: Plan, event_type: EventType, numbers: NDArray[np.int64], draw: np.random.Generator) -> pa.RecordBatch:
    count = len(numbers)
    at = plan.start + (numbers * (1000.0 / plan.rate)).astype(np.int64)
    absent = draw.random(count) < ABSENT_SHARE if any(f.name == "longitude" for f in event_type.fields) else None
    envelope = [
        pa.array([f"{plan.seed}-{number}" for number in numbers.tolist()], pa.string()),
        pa.DictionaryArray.from_arrays(
            np.zeros(count, dtype=np.int32), [SOURCE.format(node=plan.node, name=event_type.name)]
        ),
        pa.array(draw.choice(plan.people, count)),
        pa.array(at, MILLIS),
    ]
    return pa.RecordBatch.from_arrays(
        [*envelope, *(_cells(field, count, at, absent, draw) for field in event_type.fields)],
        schema=schema_of(event_type),
    )


def _cells(
    field: Field, count: int, at: NDArray[np.int64], no_point: NDArray[np.bool_] | None, draw: np.random.Generator
) -> pa.Array:
    absent = None if field.required else draw.random(count) < ABSENT_SHARE
    if field.name in ("longitude", "latitude", "coordinate_system"):
        absent = no_point
    if field.kind in (Kind.TEXT, Kind.CODE):
        words = _words(field)
        refs = draw.integers(0, len(words), count).astype(np.int32)
        return pa.DictionaryArray.from_arrays(pa.array(refs, mask=absent), words)
    if field.kind is Kind.TIME:
        return pa.array(at + draw.integers(1, 30 * 86_400_000, count), MILLIS, mask=absent)
    if field.kind is Kind.FLAG:
        return pa.array(draw.random(count) < 0.2, mask=absent)
    return pa.array(_amounts(field, count, draw), mask=absent)


def _amounts(field: Field, count: int, draw: np.random.Generator) -> NDArray[Any]:
    """Around the example, many small and few large, within the field's bounds."""
    low, high = field.low or 0.0, float("inf") if field.high is None else field.high
    if field.unit == "degrees":
        return np.round(np.clip(draw.normal(field.example, 0.5, count), low, high), 6)
    drawn = np.clip(field.example * draw.lognormal(0.0, 0.8, count), low, high)
    amounts: NDArray[Any] = drawn.astype(np.int64) if field.kind is Kind.INT else np.round(drawn, 4)
    return amounts


def _words(field: Field) -> Sequence[str]:
    if field.one_of:
        return field.one_of
    return _POOLS.get(field.name) or [field.example, *(f"{field.example}-{n}" for n in range(1, WORDS_COUNT))]


def example(event_type: EventType, start: int, key: int) -> pa.RecordBatch:
    """The catalogue's example as a batch of one event."""
    cells = {name: _moment(value, field.kind) for (name, value), field in
             zip(event_type.example.items(), event_type.fields, strict=True)}  # fmt: skip
    envelope = {
        "id": "example-1",
        "source": SOURCE.format(node="45", name=event_type.name),
        "subject": key,
        "time": start,
    }
    return pa.RecordBatch.from_pylist([envelope | cells], schema=schema_of(event_type))


def _moment(value: object, kind: Kind) -> object:
    return datetime.fromisoformat(str(value)) if kind is Kind.TIME else value
