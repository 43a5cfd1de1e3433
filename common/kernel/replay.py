"""Holds the ledger to the decisions that led to it: each is made again from its own record and compared task by task.

The last decision about a task is the one that counts. Whom it suppressed, is suppressed, for that reason and since that
moment; whom it allowed, no rule has suppressed, and no message went to them before. What ended a task later (it was
cancelled, it expired, its vendor refused it) no rule decided, and any such end is right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Mask
from common.kernel.contact_rules import Terms
from common.kernel.decision import Decision, remade
from common.kernel.policy import Policy
from common.kernel.task import TaskReason, TaskState
from common.kernel.task_block import TaskBlock

PolicyOf = Callable[[int], Policy | None]
NOBODY = -1


class Broken(StrEnum):
    """What does not agree."""

    POLICY_MISSING = "policy_missing"
    """The policy it was made by is not here."""
    RECORD_CHANGED = "record_changed"
    """It is not the record that was written, or made again it comes to something else."""
    NOT_SUPPRESSED = "not_suppressed"
    """The decision suppressed the task; the ledger has it otherwise."""
    SUPPRESSED = "suppressed"
    """The decision allowed the task; a rule suppressed it."""
    TOO_EARLY = "too_early"
    """A message went out before the decision that allowed it."""
    UNDECIDED = "undecided"
    """A rule suppressed the task, or a message went out, by no decision that is known."""


@dataclass(frozen=True, slots=True)
class Difference:
    """`task` is -1 where a whole decision is meant. `decided` and `found` are what the decision comes to and what the
    ledger has, by names of states and reasons."""

    work_order: str
    number: int
    task: int
    broken: Broken
    decided: str = ""
    found: str = ""


@dataclass(frozen=True, slots=True)
class Custody:
    """What the ledger of this node holds of a block. `mirrored`: another node decides, and its decisions come before
    what followed from them. `ruled`: reasons that only a decision kept here can have given."""

    mirrored: bool
    ruled: frozenset[TaskReason]


@dataclass(frozen=True, slots=True)
class Replayed:
    """Counts of tasks, but for `decisions`. `awaited`: suppressed elsewhere, which this node has yet to hear."""

    decisions: int
    suppressed: int
    allowed: int
    awaited: int
    differences: list[Difference]


def replay(
    block: TaskBlock, decisions: Sequence[Decision], terms: Terms, policy_of: PolicyOf, custody: Custody
) -> Replayed:
    """`decisions` are all there are about the block, in order."""
    last, at = np.full(len(block), NOBODY), np.zeros(len(block), dtype=np.int64)
    claimed = np.zeros(len(block), dtype=np.bool_)
    for decision in decisions:
        policy = policy_of(decision.policy_version)
        if policy is None:
            return _unmade(block, decisions, Broken.POLICY_MISSING, decision)
        codes, sound = remade(decision, terms, policy)
        if not sound or decision.rows.max(initial=0) >= len(block):
            return _unmade(block, decisions, Broken.RECORD_CHANGED, decision)
        last[decision.rows], at[decision.rows] = codes, decision.decided_at
        claimed[decision.rows] |= decision.stage == "claim"
    broken, awaited = _compared(block, last, at, claimed, custody)
    return Replayed(
        decisions=len(decisions),
        suppressed=int(np.count_nonzero(last > 0)),
        allowed=int(np.count_nonzero(last == 0)),
        awaited=int(np.count_nonzero(awaited)),
        differences=[each for what, mask in broken.items() for each in _told(block, last, what, mask)],
    )


def _unmade(block: TaskBlock, decisions: Sequence[Decision], broken: Broken, decision: Decision) -> Replayed:
    """With one decision gone there is nothing to hold the tasks to."""
    which = f"{decision.stage} {decision.run}"
    return Replayed(len(decisions), 0, 0, 0, [Difference(block.work_order, block.number, -1, broken, which)])


def _compared(
    block: TaskBlock, last: NDArray[np.int64], at: NDArray[np.int64], claimed: Mask, custody: Custody
) -> tuple[dict[Broken, Mask], Mask]:
    """The tasks of each difference, and those awaited."""
    restored = (block.states == TaskState.UNKNOWN) & (block.reasons == TaskReason.RESTORED)
    ruled = (block.states == TaskState.SUPPRESSED) & np.isin(block.reasons, list(custody.ruled))
    sent = (block.submitted_at > 0) & ~restored
    as_decided = (block.states == TaskState.SUPPRESSED) & (block.reasons == last) & (block.settled_at == at) & ~sent
    suppressed, allowed, nobody = last > 0, last == 0, last == NOBODY
    awaited = suppressed & (block.states == TaskState.OPEN) & custody.mirrored
    broken = {
        Broken.NOT_SUPPRESSED: suppressed & ~as_decided & ~awaited & ~(restored & custody.mirrored),
        Broken.SUPPRESSED: allowed & ruled,
        Broken.TOO_EARLY: allowed & claimed & sent & (block.submitted_at < at),
        Broken.UNDECIDED: (nobody & ruled) | (sent & ~claimed & ~suppressed),
    }
    return broken, awaited


def _told(block: TaskBlock, last: NDArray[np.int64], broken: Broken, rows: Mask) -> list[Difference]:
    return [
        Difference(
            work_order=block.work_order,
            number=block.number,
            task=block.first_task + row,
            broken=broken,
            decided=TaskReason(last[row]).name if last[row] != NOBODY else "",
            found=f"{TaskState(block.states[row]).name} {TaskReason(block.reasons[row]).name}",
        )
        for row in np.flatnonzero(rows).tolist()
    ]
