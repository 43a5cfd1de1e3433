"""What receipts and replies do to the ledger, in any order, late, twice, or for tasks never sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from common.delivery import ledger, settle, stops
from common.delivery.outlet import Outlet
from common.delivery.tables import stray_report
from common.kernel.channel import Receipts, ReceiptStage, Replies
from common.kernel.columns import Codes, Keys, Mask, Rows
from common.kernel.reply import intent
from common.kernel.stop import StopScope, stops_of
from common.kernel.task import Response, TaskEvent, TaskReason, TaskState
from common.kernel.task_block import BLOCK_ROWS, TaskBlock, advance, respond
from common.runtime import bulk

FUTURE_SECONDS_MAX = 24 * 3600
"""A report dated further ahead than this is believed in nothing."""
WORK_ORDER_NAME_MAX = 200

KeysOf = Callable[[list[int]], Keys]
"""Subscriber keys of numbers, by the federation key."""

_EVENTS = np.zeros(256, dtype=np.uint8)
_EVENTS[ReceiptStage.DELIVERED] = TaskEvent.DELIVER
_EVENTS[ReceiptStage.UNDELIVERABLE] = TaskEvent.UNDELIVERABLE
_EVENTS[ReceiptStage.EXPIRED] = TaskEvent.EXPIRE
_REASONS = np.zeros(256, dtype=np.uint8)
_REASONS[ReceiptStage.UNDELIVERABLE] = TaskReason.UNDELIVERABLE
_REASONS[ReceiptStage.EXPIRED] = TaskReason.VENDOR_EXPIRED


_SCOPES = {Response.OPTED_OUT: StopScope.ALL, Response.REFUSED: StopScope.REFUSED}
"""What a reply forbids."""


def apply_receipts(connection: Connection, receipts: Receipts, now: int, outlet: Outlet) -> int:
    """Answers how many receipts matched no message this node sent; those are noted and change nothing."""
    believed = (receipts.happened_at <= now + FUTURE_SECONDS_MAX) & np.isin(receipts.stages, list(ReceiptStage))
    stray = ~believed
    for name, number, places in _grouped(receipts.work_orders, receipts.work_order_refs, receipts.tasks, believed):
        block = _sent_block(connection, name, number, receipts.channel)
        matched = _matched(block, receipts.tasks[places])
        stray[places[~matched]] = True
        if block is not None:
            _advance(connection, block, receipts, places[matched], now, outlet)
    names = [receipts.work_orders[ref] for ref in receipts.work_order_refs[stray].tolist()]
    _note(connection, receipts.channel, "receipt", names, receipts.tasks[stray], receipts.happened_at[stray])
    return int(stray.sum())


def apply_replies(connection: Connection, replies: Replies, now: int, outlet: Outlet, keys_of: KeysOf) -> int:
    """Answers how many replies matched no message this node sent; a STOP or a no among them counts all the same."""
    if not replies.replies:
        return 0
    keys = keys_of([reply.msisdn for reply in replies.replies])
    responses = np.array([intent(reply.text) for reply in replies.replies], dtype=np.uint8)
    happened_at = np.array([reply.happened_at for reply in replies.replies], dtype=np.int64)
    for response, scope in _SCOPES.items():
        said = np.flatnonzero(responses == response)
        _stop(connection, keys[said], np.clip(happened_at[said], 0, now), scope, now, outlet)
    return _respond(connection, replies, keys, responses, happened_at, now, outlet)


def _respond(
    connection: Connection,
    replies: Replies,
    keys: Keys,
    responses: Codes,
    happened_at: NDArray[np.int64],
    now: int,
    outlet: Outlet,
) -> int:
    names, refs = np.unique([reply.work_order for reply in replies.replies], return_inverse=True)
    tasks = np.array([reply.task for reply in replies.replies], dtype=np.int64)
    believed = happened_at <= now + FUTURE_SECONDS_MAX
    stray = ~believed
    for name, number, places in _grouped(names.tolist(), refs, tasks, believed):
        block = _sent_block(connection, name, number, replies.channel)
        matched = _matched(block, tasks[places])
        if block is not None:
            rows = tasks[places] % BLOCK_ROWS
            # A reply from another number than the task's says nothing about the task.
            matched[matched] = block.keys[rows[matched]] == keys[places[matched]]
            block, changed = respond(block, rows[matched], responses[places[matched]])
            settle.save(connection, block, changed, outlet)
        stray[places[~matched]] = True
    strays = [names[ref] for ref in refs[stray].tolist()]
    _note(connection, replies.channel, "reply", strays, tasks[stray], happened_at[stray])
    return int(stray.sum())


def _advance(
    connection: Connection, block: TaskBlock, receipts: Receipts, places: Rows, now: int, outlet: Outlet
) -> None:
    rows, first = np.unique(receipts.tasks[places].astype(np.int64) % BLOCK_ROWS, return_index=True)
    chosen = places[first]
    # Which of several sendings it answers nobody can tell, nor that the last of them was answered.
    unanswered = rows[block.states[rows] == TaskState.SUBMITTING]
    block, _ = settle.dated(block, unanswered, now)
    # The vendor's clock may be wrong; nothing settles before it was submitted or after now.
    at = np.clip(receipts.happened_at[chosen].astype(np.int64), block.submitted_at[rows], now)
    stages = receipts.stages[chosen]
    block, changed = advance(block, rows, _EVENTS[stages], _REASONS[stages], at.astype(np.uint32))
    settle.save(connection, block, changed, outlet)


def _stop(
    connection: Connection, keys: Keys, times: NDArray[np.int64], scope: StopScope, now: int, outlet: Outlet
) -> None:
    if len(keys):
        said = stops_of(keys, times.astype(np.uint32), np.zeros(len(keys), dtype=np.bool_), scope)
        new = stops.put_stops(connection, said, now)
        if len(new):
            outlet.stopped(connection, said.take(new))


def _grouped(
    work_orders: list[str], refs: NDArray[np.integer], tasks: NDArray[np.integer], wanted: Mask
) -> Iterator[tuple[str, int, Rows]]:
    """(work order, block number, positions in order of arrival) for every block that wanted rows point into."""
    places = np.flatnonzero(wanted)
    blocks = refs[places].astype(np.int64) << 32 | tasks[places].astype(np.int64) // BLOCK_ROWS
    order = np.argsort(blocks, kind="stable")
    groups, starts = np.unique(blocks[order], return_index=True)
    for group, part in zip(groups.tolist(), np.split(places[order], starts[1:]), strict=False):
        yield work_orders[group >> 32], group & 0xFFFFFFFF, part


def _sent_block(connection: Connection, work_order: str, number: int, channel: str) -> TaskBlock | None:
    """None also where the work order belongs to another channel than the vendor speaks for."""
    order = ledger.load_work_order(connection, work_order)
    return ledger.load_block(connection, work_order, number) if order is not None and order.channel == channel else None


def _matched(block: TaskBlock | None, tasks: NDArray[np.integer]) -> Mask:
    """Which of `tasks`, all of one block, were booked, and so may have been sent."""
    if block is None:
        return np.zeros(len(tasks), dtype=np.bool_)
    rows = tasks.astype(np.int64) % BLOCK_ROWS
    there = rows < len(block)
    there[there] = block.submitted_at[rows[there]] > 0
    return there


def _note(
    connection: Connection,
    channel: str,
    kind: str,
    work_orders: list[str],
    tasks: NDArray[np.integer],
    happened_at: NDArray[np.integer],
) -> None:
    columns: dict[str, bulk.Column] = {
        "channel": [channel] * len(work_orders),
        "work_order": [name[:WORK_ORDER_NAME_MAX] for name in work_orders],
        "task": tasks,
        "kind": [kind] * len(work_orders),
        "happened_at": happened_at,
    }
    bulk.insert_new(connection, stray_report, columns)
