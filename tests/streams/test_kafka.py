"""A real broker: what goes in comes out, what it acknowledged it keeps, and its failures say what to do."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer

from adapters.streams.kafka_source import KafkaSource, history_of
from adapters.streams.stretch import Stretch
from common.kernel.refusal import Refusal
from deploy.local.kafka import Broker
from tests.streams.records import RECORDS, consume, produce
from tests.streams.world import EDGE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # the first run fetches
PARTITIONS = 2


def test_what_goes_in_comes_back_once(kafka: Broker, new_topic: Callable[[Broker, int], str]) -> None:
    topic = new_topic(kafka, PARTITIONS)
    assert produce(kafka.address, topic) == set(range(RECORDS))
    assert sorted(consume(kafka.address, topic, PARTITIONS)) == list(range(RECORDS))


def test_nothing_acknowledged_is_lost_when_the_broker_is_killed(
    tmp_path: Path, new_topic: Callable[[Broker, int], str]
) -> None:
    with Broker(tmp_path / "kafka") as broker:
        topic, address, killed_at = new_topic(broker, PARTITIONS), broker.address, list[int]()

        def kill_once(acknowledged: int) -> None:
            if acknowledged >= RECORDS // 10 and not killed_at:
                killed_at.append(acknowledged)
                broker.kill()
                broker.start()

        acknowledged = produce(address, topic, watch=kill_once)
        assert broker.address == address
        assert killed_at
        assert killed_at[0] < RECORDS
        broker.kill()
        broker.start()
        found = consume(address, topic, PARTITIONS)
    assert acknowledged <= set(found)
    assert len(acknowledged) > killed_at[0]


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "kafka")
    host, port = broker.address.split(":")
    with socket.create_server((host, int(port))), pytest.raises(Refusal, match=f"{broker.address} is taken"):
        broker.start()


def test_a_broker_that_dies_shows_the_end_of_its_log(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "kafka")
    (tmp_path / "kafka" / "data").mkdir()
    (tmp_path / "kafka" / "data" / "meta.properties").write_text("version=1\nnode.id=7\ncluster.id=another\n")
    with pytest.raises(Refusal, match=r"(?s)ended with exit code 1; .*broker\.log ends with:.* 7"):
        broker.start()
    with pytest.raises(Refusal, match="is not running"):
        _ = broker.pid


def test_a_directory_that_holds_something_else_is_no_brokers(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "kafka")
    (tmp_path / "kafka" / "data").write_text("a file where a folder should be")
    with pytest.raises(Refusal, match="could not be made a broker's"):
        broker.start()


def test_whoever_looks_at_a_topic_sees_what_its_engine_takes(
    kafka: Broker, new_topic: Callable[[Broker, int], str]
) -> None:
    """Messages with headers, with none, and one without a value."""
    topic = new_topic(kafka, 1)
    producer = Producer({"bootstrap.servers": kafka.address, "log_level": 0})
    headers: list[tuple[str, str | bytes | None]] = [("content-type", b"application/cloudevents+json")]
    for said, told in ((b"a", []), (None, []), (b"b", headers)):
        producer.produce(topic, said, key=b"k", headers=told)
    producer.flush()
    source, taken = KafkaSource(kafka.address, [topic], f"{topic}-group", lambda: EDGE), list[Stretch]()
    while sum(map(len, taken)) < 3:
        taken += source.poll(Everything(), 1.0)
    source.close(Everything())
    assert _read(taken) == _read(list(history_of(kafka.address, [topic], 3, lambda: EDGE)))
    assert _read(taken) == [(0, b"a", None), (1, b"", None), (2, b"b", headers)]


def _read(stretches: list[Stretch]) -> list[tuple[int, bytes, object]]:
    return [each for one in stretches for each in zip(
        one.offsets.tolist(), one.values, one.headers or [None] * len(one), strict=True
    )]  # fmt: skip


class Everything:
    """From the beginning."""

    def assigned(self, partition: str, end: int | None = None) -> int | None: ...

    def revoked(self, partition: str) -> None: ...

    def lost(self, partition: str) -> None: ...
