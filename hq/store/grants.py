"""Contacts that provinces ask for: spent from HQ's tokens and issued like any other work order."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
from sqlalchemy import Connection, bindparam, insert, select

from common.delivery import fence, ledger, policies, vault
from common.kernel.channel import CHANNELS, Level
from common.kernel.columns import Codes
from common.kernel.grant import GrantRequest
from common.kernel.refusal import Fault, Refusal, invalid
from common.kernel.task import TaskEvent, TaskReason, TaskState
from common.kernel.task_block import TaskBlock, advance
from common.kernel.work_order import GRANT, WorkOrder, work_order_name
from hq.store import coordination, feed, leases, provinces
from hq.store.tables import grant_request

LEASE_SECONDS_MAX = 7 * 86_400
"""A grant is spent until it ends, so it may not be asked for longer than this."""

_KNOWN = select(grant_request.c.digest, grant_request.c.work_order, grant_request.c.reasons).where(
    grant_request.c.province == bindparam("of"), grant_request.c.request_id == bindparam("id")
)
_INSERT = insert(grant_request)


def acquire(connection: Connection, province: str, request: GrantRequest, now: int) -> tuple[str, Codes]:
    """(work order, a reason for each task asked for; NONE where granted). Repeating a request answers the same.

    People of other provinces and people nobody knows are answered alike, with NO_NUMBER. Raises Refusal
    RESTORE_FENCED or CLOCK_DISAGREES where nothing may be leased to the province now.
    """
    digest = _digest(request)
    known = connection.execute(_KNOWN, {"of": province, "id": request.request_id}).one_or_none()
    if known is not None:
        return known.work_order, _repeated(request, digest, known.digest, known.reasons)
    _check(request, now)
    leases.check(connection, province, now)
    order, block = _issued(connection, province, request, now)
    granted = bool((block.states == TaskState.OPEN).any())
    if granted:
        ledger.put_work_order(connection, order)
        ledger.insert_block(connection, block)
        fence.raise_mark(connection)
        feed.put(connection, province, [order, block], now)
    name = order.name if granted else ""
    row = {"work_order": name, "digest": digest, "reasons": block.reasons.tobytes(), "answered_at": now}
    connection.execute(_INSERT, row | {"province": province, "request_id": request.request_id})
    return name, block.reasons


def _repeated(request: GrantRequest, digest: str, known: str, reasons: bytes) -> Codes:
    if digest != known:
        message = f"request {request.request_id} was made before with another content; choose a new request id"
        raise Refusal(Fault.HELD, "REQUEST_MISMATCH", message)
    return np.frombuffer(reasons, dtype=np.uint8)


def _check(request: GrantRequest, now: int) -> None:
    channel = CHANNELS.get(request.channel)
    if channel is None or channel.level is not Level.TWO:
        raise invalid(f"channel {request.channel} is none that a province runs")
    if request.end_at <= now:
        raise invalid("end_at has passed; ask for a validity ahead")
    if request.end_at - now > LEASE_SECONDS_MAX:
        raise invalid(f"end_at is more than {LEASE_SECONDS_MAX} s ahead; ask for less")


def _issued(connection: Connection, province: str, request: GrantRequest, now: int) -> tuple[WorkOrder, TaskBlock]:
    campaign = f"{GRANT}{request.request_id}"
    order = WorkOrder(
        name=work_order_name(campaign, 1, request.channel, province),
        campaign=campaign,
        wave=1,
        channel=request.channel,
        node=province,
        offer=request.offer,
        start_at=request.start_at,
        end_at=request.end_at,
        priority=request.priority,
        task_count=len(request.tasks),
        product_line=request.product_line,
        purpose=request.purpose,
        incarnation=provinces.incarnation(connection, province),
        policy_version=policies.in_force(connection).version,
    )
    block = replace(request.tasks, work_order=order.name, number=0)
    strangers = np.flatnonzero(vault.provinces_of(connection, block.keys) != int(province))
    block, _ = advance(block, strangers, TaskEvent.SUPPRESS, TaskReason.NO_NUMBER, now)
    return order, _spent(connection, order, block, now)


def _spent(connection: Connection, order: WorkOrder, block: TaskBlock, now: int) -> TaskBlock:
    """HQ's own contacts pay for what is left open."""
    (block,) = coordination.allow(connection, order, [block], now)
    return block


def _digest(request: GrantRequest) -> str:
    terms = [request.request_id, request.channel, request.offer, request.product_line, request.purpose]
    terms += [str(number) for number in (request.start_at, request.end_at, request.priority)]
    columns = request.tasks.keys.astype("<i8").tobytes() + request.tasks.text_refs.astype("<u4").tobytes()
    return hashlib.sha256("\0".join([*terms, *request.tasks.texts]).encode() + b"\0" + columns).hexdigest()
