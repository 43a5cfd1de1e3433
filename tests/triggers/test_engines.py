"""One log, three engines: the same fires, in all they say, as the plain reference makes of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from adapters.streams import journal, kafka_source
from adapters.streams.journal import JournalSource, Writer
from adapters.streams.kafka_source import KafkaSource
from adapters.streams.spark_source import SparkSource
from deploy.local.kafka import Broker
from province.triggers.engine.engine import Engine
from province.triggers.engine.source import Source
from tests.triggers.engine_world import EDGE, Log, Sink, append, engine, expected, kept, log_of, produce

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # the first run fetches
PARTITIONS = 3
SECONDS = 120


@pytest.fixture(scope="module")
def log() -> Log:
    return log_of(PARTITIONS, 20_000, seed=5, people=200)


Place = tuple[Callable[[Path], Source], str]
"""How to read the log from there, and what its partitions are called."""


@pytest.fixture(params=["journal", "kafka", "spark"])
def place(
    request: pytest.FixtureRequest, log: Log, kafka: Broker, new_topic: Callable[[Broker, int], str], tmp_path: Path
) -> Place:
    if request.param == "journal":
        writer = Writer(tmp_path / "journal", PARTITIONS)
        append(writer, log)
        writer.close()
        return lambda _: JournalSource(tmp_path / "journal", lambda: EDGE), "journal"
    topic = new_topic(kafka, PARTITIONS)
    produce(kafka.address, topic, log)
    if request.param == "kafka":
        return lambda _: KafkaSource(kafka.address, [topic], topic, lambda: EDGE), topic
    spark: SparkSession = request.getfixturevalue("spark")
    return lambda at: SparkSource(spark, kafka.address, [topic], at / "scratch", lambda: EDGE, 3_000), topic


def until_kept(running: Engine, directory: Path, log: Log, prefix: str) -> None:
    until = time.monotonic() + SECONDS
    while not kept(directory, log, prefix):
        assert time.monotonic() < until, running.told()
        running.turn()


def test_every_engine_fires_what_the_plain_reference_fires(place: Place, log: Log, tmp_path: Path) -> None:
    source, prefix = place
    sink = Sink(tmp_path / "fires.db")
    running = engine(source(tmp_path), tmp_path, sink)
    until_kept(running, tmp_path, log, prefix)
    told = running.told()
    running.close()
    wanted = expected(log)
    assert sink.fires() == wanted
    assert len(wanted) > 500
    for each in told["partitions"].values():  # type: ignore[attr-defined]
        for rule in each["rules"].values():
            assert rule["seen"] == each["counts"]["events"] > 0
    assert set(told["lag"].values()) <= {0}  # type: ignore[attr-defined]


def test_an_engine_goes_on_where_another_stopped(
    place: Place, log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped and begun five times, each time a little further on."""
    monkeypatch.setattr(journal, "READ_BYTES", 200_000)
    monkeypatch.setattr(kafka_source, "CONSUME", 1_000)
    source, prefix = place
    sink = Sink(tmp_path / "fires.db")
    for _ in range(4):
        running = engine(source(tmp_path), tmp_path, sink)
        until, brought = time.monotonic() + SECONDS, 0
        while not brought and time.monotonic() < until:
            brought += running.turn()
        running.close()
    running = engine(source(tmp_path), tmp_path, sink)
    until_kept(running, tmp_path, log, prefix)
    running.close()
    assert sink.fires() == expected(log)


def test_a_topic_begun_anew_is_read_from_its_beginning(
    kafka: Broker, new_topic: Callable[[Broker, int], str], log: Log, tmp_path: Path
) -> None:
    from confluent_kafka.admin import AdminClient

    topic, sink = new_topic(kafka, PARTITIONS), Sink(tmp_path / "fires.db")
    admin = AdminClient({"bootstrap.servers": kafka.address})
    first, second = ([records[:-900] for records in log], [records[-900:] for records in log])
    for some in (first, second):
        produce(kafka.address, topic, some)
        running = engine(KafkaSource(kafka.address, [topic], topic, lambda: EDGE), tmp_path, sink)
        until_kept(running, tmp_path, some, topic)
        running.close()
        admin.delete_topics([topic])[topic].result(SECONDS)
        kafka.create({topic: PARTITIONS})
    assert sink.fires() == expected(log)
