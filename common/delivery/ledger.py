"""The recipient ledger in SQL: work orders, and their tasks in blocks. Callers own the transactions."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, and_, func, insert, select, update

from common.delivery.tables import STATE_COLUMNS, task_block, work_order
from common.kernel.columns import Keys
from common.kernel.task import TaskState
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


def put_work_order(connection: Connection, order: WorkOrder) -> None:
    """Insert it where it is absent; where it is there, a newer version overwrites it and any other changes nothing."""
    row = asdict(order) | {"state": int(order.state)}
    known = connection.execute(select(work_order.c.version).where(work_order.c.name == order.name)).scalar()
    if known is None:
        connection.execute(insert(work_order).values(row))
    elif order.version > known:
        connection.execute(update(work_order).where(work_order.c.name == order.name).values(row))


def load_work_order(connection: Connection, name: str) -> WorkOrder | None:
    row = connection.execute(select(work_order).where(work_order.c.name == name)).one_or_none()
    return None if row is None else _work_order(row)


def work_orders(
    connection: Connection,
    *,
    node: str | None = None,
    campaign: str | None = None,
    states: Collection[WorkOrderState] | None = None,
) -> list[WorkOrder]:
    """Those that match every filter given, by name."""
    query = select(work_order).order_by(work_order.c.name)
    if node is not None:
        query = query.where(work_order.c.node == node)
    if campaign is not None:
        query = query.where(work_order.c.campaign == campaign)
    if states is not None:
        query = query.where(work_order.c.state.in_([int(state) for state in states]))
    return [_work_order(row) for row in connection.execute(query)]


def set_state(connection: Connection, name: str, state: WorkOrderState, version: int | None = None) -> None:
    values = {"state": int(state)} if version is None else {"state": int(state), "version": version}
    connection.execute(update(work_order).where(work_order.c.name == name).values(values))


def insert_block(connection: Connection, block: TaskBlock) -> bool:
    """False, changing nothing, where the block is there already."""
    there = select(task_block.c.number).where(_is(block.work_order, block.number))
    if connection.execute(there).scalar() is not None:
        return False
    row = {
        "work_order": block.work_order,
        "number": block.number,
        "first_key": int(block.keys[0]),
        "last_key": int(block.keys[-1]),
        "tasks": len(block),
        "texts": json.dumps(block.texts, ensure_ascii=False),
    }
    connection.execute(insert(task_block).values(row | _counters(block) | _blobs(block, _STORED)))
    return True


def load_block(connection: Connection, work_order: str, number: int) -> TaskBlock | None:
    row = connection.execute(_BLOCK.where(_is(work_order, number))).one_or_none()
    return None if row is None else _block(row)


def save_block(connection: Connection, block: TaskBlock) -> None:
    """Rewrite what can change of a block that is there: states, reasons, responses, times and the counters."""
    values = _counters(block) | _blobs(block, _MUTABLE)
    connection.execute(update(task_block).where(_is(block.work_order, block.number)).values(values))


def block_numbers(connection: Connection, work_order: str, *, with_state: TaskState | None = None) -> list[int]:
    """Ascending; only blocks holding a task in `with_state`, where it is given."""
    query = select(task_block.c.number).where(task_block.c.work_order == work_order).order_by(task_block.c.number)
    if with_state is not None:
        query = query.where(task_block.c[STATE_COLUMNS[with_state]] > 0)
    return list(connection.execute(query).scalars())


def blocks(connection: Connection, work_order: str) -> Iterator[TaskBlock]:
    """All blocks by number, one in memory at a time."""
    for number in block_numbers(connection, work_order):
        yield _block(connection.execute(_BLOCK.where(_is(work_order, number))).one())


def counts(connection: Connection, work_order: str) -> dict[TaskState, int]:
    """How many tasks are in each state, from the counters; every state is there."""
    sums = [func.coalesce(func.sum(task_block.c[name]), 0) for name in STATE_COLUMNS.values()]
    row = connection.execute(select(*sums).where(task_block.c.work_order == work_order)).one()
    return {state: int(tasks) for state, tasks in zip(STATE_COLUMNS, row, strict=True)}


def received(connection: Connection, work_order: str) -> int:
    """How many of the work order's tasks are here."""
    tasks = func.coalesce(func.sum(task_block.c.tasks), 0)
    return int(connection.execute(select(tasks).where(task_block.c.work_order == work_order)).scalar_one())


def contacted_between(
    connection: Connection, first: int, last: int, since: int, except_work_order: str, node: str | None = None
) -> Keys:
    """Keys in [first, last] contacted at or after `since` by another work order (of `node`, where given), ascending."""
    query = select(task_block.c["keys"], task_block.c.submitted_at).where(
        task_block.c.first_key <= last,
        task_block.c.last_key >= first,
        task_block.c.last_submitted_at >= since,
        task_block.c.work_order != except_work_order,
    )
    if node is not None:
        query = query.join(work_order, work_order.c.name == task_block.c.work_order).where(work_order.c.node == node)
    found = []
    for raw_keys, raw_times in connection.execute(query):
        keys, times = np.frombuffer(raw_keys, "<i8"), np.frombuffer(raw_times, "<u4")
        found.append(keys[(times >= since) & (times > 0) & (keys >= first) & (keys <= last)])
    return np.unique(np.concatenate(found)) if found else np.zeros(0, dtype=np.int64)


_BLOCK = select(
    task_block.c.work_order, task_block.c.number, task_block.c.texts, *(task_block.c[name] for name in _STORED)
)


def _is(name: str, number: int) -> Any:
    return and_(task_block.c.work_order == name, task_block.c.number == number)


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
    return {name: int(counted[state]) for state, name in STATE_COLUMNS.items()} | {
        "last_submitted_at": int(block.submitted_at.max(initial=0))
    }
