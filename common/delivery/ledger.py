"""The recipient ledger in SQL: work orders, and their tasks in blocks. Callers own the transactions."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, Select, bindparam, exists, func, insert, or_, select, update

from common.delivery import erasures
from common.delivery.tables import STATE_COLUMNS, TO_SEND, task_block, work_order
from common.kernel.task import UNSETTLED, TaskState
from common.kernel.task_block import TaskBlock
from common.kernel.work_order import WorkOrder, WorkOrderState

_STORED = {
    "keys": "<i8",
    "states": "u1",
    "reasons": "u1",
    "responses": "u1",
    "submitted_at": "<u4",
    "settled_at": "<u4",
    "text_refs": "<u4",
}
_MUTABLE = ("states", "reasons", "responses", "submitted_at", "settled_at")

_ORDER = select(work_order).where(work_order.c.name == bindparam("of"))
_ORDER_VERSION = select(work_order.c.version).where(work_order.c.name == bindparam("of"))
_INSERT_ORDER = insert(work_order)
_UPDATE_ORDER = update(work_order).where(work_order.c.name == bindparam("of"))

_OF_ORDER = task_block.c.work_order == bindparam("of")
_IS_BLOCK = (_OF_ORDER, task_block.c.number == bindparam("at"))
_BLOCK = select(
    task_block.c.work_order, task_block.c.number, task_block.c.texts, *(task_block.c[name] for name in _STORED)
).where(*_IS_BLOCK)
_BLOCK_THERE = select(task_block.c.number).where(*_IS_BLOCK)
_BLOCKS_OVER = (
    select(task_block.c.work_order, task_block.c.number)
    .where(task_block.c.first_key <= bindparam("key"), task_block.c.last_key >= bindparam("key"))
    .order_by(task_block.c.work_order, task_block.c.number)
)
_INSERT_BLOCK = insert(task_block)
_UPDATE_BLOCK = update(task_block).where(*_IS_BLOCK)
_NUMBERS: dict[TaskState | None, Select[int]] = {
    None: select(task_block.c.number).where(_OF_ORDER).order_by(task_block.c.number)
}
for _state, _name in STATE_COLUMNS.items():
    _NUMBERS[_state] = _NUMBERS[None].where(task_block.c[_name] > 0)
_TO_SEND = (
    select(work_order)
    .where(
        work_order.c.name.in_(select(task_block.c.work_order).where(TO_SEND)),
        work_order.c.node == bindparam("of_node"),
        work_order.c.channel == bindparam("on"),
        work_order.c.state.in_(bindparam("in_states", expanding=True)),
    )
    .order_by(work_order.c.name)
)
_MINE = (
    work_order.c.node == bindparam("of_node"),
    work_order.c.state.in_(bindparam("in_states", expanding=True)),
)
_OVER = (
    select(work_order)
    .where(
        *_MINE,
        or_(
            work_order.c.state == int(WorkOrderState.CANCELLED),
            work_order.c.end_at <= bindparam("now"),
            work_order.c.start_at <= bindparam("begun_by"),
        ),
    )
    .order_by(work_order.c.name)
)
_UNSETTLED = exists().where(
    task_block.c.work_order == work_order.c.name,
    or_(*(task_block.c[STATE_COLUMNS[state]] > 0 for state in sorted(UNSETTLED))),
)
_SETTLED = select(work_order.c.name).where(*_MINE, ~_UNSETTLED).order_by(work_order.c.name)
_SENT = update(task_block).where(*_IS_BLOCK).values(sent_at=bindparam("moment"))
_COUNTS = select(*(func.coalesce(func.sum(task_block.c[name]), 0) for name in STATE_COLUMNS.values())).where(_OF_ORDER)
_RECEIVED = select(func.coalesce(func.sum(task_block.c.tasks), 0)).where(_OF_ORDER)


def put_work_order(connection: Connection, order: WorkOrder) -> None:
    """Insert it where it is absent; where it is there, a newer version overwrites it and any other changes nothing."""
    row = asdict(order) | {"state": int(order.state)}
    known = connection.execute(_ORDER_VERSION, {"of": order.name}).scalar()
    if known is None:
        connection.execute(_INSERT_ORDER, row)
    elif order.version > known:
        connection.execute(_UPDATE_ORDER, row | {"of": order.name})


def load_work_order(connection: Connection, name: str) -> WorkOrder | None:
    row = connection.execute(_ORDER, {"of": name}).one_or_none()
    return None if row is None else _work_order(row)


def work_orders(
    connection: Connection,
    *,
    node: str | None = None,
    campaign: str | None = None,
    states: Collection[WorkOrderState] | None = None,
) -> list[WorkOrder]:
    """Those that match every filter given, by name."""
    wanted = {
        "of_node": node,
        "of_campaign": campaign,
        "in_states": None if states is None else [int(state) for state in states],
    }
    given = {name: value for name, value in wanted.items() if value is not None}
    return [_work_order(row) for row in connection.execute(_orders_by(*given), given)]


def work_orders_to_send(
    connection: Connection, node: str, channel: str, states: Collection[WorkOrderState]
) -> list[WorkOrder]:
    """Those with a task that is open or not answered for, by name. What only awaits receipts costs nothing here."""
    wanted = {"of_node": node, "on": channel, "in_states": [int(state) for state in states]}
    return [_work_order(row) for row in connection.execute(_TO_SEND, wanted)]


def work_orders_over(
    connection: Connection, node: str, states: Collection[WorkOrderState], now: int, begun_by: int
) -> list[WorkOrder]:
    """Those cancelled, past their end, or begun by a moment, by name."""
    wanted = {"of_node": node, "in_states": [int(state) for state in states], "now": now, "begun_by": begun_by}
    return [_work_order(row) for row in connection.execute(_OVER, wanted)]


def settled_orders(connection: Connection, node: str, states: Collection[WorkOrderState]) -> list[str]:
    """Names of those of which no task that is here can change any more."""
    wanted = {"of_node": node, "in_states": [int(state) for state in states]}
    return list(connection.execute(_SETTLED, wanted).scalars())


def set_state(connection: Connection, name: str, state: WorkOrderState, version: int | None = None) -> None:
    values = {"state": int(state)} if version is None else {"state": int(state), "version": version}
    connection.execute(_UPDATE_ORDER, values | {"of": name})


def has_block(connection: Connection, work_order: str, number: int) -> bool:
    return connection.execute(_BLOCK_THERE, _named(work_order, number)).scalar() is not None


def insert_block(connection: Connection, block: TaskBlock) -> bool:
    """False, changing nothing, where the block is there already. What it would tell the erased is not kept."""
    if has_block(connection, block.work_order, block.number):
        return False
    block = erasures.forgotten(connection, block)
    row = {
        "work_order": block.work_order,
        "number": block.number,
        "first_key": int(block.keys[0]),
        "last_key": int(block.keys[-1]),
        "tasks": len(block),
        "texts": json.dumps(block.texts, ensure_ascii=False),
    }
    connection.execute(_INSERT_BLOCK, row | _counters(block) | _blobs(block, _STORED))
    return True


def load_block(connection: Connection, work_order: str, number: int) -> TaskBlock | None:
    row = connection.execute(_BLOCK, _named(work_order, number)).one_or_none()
    return None if row is None else _block(row)


def save_block(connection: Connection, block: TaskBlock) -> None:
    """Rewrite what can change of a block that is there: states, reasons, responses, times and the counters."""
    values = _counters(block) | _blobs(block, _MUTABLE)
    connection.execute(_UPDATE_BLOCK, values | _named(block.work_order, block.number))


def save_sent(connection: Connection, work_order: str, number: int, at: int) -> None:
    """A vendor took some of the block at that moment, in milliseconds."""
    connection.execute(_SENT, _named(work_order, number) | {"moment": at})


def save_texts(connection: Connection, block: TaskBlock) -> None:
    """Rewrite the texts of a block that is there."""
    values = _blobs(block, ("text_refs",)) | {"texts": json.dumps(block.texts, ensure_ascii=False)}
    connection.execute(_UPDATE_BLOCK, values | _named(block.work_order, block.number))


def block_numbers(connection: Connection, work_order: str, *, with_state: TaskState | None = None) -> list[int]:
    """Ascending; only blocks holding a task in `with_state`, where it is given."""
    return list(connection.execute(_NUMBERS[with_state], {"of": work_order}).scalars())


def blocks(connection: Connection, work_order: str) -> Iterator[TaskBlock]:
    """All blocks by number, one in memory at a time."""
    for number in block_numbers(connection, work_order):
        yield _block(connection.execute(_BLOCK, _named(work_order, number)).one())


def tasks_of(connection: Connection, key: int) -> Iterator[tuple[TaskBlock, int]]:
    """Every task of a subscriber: its block and its row there, by work order."""
    for name, number in connection.execute(_BLOCKS_OVER, {"key": key}).all():
        block = _block(connection.execute(_BLOCK, _named(name, number)).one())
        row = int(np.searchsorted(block.keys, key))
        if block.keys[row] == key:
            yield block, row


def counts(connection: Connection, work_order: str) -> dict[TaskState, int]:
    """How many tasks are in each state, from the counters; every state is there."""
    row = connection.execute(_COUNTS, {"of": work_order}).one()
    return {state: int(tasks) for state, tasks in zip(STATE_COLUMNS, row, strict=True)}


def received(connection: Connection, work_order: str) -> int:
    """How many of the work order's tasks are here."""
    return int(connection.execute(_RECEIVED, {"of": work_order}).scalar_one())


@cache
def _orders_by(*filters: str) -> Select[Any]:
    by = {
        "of_node": work_order.c.node == bindparam("of_node"),
        "of_campaign": work_order.c.campaign == bindparam("of_campaign"),
        "in_states": work_order.c.state.in_(bindparam("in_states", expanding=True)),
    }
    return select(work_order).where(*(by[name] for name in filters)).order_by(work_order.c.name)


def _named(work_order: str, number: int) -> dict[str, Any]:
    return {"of": work_order, "at": number}


def _work_order(row: Row[Any]) -> WorkOrder:
    fields = dict(row._mapping)
    return WorkOrder(**fields | {"state": WorkOrderState(fields["state"])})


def _block(row: Row[Any]) -> TaskBlock:
    name, number, texts, *blobs = tuple(row)
    columns: dict[str, NDArray[Any]] = {
        column: np.frombuffer(blob, kind) for (column, kind), blob in zip(_STORED.items(), blobs, strict=True)
    }
    return TaskBlock(work_order=name, number=number, texts=tuple(json.loads(texts)), **columns)


def _blobs(block: TaskBlock, names: Iterable[str]) -> dict[str, bytes]:
    return {name: getattr(block, name).astype(_STORED[name], copy=False).tobytes() for name in names}


def _counters(block: TaskBlock) -> dict[str, int]:
    counted = block.counts()
    given_up = block.settled_at[block.states == TaskState.UNKNOWN]
    return {name: int(counted[state]) for state, name in STATE_COLUMNS.items()} | {
        # What is unknown may have been a contact as late as it was given up.
        "last_submitted_at": int(max(block.submitted_at.max(initial=0), given_up.max(initial=0)))
    }
