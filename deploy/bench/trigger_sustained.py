"""How many events a second the engine takes in from the broker when there are always more: checkpointed, state on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.streams import packed
from adapters.streams.cloudevents import CONTENT_TYPE
from common.kernel.event import EventClass, topic
from deploy.bench.trigger_paced import producer_of
from deploy.bench.trigger_world import (
    PROVINCE,
    Bench,
    Reached,
    Serving,
    Tail,
    Tell,
    processor_seconds,
    reached,
    serving,
)
from deploy.local.traffic import CLASSES, Part, Records, Traffic, json_records, packed_records

if TYPE_CHECKING:
    from confluent_kafka import Producer

PARTITIONS = 2
"""Of each topic."""
EVENTS_A_SECOND = 20_000
"""By the time that the events tell."""
LOOK_SECONDS = 0.2
WAIT_SECONDS = 600.0
QUIET_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Format:
    name: str
    rows: int
    """Events that happen at one moment."""
    records: Callable[[list[Part], int], Records]
    headers: list[tuple[str, bytes]]


JSON = Format("json", 1_000, json_records, [])
PACKED = Format("packed", 50_000, packed_records, [(CONTENT_TYPE, packed.CONTENT_TYPE.encode())])


@dataclass(frozen=True, slots=True)
class Sustained:
    events: int
    records: int
    bytes_per_event: float
    events_per_second: float
    fires: int
    reached: Reached
    miscounted: int
    """Events sent that were not counted, or counted that were not sent."""
    cpu_seconds_per_million: dict[str, float]
    """By process."""


@dataclass(frozen=True, slots=True)
class _Seen:
    events: int
    at: float
    """Milliseconds, by the engine's own word."""
    spent: dict[str, float]


@dataclass(slots=True)
class _Filled:
    wanted: list[int]
    events: int = 0
    records: int = 0
    bytes: int = 0


async def sustained(at: Bench, form: Format, events: int, telling: slice, tell: Tell) -> Sustained:
    """`telling` of the bench's people, for whom nothing fired yet, are the ones told."""
    names = {each: f"{topic(PROVINCE, each)}.{form.name}" for each in CLASSES}
    at.broker.create(dict.fromkeys(names.values(), PARTITIONS))
    filled = await asyncio.to_thread(_fill, at, form, events, telling, names, tell)
    begun = at.clock.milliseconds()
    with Tail(at.local.journal(PROVINCE), at.clock) as tail:
        async with serving(at, list(names.values()), PARTITIONS * len(names)) as engine:
            seen = await _watch(at, engine, filled.events, begun, tell)
            found = await reached(tail, filled.wanted, WAIT_SECONDS, QUIET_SECONDS, tell)
            counted = engine.events()
    first, last = seen
    took = last.events - first.events
    cpu = {name: (used - first.spent[name]) * 1e6 / took for name, used in last.spent.items()}
    rate = took * 1000 / (last.at - first.at)
    return Sustained(
        filled.events, filled.records, filled.bytes / filled.events, rate, len(filled.wanted), found,
        abs(counted - filled.events), cpu,
    )  # fmt: skip


def _fill(
    at: Bench, form: Format, events: int, telling: slice, names: dict[EventClass, str], tell: Tell
) -> _Filled:  # fmt: skip
    producer = producer_of(at.broker.address, **{"batch.size": 1_000_000, "message.max.bytes": 2_000_000})
    traffic = Traffic(at.people, at.telling[telling], len(at.telling[telling]) / events, seed=len(form.name))
    begun = at.clock.milliseconds() - events * 1000 // EVENTS_A_SECOND
    filled = _Filled(at.numbers[telling].tolist())
    while traffic.made < events:
        moment = begun + traffic.made * 1000 // EVENTS_A_SECOND
        _produce(producer, form, traffic.at(moment, min(form.rows, events - traffic.made)), names, filled)
        tell(f"{form.name} events for the broker", traffic.made, events)
    _produce(producer, form, traffic.again(), names, filled)
    producer.flush()
    del filled.wanted[traffic.spent :]
    return filled


def _produce(
    producer: Producer, form: Format, parts: list[Part], names: dict[EventClass, str], filled: _Filled
) -> None:  # fmt: skip
    for event_class, partition, value, count in form.records(parts, PARTITIONS):
        producer.produce(names[event_class], value, partition=partition, headers=form.headers)
        filled.events += count
        filled.records += 1
        filled.bytes += len(value)
    producer.poll(0)


async def _watch(at: Bench, engine: Serving, events: int, begun: int, tell: Tell) -> tuple[_Seen, _Seen]:
    """The first and the last of the engine's words on itself while it had more to do; where it is done before it says
    so twice, all from its start on."""
    pids, deadline = at.pids() | {"engine": engine.pid}, time.monotonic() + WAIT_SECONDS
    nothing = _Seen(0, begun, processor_seconds(pids))
    seen: list[_Seen] = []
    while time.monotonic() < deadline:
        told = engine.told()
        counted = sum(each["counts"].get("events", 0) for each in told["partitions"].values())
        if counted and (not seen or counted > seen[-1].events):
            seen.append(_Seen(counted, told["at"], processor_seconds(pids)))
            tell("events taken in", counted, events)
        if counted >= events:
            break
        await asyncio.sleep(LOOK_SECONDS)
    going = [each for each in seen if each.events < events]
    return (going[0], going[-1]) if len(going) > 1 else (nothing, seen[-1])
