"""Between the message that tells of a decision and the kernel's value."""

from __future__ import annotations

from typing import Any

from liandong.federation.v1 import uplink_pb2

from common.kernel.columns import Rows
from common.kernel.contact_rules import STAGES, Facts
from common.kernel.decision import DIGEST_BYTES, Decision, from_bytes, to_bytes
from common.kernel.task_block import BLOCK_ROWS
from common.wire.columns import check_rows, malformed

Fields = dict[str, Any]
NAME_CHARS_MAX = 200
RUN_MAX = (1 << 31) - 1


def decision(made: Decision) -> Fields:
    check_rows("decision", len(made.rows))
    return Fields(
        work_order=made.work_order,
        block_number=made.number,
        stage=made.stage,
        run=made.run,
        decided_at=made.decided_at,
        policy_version=made.policy_version,
        rivals=made.rivals,
        facts=to_bytes(made.rows, made.facts),
        digest=made.digest,
    )


def read_decision(message: uplink_pb2.Decision) -> Decision:
    where = f"decision about block {message.block_number} of {message.work_order[:NAME_CHARS_MAX]}"
    names = (message.work_order, *message.rivals)
    if any(not 0 < len(name) <= NAME_CHARS_MAX for name in names) or len(message.rivals) > BLOCK_ROWS:
        raise malformed(where, f"names without 1 to {NAME_CHARS_MAX} characters, or more than {BLOCK_ROWS} of them")
    if message.stage not in STAGES or not 0 < message.run <= RUN_MAX or len(message.digest) != DIGEST_BYTES:
        raise malformed(where, "a stage, run or digest that no decision has")
    rows, facts = _record(where, message.facts)
    check_rows(where, len(rows))
    return Decision(
        work_order=message.work_order,
        number=message.block_number,
        stage=message.stage,
        run=message.run,
        decided_at=message.decided_at,
        policy_version=message.policy_version,
        rivals=tuple(message.rivals),
        rows=rows,
        facts=facts,
        digest=message.digest,
    )


def _record(where: str, record: bytes) -> tuple[Rows, Facts]:
    try:
        return from_bytes(record)
    except ValueError as error:
        raise malformed(where, str(error)) from error
