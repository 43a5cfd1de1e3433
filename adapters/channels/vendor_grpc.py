"""A channel vendor that speaks `channel/v1`: the node's calls to it, and its calls back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

import grpc
import numpy as np
from liandong.channel.v1 import channel_pb2, channel_pb2_grpc

from common.kernel.channel import (
    NeverAccepted,
    NoAnswer,
    OutboundBatch,
    Receipts,
    Replies,
    Reply,
    SendAnswer,
    TakeReceipts,
    TakeReplies,
    VendorTerms,
)
from common.kernel.refusal import Fault, Refusal, invalid
from common.runtime.clock import Clock
from common.wire.server import caller

READY_SECONDS = 5.0
CALL_SECONDS = 20.0
REPORT_ROWS_MAX = 50_000

T = TypeVar("T")

REFUSED_WHOLE = frozenset(
    {
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
"""By the contract a call answered so took nothing. After any other failure nobody knows."""


class VendorGrpc:
    """A ChannelPort for one channel over a gRPC channel somebody else builds and closes."""

    def __init__(self, connection: grpc.aio.Channel, channel: str, clock: Clock) -> None:
        self._connection = connection
        self._channel = channel
        self._clock = clock
        self._vendor: Any = channel_pb2_grpc.ChannelServiceStub(connection)  # type: ignore[no-untyped-call]

    async def terms(self) -> VendorTerms:
        """Raises NeverAccepted or NoAnswer where the vendor cannot say."""
        await self._ready(READY_SECONDS)
        request = channel_pb2.GetChannelRequest(channel=self._channel)
        answer = await self._answered(self._vendor.GetChannel(request, timeout=CALL_SECONDS))
        return VendorTerms(answer.batch_max, answer.messages_per_second_max, answer.dedupe_window.seconds)

    async def send(self, batch: OutboundBatch) -> SendAnswer:
        await self._ready(min(READY_SECONDS, batch.submit_by - self._clock.now()))
        left = batch.submit_by - self._clock.now()
        if left <= 0:
            raise NeverAccepted("submit_by has passed")
        call = self._vendor.SendMessages(_request(batch), timeout=min(CALL_SECONDS, left))
        answer = await self._answered(call)
        if len(answer.outcomes) != len(batch.tasks):
            raise NoAnswer(f"{len(answer.outcomes)} outcomes for {len(batch.tasks)} messages")
        outcomes = np.array(answer.outcomes, dtype=np.int64)
        # A code of a later contract is no answer that this one understands.
        known = np.where((outcomes >= 1) & (outcomes <= 4), outcomes, 0).astype(np.uint8)
        return SendAnswer(known, answer.pause.ToTimedelta().total_seconds())

    async def close(self) -> None:
        return None

    async def _ready(self, seconds: float) -> None:
        """A call on a connection that is up is on the wire at once, so only before it is failure certain."""
        try:
            async with asyncio.timeout(max(seconds, 0)):
                await self._connection.channel_ready()
        except TimeoutError:
            raise NeverAccepted("the vendor cannot be reached") from None

    @staticmethod
    async def _answered(call: Awaitable[T]) -> T:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            kind = NeverAccepted if error.code() in REFUSED_WHOLE else NoAnswer
            raise kind(f"{error.code().name}: {error.details()}") from error


class ChannelCallbacks(channel_pb2_grpc.ChannelCallbackServiceServicer):
    """The node's end of the vendors' reports; an answer means they are durable.

    `vendors` names, by channel, the vendor (as in its certificate) that may report for it.
    """

    def __init__(self, vendors: Mapping[str, str], take_receipts: TakeReceipts, take_replies: TakeReplies) -> None:
        self._vendors = vendors
        self._take_receipts = take_receipts
        self._take_replies = take_replies

    async def ReportReceipts(
        self, request: channel_pb2.ReportReceiptsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> channel_pb2.ReportReceiptsResponse:
        del context
        self._admit(request.channel)
        return channel_pb2.ReportReceiptsResponse(unmatched=await self._take_receipts(_receipts(request)))

    async def ReportReplies(
        self, request: channel_pb2.ReportRepliesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> channel_pb2.ReportRepliesResponse:
        del context
        self._admit(request.channel)
        return channel_pb2.ReportRepliesResponse(unmatched=await self._take_replies(_replies(request)))

    def _admit(self, channel: str) -> None:
        if caller().name != self._vendors.get(channel):
            message = f"{caller()} does not run channel {channel!r} for this node; report only your own channels."
            raise Refusal(Fault.FORBIDDEN, "NOT_YOURS", message)


def _request(batch: OutboundBatch) -> channel_pb2.SendMessagesRequest:
    return channel_pb2.SendMessagesRequest(
        channel=batch.channel,
        work_order=batch.work_order,
        tasks=batch.tasks.tolist(),
        msisdns=batch.msisdns,
        texts=batch.texts,
        text_refs=batch.text_refs.tolist(),
        submit_by=batch.submit_by,
        expire_at=batch.expire_at,
    )


def _receipts(request: channel_pb2.ReportReceiptsRequest) -> Receipts:
    """Raises Refusal where the columns contradict each other."""
    rows = len(request.tasks)
    _limit(rows)
    if not rows == len(request.work_order_refs) == len(request.stages) == len(request.happened_at):
        raise invalid("Receipt columns differ in length; send one entry of each for a receipt.", "BLOCK_MALFORMED")
    refs = np.array(request.work_order_refs, dtype=np.uint32)
    if rows and refs.max() >= len(request.work_orders):
        raise invalid("work_order_refs points past work_orders; send every name it uses.", "BLOCK_MALFORMED")
    return Receipts(
        channel=request.channel,
        work_orders=list(request.work_orders),
        work_order_refs=refs,
        tasks=np.array(request.tasks, dtype=np.uint32),
        # Codes past a byte are unknown stages like 0.
        stages=np.array([stage if 0 <= stage < 256 else 0 for stage in request.stages], dtype=np.uint8),
        happened_at=np.array(request.happened_at, dtype=np.uint32),
    )


def _replies(request: channel_pb2.ReportRepliesRequest) -> Replies:
    _limit(len(request.replies))
    return Replies(
        request.channel,
        [Reply(r.work_order, r.task, r.msisdn, r.text, r.happened_at) for r in request.replies],
    )


def _limit(rows: int) -> None:
    if rows > REPORT_ROWS_MAX:
        message = f"{rows} reports in one call, the most is {REPORT_ROWS_MAX}; send them in several."
        raise invalid(message, "BLOCK_TOO_LARGE", limit=str(REPORT_ROWS_MAX))
