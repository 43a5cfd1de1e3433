"""From what a person does to the vendor's hand-off: how long it takes while events come at a steady rate."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from common.kernel.event import EventClass, topic
from deploy.bench.trigger_world import PROVINCE, Bench, Reached, Tail, Tell, reached, serving
from deploy.local.traffic import SCENES, Part, Traffic, json_records

if TYPE_CHECKING:
    from confluent_kafka import Producer

PARTITIONS = 2
"""Of each topic."""
TICK_SECONDS = 0.05
WARM_SECONDS = 3.0
"""First of all: these events count, and their contacts are not timed."""
WAIT_SECONDS = 90.0
QUIET_SECONDS = 2.0
FIRES_A_SECOND = 100


@dataclass(frozen=True, slots=True)
class Pace:
    seconds: float
    rate: int

    @property
    def fires(self) -> int:
        return round((self.seconds + WARM_SECONDS) * FIRES_A_SECOND)


@dataclass(frozen=True, slots=True)
class Paced:
    rate: float
    fires: int
    reached: Reached
    millis: dict[str, dict[str, float]]
    """By scene: p50, p99 and the longest."""
    cores: dict[str, float]
    """How many processor seconds a second, by process."""


async def paced(at: Bench, pace: Pace, tell: Tell) -> Paced:
    topics = [topic(PROVINCE, each) for each in EventClass]
    at.broker.create(dict.fromkeys(topics, PARTITIONS))
    sender = _Sender(at, pace)
    async with serving(at, topics, PARTITIONS * len(topics)) as engines:
        with Tail(at.local.journal(PROVINCE), at.clock) as tail:
            before, begun = at.processor_seconds(engines), time.monotonic()
            await asyncio.to_thread(sender.send, tell)
            took = time.monotonic() - begun
            spent = {name: used - before[name] for name, used in at.processor_seconds(engines).items()}
            found = await reached(tail, list(sender.wanted), WAIT_SECONDS, QUIET_SECONDS, tell)
    cores = {name: used / took for name, used in spent.items()}
    return Paced(sender.sent / took, len(sender.wanted), found, sender.millis(tail), cores)


class _Sender:
    def __init__(self, at: Bench, pace: Pace) -> None:
        self._at, self._pace = at, pace
        self._traffic = Traffic(at.people, at.telling, FIRES_A_SECOND / pace.rate)
        self._numbers = dict(zip(at.telling.tolist(), at.numbers.tolist(), strict=True))
        self.wanted: dict[int, tuple[str, int, bool]] = {}
        """By number: the scene, the moment, and whether it is timed."""
        self.sent = 0

    def send(self, tell: Tell) -> None:
        producer = producer_of(self._at.broker.address)
        begun, seconds = time.monotonic(), self._pace.seconds + WARM_SECONDS
        for step in range(round(seconds / TICK_SECONDS)):
            time.sleep(max(0.0, begun + step * TICK_SECONDS - time.monotonic()))
            parts = self._traffic.at(self._at.clock.milliseconds(), round(self._pace.rate * TICK_SECONDS))
            self._note(parts, step * TICK_SECONDS >= WARM_SECONDS)
            self._produce(producer, parts)
            tell("events", self.sent, round(self._pace.rate * seconds))
        self._produce(producer, self._traffic.again())
        producer.flush()

    def millis(self, tail: Tail) -> dict[str, dict[str, float]]:
        return dict(self._latencies(tail))

    def _latencies(self, tail: Tail) -> Iterator[tuple[str, dict[str, float]]]:
        for scene in SCENES:
            took = np.array([
                tail.first[number] - moment
                for number, (name, moment, timed) in self.wanted.items()
                if timed and name == scene.name and number in tail.first
            ])  # fmt: skip
            if len(took):
                p50, p99, most = np.percentile(took, (50, 99, 100), method="inverted_cdf").tolist()
                yield scene.name, {"p50": p50, "p99": p99, "max": most}

    def _note(self, parts: list[Part], timed: bool) -> None:
        for part in parts:
            if part.fires:
                for key in part.keys.tolist():
                    self.wanted.setdefault(self._numbers[key], (part.scene, part.at, timed))

    def _produce(self, producer: Producer, parts: list[Part]) -> None:
        for event_class, partition, value, _ in json_records(parts, PARTITIONS):
            producer.produce(topic(PROVINCE, event_class), value, partition=partition)
            self.sent += 1
        producer.poll(0)


def producer_of(address: str, **more: Any) -> Producer:
    from confluent_kafka import Producer

    return Producer({
        "bootstrap.servers": address, "enable.idempotence": True, "linger.ms": 5, "log_level": 3,
        "queue.buffering.max.messages": 2_000_000, **more,
    })  # fmt: skip
