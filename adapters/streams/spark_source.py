"""Events from Kafka through Spark Structured Streaming: its micro-batches, as stretches of the topics' partitions.

Where to begin is the owner's to say, at every start; what Spark itself remembers is thrown away with the process.
"""

from __future__ import annotations

import json
import queue
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adapters.streams.cloudevents import Headers
from adapters.streams.stretch import EdgeNow, Owner, Stretch
from common.kernel.refusal import conflict, missing

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

EARLIEST = -2
RECORDS_MAX = 200_000
"""Of a micro-batch."""
METADATA_SECONDS = 30.0


class SparkSource:
    """All partitions of the topics, for one engine: two of them would both have all."""

    def __init__(
        self, spark: SparkSession, brokers: str, topics: Sequence[str], scratch: Path, edge: EdgeNow,
        records_max: int = RECORDS_MAX,
    ) -> None:  # fmt: skip
        self._spark, self._brokers, self._topics, self._edge = spark, brokers, list(topics), edge
        self._scratch, self._records_max = scratch, records_max
        self._batches: queue.Queue[pa.Table] = queue.Queue(1)
        self._stopping = threading.Event()
        self._query: Any = None
        self._next: dict[str, int] = {}

    def poll(self, owner: Owner, wait_seconds: float) -> list[Stretch]:
        if self._query is None:
            self._begin(owner)
        try:
            batch = self._batches.get(timeout=wait_seconds)
        except queue.Empty:
            self._check()
            return []
        stretches = list(_stretches(batch, self._edge))
        for stretch in stretches:
            if stretch.partition not in self._next:
                owner.assigned(stretch.partition)
            self._next[stretch.partition] = stretch.next
        return stretches

    def kept(self, partition: str, offset: int) -> None:
        """Spark has no place to note it."""

    def lag(self, sure: bool = False) -> Mapping[str, int]:
        """As of Spark's last look, unless it is to be sure."""
        ends = _ends(self._brokers, list(self._next)) if sure else self._ends_seen()
        return {name: max(0, ends[name] - offset) for name, offset in self._next.items() if name in ends}

    def _ends_seen(self) -> dict[str, int]:
        progress = None if self._query is None else self._query.lastProgress
        if progress is None:
            return {}
        latest = progress["sources"][0].get("latestOffset") or "{}"
        found = json.loads(latest) if isinstance(latest, str) else latest
        return {f"{topic}:{number}": end for topic, places in found.items() for number, end in places.items()}

    def close(self, owner: Owner) -> None:
        self._stopping.set()
        if self._query is not None:
            self._query.stop()
        for name in self._next:
            owner.revoked(name)
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _begin(self, owner: Owner) -> None:
        offsets: dict[str, dict[str, int]] = {}
        for topic, partitions in _partitions(self._brokers, self._topics).items():
            offsets[topic] = {}
            for number in partitions:
                offset = owner.assigned(f"{topic}:{number}")
                self._next[f"{topic}:{number}"] = offset or 0
                offsets[topic][str(number)] = EARLIEST if offset is None else offset
        shutil.rmtree(self._scratch, ignore_errors=True)
        records = (
            self._spark.readStream.format("kafka").option("kafka.bootstrap.servers", self._brokers)
            .option("subscribe", ",".join(self._topics)).option("startingOffsets", json.dumps(offsets))
            .option("maxOffsetsPerTrigger", self._records_max).option("includeHeaders", "true").load()
        )  # fmt: skip
        chosen = records.select("topic", "partition", "offset", "value", "headers")
        writer = chosen.writeStream.foreachBatch(self._offer).option("checkpointLocation", str(self._scratch))
        self._query = writer.start()

    def _offer(self, frame: DataFrame, _number: int) -> None:
        """Called by Spark; the next micro-batch is read while this one is counted."""
        batch = frame.toArrow()
        while not self._stopping.is_set():
            try:
                self._batches.put(batch, timeout=0.1)
                return
            except queue.Full:
                continue

    def _check(self) -> None:
        problem = self._query.exception()
        if problem is not None:
            raise conflict(f"Spark's reading of {', '.join(self._topics)} ended: {str(problem)[:600]}")
        if not self._query.isActive:
            raise conflict(f"Spark's reading of {', '.join(self._topics)} ended; start the engine again")


def _partitions(brokers: str, topics: Sequence[str]) -> dict[str, list[int]]:
    try:
        from confluent_kafka.admin import AdminClient
    except ImportError as error:
        raise missing("the package confluent-kafka is not installed here; install the extra kafka") from error
    there = AdminClient({"bootstrap.servers": brokers, "log_level": 0}).list_topics(timeout=METADATA_SECONDS).topics
    if lacking := [topic for topic in topics if topic not in there]:
        raise missing(f"{brokers} has no topic {', '.join(lacking)}; create it, or correct [triggers] topics")
    return {topic: sorted(there[topic].partitions) for topic in topics}


def _ends(brokers: str, partitions: Sequence[str]) -> dict[str, int]:
    from confluent_kafka import KafkaException, TopicPartition
    from confluent_kafka.admin import AdminClient, OffsetSpec

    places = {name: TopicPartition(*_split(name)) for name in partitions}
    admin = AdminClient({"bootstrap.servers": brokers, "log_level": 0})
    asked = admin.list_offsets({place: OffsetSpec.latest() for place in places.values()}, request_timeout=2.0)
    found = {}
    for name, place in places.items():
        with suppress(KafkaException):
            found[name] = asked[place].result().offset
    return found


def _split(partition: str) -> tuple[str, int]:
    topic, _, number = partition.rpartition(":")
    return topic, int(number)


def _stretches(batch: pa.Table, edge: EdgeNow) -> Iterator[Stretch]:
    """Spark's partitions come in any order, and one of Kafka's may be in several of them."""
    if not batch.num_rows:
        return
    for topic in pc.unique(batch["topic"]).to_pylist():
        of_topic = batch.filter(pc.equal(batch["topic"], topic))
        of_topic = of_topic.sort_by([("partition", "ascending"), ("offset", "ascending")])
        numbers = of_topic["partition"].to_numpy()
        begins = np.flatnonzero(np.diff(numbers, prepend=-1))
        for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), len(numbers)], strict=True):
            part = of_topic.slice(begin, end - begin)
            offsets = part["offset"].to_numpy()
            values = [value or b"" for value in part["value"].to_pylist()]
            yield Stretch(f"{topic}:{numbers[begin]}", int(offsets[-1]) + 1, offsets, values, _headers(part), edge)


def _headers(part: pa.Table) -> list[Headers | None] | None:
    column = part["headers"]
    if column.null_count == len(column):
        return None
    return [None if row is None else [(each["key"], each["value"]) for each in row] for row in column.to_pylist()]
