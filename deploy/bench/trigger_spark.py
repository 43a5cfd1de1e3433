"""Spark as the engine, against what Spark itself has for it: a state by person, in Python. The same events and rule."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.streams.spark_source import SparkSource
from adapters.streams.standard import Edge
from common.kernel.event import topic
from common.kernel.refusal import conflict, missing
from common.rules.trigger_document import parsed
from deploy.bench.trigger_paced import producer_of
from deploy.bench.trigger_world import PROVINCE, Tell
from deploy.local.kafka import Broker
from deploy.local.traffic import CLASSES, RULES, SCENES, Traffic, json_records
from province.fire import Firing
from province.triggers.engine.checkpoint import Checkpoints
from province.triggers.engine.dead_letters import DeadLetterBox
from province.triggers.engine.engine import Engine, Pacing, Ports
from province.triggers.engine.partition import Rules
from province.triggers.matching.matcher import Matcher

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming import StreamingQuery
    from pyspark.sql.streaming.state import GroupState

PARTITIONS = 2
PEOPLE, FIRES = 200_000, 400
BATCH_EVENTS = {"kernel": 200_000, "python": 20_000}
"""Of a micro-batch: each where it does well. The first of either is not timed."""
SCENE = SCENES[0]
FIRES_SHARE = 0.0002
SHARE = 0.8
"""Of the allowance, as the scene's rule has it."""
BEGUN_AT, EVENTS_A_SECOND, TICK_EVENTS = 1_830_000_000_000, 20_000, 1_000
NOW = BEGUN_AT + 86_400_000
LAST_SECONDS, LOOK_SECONDS = 900.0, 0.2
EVENT = "id string, subject string, time string, data struct<used_bytes double, allowance_bytes double>"
STATE = "total double, fired boolean, ids string"
STATE_STORE = "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"


@dataclass(frozen=True, slots=True)
class Compared:
    kernel_events_per_second: float
    python_events_per_second: float
    fires: int
    differ: int
    """Fires of either that must not be, or are not there."""


@dataclass(frozen=True, slots=True)
class _Run:
    events_per_second: float
    fires: frozenset[int]


def check_packages() -> None:
    """Raises Refusal; call before anything else is measured, which takes minutes."""
    if find_spec("pandas") is None:
        raise missing("Spark's state in Python needs the package pandas, which is not installed here; install the "
                      "extra compare, or run ./liandong, which does")  # fmt: skip


def compared(root: Path, events: int, python_events: int, tell: Tell) -> Compared:
    """The kernel has all the events, the state in Python about the first `python_events` of them."""
    from deploy.local.spark import session

    with ExitStack() as stack:
        broker = stack.enter_context(Broker(root / "kafka"))
        some, few = (_fill(broker, name, wanted, tell) for name, wanted in (("all", events), ("few", python_events)))
        spark = session(root / "spark")
        stack.callback(spark.stop)
        kernel = _kernel(spark, broker, root, some, tell)
        python = _python(spark, broker, root, few, tell)
    differ = len(kernel.fires ^ some.telling) + len(python.fires ^ few.telling)
    return Compared(kernel.events_per_second, python.events_per_second, len(kernel.fires), differ)


@dataclass(frozen=True, slots=True)
class _Filled:
    topic: str
    events: int
    telling: frozenset[int]
    """Who must be told."""


def _fill(broker: Broker, name: str, events: int, tell: Tell) -> _Filled:
    """The same events every time, as many of them as are wanted, and a few more."""
    at = f"{topic(PROVINCE, CLASSES[0])}.spark-{name}"
    broker.create({at: PARTITIONS})
    keys = np.random.default_rng(1).integers(1, 1 << 62, PEOPLE + FIRES)
    traffic, producer = Traffic(keys[FIRES:], keys[:FIRES], FIRES_SHARE), producer_of(broker.address)
    sent, telling = 0, set[int]()
    while sent < events:
        moment = BEGUN_AT + traffic.made * 1000 // EVENTS_A_SECOND
        parts = [part for part in traffic.at(moment, TICK_EVENTS) if part.scene == SCENE.name]
        for _, partition, value, _ in json_records(parts, PARTITIONS):
            producer.produce(at, value, partition=partition)
            sent += 1
        telling.update(key for part in parts if part.fires for key in part.keys.tolist())
        producer.poll(0)
        tell(f"events for Spark, {name}", sent, events)
    producer.flush()
    return _Filled(at, sent, frozenset(telling))


class _Book:
    """The scene's rule alone."""

    def __init__(self) -> None:
        document = parsed(RULES, 1)
        own = tuple(rule for rule in document.rules if rule.scene == SCENE.name)
        self._rules = Rules(1, own, (Matcher(own, document.areas, document.host_lists),))

    def edition(self) -> int:
        return self._rules.edition

    def rules(self) -> Rules:
        return self._rules

    def refresh(self) -> None:
        """It asks nothing of people."""


def _kernel(spark: SparkSession, broker: Broker, root: Path, filled: _Filled, tell: Tell) -> _Run:
    """The engine as it ships, in this process; what fires is gathered here."""
    fires = set[int]()

    def gather(firings: Sequence[Firing]) -> None:
        fires.update(key for firing in firings for key in firing.keys.tolist())

    source = SparkSource(
        spark, broker.address, [filled.topic], root / "source", lambda: Edge(NOW), BATCH_EVENTS["kernel"]
    )
    ports = Ports(source, _Book(), gather, Checkpoints(root / "engine"), DeadLetterBox(root / "engine"), lambda: NOW)
    engine = Engine(ports, Pacing(idle_seconds=None))
    begun, first, deadline = 0.0, 0, time.monotonic() + LAST_SECONDS
    while engine.events < filled.events and time.monotonic() < deadline:
        engine.turn()
        if not first and engine.events:
            begun, first = time.monotonic(), engine.events
        tell("kernel on Spark", engine.events, filled.events)
    took = time.monotonic() - begun
    engine.close()
    return _Run((engine.events - first) / took, frozenset(fires))


def _python(spark: SparkSession, broker: Broker, root: Path, filled: _Filled, tell: Tell) -> _Run:
    fires = set[int]()

    def gather(frame: DataFrame, _number: int) -> None:
        fires.update(int(row.subject) for row in frame.collect())

    spark.conf.set("spark.sql.streaming.stateStore.providerClass", STATE_STORE)
    told = _added_up(_events(spark, broker.address, filled.topic))
    query = told.writeStream.outputMode("update").foreachBatch(gather)
    running = query.option("checkpointLocation", str(root / "state")).start()
    deadline = time.monotonic() + LAST_SECONDS
    while (seen := sum(rows for rows, _ in _batches(running))) < filled.events and time.monotonic() < deadline:
        tell("state in Python on Spark", seen, filled.events)
        if running.exception() is not None:
            raise conflict(f"Spark's state in Python ended: {str(running.exception())[:600]}")
        time.sleep(LOOK_SECONDS)
    batches = _batches(running)[1:]
    running.stop()
    tell("state in Python on Spark", filled.events, filled.events)
    return _Run(sum(rows for rows, _ in batches) * 1000 / sum(millis for _, millis in batches), frozenset(fires))


def _batches(running: StreamingQuery) -> list[tuple[int, int]]:
    """Events and milliseconds of each micro-batch that had any."""
    told = ((each["numInputRows"], each["durationMs"]["triggerExecution"]) for each in running.recentProgress)
    return [(rows, millis) for rows, millis in told if rows]


def _events(spark: SparkSession, address: str, at: str) -> DataFrame:
    from pyspark.sql import functions as f

    stream = spark.readStream.format("kafka").option("kafka.bootstrap.servers", address).option("subscribe", at)
    stream = stream.option("startingOffsets", "earliest").option("maxOffsetsPerTrigger", BATCH_EVENTS["python"])
    event = f.from_json(f.col("value").cast("string"), EVENT).alias("event")
    month = f.date_format(f.from_utc_timestamp(f.to_timestamp("event.time"), "+08:00"), "yyyyMM").alias("month")
    return stream.load().select(event).select("event.id", "event.subject", month, "event.data.*")


def _added_up(events: DataFrame) -> DataFrame:
    groups = events.groupBy("subject", "month")
    return groups.applyInPandasWithState(add_up, "subject string", STATE, "update", "NoTimeout")


def add_up(key: tuple[Any, ...], frames: Iterator[pd.DataFrame], state: GroupState) -> Iterator[pd.DataFrame]:
    """What the rule says, for one person and month; each id counts once. No event here is late."""
    import pandas as pd

    total, fired, ids = state.get if state.exists else (0.0, False, "")
    seen = set(ids.split("\n"))
    for frame in frames:
        for number, used, allowance in zip(frame["id"], frame["used_bytes"], frame["allowance_bytes"], strict=True):
            if number in seen:
                continue
            seen.add(number)
            total += used
            if not fired and total >= SHARE * allowance:
                fired = True
                yield pd.DataFrame({"subject": [key[0]]})
    state.update((total, fired, "\n".join(seen)))
