"""People, work orders and an outlet that remembers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import Connection

from common.courier import tables as courier_tables
from common.delivery import ledger, vault
from common.delivery import tables as delivery_tables
from common.kernel.channel import Channel, ChannelClass, Level
from common.kernel.columns import Keys, Rows
from common.kernel.decision import Decision
from common.kernel.stop import Stops
from common.kernel.subscriber import subscriber_keys
from common.kernel.task import TERMINAL
from common.kernel.task_block import BLOCK_ROWS, TaskBlock, open_block
from common.kernel.work_order import WorkOrder, WorkOrderState
from common.runtime.database import Database

FEDERATION_KEY = b"k" * 32
NOON = 1_800_000_000
"""A moment outside every quiet window of the tests."""


@dataclass
class Memo:
    """An outlet that keeps what it was told; every row it was told of must be terminal."""

    settled_rows: list[tuple[str, int]] = field(default_factory=list)
    stops: list[tuple[int, int]] = field(default_factory=list)
    finished_orders: list[str] = field(default_factory=list)

    def decided(self, connection: Connection, decision: Decision) -> None: ...

    def settled(self, connection: Connection, block: TaskBlock, rows: Rows) -> None:
        assert np.isin(block.states[rows], TERMINAL).all()
        self.settled_rows += [(block.work_order, block.first_task + row) for row in rows.tolist()]

    def stopped(self, connection: Connection, stops: Stops) -> None:
        self.stops += zip(stops.keys.tolist(), stops.scopes.tolist(), strict=True)

    def finished(self, connection: Connection, work_order: WorkOrder) -> None:
        self.finished_orders.append(work_order.name)


@dataclass(frozen=True)
class Audience:
    """People sorted by key; `msisdns` aligned."""

    keys: Keys
    msisdns: NDArray[np.int64]


class _UndoError(Exception):
    pass


@contextmanager
def undone(database: Database) -> Iterator[Connection]:
    """A transaction that leaves no trace, for one example of a property."""
    try:
        with database.transaction() as connection:
            yield connection
            raise _UndoError
    except _UndoError:
        pass


@pytest.fixture
def memo() -> Memo:
    return Memo()


@pytest.fixture(name="undone")
def undone_fixture() -> Callable[[Database], object]:
    return undone


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One SQLite store for all examples of a property."""
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('store') / 'node.db'}")
    database.create(courier_tables.metadata, delivery_tables.metadata)
    yield database
    database.close()


@pytest.fixture(scope="session")
def channel() -> Channel:
    return Channel("sms", "短信", "SMS", Level.ONE, ChannelClass.MESSAGE, 200_000, 5, time(0), time(0))


@pytest.fixture(scope="session")
def people() -> Callable[[int], Audience]:
    """The first `count` of a population that is always the same."""

    @cache
    def first(count: int) -> Audience:
        msisdns = np.arange(count, dtype=np.int64) + 8_613_800_000_000
        keys = subscriber_keys(FEDERATION_KEY, msisdns.tolist())
        order = np.argsort(keys)
        return Audience(keys[order], msisdns[order])

    return first


@pytest.fixture(scope="session")
def issue() -> Callable[..., WorkOrder]:
    """Store an accepted work order for the audience, cut in blocks, and their numbers where `numbered`."""

    def store(
        connection: Connection,
        audience: Audience,
        *,
        name: str = "c/1/sms/hq",
        numbered: bool = True,
        **changed: object,
    ) -> WorkOrder:
        campaign, wave, channel, node = name.split("/")
        fields: dict[str, object] = {
            "offer": "offer-1",
            "start_at": NOON - 60,
            "end_at": NOON + 3600,
            "priority": 0,
            "task_count": len(audience.keys),
            "state": WorkOrderState.ACCEPTED,
        }
        order = WorkOrder(name, campaign, int(wave), channel, node, **fields | changed)  # type: ignore[arg-type]
        ledger.put_work_order(connection, order)
        if numbered:
            vault.put_subscribers(connection, audience.keys, audience.msisdns, 45)
        for start in range(0, len(audience.keys), BLOCK_ROWS):
            keys = audience.keys[start : start + BLOCK_ROWS]
            block = open_block(name, start // BLOCK_ROWS, keys, ("您好",), np.zeros(len(keys), dtype=np.uint32))
            ledger.insert_block(connection, block)
        return order

    return store


@pytest.fixture
def node_program() -> Path:
    return Path(__file__).with_name("node_process.py")
