"""HQ and provinces follow their source systems: applied once, told onward once, through outages and crashes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from liandong.federation.v1 import feed_pb2, uplink_pb2

from adapters.bss.grpc_feed import GrpcBss
from common.courier import log
from common.courier.bell import Bell
from common.delivery import fence, stops, vault
from common.delivery.orders import owners_between, put_orders
from common.delivery.source_follower import SourceFollower
from common.delivery.source_place import place
from common.kernel.bss import BssOrder, BssPoolChange, OrderPage, PoolPage, SourceUnavailable, order_records
from common.kernel.incarnation import Incarnation
from common.kernel.order import OrderChange, OrderRecords, PoolChange
from common.kernel.pool import PoolChanges
from common.kernel.refusal import Refusal
from common.kernel.stop import stops_of
from common.kernel.subscriber import subscriber_keys
from common.runtime.database import Database
from common.wire import codec
from hq import orders as hq_orders
from province import bss_sync
from tests.orders.bss_world import DAY, PEOPLE, START, HandClock, World, over_grpc

KEY = b"k" * 32
SUBSCRIBED, _, REVERSED = OrderChange
ALL = (0, 2**63 - 1)


def _order(number: str, msisdn: int, revision: int = 1, change: OrderChange = SUBSCRIBED) -> BssOrder:
    return BssOrder(number, revision, msisdn, "5g", change, 5900, START)


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """One kind of store: what followers put is tried on every kind where it is stored."""
    return f"sqlite:///{tmp_path / 'node.db'}"


class Script:
    """A source that answers prepared pages by token; a token without one is down."""

    def __init__(self, **pages: Any) -> None:
        self.pages = pages
        self.asked: list[str] = []

    async def list_orders(self, page_token: str, page_size: int = 1000) -> OrderPage:
        self.asked.append(page_token)
        if (page := self.pages.get(page_token or "first")) is None:
            raise SourceUnavailable("down")
        assert isinstance(page, OrderPage)
        return page

    async def list_pool_changes(self, page_token: str, page_size: int = 1000) -> PoolPage:
        page = self.pages.get(page_token or "first", PoolPage((), page_token, caught_up=True))
        assert isinstance(page, PoolPage)
        return page


Follow = Callable[[Database, Script], SourceFollower[OrderPage]]


def _hq(database: Database, source: Script) -> SourceFollower[OrderPage]:
    return hq_orders.follower(database, HandClock(), Bell(), source, "cbss", KEY)


def _province(database: Database, source: Script) -> SourceFollower[OrderPage]:
    return bss_sync.order_follower(database, HandClock(), Bell(), source, "bss-45", KEY)


@pytest.fixture(params=[_hq, _province])
def follow(request: pytest.FixtureRequest) -> Follow:
    made: Follow = request.param
    return made


def _told(database: Database, peer: str, stream: str) -> list[Any]:
    with database.snapshot() as connection:
        entries = log.read_after(connection, peer, stream, 0, 1000, 1 << 30)
    if peer == "hq":
        return [codec.read_outbox_entry(uplink_pb2.OutboxEntry.FromString(e.payload)) for e in entries]
    return [codec.read_feed_entry(feed_pb2.FeedEntry.FromString(e.payload), peer) for e in entries]


def _numbers(values: list[Any]) -> list[str]:
    assert all(isinstance(value, OrderRecords) for value in values)
    return [number for value in values for number in value.order_numbers]


def _at_home(database: Database, province: int, *msisdns: int) -> None:
    with database.transaction() as connection:
        vault.put_subscribers(connection, subscriber_keys(KEY, msisdns), np.array(msisdns), province)


def test_a_page_is_applied_and_told_onward_once_however_often_it_comes(database: Database, follow: Follow) -> None:
    _at_home(database, 45, 8613800000001, 8613800000002)
    page = OrderPage((_order("a", 8613800000001), _order("b", 8613800000002)), "p1", caught_up=False)
    again = OrderPage((_order("b", 8613800000002), _order("a", 8613800000001)), "p2", caught_up=True)
    asyncio.run(follow(database, Script(first=page, p1=again)).catch_up())
    peer = "45" if follow is _hq else "hq"
    assert _numbers(_told(database, peer, "orders")) == ["a", "b"]
    with database.snapshot() as connection:
        owners = owners_between(connection, "5g", *ALL)
    assert owners.tolist() == sorted(subscriber_keys(KEY, [8613800000001, 8613800000002]).tolist())


@pytest.mark.parametrize(("incarnation", "told"), [(1, []), (2, ["a"])])
def test_a_province_back_from_a_backup_tells_what_it_has_heard_from_hq_meanwhile(
    database: Database, incarnation: int, told: list[str]
) -> None:
    page = OrderPage((_order("a", 8613800000001),), "p1", caught_up=True)
    with database.transaction() as connection:
        put_orders(connection, order_records("bss-45", page.orders, KEY), START)
        fence.put(connection, Incarnation(incarnation, 1))
    asyncio.run(_province(database, Script(first=page)).catch_up())
    assert _numbers(_told(database, "hq", "orders")) == told


def test_a_restarted_follower_goes_on_from_its_place(database: Database, follow: Follow) -> None:
    page = OrderPage((_order("a", 8613800000001),), "p1", caught_up=True)
    asyncio.run(follow(database, Script(first=page)).catch_up())
    source = Script(p1=OrderPage((), "p1", caught_up=True))
    asyncio.run(follow(database, source).catch_up())
    assert source.asked == ["p1"]


def test_what_a_page_does_and_its_place_commit_together_or_not_at_all(database: Database) -> None:
    class Crash(Exception):
        pass

    def take(connection: Any, page: OrderPage, now: int) -> list[tuple[str, str]]:
        bss_sync.take_orders(connection, _columns(page), now)
        raise Crash

    source = Script(first=OrderPage((_order("a", 8613800000001),), "p1", caught_up=True))
    broken = SourceFollower(database, HandClock(), Bell(), "bss-45", "orders", source.list_orders, take)
    with pytest.raises(Crash):
        asyncio.run(broken.catch_up())
    with database.snapshot() as connection:
        assert place(connection, "bss-45", "orders") == ""
        assert owners_between(connection, "5g", *ALL).tolist() == []
    assert _told(database, "hq", "orders") == []


def _columns(page: OrderPage) -> OrderRecords:
    from common.kernel.bss import order_records

    return order_records("bss-45", page.orders, KEY)


def test_an_outage_is_waited_out_and_nothing_is_lost(
    database: Database, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.delivery.source_follower.POLL_SECONDS", 0.01)
    source = Script()

    async def check() -> None:
        follower = follow(database, source)
        running = asyncio.create_task(follower.run())
        await _until(lambda: len(source.asked) > 2)
        assert follower.caught_up_at is None
        page = OrderPage((_order("a", 8613800000001),), "p1", caught_up=True)
        source.pages |= {"first": page, "p1": OrderPage((), "p1", caught_up=True)}
        await _until(lambda: follower.caught_up_at is not None)
        running.cancel()

    asyncio.run(asyncio.wait_for(check(), 20))
    with database.snapshot() as connection:
        assert len(owners_between(connection, "5g", *ALL)) == 1


async def _until(seen: Callable[[], bool]) -> None:
    while not seen():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def test_the_reader_of_a_log_that_grew_is_woken_after_the_commit(database: Database) -> None:
    bell, source = Bell(), Script(first=OrderPage((_order("a", 8613800000001),), "p1", caught_up=True))
    follower = bss_sync.order_follower(database, HandClock(), bell, source, "bss-45", KEY)
    asyncio.run(follower.catch_up())
    assert bell.heard("hq", "orders") == 1


def test_caught_up_is_dated_before_the_question(database: Database) -> None:
    clock = HandClock(100)

    class Slow(Script):
        async def list_orders(self, page_token: str, page_size: int = 1000) -> OrderPage:
            clock.at += 7
            return OrderPage((), page_token, caught_up=True)

    follower = hq_orders.follower(database, clock, Bell(), Slow(), "cbss", KEY)
    asyncio.run(follower.catch_up())
    assert follower.caught_up_at == 100


def test_rejects_are_logged_and_hold_nothing_up(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    page = OrderPage((_order("a", 8613800000001),), "p1", caught_up=True, rejects=("orders.csv line 3: no",))
    asyncio.run(_province(database, Script(first=page)).catch_up())
    assert "not taken: orders.csv line 3: no" in caplog.text


def test_hq_hands_each_order_to_the_home_province_and_keeps_what_has_none(database: Database) -> None:
    _at_home(database, 45, 8613800000001)
    _at_home(database, 13, 8613800000002)
    orders = [_order("a", 8613800000001), _order("b", 8613800000002), _order("c", 8613800000003)]
    asyncio.run(_hq(database, Script(first=OrderPage(tuple(orders), "p1", caught_up=True))).catch_up())
    assert _numbers(_told(database, "45", "orders")) == ["a"]
    assert _numbers(_told(database, "13", "orders")) == ["b"]
    with database.snapshot() as connection:
        assert len(owners_between(connection, "5g", *ALL)) == 3


@pytest.mark.parametrize("ends_with", [PoolChange.LEFT, PoolChange.JOINED])
def test_who_left_is_inactive_until_back(database: Database, ends_with: PoolChange) -> None:
    _at_home(database, 45, 8613800000001)
    changes = [PoolChange.LEFT, PoolChange.JOINED, ends_with]
    page = PoolPage(tuple(BssPoolChange(8613800000001, change, START) for change in changes), "p1", caught_up=True)
    asyncio.run(_pool(database, page).catch_up())
    with database.snapshot() as connection:
        assert len(vault.inactive_between(connection, *ALL)) == (ends_with == PoolChange.LEFT)
    (told,) = _told(database, "hq", "pool")
    assert isinstance(told, PoolChanges)
    assert told.changes.tolist() == [2, 1, ends_with]


def test_somebody_new_is_known_by_number_and_home(database: Database) -> None:
    page = PoolPage((BssPoolChange(8613800000009, PoolChange.JOINED, START),), "p1", caught_up=True)
    asyncio.run(_pool(database, page).catch_up())
    keys = subscriber_keys(KEY, [8613800000009])
    with database.snapshot() as connection:
        assert vault.provinces_of(connection, keys).tolist() == [45]
        assert vault.numbers(connection, keys)[0].tolist() == [8613800000009]


def test_a_number_given_to_somebody_new_loses_the_stop_of_the_one_before(database: Database) -> None:
    _at_home(database, 45, 8613800000001)
    keys = subscriber_keys(KEY, [8613800000001])
    with database.transaction() as connection:
        stops.put_stops(connection, stops_of(keys, np.array([START - 5]), np.array([False])))
    page = PoolPage((BssPoolChange(8613800000001, PoolChange.REASSIGNED, START),), "p1", caught_up=True)
    asyncio.run(_pool(database, page).catch_up())
    with database.snapshot() as connection:
        assert stops.standing_between(connection, *ALL)[0].tolist() == []
        assert vault.inactive_between(connection, *ALL).tolist() == []


def _pool(database: Database, page: PoolPage) -> SourceFollower[PoolPage]:
    return bss_sync.pool_follower(database, HandClock(), Bell(), Script(first=page), "bss-45", KEY, 45)


def test_a_whole_simulated_bss_is_followed_to_the_last_record(world: World, database: Database) -> None:
    _at_home(database, 45, *PEOPLE.tolist())

    async def check() -> None:
        async with over_grpc(world.bss()) as bss:
            orders = bss_sync.order_follower(database, world.clock, Bell(), bss, "bss-45", KEY)
            pool = bss_sync.pool_follower(database, world.clock, Bell(), bss, "bss-45", KEY, 45)
            world.contact(PEOPLE, 1)
            for day in range(0, 30, 2):
                world.clock.at = START + day * DAY
                await orders.catch_up()
                await pool.catch_up()

    asyncio.run(check())
    last: dict[str, BssOrder] = {}
    for shown in world.log.shown:  # type: ignore[union-attr]
        order = shown.order
        if order.order_number not in last or order.revision > last[order.order_number].revision:
            last[order.order_number] = order
    standing = [order.msisdn for order in last.values() if order.change is SUBSCRIBED]
    with database.snapshot() as connection:
        owners = owners_between(connection, "5g", *ALL)
    assert owners.tolist() == sorted(subscriber_keys(KEY, standing).tolist())
    assert any(order.change is REVERSED for order in last.values())
    told = _numbers(_told(database, "hq", "orders"))
    assert len(told) == len({(s.order.order_number, s.order.revision) for s in world.log.shown})  # type: ignore[union-attr]


def test_a_bss_that_is_not_there_is_unavailable_and_not_a_refusal() -> None:
    import grpc.aio

    async def check() -> None:
        async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
            with pytest.raises(SourceUnavailable, match="UNAVAILABLE"):
                await GrpcBss(channel, 2.0).list_orders("")

    asyncio.run(check())
    assert not issubclass(SourceUnavailable, Refusal)
