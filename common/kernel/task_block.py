"""A block of up to 10,000 tasks of one work order, held as columns; row i is task `number * BLOCK_ROWS + i`.

Blocks are cut from the audience sorted by subscriber key, so a block covers a key range and every join with stops,
orders or other blocks is a merge. HQ and the executing node cut the same blocks, so a task number finds the same row
at both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Codes, Keys, Mask, Refs, Rows, Times
from common.kernel.task import (
    IN_FLIGHT,
    NEXT,
    STATE_CODES,
    TERMINAL,
    TaskEvent,
    TaskReason,
    TaskState,
)

BLOCK_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class TaskBlock:
    """All columns have one length. `texts` is the dictionary that `text_refs` points into."""

    work_order: str
    number: int
    keys: Keys
    states: Codes
    reasons: Codes
    responses: Codes
    submitted_at: Times
    settled_at: Times
    texts: tuple[str, ...]
    text_refs: Refs

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def first_task(self) -> int:
        return self.number * BLOCK_ROWS

    def counts(self) -> NDArray[np.int64]:
        """How many tasks are in each state, indexed by state code."""
        return np.bincount(self.states, minlength=STATE_CODES)


def open_block(work_order: str, number: int, keys: Keys, texts: tuple[str, ...], text_refs: Refs) -> TaskBlock:
    """A block of tasks just issued. `keys` must be ascending and unique."""
    rows = len(keys)
    return TaskBlock(
        work_order=work_order,
        number=number,
        keys=keys,
        states=np.full(rows, TaskState.OPEN, dtype=np.uint8),
        reasons=np.zeros(rows, dtype=np.uint8),
        responses=np.zeros(rows, dtype=np.uint8),
        submitted_at=np.zeros(rows, dtype=np.uint32),
        settled_at=np.zeros(rows, dtype=np.uint32),
        texts=texts,
        text_refs=text_refs,
    )


def advance(
    block: TaskBlock,
    rows: Rows,
    events: TaskEvent | Codes,
    reasons: TaskReason | Codes,
    now: int | Times,
) -> tuple[TaskBlock, Rows]:
    """Apply one event to each of `rows` (unique); answers the new block and the rows that changed.

    A row whose state does not allow its event stays as it is. BOOK dates `submitted_at`; RETURN and REFUSE clear it
    (the contact did not happen); reaching a terminal state dates `settled_at` and records the reason.
    """
    before = block.states[rows]
    after = NEXT[np.broadcast_to(np.asarray(events, dtype=np.uint8), before.shape), before]
    moved = after != before
    if not moved.any():
        return block, rows[:0]
    changed, reached = rows[moved], after[moved]
    event = np.broadcast_to(np.asarray(events, dtype=np.uint8), before.shape)[moved]
    reason = np.broadcast_to(np.asarray(reasons, dtype=np.uint8), before.shape)[moved]
    time = np.broadcast_to(np.asarray(now, dtype=np.uint32), before.shape)[moved]
    states, codes = block.states.copy(), block.reasons.copy()
    submitted, settled = block.submitted_at.copy(), block.settled_at.copy()
    states[changed] = reached
    booked = event == TaskEvent.BOOK
    submitted[changed[booked]] = time[booked]
    undone = (event == TaskEvent.RETURN) | (event == TaskEvent.REFUSE)
    submitted[changed[undone]] = 0
    terminal = np.isin(reached, TERMINAL)
    settled[changed[terminal]] = time[terminal]
    codes[changed[terminal]] = reason[terminal]
    return replace(block, states=states, reasons=codes, submitted_at=submitted, settled_at=settled), changed


def reopened(block: TaskBlock) -> TaskBlock:
    """The block as it was issued, with every task open."""
    return open_block(block.work_order, block.number, block.keys, block.texts, block.text_refs)


def undecided(block: TaskBlock, rows: Rows) -> TaskBlock:
    """`rows` open once more, as though nobody had decided on them."""
    states, reasons, settled = block.states.copy(), block.reasons.copy(), block.settled_at.copy()
    states[rows], reasons[rows], settled[rows] = TaskState.OPEN, TaskReason.NONE, 0
    return replace(block, states=states, reasons=reasons, settled_at=settled)


def respond(block: TaskBlock, rows: Rows, responses: Codes) -> tuple[TaskBlock, Rows]:
    """Record replies (rows may repeat; the highest response wins); answers the new block and the rows that changed."""
    merged = block.responses.copy()
    np.maximum.at(merged, rows, responses)
    return replace(block, responses=merged), np.flatnonzero(merged != block.responses)


def without_texts(block: TaskBlock, rows: Rows) -> TaskBlock:
    """What was written to `rows` replaced by an empty text; a text nobody else is sent is gone."""
    texts = (*block.texts, "")
    refs = block.text_refs.copy()
    refs[rows] = texts.index("")
    used, places = np.unique(refs, return_inverse=True)
    return replace(block, texts=tuple(texts[ref] for ref in used.tolist()), text_refs=places.astype(np.uint32))


def unsettled(block: TaskBlock) -> Mask:
    return block.states < min(TERMINAL)


def in_flight(block: TaskBlock) -> Mask:
    found: Mask = np.isin(block.states, IN_FLIGHT)
    return found
