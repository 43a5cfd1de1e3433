"""What a vendor's answers do to the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection

from common.delivery import ledger, settle
from common.delivery.claim import Claimed
from common.delivery.outlet import Outlet
from common.kernel.channel import SendOutcome
from common.kernel.columns import Codes
from common.kernel.refusal import missing
from common.kernel.task import TaskEvent, TaskReason
from common.kernel.task_block import advance

NO_ANSWER = 0
"""Stands beside the SendOutcome codes where the vendor's answer is not known."""

_EVENTS = np.zeros(1 + max(SendOutcome), dtype=np.uint8)
_EVENTS[NO_ANSWER] = TaskEvent.LOSE
_EVENTS[SendOutcome.ACCEPTED] = TaskEvent.ACCEPT
_EVENTS[SendOutcome.DUPLICATE] = TaskEvent.ACCEPT
_EVENTS[SendOutcome.THROTTLED] = TaskEvent.RETURN
_EVENTS[SendOutcome.REFUSED] = TaskEvent.REFUSE
_REASONS = np.zeros(1 + max(SendOutcome), dtype=np.uint8)
_REASONS[NO_ANSWER] = TaskReason.NO_ANSWER
_REASONS[SendOutcome.REFUSED] = TaskReason.VENDOR_REFUSED


@dataclass(frozen=True, slots=True, eq=False)
class Sent:
    """What vendors answered for one claim: an outcome (a SendOutcome or NO_ANSWER) for each row."""

    claimed: Claimed
    outcomes: Codes
    at: int
    """When the last answer came, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Recorded:
    accepted: int
    pending: int
    """Not taken or not answered for: another round must deal with them."""


def record(connection: Connection, sent: Sequence[Sent], dedupes: bool, now: int, outlet: Outlet) -> list[Recorded]:
    """Record it beside receipts that came first.

    Unanswered rows stay as they are where the vendor `dedupes`, to be sent again; else they are lost. A message
    throttled at its second sending may have been taken at its first, so it counts as unanswered.
    """
    return [_record(connection, each, dedupes, now, outlet) for each in sent]


def _record(connection: Connection, sent: Sent, dedupes: bool, now: int, outlet: Outlet) -> Recorded:
    claimed, outcomes = sent.claimed, sent.outcomes
    block = ledger.load_block(connection, claimed.work_order.name, claimed.block.number)
    if block is None:
        raise missing(f"Block {claimed.block.number} of work order {claimed.work_order.name} is gone.")
    waits = (outcomes == NO_ANSWER) & dedupes
    if claimed.resent:
        waits |= outcomes == SendOutcome.THROTTLED
    rows, known = claimed.rows[~waits], outcomes[~waits]
    block, changed = advance(block, rows, _EVENTS[known], _REASONS[known], now)
    accepted = np.isin(outcomes, (SendOutcome.ACCEPTED, SendOutcome.DUPLICATE))
    if claimed.resent:
        block, redated = settle.dated(block, claimed.rows[accepted], now)
        # Also those whose receipt came first: whoever was told of their end must hear when the contact was.
        changed = np.union1d(changed, redated)
    settle.save(connection, block, changed, outlet)
    if accepted.any():
        ledger.save_sent(connection, block.work_order, block.number, sent.at)
    pending = waits | (outcomes == SendOutcome.THROTTLED)
    return Recorded(int(accepted.sum()), int(pending.sum()))
