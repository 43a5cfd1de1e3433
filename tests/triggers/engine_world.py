"""Rules of every form, a log of events of every kind of trouble, what must fire of it, and engines over it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from adapters.streams import packed, partitions
from adapters.streams.cloudevents import CONTENT_TYPE, encode
from adapters.streams.journal import Block, Form, Writer
from adapters.streams.simulator import EXAMPLE_AT, Plan, batches, population
from adapters.streams.standard import Edge
from adapters.streams.stretch import Stretch
from common.kernel.area import Cells
from common.kernel.event_catalogue import event_type
from common.kernel.trigger_rule import Crosses, Each, Offer, Period, Stays, Sum, Surge, TriggerRule
from province.fire import Firing
from province.triggers.counting.reference import Reference
from province.triggers.engine.checkpoint import Checkpoints
from province.triggers.engine.dead_letters import DeadLetterBox
from province.triggers.engine.engine import Engine, Pacing, Ports
from province.triggers.engine.partition import Rules
from province.triggers.engine.source import Source
from province.triggers.matching.matcher import Matcher
from province.triggers.matching.run import Run, run_of
from province.triggers.matching.text import OfferText

DAY_MS = 86_400_000
EDGE = Edge(EXAMPLE_AT + DAY_MS)
LATENESS = 20
OFFER = Offer("pack", "5g", ("local_sms",), "看 {host|视频}", 50, "", 600)
PLAIN = replace(OFFER, text="办理流量包")


def rule(name: str, event: str, form: object, period: Period, condition: str = "", offer: Offer = PLAIN) -> TriggerRule:
    return TriggerRule(name, 1, f"scene_{name}", (event,), condition, form, period, 1, LATENESS, offer)  # type: ignore[arg-type]


RULES = (
    rule("each", "url_visit", Each(), Period.HOUR, "host = 'v.example.com'", OFFER),
    rule("sum", "data_used", Sum("used_bytes", 4e7), Period.DAY),
    rule("surge", "data_used", Surge("used_bytes", 60, 1.5e7), Period.HOUR),
    rule("crosses", "power_off", Crosses("cells", True), Period.DAY),
    rule("stays", "power_on", Stays(15, None, "rat = '4G'"), Period.EVER, "rat = '5G'"),
)


def cells_of() -> dict[str, Cells]:
    """Half of the cells the simulator knows."""
    plan = Plan((event_type("power_off"),), 400, 1, population(4, 1), EXAMPLE_AT)
    seen = sorted({cell for batch in batches(plan) for cell in batch["cell_id"].to_pylist() if cell})
    return {"cells": Cells(frozenset(seen[::2]))}


def rules(edition: int = 1, some: Sequence[TriggerRule] = RULES) -> Rules:
    return Rules(edition, tuple(some), (Matcher(some, cells_of()),))


@dataclass
class Book:
    """The rules in force, for an engine to ask for."""

    now: Rules = field(default_factory=rules)

    def edition(self) -> int:
        return self.now.edition

    def rules(self) -> Rules:
        return self.now

    def refresh(self) -> None:
        """They ask nothing of people that changes."""


class Record(NamedTuple):
    value: bytes
    form: Form

    @property
    def headers(self) -> list[tuple[str, bytes]] | None:
        return [(CONTENT_TYPE, packed.CONTENT_TYPE.encode())] if self.form is Form.PACKED else None


Log = list[list[Record]]
"""By partition."""

BAD = (
    b"{", b"", b"[]", b'{"specversion":"1.0"}', b"\xff\xfe", b"null",
    (
        b'{"specversion":"1.0","id":"1","source":"s","type":"liandong.nonsense.v1","subject":"1",'
        b'"time":"2026-03-01T00:00:00Z"}'
    ),
)  # fmt: skip


def event(name: str, number: str, key: int, time: str, **data: object) -> bytes:
    return json.dumps({
        "specversion": "1.0", "id": number, "source": "test", "type": f"liandong.{name}.v1", "subject": str(key),
        "time": time, "data": data,
    }).encode()  # fmt: skip


def awkward() -> list[bytes]:
    """Far in the future, ancient, of a wrong type, out of bounds, without a person."""
    return [
        event("data_used", "f", 7, "2027-03-01T00:00:00Z", used_bytes=1),
        event("data_used", "a", 7, "1969-03-01T00:00:00Z", used_bytes=1),
        event("data_used", "w", 7, "2026-03-01T00:00:00Z", used_bytes="many"),
        event("data_used", "n", 7, "2026-03-01T00:00:00Z", used_bytes=-1),
        event("data_used", "m", 7, "2026-03-01T00:00:00Z"),
        event("data_used", "s", -7, "2026-03-01T00:00:00Z", used_bytes=1),
    ]


def log_of(parts: int, count: int = 6_000, seed: int = 1, people: int = 60) -> Log:
    """JSON and packed; out of order within the lateness and beyond it, some twice, some damaged."""
    types = tuple(map(event_type, ("data_used", "url_visit", "power_off", "power_on", "payment")))
    plan = Plan(types, count, seed, population(people, seed), EXAMPLE_AT, rate=count / 300)
    draw = np.random.default_rng(seed)
    sorted_in: list[list[tuple[float, Record]]] = [[] for _ in range(parts)]
    for batch in batches(plan, rows=40):
        at = batch["time"].cast(pa.int64()).to_numpy() / 1000
        for number, rows in partitions._rows(partitions.of_keys(batch["subject"].to_numpy(), parts)):
            some, when = batch.take(pa.array(rows)), at[rows]
            if draw.random() < 0.4:
                sorted_in[number].append((float(when[-1]), Record(packed.encode(some), Form.PACKED)))
                continue
            delays = draw.uniform(0, LATENESS * 1.4, len(rows)) * (draw.random(len(rows)) < 0.3)
            for value, moment, delay in zip(encode(some).to_pylist(), when, delays, strict=True):
                for again in range(1 + (draw.random() < 0.08)):
                    sorted_in[number].append((moment + delay + 3 * again, Record(value.encode(), Form.JSON)))
    for values in sorted_in:
        values.sort(key=lambda each: each[0])
        for value in (*BAD, *awkward()):
            place = int(draw.integers(0, len(values) + 1))
            values.insert(place, (0.0, Record(value, Form.JSON)))
        values.insert(len(values) // 2, (0.0, Record(b"\x00" * 50, Form.PACKED)))
    return [[record for _, record in values] for values in sorted_in]


class Fire(NamedTuple):
    rule: str
    key: int
    period: int
    at: int
    text: str


def stretch_of(records: Sequence[Record], edge: Edge = EDGE) -> Stretch:
    headers = [record.headers for record in records]
    offsets = np.arange(len(records), dtype=np.int64)
    return Stretch("p", len(records), offsets, [record.value for record in records], headers, lambda: edge)


def expected(log: Log, some: Sequence[TriggerRule] = RULES) -> set[Fire]:
    """Each partition as one run, counted one event at a time."""
    return {fire for records in log for fire in _expected(records, some)}


def _expected(records: Sequence[Record], some: Sequence[TriggerRule]) -> Iterator[Fire]:
    run = run_of(stretch_of(records).decoded().events)
    for reference in _references(run, some):
        for fire in reference.fires:
            text = _text(reference.rule, run, fire.row)
            yield Fire(reference.rule.name, fire.key, fire.period, fire.at, text)


def counted(records: Sequence[Record], some: Sequence[TriggerRule] = RULES) -> dict[str, dict[str, int]]:
    """What each rule makes of a partition's events, counted one event at a time."""
    run = run_of(stretch_of(records).decoded().events)
    return {
        each.rule.name: {
            "seen": len(run), "late": each.late, "duplicates": each.duplicates, "counted": each.counted,
            "passed_over": len(run) - each.late - each.duplicates - each.counted, "fired": len(each.fires),
        }
        for each in _references(run, some)
    }  # fmt: skip


def _references(run: Run, some: Sequence[TriggerRule]) -> Iterator[Reference]:
    for each, observed in Matcher(some, cells_of()).observe(run):
        reference = Reference(each)
        reference.take(observed)
        if isinstance(each.form, Stays):
            reference.pass_time(run.newest_after)
        yield reference


def _text(each: TriggerRule, run: Run, row: int) -> str:
    return OfferText(each.offer.text).texts(run, np.array([row])).spelled()[0]


class Sink:
    """Where fires are handed over: durably, each identity once, and never otherwise than the first time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.times = 0
        with closing(self._connect()) as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS fire (rule TEXT, key INTEGER, period INTEGER, at INTEGER, text TEXT, "
                "PRIMARY KEY (rule, key, period))"
            )
            connection.execute("CREATE TABLE IF NOT EXISTS differs (rule TEXT, key INTEGER, period INTEGER)")

    def __call__(self, firings: Sequence[Firing]) -> None:
        self.times += 1
        with closing(self._connect()) as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            for fire in map(tuple, plain(firings)):
                connection.execute("INSERT OR IGNORE INTO fire VALUES (?, ?, ?, ?, ?)", fire)
                kept = connection.execute(
                    "SELECT at, text FROM fire WHERE rule = ? AND key = ? AND period = ?", fire[:3]
                ).fetchone()
                if kept != fire[3:]:
                    connection.execute("INSERT INTO differs VALUES (?, ?, ?)", fire[:3])

    def fires(self) -> set[Fire]:
        with closing(self._connect()) as connection:
            assert connection.execute("SELECT * FROM differs").fetchall() == []
            return {Fire(*row) for row in connection.execute("SELECT rule, key, period, at, text FROM fire")}

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=30, isolation_level=None)


def plain(firings: Sequence[Firing]) -> Iterator[Fire]:
    for each in firings:
        columns = (each.keys.tolist(), each.periods.tolist(), each.event_at.tolist(), each.text_refs.tolist())
        for key, period, at, ref in zip(*columns, strict=True):
            yield Fire(each.rule.name, key, period, at, each.texts[ref])


def engine(
    source: Source, directory: Path, hand_over: Callable[[Sequence[Firing]], None], book: Book | None = None,
    pacing: Pacing = Pacing(0.05, None, 0.2), milliseconds: Callable[[], int] = lambda: EDGE.now,  # noqa: B008
) -> Engine:  # fmt: skip
    return Engine(
        Ports(source, book or Book(), hand_over, Checkpoints(directory / "checkpoints"),
              DeadLetterBox(directory / "checkpoints"), milliseconds, directory / "status.json"),
        pacing,
    )  # fmt: skip


def append(writer: Writer, log: Log, block: int = 200) -> None:
    """Partition by partition, so many records at a time."""
    for number, records in enumerate(log):
        for begin in range(0, len(records), block):
            append_some(writer, number, records[begin : begin + block])


def append_some(writer: Writer, number: int, records: Sequence[Record]) -> None:
    blocks, begin = [], 0
    for end in range(1, len(records) + 1):
        if end == len(records) or records[end].form != records[begin].form:
            values = [record.value for record in records[begin:end]]
            blocks.append(Block(number, records[begin].form, values))
            begin = end
    writer.append(blocks)


def produce(address: str, topic: str, log: Log) -> None:
    """Each partition's records in order, acknowledged."""
    from confluent_kafka import Producer

    producer = Producer({
        "bootstrap.servers": address, "enable.idempotence": True, "reconnect.backoff.max.ms": 500,
        "message.max.bytes": 20_000_000, "log_level": 0,
    })  # fmt: skip
    for number, records in enumerate(log):
        for record in records:
            producer.produce(topic, record.value, partition=number, headers=record.headers or [])
        producer.poll(0)
    assert producer.flush(60) == 0


def kept(directory: Path, log: Log, prefix: str) -> bool:
    """Whether checkpoints have all of the log behind them."""
    there = Checkpoints(directory / "checkpoints")
    places = [there.load(f"{prefix}:{number}") for number in range(len(log))]
    return all(each is not None and each.next == len(records) for each, records in zip(places, log, strict=True))
