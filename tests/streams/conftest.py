"""A real broker and a real Spark, started once for a worker's tests. Their first use fetches what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING

import pytest

from deploy.local.kafka import Broker
from tests.streams.records import create

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_numbers = count()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Alive for all tests of the worker: whoever kills a broker starts one of his own."""
    with Broker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    from deploy.local.spark import session

    started = session(tmp_path_factory.mktemp("spark"))
    yield started
    started.stop()


@pytest.fixture
def new_topic() -> Callable[[Broker, int], str]:
    """Makes an empty topic of so many partitions, and says its name."""

    def make(broker: Broker, partitions: int) -> str:
        name = f"ld.45.events.test{next(_numbers)}.v1"
        create(broker.address, name, partitions)
        return name

    return make
