"""A topic, and numbered records in and out of it."""

from __future__ import annotations

import time
from collections.abc import Callable

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

RECORDS = 10_000
BATCH = 500
CONSUME_SECONDS = 30


def create(address: str, topic: str, partitions: int) -> None:
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(30)


def produce(
    address: str, topic: str, records: int = RECORDS, watch: Callable[[int], None] = lambda _: None
) -> set[int]:
    """The numbers that were acknowledged by every replica; `watch` is told how many, as they come."""
    acknowledged: set[int] = set()

    def answered(error: object, message: Message) -> None:
        if error is None:
            acknowledged.add(int(message.value() or b""))
            watch(len(acknowledged))

    producer = Producer({
        "bootstrap.servers": address, "acks": "all", "batch.num.messages": BATCH,
        "reconnect.backoff.max.ms": 500, "log_level": 0,
    })  # fmt: skip
    for number in range(records):
        producer.produce(topic, str(number), on_delivery=answered)
        producer.poll(0)
    assert producer.flush(60) == 0
    return acknowledged


def consume(address: str, topic: str, partitions: int) -> list[int]:
    """Every number in the topic, up to what its partitions held when this began."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "tests", "log_level": 0})
    places = [TopicPartition(topic, number, 0) for number in range(partitions)]
    held = sum(consumer.get_watermark_offsets(place, timeout=30)[1] for place in places)
    consumer.assign(places)
    found: list[int] = []
    until = time.monotonic() + CONSUME_SECONDS
    while len(found) < held and time.monotonic() < until:
        found += [int(message.value()) for message in consumer.consume(RECORDS, timeout=1) if not message.error()]
    consumer.close()
    return found
