"""Every decision of this node, and at HQ those that provinces told of, kept to be explained and made again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, bindparam, exists, func, insert, select

from common.delivery.tables import decision
from common.kernel.columns import Rows
from common.kernel.contact_rules import STAGES, Considered, Facts
from common.kernel.decision import Decision, decided, from_bytes, to_bytes

_OF_BLOCK = (decision.c.work_order == bindparam("of"), decision.c.number == bindparam("at"))
_OF_STAGE = (*_OF_BLOCK, decision.c.stage == bindparam("in_stage"))
_RUNS = select(func.coalesce(func.max(decision.c.run), 0)).where(*_OF_STAGE)
_THERE = select(exists().where(*_OF_STAGE, decision.c.run == bindparam("as_run")))
_INSERT = insert(decision)
_ALL = select(decision).where(*_OF_BLOCK)


def record(
    connection: Connection,
    work_order: str,
    number: int,
    stage: str,
    rows: Rows,
    considered: Considered,
    limit: int,
    rivals: Sequence[str] = (),
) -> Decision | None:
    """Keep it, in the transaction of what was decided; answers what was kept. None where nothing was decided."""
    run = 1 + int(connection.execute(_RUNS, {"of": work_order, "at": number, "in_stage": stage}).scalar_one())
    made = decided((work_order, number), stage, run, rows, considered, limit, tuple(rivals))
    if len(made.rows) == 0:
        return None
    connection.execute(_INSERT, _row(made))
    return made


def put(connection: Connection, made: Decision) -> bool:
    """Keep what another node decided. False, changing nothing, where it is known."""
    named = {"of": made.work_order, "at": made.number, "in_stage": made.stage, "as_run": made.run}
    if connection.execute(_THERE, named).scalar():
        return False
    connection.execute(_INSERT, _row(made))
    return True


def of_block(connection: Connection, work_order: str, number: int) -> list[Decision]:
    """All that were made about a block, in order. One that cannot be read any more decides nothing: it has no rows."""
    found = [_decision(row) for row in connection.execute(_ALL, {"of": work_order, "at": number})]
    return sorted(found, key=lambda made: (tuple(STAGES).index(made.stage), made.run))


def _row(made: Decision) -> dict[str, Any]:
    return {
        "work_order": made.work_order,
        "number": made.number,
        "stage": made.stage,
        "run": made.run,
        "decided_at": made.decided_at,
        "policy_version": made.policy_version,
        "rivals": json.dumps(made.rivals),
        "facts": to_bytes(made.rows, made.facts),
        "digest": made.digest,
    }


def _decision(row: Row[Any]) -> Decision:
    rows, facts = _read(row.facts)
    return Decision(
        work_order=row.work_order,
        number=row.number,
        stage=row.stage,
        run=row.run,
        decided_at=row.decided_at,
        policy_version=row.policy_version,
        rivals=tuple(json.loads(row.rivals)),
        rows=rows,
        facts=facts,
        digest=bytes(row.digest),
    )


def _read(record: bytes) -> tuple[Rows, Facts]:
    try:
        return from_bytes(record)
    except ValueError:
        return np.zeros(0, dtype=np.int64), {}
