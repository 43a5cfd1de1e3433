"""What every BSS adapter promises."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any, ClassVar

import grpc.aio
import pytest
from liandong.bss.v1 import bss_pb2, bss_pb2_grpc

from adapters.bss.file_feed import FileFeed
from adapters.bss.grpc_feed import GrpcBss
from common.kernel.bss import BssOrder, BssPoolChange, BssPort, OrderPage, PoolPage
from common.kernel.refusal import Refusal
from tests.orders.bss_world import DAY, OFFER, PEOPLE, POOL, START, World, over_grpc

Feed = Callable[[], AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def _simulator(world: World) -> AsyncIterator[GrpcBss]:
    world.clock.at = START + 30 * DAY
    async with over_grpc(world.bss()) as bss:
        yield bss


@asynccontextmanager
async def _files(world: World) -> AsyncIterator[FileFeed]:
    """The same records as the simulator's, dropped in three files."""
    world.clock.at = START + 30 * DAY
    bss, drop = world.bss(), world.directory / "drop"
    drop.mkdir()
    _drop(drop, "orders", BssOrder, bss.orders("", 1000)[0])
    _drop(drop, "pool", BssPoolChange, bss.pool_changes("", 1000)[0])
    yield FileFeed(drop)


def _drop(directory: Path, kind: str, row: type, records: list[Any]) -> None:
    cut = len(records) // 3
    for number, some in enumerate((records[:cut], records[cut:cut], records[cut:])):
        with (directory / f"{kind}-{number}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(field.name for field in fields(row))
            rows = ([getattr(value, "name", value) for value in astuple(record)] for record in some)
            writer.writerows(rows)


@pytest.fixture(params=[_simulator, _files])
def feed(request: pytest.FixtureRequest, world: World) -> Feed:
    return lambda: request.param(world)


Ask = Callable[[str, int], Awaitable[OrderPage | PoolPage]]


@pytest.fixture(params=["list_orders", "list_pool_changes"])
def listed(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _rows(page: OrderPage | PoolPage) -> tuple[Any, ...]:
    return page.orders if isinstance(page, OrderPage) else page.changes


async def _all(ask: Ask, size: int) -> tuple[list[Any], list[str]]:
    rows, tokens, caught_up = [], [""], False
    while not caught_up:
        page = await ask(tokens[-1], size)
        assert len(_rows(page)) <= size
        rows += _rows(page)
        tokens.append(page.next_page_token)
        caught_up = page.caught_up
    return rows, tokens


def test_pages_of_any_size_hold_the_same_records(feed: Feed, listed: str) -> None:
    async def check() -> None:
        async with feed() as bss:
            ask = getattr(bss, listed)
            whole, _ = await _all(ask, 1000)
            assert len(whole) > 20
            assert (await _all(ask, 7))[0] == whole

    asyncio.run(check())


def test_a_token_repeats_its_page_for_ever(feed: Feed, listed: str) -> None:
    async def check() -> None:
        async with feed() as bss:
            ask = getattr(bss, listed)
            whole, tokens = await _all(ask, 11)
            for place, token in enumerate(tokens[:3]):
                page = await ask(token, 11)
                assert page == await ask(token, 11)
                assert list(_rows(page)) == whole[11 * place :][:11]

    asyncio.run(check())


def test_the_last_token_is_caught_up_and_stays_where_it_is(feed: Feed, listed: str) -> None:
    async def check() -> None:
        async with feed() as bss:
            ask = getattr(bss, listed)
            _, tokens = await _all(ask, 11)
            page = await ask(tokens[-1], 11)
            assert (page.caught_up, page.next_page_token, _rows(page)) == (True, tokens[-1], ())

    asyncio.run(check())


def test_a_token_never_given_is_refused(feed: Feed, listed: str) -> None:
    async def check() -> None:
        async with feed() as bss:
            for token in ("nonsense", "99999999", "other.csv:3"):
                with pytest.raises(Refusal) as refused:
                    await getattr(bss, listed)(token, 10)
                assert refused.value.reason == "ARGUMENT_INVALID"

    asyncio.run(check())


def test_a_page_is_never_longer_than_a_thousand(feed: Feed) -> None:
    async def check() -> None:
        async with feed() as bss:
            assert len((await bss.list_orders("", 0)).orders) <= 1000
            assert len((await bss.list_orders("", 5000)).orders) <= 1000

    asyncio.run(check())


@pytest.fixture(params=[_simulator])
def whole(request: pytest.FixtureRequest, world: World) -> Callable[[], AbstractAsyncContextManager[BssPort]]:
    """Adapters that take orders too."""
    return lambda: request.param(world)


def _stayer(ordered: set[int]) -> int:
    leavers = set(POOL.msisdns.tolist())
    return next(each for each in PEOPLE.tolist() if each not in ordered | leavers)


def test_a_repeated_request_takes_one_order_and_answers_the_first(
    whole: Callable[[], AbstractAsyncContextManager[BssPort]],
) -> None:
    async def check() -> None:
        async with whole() as bss:
            before, tokens = await _all(bss.list_orders, 1000)
            buyer = _stayer({order.msisdn for order in before})
            assert await bss.check_eligibility(buyer, OFFER.code) == ""
            first = await bss.create_order("r1", buyer, OFFER.code)
            assert await bss.create_order("r1", buyer, OFFER.code) == first == await bss.get_order("r1")
            page = await bss.list_orders(tokens[-1])
            assert page.orders == (first,)
            assert await bss.check_eligibility(buyer, OFFER.code) == "already ordered"
            with pytest.raises(Refusal, match="already ordered") as refused:
                await bss.create_order("r2", buyer, OFFER.code)
            assert refused.value.reason == "STATE_CONFLICT"

    asyncio.run(check())


def test_what_cannot_be_ordered_is_refused_by_name(
    whole: Callable[[], AbstractAsyncContextManager[BssPort]],
) -> None:
    async def check() -> None:
        async with whole() as bss:
            with pytest.raises(Refusal, match="offer 'x' is not sold here; sold are 5g"):
                await bss.check_eligibility(int(PEOPLE[0]), "x")
            with pytest.raises(Refusal, match="not a subscriber here"):
                await bss.create_order("r3", 8613900000000, OFFER.code)
            with pytest.raises(Refusal, match="request_id is empty"):
                await bss.create_order("", int(PEOPLE[0]), OFFER.code)
            with pytest.raises(Refusal, match="'never'") as refused:
                await bss.get_order("never")
            assert refused.value.reason == "NOT_FOUND"
            assert await bss.check_eligibility(int(POOL.msisdns[0]), OFFER.code) == "the subscriber is leaving"

    asyncio.run(check())


class Careless(bss_pb2_grpc.OrderRecordServiceServicer):  # type: ignore[misc]
    """Tells records that no BSS should: each but the first is wrong in one field."""

    GOOD: ClassVar[dict[str, Any]] = {
        "order_number": "a", "revision": 1, "msisdn": 8613800000001, "offer": "5g", "change": 1, "accepted_at": START,
    }  # fmt: skip
    WRONG: ClassVar[list[dict[str, Any]]] = [
        {"order_number": ""}, {"revision": 0}, {"msisdn": 0}, {"offer": "x" * 65}, {"change": 9},
        {"accepted_at": 2**32 - 1, "amount_fen": 10**16},
    ]  # fmt: skip

    async def ListOrderRecords(self, request: Any, context: Any) -> Any:
        records = [bss_pb2.OrderRecord(**self.GOOD | wrong) for wrong in ({}, *self.WRONG)]
        return bss_pb2.ListOrderRecordsResponse(order_records=records, caught_up=True)


def test_a_record_that_cannot_be_is_named_and_the_rest_is_taken() -> None:
    async def ask() -> OrderPage:
        server = grpc.aio.server()
        bss_pb2_grpc.add_OrderRecordServiceServicer_to_server(Careless(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            page = await GrpcBss(channel).list_orders("")
        await server.stop(0)
        return page

    page = asyncio.run(ask())
    assert [order.order_number for order in page.orders] == ["a"]
    assert [reject.partition(":")[0] for reject in page.rejects] == [f"record {n} of the page" for n in range(2, 8)]
    assert "8613800000001" not in str(page.rejects)
