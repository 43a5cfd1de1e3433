"""Between the messages of the two logs and the kernel's values. What arrives is refused whole where it is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from liandong.federation.v1 import feed_pb2, uplink_pb2
from liandong.types.v1 import order_pb2, pool_pb2

from common.kernel.consent import Consents
from common.kernel.decision import Decision
from common.kernel.erasure import Erasures
from common.kernel.host_list import HostPart
from common.kernel.incarnation import Retold
from common.kernel.order import OrderChange, OrderRecords, PoolChange
from common.kernel.policy import PolicyDocument, PolicyEvent
from common.kernel.pool import PoolChanges
from common.kernel.result import Results
from common.kernel.stop import Stops
from common.kernel.task import Response, TaskReason, TaskState
from common.kernel.task_block import TaskBlock, open_block
from common.kernel.trigger_version import TriggerEvent, TriggerVersion
from common.kernel.work_order import WorkOrder, WorkOrderCommand, WorkOrderEvent, WorkOrderState
from common.wire import columns, coordination_codec, decision_codec
from common.wire.columns import check_bytes, check_rows, malformed

TASK_MAX = (1 << 32) - 1
NAME_CHARS_MAX = 200

Fields = dict[str, Any]
"""A submessage by field: built in place inside its entry, where a message would be copied."""

Incoming = (
    WorkOrder
    | TaskBlock
    | WorkOrderCommand
    | Stops
    | OrderRecords
    | PolicyDocument
    | TriggerVersion
    | HostPart
    | Consents
    | Erasures
)
"""What a feed entry holds."""
Outgoing = (
    Results
    | OrderRecords
    | Stops
    | WorkOrderEvent
    | PoolChanges
    | WorkOrder
    | TaskBlock
    | Decision
    | Retold
    | PolicyEvent
    | TriggerEvent
    | Consents
    | Erasures
)
"""What an outbox entry holds."""


def feed_entry(value: Incoming, *, snapshot: bool = False) -> bytes:
    """A FeedEntry without its number. `snapshot` adds what HQ knows of a block's tasks, ended or not."""
    if isinstance(value, TaskBlock):
        return _serialised(feed_pb2.FeedEntry(task_block=task_block_fields(value, snapshot)))
    name, written = _FEED_FIELDS[type(value)]
    fields: dict[str, Any] = {name: written(value)}
    return _serialised(feed_pb2.FeedEntry(**fields))


def read_feed_entry(entry: feed_pb2.FeedEntry, node: str) -> Incoming | None:
    """None for a payload this build does not know. `node` is who the entry is for."""
    name = entry.WhichOneof("payload")
    if name == "work_order":
        return _read_work_order(entry.work_order, node)
    read = _FEED_READERS.get(name or "")
    found: Incoming | None = read(getattr(entry, str(name))) if read else None
    return found


def outbox_entry(value: Outgoing) -> bytes:
    """An OutboxEntry without its number."""
    name, written = _OUTBOX_FIELDS[type(value)]
    fields: dict[str, Any] = {name: written(value)}
    return _serialised(uplink_pb2.OutboxEntry(**fields))


def read_outbox_entry(entry: uplink_pb2.OutboxEntry, node: str = "") -> Outgoing:
    """`node` is who wrote it."""
    name = entry.WhichOneof("payload")
    if name == "work_order":
        return _read_work_order(entry.work_order, node)
    if name not in _OUTBOX_READERS:
        raise malformed(f"outbox entry {entry.sequence}", "no payload this build knows; upgrade HQ first")
    found: Outgoing = _OUTBOX_READERS[name](getattr(entry, name))
    return found


def _serialised(entry: feed_pb2.FeedEntry | uplink_pb2.OutboxEntry) -> bytes:
    payload = entry.SerializeToString(deterministic=True)
    check_bytes(entry.WhichOneof("payload") or "entry", len(payload))
    return payload


def _work_order(order: WorkOrder) -> Fields:
    return Fields(
        name=order.name,
        campaign=order.campaign,
        wave=order.wave,
        channel=order.channel,
        offer=order.offer,
        start_at=order.start_at,
        end_at=order.end_at,
        priority=order.priority,
        task_count=order.task_count,
        state=_sent(order.state),
        version=order.version,
        product_line=order.product_line,
        service=order.service,
        leased=order.leased,
        incarnation=order.incarnation,
        purpose=order.purpose,
        policy_version=order.policy_version,
    )


def _read_work_order(message: feed_pb2.WorkOrder, node: str) -> WorkOrder:
    return WorkOrder(
        name=_name("work order", message.name),
        campaign=message.campaign,
        wave=message.wave,
        channel=message.channel,
        node=node,
        offer=message.offer,
        start_at=message.start_at,
        end_at=message.end_at,
        priority=message.priority,
        task_count=message.task_count,
        state=_state("work order", message.state),
        version=message.version,
        product_line=message.product_line,
        service=message.service,
        leased=message.leased,
        incarnation=message.incarnation,
        purpose=message.purpose,
        policy_version=message.policy_version,
    )


def task_block_fields(block: TaskBlock, snapshot: bool = False) -> Fields:
    check_rows("task block", len(block), block.text_refs)
    told = snapshot or bool((block.states != TaskState.OPEN).any())
    return Fields(
        work_order=block.work_order,
        number=block.number,
        subscriber_key_deltas=columns.to_deltas(block.keys).tolist(),
        texts=block.texts,
        text_refs=block.text_refs.tolist(),
        states=block.states.tolist() if told else (),
        reasons=block.reasons.tolist() if told else (),
    )


def read_task_block(message: feed_pb2.TaskBlock) -> TaskBlock:
    """Tasks are OPEN unless the message says otherwise; it tells states, reasons and nothing else of a task."""
    where = f"block {message.number} of {_name('task block', message.work_order)}"
    states, reasons = message.states, message.reasons or [0] * len(message.states)
    check_rows(where, len(message.subscriber_key_deltas), message.text_refs, *([states, reasons] if states else []))
    keys = columns.from_deltas(where, message.subscriber_key_deltas, columns.KEY_MAX)
    refs = columns.refs(where, message.text_refs, message.texts)
    block = open_block(message.work_order, message.number, keys, tuple(message.texts), refs)
    if not states:
        return block
    known, why = columns.codes(where, states, TaskState), columns.codes(where, reasons, TaskReason)
    return replace(block, states=known, reasons=why)


def _read_command(message: feed_pb2.WorkOrderCommand) -> WorkOrderCommand:
    state = _state("command", message.state)
    return WorkOrderCommand(_name("command", message.work_order), state, message.version)


def _results(results: Results) -> Fields:
    check_rows(
        "results",
        len(results),
        results.states,
        results.reasons,
        results.responses,
        results.submitted_at,
        results.settled_at,
    )
    return Fields(
        work_order=results.work_order,
        task_deltas=columns.to_deltas(results.tasks).tolist(),
        states=results.states.tolist(),
        reasons=results.reasons.tolist(),
        responses=results.responses.tolist(),
        submitted_at=results.submitted_at.tolist(),
        settled_at=results.settled_at.tolist(),
    )


def _read_results(message: uplink_pb2.ResultBlock) -> Results:
    where = f"results of {_name('results', message.work_order)}"
    rest = (message.states, message.reasons, message.responses, message.submitted_at, message.settled_at)
    check_rows(where, len(message.task_deltas), *rest)
    return Results(
        work_order=message.work_order,
        tasks=columns.from_deltas(where, message.task_deltas, TASK_MAX),
        states=columns.codes(where, message.states, TaskState),
        reasons=columns.codes(where, message.reasons, TaskReason),
        responses=columns.codes(where, message.responses, Response),
        submitted_at=columns.times(message.submitted_at),
        settled_at=columns.times(message.settled_at),
    )


def _pool(pool: PoolChanges) -> Fields:
    check_rows("pool", len(pool), pool.changes, pool.changed_at)
    return Fields(
        subscriber_keys=pool.keys.tolist(), changes=pool.changes.tolist(), changed_at=pool.changed_at.tolist()
    )


def _read_pool(message: pool_pb2.PoolBlock) -> PoolChanges:
    check_rows("pool", len(message.subscriber_keys), message.changes, message.changed_at)
    return PoolChanges(
        keys=columns.keys("pool", message.subscriber_keys),
        changes=columns.codes("pool", message.changes, PoolChange),
        changed_at=columns.times(message.changed_at),
    )


def _orders(orders: OrderRecords) -> Fields:
    check_rows("orders", len(orders), orders.source_systems, orders.order_numbers, orders.offers)
    systems, system_refs = columns.dictionary(orders.source_systems)
    offers, offer_refs = columns.dictionary(orders.offers)
    return Fields(
        source_systems=systems,
        source_system_refs=system_refs,
        order_numbers=orders.order_numbers,
        revisions=orders.revisions.tolist(),
        subscriber_keys=orders.keys.tolist(),
        offers=offers,
        offer_refs=offer_refs,
        changes=orders.changes.tolist(),
        amounts_fen=orders.amounts_fen.tolist(),
        accepted_at=orders.accepted_at.tolist(),
    )


def _read_orders(message: order_pb2.OrderBlock) -> OrderRecords:
    where = "orders"
    rest = (
        message.source_system_refs,
        message.revisions,
        message.subscriber_keys,
        message.offer_refs,
        message.changes,
        message.amounts_fen,
        message.accepted_at,
    )
    check_rows(where, len(message.order_numbers), *rest)
    system_refs = columns.refs(where, message.source_system_refs, message.source_systems)
    offer_refs = columns.refs(where, message.offer_refs, message.offers)
    return OrderRecords(
        source_systems=[message.source_systems[ref] for ref in system_refs.tolist()],
        order_numbers=[_name(where, number) for number in message.order_numbers],
        revisions=np.array(message.revisions, dtype=np.int64),
        keys=columns.keys(where, message.subscriber_keys),
        offers=[message.offers[ref] for ref in offer_refs.tolist()],
        changes=columns.codes(where, message.changes, OrderChange),
        amounts_fen=np.array(message.amounts_fen, dtype=np.int64),
        accepted_at=columns.times(message.accepted_at),
    )


def _name(where: str, name: str) -> str:
    if not name or len(name) > NAME_CHARS_MAX:
        raise malformed(where, f"a name of {len(name)} characters; 1 to {NAME_CHARS_MAX} are taken")
    return name


def _sent(state: WorkOrderState) -> Any:
    """The generated types want their own enum, which at run time is an int."""
    return int(state)


def _state(where: str, value: int) -> WorkOrderState:
    try:
        return WorkOrderState(value)
    except ValueError:
        raise malformed(where, f"work order state {value}, which this build does not know") from None


def _command(command: WorkOrderCommand) -> Fields:
    return Fields(work_order=command.work_order, state=_sent(command.state), version=command.version)


def _event(event: WorkOrderEvent) -> Fields:
    return Fields(work_order=event.work_order, state=_sent(event.state), detail=event.detail)


def _read_event(message: uplink_pb2.WorkOrderEvent) -> WorkOrderEvent:
    state = _state("work order event", message.state)
    return WorkOrderEvent(_name("work order event", message.work_order), state, message.detail)


_SHARED_FIELDS: dict[type, tuple[str, Callable[[Any], Fields]]] = {
    Stops: ("stops", coordination_codec.stops),
    Consents: ("consents", coordination_codec.consents),
    Erasures: ("erasures", coordination_codec.erasures),
    OrderRecords: ("orders", _orders),
    WorkOrder: ("work_order", _work_order),
}
_FEED_FIELDS = _SHARED_FIELDS | {
    WorkOrderCommand: ("command", _command),
    PolicyDocument: ("policy", coordination_codec.policy),
    TriggerVersion: ("trigger_version", coordination_codec.trigger_version),
    HostPart: ("host_part", coordination_codec.host_part),
}
_OUTBOX_FIELDS = _SHARED_FIELDS | {
    TaskBlock: ("task_block", task_block_fields),
    Results: ("results", _results),
    Decision: ("decision", decision_codec.decision),
    PoolChanges: ("pool", _pool),
    WorkOrderEvent: ("work_order_event", _event),
    PolicyEvent: ("policy_event", coordination_codec.policy_event),
    TriggerEvent: ("trigger_event", coordination_codec.trigger_event),
    Retold: ("retold", coordination_codec.retold),
}
_SHARED_READERS: dict[str, Callable[[Any], Any]] = {
    "task_block": read_task_block,
    "stops": coordination_codec.read_stops,
    "consents": coordination_codec.read_consents,
    "erasures": coordination_codec.read_erasures,
    "orders": _read_orders,
}
_FEED_READERS = _SHARED_READERS | {
    "command": _read_command,
    "policy": coordination_codec.read_policy,
    "trigger_version": coordination_codec.read_trigger_version,
    "host_part": coordination_codec.read_host_part,
}
_OUTBOX_READERS = _SHARED_READERS | {
    "results": _read_results,
    "decision": decision_codec.read_decision,
    "pool": _read_pool,
    "work_order_event": _read_event,
    "policy_event": coordination_codec.read_policy_event,
    "trigger_event": coordination_codec.read_trigger_event,
    "retold": coordination_codec.read_retold,
}
