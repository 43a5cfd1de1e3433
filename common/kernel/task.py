"""The task machine: what may become of one subscriber in one work order, as a table.

Codes equal those of `liandong.types.v1`. A terminal state never changes and repeating an event changes nothing, so
receipts and results may arrive late, twice and in any order.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from common.kernel.columns import Codes


class TaskState(IntEnum):
    OPEN = 1
    SUBMITTING = 2
    SUBMITTED = 3
    DELIVERED = 4
    SUPPRESSED = 5
    EXPIRED = 6
    FAILED = 7
    UNKNOWN = 8


class TaskReason(IntEnum):
    NONE = 0
    STOPPED = 1
    ORDERED = 2
    CONTACT_CAP = 3
    CANCELLED = 4
    INACTIVE = 5
    NO_NUMBER = 6
    OUTRANKED = 7
    CAPACITY = 8
    NO_CONSENT = 9
    COOLING = 10
    BLACKLISTED = 11
    ERASED = 12
    VENDOR_REFUSED = 20
    UNDELIVERABLE = 21
    NO_RECEIPT = 40
    NO_ANSWER = 41
    RESTORED = 42
    VALIDITY_OVER = 60
    VENDOR_EXPIRED = 61


class Response(IntEnum):
    """What the subscriber answered; a higher one wins."""

    NONE = 0
    RESPONDED = 1
    INTERESTED = 2
    REFUSED = 3
    OPTED_OUT = 4


class TaskEvent(IntEnum):
    SUPPRESS = 0
    """A rule forbids the contact."""
    EXPIRE = 1
    """Validity over, found before submitting or reported by the vendor."""
    BOOK = 2
    """The contact is spent and about to be submitted."""
    RETURN = 3
    """The vendor definitely did not take it and may later."""
    ACCEPT = 4
    """The vendor took it."""
    REFUSE = 5
    """The vendor will never take it."""
    DELIVER = 6
    UNDELIVERABLE = 7
    LOSE = 8
    """No answer or no receipt, and nobody to ask."""
    REPORT_DELIVERED = 9
    """The five REPORT events mirror, at HQ, the terminal state a province reached."""
    REPORT_SUPPRESSED = 10
    REPORT_EXPIRED = 11
    REPORT_FAILED = 12
    REPORT_UNKNOWN = 13
    GIVE_UP = 14
    """The node came back from a backup: what it had yet to send, it may have sent."""


TERMINAL = (
    TaskState.DELIVERED,
    TaskState.SUPPRESSED,
    TaskState.EXPIRED,
    TaskState.FAILED,
    TaskState.UNKNOWN,
)
IN_FLIGHT = (TaskState.SUBMITTING, TaskState.SUBMITTED)
CONTACTED = (TaskState.DELIVERED, TaskState.UNKNOWN)
"""What counts as a contact once the task is terminal."""
TAKEN_IN_VAIN = (TaskReason.UNDELIVERABLE, TaskReason.VENDOR_EXPIRED)
"""Why a message that a vendor took came to nobody: no contact, but it was submitted."""
UNSETTLED = (TaskState.OPEN, *IN_FLIGHT)
YET_TO_SEND = (TaskState.OPEN, TaskState.SUBMITTING)
"""What a restored node may have sent since its backup; for what was submitted already, a receipt may yet come."""

TRANSITIONS: dict[TaskEvent, dict[TaskState, TaskState]] = {
    TaskEvent.SUPPRESS: {TaskState.OPEN: TaskState.SUPPRESSED},
    TaskEvent.EXPIRE: dict.fromkeys(UNSETTLED, TaskState.EXPIRED),
    TaskEvent.BOOK: {TaskState.OPEN: TaskState.SUBMITTING},
    TaskEvent.RETURN: {TaskState.SUBMITTING: TaskState.OPEN},
    TaskEvent.ACCEPT: {TaskState.SUBMITTING: TaskState.SUBMITTED},
    TaskEvent.REFUSE: {TaskState.SUBMITTING: TaskState.FAILED},
    TaskEvent.DELIVER: dict.fromkeys(IN_FLIGHT, TaskState.DELIVERED),
    TaskEvent.UNDELIVERABLE: dict.fromkeys(IN_FLIGHT, TaskState.FAILED),
    TaskEvent.LOSE: dict.fromkeys(IN_FLIGHT, TaskState.UNKNOWN),
    TaskEvent.REPORT_DELIVERED: dict.fromkeys(UNSETTLED, TaskState.DELIVERED),
    TaskEvent.REPORT_SUPPRESSED: dict.fromkeys(UNSETTLED, TaskState.SUPPRESSED),
    TaskEvent.REPORT_EXPIRED: dict.fromkeys(UNSETTLED, TaskState.EXPIRED),
    TaskEvent.REPORT_FAILED: dict.fromkeys(UNSETTLED, TaskState.FAILED),
    TaskEvent.REPORT_UNKNOWN: dict.fromkeys(UNSETTLED, TaskState.UNKNOWN),
    TaskEvent.GIVE_UP: dict.fromkeys(YET_TO_SEND, TaskState.UNKNOWN),
}

REPORT_EVENT: dict[TaskState, TaskEvent] = {
    TaskState.DELIVERED: TaskEvent.REPORT_DELIVERED,
    TaskState.SUPPRESSED: TaskEvent.REPORT_SUPPRESSED,
    TaskState.EXPIRED: TaskEvent.REPORT_EXPIRED,
    TaskState.FAILED: TaskEvent.REPORT_FAILED,
    TaskState.UNKNOWN: TaskEvent.REPORT_UNKNOWN,
}

STATE_CODES = 1 + max(TaskState)


def _next_table() -> Codes:
    table = np.tile(np.arange(STATE_CODES, dtype=np.uint8), (len(TaskEvent), 1))
    for event, moves in TRANSITIONS.items():
        for state, reached in moves.items():
            table[event, state] = reached
    return table


NEXT: Codes = _next_table()
"""NEXT[event, state] is the state reached; where nothing may happen it is the state itself."""
