"""A province's store, and an HQ that hears what it tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from liandong.federation.v1 import uplink_pb2
from sqlalchemy import Connection, insert, select

from common.courier import tables as courier_tables
from common.courier.tables import log_entry
from common.delivery import fence as fence_store
from common.delivery import tables as delivery_tables
from common.delivery.tables import policy as policy_table
from common.kernel.columns import Keys
from common.kernel.incarnation import Incarnation
from common.runtime.clock import Clock
from common.runtime.database import Database
from common.wire.codec import read_outbox_entry
from hq.store import tables as hq_tables
from hq.store import uplink as hq_uplink
from province.local_request import LocalRequest
from province.store import tables as province_tables
from province.uplink import HqOutlet

NOW = 1_800_000_000
CODE = "45"
DAY = 86_400


class StillClock:
    """A clock that stands at `time`."""

    def __init__(self, time: int = NOW) -> None:
        self.time = time

    def now(self) -> int:
        return self.time

    def monotonic(self) -> float:
        return float(self.time)


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def province(database: Database) -> Database:
    database.create(province_tables.metadata)
    return database


@pytest.fixture
def outlet(clock: Clock) -> HqOutlet:
    return HqOutlet(clock)


@pytest.fixture
def hq(tmp_path: Path) -> Iterator[Database]:
    store = Database(f"sqlite:///{tmp_path / 'hq.db'}")
    store.create(courier_tables.metadata, delivery_tables.metadata, hq_tables.metadata)
    yield store
    store.close()


@pytest.fixture
def hear(province: Database, hq: Database) -> Callable[[], None]:
    """HQ takes all that the province has told so far, from the first entry on."""

    def take() -> None:
        with province.snapshot() as connection:
            told = connection.execute(select(log_entry.c.payload).order_by(log_entry.c.stream, log_entry.c.sequence))
            entries = [uplink_pb2.OutboxEntry.FromString(payload) for payload in told.scalars()]
        with hq.transaction() as connection:
            hq_uplink.apply(connection, CODE, [read_outbox_entry(entry, CODE) for entry in entries], NOW)

    return take


@pytest.fixture
def install() -> Callable[..., None]:
    """Put a contact policy in force."""

    def put(connection: Connection, version: int, *caps: str, rest: str = "mode: shared") -> None:
        document = "\n".join([rest, "caps:", *(f"  - {{{cap}}}" for cap in caps)])
        row = {"version": version, "document": document, "received_at": NOW, "objection": ""}
        connection.execute(insert(policy_table).values(row))

    return put


@pytest.fixture
def fence() -> Callable[[Connection, int], None]:
    """The store was put back from a backup at that moment."""

    def put(connection: Connection, at: int) -> None:
        fence_store.put(connection, Incarnation(number=2, mark=1, fenced_at=at))

    return put


@pytest.fixture
def request_for() -> Callable[..., LocalRequest]:
    def make(name: str, keys: Keys | list[int], **changed: object) -> LocalRequest:
        people = np.array(keys, dtype=np.int64)
        made = LocalRequest(
            name=name, asked_at=NOW, channel="local_sms", offer="o", product_line="", purpose="", priority=50,
            end_at=NOW + DAY, ask_hq=False, texts=("您好",), keys=people, scores=np.zeros(len(people)),
            text_refs=np.zeros(len(people), dtype=np.uint32),
        )  # fmt: skip
        return replace(made, **changed)  # type: ignore[arg-type]

    return make
