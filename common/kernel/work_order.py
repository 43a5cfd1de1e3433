"""A work order: one campaign wave's share for one channel at one node, and its life as a table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

HQ_NODE = "hq"
LOCAL = "local/"
"""What the names of work orders begin with that a province made itself."""
TRIGGER = f"{LOCAL}trigger/"
"""What the names of those begin with that a trigger rule asked for; the rule's name follows, then the wave."""
GRANT = "grant/"
"""What the names of work orders begin with that HQ issued because a province asked."""


class WorkOrderState(IntEnum):
    """Codes equal those of `liandong.federation.v1.WorkOrderState`."""

    ISSUED = 1
    ACCEPTED = 2
    REJECTED = 3
    PAUSED = 4
    CANCELLED = 5
    COMPLETED = 6


MOVES: dict[WorkOrderState, frozenset[WorkOrderState]] = {
    WorkOrderState.ISSUED: frozenset(
        {WorkOrderState.ACCEPTED, WorkOrderState.REJECTED, WorkOrderState.PAUSED, WorkOrderState.CANCELLED}
    ),
    WorkOrderState.ACCEPTED: frozenset({WorkOrderState.PAUSED, WorkOrderState.CANCELLED, WorkOrderState.COMPLETED}),
    WorkOrderState.PAUSED: frozenset({WorkOrderState.ACCEPTED, WorkOrderState.CANCELLED, WorkOrderState.COMPLETED}),
    WorkOrderState.REJECTED: frozenset(),
    WorkOrderState.CANCELLED: frozenset({WorkOrderState.COMPLETED}),
    WorkOrderState.COMPLETED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """Times are seconds since the Unix epoch, UTC. `node` is "hq" or the two-digit province code."""

    name: str
    campaign: str
    wave: int
    channel: str
    node: str
    offer: str
    start_at: int
    end_at: int
    priority: int
    task_count: int
    state: WorkOrderState = WorkOrderState.ISSUED
    version: int = 1
    product_line: str = ""
    """What the contact policy counts it under; empty: none."""
    service: bool = False
    """A service notice: no marketing rule applies."""
    leased: bool = True
    """HQ has spent its tokens for the contacts. False: they are the executing node's own."""
    incarnation: int = 0
    """The executing node's, as HQ knew it at issue."""
    purpose: str = ""
    """What separate consent it needs; empty: none."""
    policy_version: int = 0
    """The contact policy it was issued under."""


@dataclass(frozen=True, slots=True)
class WorkOrderCommand:
    """What HQ tells the executing node: ACCEPTED resumes, PAUSED and CANCELLED do what they say."""

    work_order: str
    state: WorkOrderState
    version: int


@dataclass(frozen=True, slots=True)
class WorkOrderEvent:
    """What the executing node tells HQ: ACCEPTED, REJECTED or COMPLETED."""

    work_order: str
    state: WorkOrderState
    detail: str = ""


def work_order_name(campaign: str, wave: int, channel: str, node: str) -> str:
    return f"{campaign}/{wave}/{channel}/{node}"


def command(order: WorkOrder, to: WorkOrderState, version: int) -> WorkOrder:
    """Apply a command; one not newer than what is known, or that the state does not allow, changes nothing."""
    if version <= order.version:
        return order
    state = to if to in MOVES[order.state] else order.state
    return replace(order, state=state, version=version)
