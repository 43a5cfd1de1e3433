"""Events from Kafka: one consumer of the node's group, its partitions given and taken one by one."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.streams.stretch import EdgeNow, Owner, Stretch
from common.kernel.columns import Rows
from common.kernel.refusal import conflict, missing

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message, TopicPartition

CONSUME = 20_000
"""Messages at a time; more at a time come slower."""
CONSUME_BYTES = 8 << 20
"""About so much at a time, by the size of the messages before."""
MEASURED = 16
SESSION_MS = 6_000
LOOK_SECONDS = 0.002
WATERMARK_SECONDS = 1.0
METADATA_SECONDS = 10.0
log = logging.getLogger(__name__)

SETTINGS: dict[str, Any] = {
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": SESSION_MS,
    "heartbeat.interval.ms": 1_000,
    # With the usual queue the client pauses for a second whenever it is full.
    "queued.min.messages": 1_000_000,
    "queued.max.messages.kbytes": 65_536,
    "fetch.queue.backoff.ms": 10,
    "fetch.wait.max.ms": 50,
    # The broker answers few large requests at half the cost of many small ones.
    "fetch.message.max.bytes": 8 << 20,
    "fetch.error.backoff.ms": 100,
    "reconnect.backoff.max.ms": 1_000,
    "topic.metadata.refresh.interval.ms": 30_000,
    "receive.message.max.bytes": 268_435_456,
    "log_level": 3,
}


class KafkaSource:
    """Partitions are named `topic:number`. What was processed is the owner's to know; commits are for onlookers."""

    def __init__(self, brokers: str, topics: Sequence[str], group: str, edge: EdgeNow) -> None:
        self._edge = edge
        self._consumer = _consumer({**SETTINGS, "bootstrap.servers": brokers, "group.id": group})
        self._fresh: dict[str, int] = {}
        """Assigned during this poll: where they begin."""
        self._next: dict[str, int] = {}
        self._owner: Owner | None = None
        self._bytes = 1.0
        """Of a message, lately."""
        self._consumer.subscribe(list(topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def poll(self, owner: Owner, wait_seconds: float) -> list[Stretch]:
        self._owner = owner
        self._fresh.clear()
        count = max(1, min(CONSUME, int(CONSUME_BYTES / self._bytes)))
        messages = self._consumer.consume(count, LOOK_SECONDS)
        if not messages and wait_seconds > LOOK_SECONDS:
            # It waits for as many as it was asked for, and all of the time where they do not come.
            first = self._consumer.poll(wait_seconds)
            messages = [] if first is None else [first, *self._consumer.consume(count, 0)]
        found = [s for name, some in _by_partition(messages) if (s := self._stretch(name, some)) is not None]
        if found:
            some = found[-1].values[-MEASURED:]
            self._bytes = max(1.0, sum(map(len, some)) / len(some))
        return found

    def kept(self, partition: str, offset: int) -> None:
        if partition in self._next:
            self._consumer.commit(offsets=[_place(partition, offset)], asynchronous=True)

    def lag(self, sure: bool = False) -> Mapping[str, int]:
        found = {}
        for name, offset in self._next.items():
            ends = self._ends(name, cached=not sure)
            if ends is not None:
                found[name] = max(0, ends[1] - max(offset, 0))
        return found

    def close(self, owner: Owner) -> None:
        self._owner = owner
        self._consumer.close()
        for name in list(self._next):
            self._give(name, owner.revoked)

    def _stretch(self, name: str, messages: Sequence[Message]) -> Stretch | None:
        if name not in self._next:
            return None
        offsets = _offsets(messages)
        # What was fetched before a partition went and came back may still be among them: only the last run counts.
        begin = int(np.flatnonzero(np.diff(offsets, prepend=-1) <= 0)[-1:].sum()) if name in self._fresh else 0
        messages, offsets = messages[begin:], offsets[begin:]
        if self._jumped(name, int(offsets[0])):
            return None
        self._next[name] = int(offsets[-1]) + 1
        return _stretch_of(name, offsets, messages, self._edge)

    def _jumped(self, name: str, first: int) -> bool:
        """Whether what just came does not begin where it should, and is asked for once more."""
        wanted = self._fresh.get(name, -1)
        if wanted < 0 or first <= wanted:
            return False
        ends = self._ends(name)
        if ends is not None and ends[0] > wanted:
            return False
        self._consumer.seek(_place(name, wanted))
        return True

    def _ends(self, name: str, cached: bool = False) -> tuple[int, int] | None:
        """The offset of the first message and that after the last; None where they cannot be learnt just now."""
        from confluent_kafka import OFFSET_INVALID, KafkaException

        how: dict[str, Any] = {"cached": True} if cached else {"timeout": WATERMARK_SECONDS}
        try:
            low, high = self._consumer.get_watermark_offsets(_place(name), **how)
        except KafkaException:
            return None
        return None if high == OFFSET_INVALID else (low, high)

    def _told(self) -> Owner:
        """Kafka speaks of partitions within `poll` and `close` alone."""
        if self._owner is None:
            raise conflict("Kafka spoke of partitions while nobody polled; start the engine anew")
        return self._owner

    def _assigned(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        from confluent_kafka import OFFSET_BEGINNING

        owner = self._told()
        for place in places:
            name = f"{place.topic}:{place.partition}"
            ends = self._ends(name)
            offset = owner.assigned(name, ends and ends[1])
            place.offset = OFFSET_BEGINNING if offset is None else offset
            self._next[name] = self._fresh[name] = -1 if offset is None else offset
        consumer.incremental_assign(places)
        log.info("partitions taken: %s", ", ".join(f"{p.topic}:{p.partition} from {p.offset}" for p in places))

    def _revoked(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        owner = self._told()
        for place in places:
            self._give(f"{place.topic}:{place.partition}", owner.revoked)
        consumer.incremental_unassign(places)

    def _lost(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        owner = self._told()
        for place in places:
            self._give(f"{place.topic}:{place.partition}", owner.lost)
        consumer.incremental_unassign(places)

    def _give(self, name: str, tell: Any) -> None:
        if self._next.pop(name, None) is not None:
            tell(name)


def _consumer(settings: dict[str, Any]) -> Consumer:
    try:
        from confluent_kafka import Consumer
    except ImportError as error:
        raise missing("the package confluent-kafka is not installed here; install the extra kafka") from error
    return Consumer(settings)


def consumer_of(brokers: str, tell_ends: bool = False) -> Consumer:
    """One of no group, for looking."""
    return _consumer({"bootstrap.servers": brokers, "group.id": "liandong-look", "enable.auto.commit": False,
                      "enable.partition.eof": tell_ends, "log_level": 3})  # fmt: skip


def ends_of(consumer: Consumer, topics: Sequence[str], last: int) -> dict[str, int]:
    """Has the consumer begin `last` messages before the end of each partition; where those ends are, 0 where empty."""
    from confluent_kafka import TopicPartition

    there = consumer.list_topics(timeout=METADATA_SECONDS).topics
    ends, places = {}, []
    for topic in topics:
        for number in there[topic].partitions if topic in there else ():
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=METADATA_SECONDS)
            places.append(TopicPartition(topic, number, max(low, high - last)))
            ends[f"{topic}:{number}"] = high if high > max(low, high - last) else 0
    if not places:
        raise missing(f"there is no topic {', '.join(topics)}; look at the name, or create it")
    consumer.assign(places)
    return ends


def stretches_of(consumer: Consumer, wait_seconds: float, edge: EdgeNow) -> list[Stretch]:
    """What came in, of whatever partitions."""
    return list(_stretches(consumer.consume(CONSUME, wait_seconds), edge))


def _stretches(came: Sequence[Message], edge: EdgeNow) -> Iterator[Stretch]:
    for name, messages in _by_partition(came):
        yield _stretch_of(name, _offsets(messages), messages, edge)


def _offsets(messages: Sequence[Message]) -> Rows:
    from confluent_kafka import Message

    return np.fromiter(map(Message.offset, messages), np.int64, len(messages))


def _stretch_of(name: str, offsets: Rows, messages: Sequence[Message], edge: EdgeNow) -> Stretch:
    """Of one partition. What was deleted by its key has no value, which no event is either."""
    from confluent_kafka import Message

    headers, values = list(map(Message.headers, messages)), list(map(Message.value, messages))
    said = [value or b"" for value in values] if None in values else values
    return Stretch(name, int(offsets[-1]) + 1, offsets, said, headers if any(headers) else None, edge)


def history_of(brokers: str, topics: Sequence[str], last: int, edge: EdgeNow) -> Iterator[Stretch]:
    """Each partition's last so many messages, to where it ends now; nothing is committed."""
    consumer = consumer_of(brokers, tell_ends=True)
    left = {name: end for name, end in ends_of(consumer, topics, last).items() if end}
    try:
        while left:
            messages = consumer.consume(CONSUME, LOOK_SECONDS)
            for stretch in _stretches([message for message in messages if not _is_end(message)], edge):
                if stretch.partition in left:
                    yield stretch
                    left = {name: end for name, end in left.items() if name != stretch.partition or stretch.next < end}
            # What transactions and compaction leave empty brings no message, only the end.
            ended = {f"{message.topic()}:{message.partition()}" for message in messages if _is_end(message)}
            left = {name: end for name, end in left.items() if name not in ended}
    finally:
        consumer.close()


def _is_end(message: Message) -> bool:
    from confluent_kafka import KafkaError

    error = message.error()
    return error is not None and error.code() == KafkaError._PARTITION_EOF


def _place(partition: str, offset: int | None = None) -> TopicPartition:
    from confluent_kafka import TopicPartition

    topic, _, number = partition.rpartition(":")
    return TopicPartition(topic, int(number)) if offset is None else TopicPartition(topic, int(number), offset)


def _by_partition(messages: Sequence[Message]) -> list[tuple[str, list[Message]]]:
    """In the order of each; errors are told to the log."""
    from confluent_kafka import Message

    if any(map(Message.error, messages)):
        messages = _sound(messages)
    if len(set(map(Message.topic, messages))) > 1:
        by_topic: dict[str, list[Message]] = {}
        for message in messages:
            by_topic.setdefault(message.topic() or "", []).append(message)
        return [pair for some in by_topic.values() for pair in _by_number(some)]
    return _by_number(messages)


def _by_number(messages: Sequence[Message]) -> list[tuple[str, list[Message]]]:
    """Of one topic. They come in few pieces, each of one partition."""
    from confluent_kafka import Message

    numbers = np.fromiter(map(Message.partition, messages), np.int64, len(messages))
    begins = np.flatnonzero(np.diff(numbers, prepend=-1)).tolist()
    found: dict[str, list[Message]] = {}
    for begin, end in pairwise([*begins, len(messages)]):
        found.setdefault(f"{messages[0].topic()}:{numbers[begin]}", []).extend(messages[begin:end])
    return list(found.items())


def _sound(messages: Sequence[Message]) -> list[Message]:
    for message in messages:
        if message.error() is not None:
            log.warning("%s:%s: %s", message.topic(), message.partition(), message.error())
    return [message for message in messages if message.error() is None]
