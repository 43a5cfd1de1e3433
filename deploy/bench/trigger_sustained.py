"""How many events a second engines take in from the broker when there are always more: checkpointed, state on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
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
    Word,
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
SAID_LOOKS = 50


@dataclass(frozen=True, slots=True)
class Format:
    name: str
    rows: int
    """Events that happen at one moment."""
    records: Callable[[list[Part], int], Records]
    headers: list[tuple[str, bytes]]
    engines: int
    """With which two cores carry most: of packed events one engine's threads decode, count and keep at a time, and
    two only crowd each other; to read JSON takes Python's lock."""


JSON = Format("json", 1_000, json_records, [], 2)
PACKED = Format("packed", 50_000, packed_records, [(CONTENT_TYPE, packed.CONTENT_TYPE.encode())], 1)


@dataclass(frozen=True, slots=True)
class Sustained:
    events: int
    records: int
    bytes_per_event: float
    engines: int
    events_per_second: float
    """Of all engines together."""
    fires: int
    reached: Reached
    miscounted: int
    """Events sent that were not counted, or counted that were not sent."""
    cpu_seconds_per_million: dict[str, float]
    """By process."""


@dataclass(slots=True)
class _Seen:
    """`words` are one engine's each; `spent` is processor seconds after so many events, of all engines."""

    words: dict[int, list[Word]] = field(default_factory=dict)
    spent: list[tuple[int, dict[str, float]]] = field(default_factory=list)

    def add(self, engines: Serving, spent: dict[str, float]) -> int:
        """Answers how many events all of them have counted."""
        for pid, word in engines.words().items():
            said = self.words.setdefault(pid, [])
            if not said or word.at > said[-1].at:
                said.append(word)
        counted = sum(said[-1].events for said in self.words.values())
        if not self.spent or counted > self.spent[-1][0]:
            self.spent.append((counted, spent))
        return counted


@dataclass(slots=True)
class _Filled:
    wanted: list[int]
    events: int = 0
    records: int = 0
    bytes: int = 0


async def sustained(at: Bench, form: Format, events: int, telling: slice, engines: int | None, tell: Tell) -> Sustained:
    """`telling` of the bench's people, for whom nothing fired yet, are the ones told. `engines`: the format's own."""
    engines = engines or form.engines
    names = {each: f"{topic(PROVINCE, each)}.{form.name}" for each in CLASSES}
    at.broker.create(dict.fromkeys(names.values(), PARTITIONS))
    filled = await asyncio.to_thread(_fill, at, form, events, telling, names, tell)
    with Tail(at.local.journal(PROVINCE), at.clock) as tail:
        begun = at.clock.milliseconds()
        async with serving(at, list(names.values()), PARTITIONS * len(names), engines) as running:
            seen = await _watch(at, running, filled.events, tell)
            found = await reached(tail, filled.wanted, WAIT_SECONDS, QUIET_SECONDS, tell)
            counted = await _counted(running, filled.events)
    rate = sum(_rate(said, begun) for said in seen.words.values())
    return Sustained(
        filled.events, filled.records, filled.bytes / filled.events, engines, rate, len(filled.wanted), found,
        abs(counted - filled.events), _per_million(seen.spent, filled.events),
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


async def _watch(at: Bench, engines: Serving, events: int, tell: Tell) -> _Seen:
    seen, deadline = _Seen(), time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        counted = seen.add(engines, at.processor_seconds(engines))
        tell("events taken in", counted, events)
        if counted >= events:
            break
        await asyncio.sleep(LOOK_SECONDS)
    return seen


async def _counted(engines: Serving, events: int) -> int:
    """As soon as they say that it is all; where two say it of one partition, the later word is awaited."""
    for _ in range(SAID_LOOKS):
        if engines.events() == events:
            break
        await asyncio.sleep(LOOK_SECONDS)
    return engines.events()


def _rate(said: list[Word], begun: float) -> float:
    """Between the first and the last of an engine's words while there was more; of one that had counted all before it
    said so twice, from the start on."""
    going = [word for word in said if word.events and word.more]
    first, last = (going[0], going[-1]) if len(going) > 1 else (Word(0, begun), said[-1])
    return (last.events - first.events) * 1000 / (last.at - first.at)


def _per_million(spent: list[tuple[int, dict[str, float]]], events: int) -> dict[str, float]:
    going = [each for each in spent if 0 < each[0] < events]
    (first, before), (last, after) = (going[0], going[-1]) if len(going) > 1 else (spent[0], spent[-1])
    return {name: (used - before[name]) * 1e6 / max(1, last - first) for name, used in after.items()}
