"""A node for what fires, and a broker and a Spark for the engines, as the streams' tests have them."""

from __future__ import annotations

import pytest

from common.runtime.database import Database
from province.store import tables
from province.uplink import HqOutlet
from tests.streams.conftest import kafka, new_topic, spark
from tests.triggers.fires import NOW, Node

__all__ = ["kafka", "new_topic", "node", "spark"]


class StillClock:
    """A clock that stands at `time`."""

    def __init__(self, time: int = NOW) -> None:
        self.time = time

    def now(self) -> int:
        return self.time

    def monotonic(self) -> float:
        return float(self.time)


@pytest.fixture
def node(database: Database) -> Node:
    database.create(tables.metadata)
    return Node(database, HqOutlet(StillClock()))


@pytest.fixture
def noon() -> int:
    """In China, outside every quiet hour."""
    return NOW - (NOW + 8 * 3600) % 86_400 + 12 * 3600
