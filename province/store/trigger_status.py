"""How trigger rules did of late at this province: fires, contacts and how long each stage took, from what is stored."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, String, bindparam, cast, literal, select

from common.delivery.tables import task_block, work_order
from common.kernel.task import TaskReason, TaskState
from common.kernel.task_block import BLOCK_ROWS
from common.kernel.work_order import TRIGGER
from province.fire import Fate
from province.store import fires
from province.store.tables import local_request, trigger_wave

STAGES = ("match", "decide", "send", "receipt", "total")
"""Event to fire, to decision, to the vendor's answer, to its receipt; and event to the vendor's answer. The wait that
an offer asks for itself counts for none of them."""
PERCENTILES = (50, 99)

Document = dict[str, Any]
Taken = dict[str, list[NDArray[np.int64]]]
"""Milliseconds by stage."""

_SENT = (
    select(
        local_request.c.rule,
        local_request.c.event_at,
        local_request.c.fired_at,
        local_request.c.decided_at,
        work_order.c.start_at,
        task_block.c.number,
        task_block.c.sent_at,
        task_block.c.states,
        task_block.c.reasons,
        task_block.c.submitted_at,
        task_block.c.settled_at,
    )
    .join(
        work_order,
        (work_order.c.campaign == literal(TRIGGER) + cast(local_request.c.rule, String))
        & (work_order.c.wave == local_request.c.wave),
    )
    .join(task_block, task_block.c.work_order == work_order.c.name)
    .where(local_request.c.rule != "", local_request.c.fired_at >= bindparam("since"))
)
_SCENES = select(trigger_wave.c.rule, trigger_wave.c.scene).order_by(trigger_wave.c.scene, trigger_wave.c.rule)


def status(connection: Connection, since: int) -> Document:
    """Of what was handed over since then (milliseconds), as JSON shows it."""
    scenes = {row.rule: row.scene for row in connection.execute(_SCENES)}
    fired = fires.counts(connection, since)
    contacts, taken = _contacts(connection, since)
    by_scene: dict[str, list[Taken]] = defaultdict(list)
    for rule, scene in scenes.items():
        by_scene[scene].append(taken[rule])
    return {
        "since": since,
        "scenes": [{"scene": scene, "latency_ms": _latencies(of)} for scene, of in by_scene.items()],
        "rules": [
            {
                "rule": rule,
                "scene": scene,
                "fires": {Fate(fate).name.lower(): times for fate, times in sorted(fired.get(rule, {}).items())},
                "contacts": dict(sorted(contacts[rule].items())),
                "latency_ms": _latencies([taken[rule]]),
            }
            for rule, scene in scenes.items()
        ],
    }


def _contacts(connection: Connection, since: int) -> tuple[dict[str, Counter[str]], dict[str, Taken]]:
    """By rule: tasks by state, those without contact by reason as well; and how long each stage took."""
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    taken: dict[str, Taken] = defaultdict(lambda: {stage: [] for stage in STAGES})
    for row in connection.execute(_SENT, {"since": since}):
        states, why = np.frombuffer(row.states, "u1"), np.frombuffer(row.reasons, "u1")
        counted[row.rule].update(dict(_outcomes(states, why)))
        for stage, millis in _stages(row, states):
            taken[row.rule][stage].append(millis)
    return counted, taken


def _outcomes(states: NDArray[np.uint8], reasons: NDArray[np.uint8]) -> Iterator[tuple[str, int]]:
    """Each that occurs, and how often."""
    pairs, times = np.unique(states.astype(np.uint16) << 8 | reasons, return_counts=True)
    for pair, count in zip(pairs.tolist(), times.tolist(), strict=True):
        state, why = divmod(pair, 256)
        yield TaskState(state).name.lower() + (f":{TaskReason(why).name.lower()}" if why else ""), count


def _stages(row: Any, states: NDArray[np.uint8]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    first = row.number * BLOCK_ROWS
    event_at = np.frombuffer(row.event_at, "<i8")[first : first + len(states)]
    submitted, settled = np.frombuffer(row.submitted_at, "<u4"), np.frombuffer(row.settled_at, "<u4").astype(np.int64)
    match, decide = row.fired_at - event_at, np.full(len(states), row.decided_at - row.fired_at)
    yield "match", match
    yield "decide", decide
    if row.sent_at:
        sent = np.flatnonzero(submitted)
        send = np.full(len(sent), row.sent_at - max(row.decided_at, row.start_at * 1000))
        yield "send", send
        yield "total", match[sent] + decide[sent] + send
        told = np.flatnonzero(states == TaskState.DELIVERED)
        yield "receipt", np.maximum(settled[told] * 1000 - row.sent_at, 0)


def _latencies(of: Sequence[Taken]) -> Document:
    told: Document = {}
    for stage in STAGES:
        millis = np.concatenate([part for taken in of for part in taken[stage]] or [np.zeros(0, dtype=np.int64)])
        if len(millis):
            percentiles = np.percentile(millis, PERCENTILES, method="higher").astype(int).tolist()
            told[stage] = {"count": len(millis)} | {f"p{n}": at for n, at in zip(PERCENTILES, percentiles, strict=True)}
    return told
