"""Topics on a broker of this machine, and events in them."""

from __future__ import annotations

from collections.abc import Sequence

from common.kernel.refusal import conflict

SECONDS = 30.0


def create(address: str, topics: Sequence[str], partitions: int) -> None:
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    for made in admin.create_topics([NewTopic(name, partitions, 1) for name in topics]).values():
        made.result(SECONDS)


def produce(address: str, topic: str, values: Sequence[bytes], keys: Sequence[int]) -> None:
    """Structured events, each by the key of its person, in turn; back when the broker has all."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": address, "acks": "all", "log_level": 0})
    for value, key in zip(values, keys, strict=True):
        producer.produce(topic, value, key=str(key))
    if left := producer.flush(SECONDS):
        raise conflict(f"{left} events were not taken by {address} within {SECONDS:.0f} s; see its broker.log")
