"""What a province reports of its tasks, mirrored into HQ's ledger."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from common.kernel.columns import Codes, Mask
from common.kernel.result import Results
from common.kernel.task import REPORT_EVENT, STATE_CODES, TERMINAL, TaskReason, TaskState
from common.kernel.task_block import TaskBlock, advance, respond, undecided


def _events() -> Codes:
    table = np.zeros(STATE_CODES, dtype=np.uint8)
    for state, event in REPORT_EVENT.items():
        table[state] = event
    return table


EVENT_OF_STATE = _events()


def belongs(block: TaskBlock, results: Results) -> bool:
    """Whether every task reported is a row of `block`."""
    rows = results.tasks - block.first_task
    return bool((rows >= 0).all() and (rows < len(block)).all())


def mirror(block: TaskBlock, results: Results, *, restored: bool = False) -> TaskBlock:
    """`block` as its province knows it. Applying results again, or older ones later, changes nothing.

    An HQ that was `restored` may have issued again, in a history it lost, what it remembers to have suppressed: there
    a vendor's answer wins.
    """
    rows = results.tasks - block.first_task
    if restored:
        block = undecided(block, rows[_answered(results) & (block.states[rows] == TaskState.SUPPRESSED)])
    terminal = _terminal(results.states)
    events, reasons = EVENT_OF_STATE[results.states[terminal]], results.reasons[terminal]
    block, _ = advance(block, rows[terminal], events, reasons, results.settled_at[terminal])
    submitted = block.submitted_at.copy()
    submitted[rows] = np.maximum(submitted[rows], results.submitted_at)
    block, _ = respond(replace(block, submitted_at=submitted), rows, results.responses)
    return block


def settled(block: TaskBlock) -> bool:
    return bool(_terminal(block.states).all())


def _answered(results: Results) -> Mask:
    """Which of them a vendor was asked for and spoke of."""
    expired = (results.states == TaskState.EXPIRED) & (results.reasons == TaskReason.VENDOR_EXPIRED)
    found: Mask = expired | np.isin(results.states, (TaskState.DELIVERED, TaskState.FAILED))
    return found


def _terminal(states: Codes) -> Mask:
    found: Mask = states >= min(TERMINAL)
    return found
