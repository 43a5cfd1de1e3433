"""The node's callback service on a real server, and the desk behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import grpc
import numpy as np
import pytest
from liandong.channel.v1 import channel_pb2, channel_pb2_grpc

from adapters.channels.vendor_grpc import ChannelCallbacks
from common.delivery import desk as desk_module
from common.delivery import ledger
from common.delivery.claim import claim
from common.delivery.desk import ReportDesk
from common.kernel.channel import Receipts
from common.kernel.refusal import Refusal
from common.kernel.subscriber import subscriber_keys
from common.kernel.task import TaskState
from common.runtime.database import Database
from common.wire import tls
from common.wire.server import build_channel, build_server

NOON = 1_800_000_000
NAME = "c/1/sms/hq"
keys_of = partial(subscriber_keys, b"k" * 32)
GOOD = channel_pb2.ReportReceiptsRequest(
    channel="sms", work_orders=[NAME], work_order_refs=[0, 0], tasks=[0, 9], stages=[1, 1], happened_at=[NOON, NOON]
)


@dataclass
class Wall:
    def now(self) -> int:
        return NOON

    def monotonic(self) -> float:
        return 0.0


def receipts(tasks: list[int], refs: int = 0) -> Receipts:
    rows = len(tasks)
    return Receipts(
        "sms",
        [NAME],
        np.full(rows, refs, dtype=np.uint32),
        np.array(tasks, dtype=np.uint32),
        np.ones(rows, dtype=np.uint8),
        np.full(rows, NOON, dtype=np.uint32),
    )


@pytest.fixture
def sent(database: Database, people: Any, issue: Any, memo: Any, channel: Any) -> Database:
    with database.transaction() as connection:
        order = issue(connection, people(8))
        claim(connection, order, 0, NOON, channel, 10, memo)
    return database


async def with_desk(database: Database, memo: Any, act: Callable[[ReportDesk], Awaitable[Any]]) -> Any:
    desk = ReportDesk(database, Wall(), memo, keys_of, lambda: None)
    running = asyncio.create_task(desk.run())
    try:
        return await act(desk)
    finally:
        running.cancel()
        await asyncio.wait({running})


def delivered(database: Database) -> int:
    with database.snapshot() as connection:
        return ledger.counts(connection, NAME)[TaskState.DELIVERED]


def test_an_answered_report_is_durable(sent: Database, memo: Any) -> None:
    async def act(desk: ReportDesk) -> None:
        assert await asyncio.gather(desk.take_receipts(receipts([0, 1, 99])), desk.take_receipts(receipts([2]))) == [
            1,
            0,
        ]
        assert delivered(sent) == 3

    asyncio.run(with_desk(sent, memo, act))


def test_a_report_that_cannot_be_stored_holds_up_no_other(sent: Database, memo: Any) -> None:
    async def act(desk: ReportDesk) -> None:
        bad = receipts([0], refs=7)
        taken = await asyncio.gather(desk.take_receipts(receipts([1])), desk.take_receipts(bad), return_exceptions=True)
        assert taken[0] == 0
        assert isinstance(taken[1], IndexError)
        assert await desk.take_receipts(receipts([2])) == 0

    asyncio.run(with_desk(sent, memo, act))
    assert delivered(sent) == 2


def test_what_waits_to_be_stored_is_bounded(sent: Database, memo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "PENDING_ROWS_MAX", 5)

    async def act(desk: ReportDesk) -> None:
        first = asyncio.create_task(desk.take_receipts(receipts([0, 1, 2])))
        await asyncio.sleep(0)
        with pytest.raises(Refusal, match="report again"):
            await desk.take_receipts(receipts([3, 4, 5]))
        await first
        assert await desk.take_receipts(receipts([3, 4, 5])) == 0

    asyncio.run(with_desk(sent, memo, act))


async def reporting(database: Database, memo: Any, caller: tls.Identity, *requests: Any) -> list[Any]:
    """What `caller` is answered, one by one: a response or a status code."""
    now = datetime.now(UTC)
    authority = tls.new_authority(now)
    node, own = tls.issue(authority, tls.HQ, now), tls.issue(authority, caller, now)

    async def act(desk: ReportDesk) -> list[Any]:
        access = {"/liandong.channel.v1.ChannelCallbackService/": frozenset({"vendor"})}
        server, port = build_server("127.0.0.1:0", tls.server_credentials(authority.certificate, node), access)
        callbacks = ChannelCallbacks({"sms": "one"}, desk.take_receipts, desk.take_replies)
        channel_pb2_grpc.add_ChannelCallbackServiceServicer_to_server(callbacks, server)
        await server.start()
        credentials = tls.channel_credentials(authority.certificate, own)
        async with build_channel(f"127.0.0.1:{port}", credentials) as channel:
            stub: Any = channel_pb2_grpc.ChannelCallbackServiceStub(channel)
            answers = [await _answer(stub.ReportReceipts(request, timeout=5)) for request in requests]
        await server.stop(None)
        return answers

    return await with_desk(database, memo, act)


async def _answer(call: Any) -> Any:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        return error.code()


def changed(**fields: Any) -> channel_pb2.ReportReceiptsRequest:
    request = channel_pb2.ReportReceiptsRequest()
    request.CopyFrom(GOOD)
    for name, value in fields.items():
        del getattr(request, name)[:]
        getattr(request, name).extend(value)
    return request


def test_malformed_receipts_are_refused_whole(sent: Database, memo: Any) -> None:
    bad = [changed(tasks=[0]), changed(stages=[]), changed(work_order_refs=[0, 1]), changed(work_orders=[])]
    answers = asyncio.run(reporting(sent, memo, tls.Identity("vendor", "one"), *bad, GOOD, changed(stages=[-5, 999])))
    assert answers[:4] == [grpc.StatusCode.INVALID_ARGUMENT] * 4
    assert [answer.unmatched for answer in answers[4:]] == [1, 2]
    assert delivered(sent) == 1


@pytest.mark.parametrize("who", [tls.Identity("vendor", "two"), tls.Identity("province", "45")])
def test_only_the_channels_own_vendor_may_report_for_it(sent: Database, memo: Any, who: tls.Identity) -> None:
    assert asyncio.run(reporting(sent, memo, who, GOOD)) == [grpc.StatusCode.PERMISSION_DENIED]
    assert delivered(sent) == 0
