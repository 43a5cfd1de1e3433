"""A BSS or cBSS behind `liandong.bss.v1`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import grpc.aio
from liandong.bss.v1 import bss_pb2, bss_pb2_grpc

from common.kernel.bss import PAGE_ROWS_MAX, BssOrder, BssPoolChange, OrderPage, PoolPage, SourceUnavailable
from common.kernel.order import OrderChange, PoolChange
from common.kernel.refusal import Refusal, conflict, invalid, missing

T = TypeVar("T")

DEADLINE_SECONDS = 10.0

_STUBS: Any = bss_pb2_grpc
"""Generated without types."""

_REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT: invalid,
    grpc.StatusCode.OUT_OF_RANGE: invalid,
    grpc.StatusCode.FAILED_PRECONDITION: conflict,
    grpc.StatusCode.ALREADY_EXISTS: conflict,
    grpc.StatusCode.NOT_FOUND: missing,
}
"""What a BSS may refuse. Any other status means it could not answer, and asking again is right."""


class GrpcBss:
    """A BssPort over a channel that the caller builds and closes."""

    def __init__(self, channel: grpc.aio.Channel, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        self._orders = _STUBS.OrderRecordServiceStub(channel)
        self._pool = _STUBS.PoolServiceStub(channel)
        self._ordering = _STUBS.OrderingServiceStub(channel)
        self._deadline = deadline_seconds

    async def list_orders(self, page_token: str, page_size: int = PAGE_ROWS_MAX) -> OrderPage:
        request = bss_pb2.ListOrderRecordsRequest(page_token=page_token, page_size=page_size)
        page = await self._asked(self._orders.ListOrderRecords(request, timeout=self._deadline))
        orders, rejects = _read(page.order_records, _order)
        return OrderPage(orders, page.next_page_token, page.caught_up, rejects)

    async def list_pool_changes(self, page_token: str, page_size: int = PAGE_ROWS_MAX) -> PoolPage:
        request = bss_pb2.ListPoolChangesRequest(page_token=page_token, page_size=page_size)
        page = await self._asked(self._pool.ListPoolChanges(request, timeout=self._deadline))
        changes, rejects = _read(page.changes, _pool_change)
        return PoolPage(changes, page.next_page_token, page.caught_up, rejects)

    async def check_eligibility(self, msisdn: int, offer: str) -> str:
        request = bss_pb2.CheckEligibilityRequest(msisdn=msisdn, offer=offer)
        answer = await self._asked(self._ordering.CheckEligibility(request, timeout=self._deadline))
        return "" if answer.eligible else answer.detail or "refused without a reason"

    async def create_order(self, request_id: str, msisdn: int, offer: str) -> BssOrder:
        request = bss_pb2.CreateOrderRequest(request_id=request_id, msisdn=msisdn, offer=offer)
        answer = await self._asked(self._ordering.CreateOrder(request, timeout=self._deadline))
        return _order(answer.order_record)

    async def get_order(self, request_id: str) -> BssOrder:
        request = bss_pb2.GetOrderRequest(request_id=request_id)
        answer = await self._asked(self._ordering.GetOrder(request, timeout=self._deadline))
        return _order(answer.order_record)

    @staticmethod
    async def _asked(call: Awaitable[T]) -> T:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise _fault(error) from error


def _fault(error: grpc.aio.AioRpcError) -> Refusal | SourceUnavailable:
    detail = error.details() or ""
    refusal = _REFUSALS.get(error.code())
    return refusal(detail) if refusal else SourceUnavailable(f"{error.code().name}: {detail}")


def _read(records: Iterable[Any], read: Callable[[Any], T]) -> tuple[tuple[T, ...], tuple[str, ...]]:
    """What could be read, and why the rest could not."""
    rows, rejects = [], []
    for place, record in enumerate(records, 1):
        try:
            rows.append(read(record))
        except ValueError as error:
            rejects.append(f"record {place} of the page: {error}")
    return tuple(rows), tuple(rejects)


def _pool_change(record: bss_pb2.PoolChangeRecord) -> BssPoolChange:
    return BssPoolChange(record.msisdn, PoolChange(record.change), record.changed_at)


def _order(record: bss_pb2.OrderRecord) -> BssOrder:
    return BssOrder(
        order_number=record.order_number,
        revision=record.revision,
        msisdn=record.msisdn,
        offer=record.offer,
        change=OrderChange(record.change),
        amount_fen=record.amount_fen,
        accepted_at=record.accepted_at,
    )
