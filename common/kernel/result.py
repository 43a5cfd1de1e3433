"""Execution results (执行结果): what became of tasks of one work order, as columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.kernel.columns import Codes, Rows, Times
from common.kernel.task_block import TaskBlock


@dataclass(frozen=True, slots=True)
class Results:
    """All columns have one length; `tasks` ascending and unique."""

    work_order: str
    tasks: Rows
    states: Codes
    reasons: Codes
    responses: Codes
    submitted_at: Times
    settled_at: Times

    def __len__(self) -> int:
        return len(self.tasks)

    def take(self, rows: Rows) -> Results:
        return Results(
            work_order=self.work_order,
            tasks=self.tasks[rows],
            states=self.states[rows],
            reasons=self.reasons[rows],
            responses=self.responses[rows],
            submitted_at=self.submitted_at[rows],
            settled_at=self.settled_at[rows],
        )


def results_of(block: TaskBlock, rows: Rows) -> Results:
    """What `rows` of `block` stand at now, by task number."""
    chosen = np.unique(rows)
    return Results(
        work_order=block.work_order,
        tasks=block.first_task + chosen,
        states=block.states[chosen],
        reasons=block.reasons[chosen],
        responses=block.responses[chosen],
        submitted_at=block.submitted_at[chosen],
        settled_at=block.settled_at[chosen],
    )
