"""What each decision was made of, kept with its versions so that it can be explained and made again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, insert, select

from common.delivery.tables import decision
from common.kernel.columns import Rows
from common.kernel.contact_rules import Considered, Facts, from_bytes, to_bytes

_OF_BLOCK = (decision.c.work_order == bindparam("of"), decision.c.number == bindparam("at"))
_RUNS = select(func.coalesce(func.max(decision.c.run), 0)).where(*_OF_BLOCK)
_INSERT = insert(decision)
_ALL = select(decision).where(*_OF_BLOCK).order_by(decision.c.run)


@dataclass(frozen=True, slots=True)
class Decision:
    """`rows` of a block were considered; of those no rule forbade, the first `limit` were taken."""

    work_order: str
    number: int
    run: int
    stage: str
    decided_at: int
    policy_version: int
    limit: int
    rivals: tuple[str, ...]
    rows: Rows
    facts: Facts


def record(
    connection: Connection,
    work_order: str,
    number: int,
    stage: str,
    rows: Rows,
    considered: Considered,
    limit: int,
    rivals: Sequence[str] = (),
) -> None:
    """Keep it, in the transaction of what was decided."""
    run = 1 + int(connection.execute(_RUNS, {"of": work_order, "at": number}).scalar_one())
    row = {
        "work_order": work_order,
        "number": number,
        "run": run,
        "stage": stage,
        "decided_at": considered.now,
        "policy_version": considered.policy.version,
        "limit": limit,
        "rivals": json.dumps(list(rivals)),
        "facts": to_bytes(rows, considered.facts),
    }
    connection.execute(_INSERT, row)


def of_block(connection: Connection, work_order: str, number: int) -> Iterator[Decision]:
    """All that were made about a block, in order."""
    for row in connection.execute(_ALL, {"of": work_order, "at": number}):
        rows, facts = from_bytes(row.facts)
        yield Decision(
            work_order=row.work_order,
            number=row.number,
            run=row.run,
            stage=row.stage,
            decided_at=row.decided_at,
            policy_version=row.policy_version,
            limit=row.limit,
            rivals=tuple(json.loads(row.rivals)),
            rows=rows,
            facts=facts,
        )
