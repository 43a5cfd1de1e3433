"""Whether HQ may lease contacts now: not while it may have forgotten some, and not to a node whose clock disagrees."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection

from common.delivery import fence, policies
from common.kernel.incarnation import tokens_usable_from
from common.kernel.policy import CLOCK_MARGIN_SECONDS
from common.kernel.refusal import Fault, Refusal
from common.kernel.work_order import HQ_NODE
from hq.store import provinces

RETRY_SECONDS = 5.0


def fenced(connection: Connection, now: int) -> str:
    """Why HQ, back from a backup, issues nothing yet; empty where it may."""
    own = fence.load(connection)
    until = tokens_usable_from(own, policies.in_force(connection))
    if now < until:
        when = datetime.fromtimestamp(until, UTC).isoformat()
        return f"HQ came back from a backup and what it forgot may count until {when}; nothing is issued before"
    silent = provinces.yet_to_retell(connection, own.number)
    if silent:
        return f"HQ came back from a backup and provinces {', '.join(silent)} have yet to tell it again what they hold"
    return ""


def check(connection: Connection, node: str, now: int) -> None:
    """Raises Refusal RESTORE_FENCED or CLOCK_DISAGREES where nothing may be leased to `node` now."""
    why = fenced(connection, now)
    if why:
        raise Refusal(Fault.BUSY, "RESTORE_FENCED", why, retry_seconds=RETRY_SECONDS)
    off = 0 if node == HQ_NODE else provinces.clock_off_seconds(connection, node)
    if abs(off) > CLOCK_MARGIN_SECONDS:
        message = f"the clock of province {node} is {off} s ahead of HQ's; nothing is leased to it until they agree"
        raise Refusal(Fault.BUSY, "CLOCK_DISAGREES", message, retry_seconds=RETRY_SECONDS)
