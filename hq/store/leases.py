"""Whether HQ may lease contacts now: not while it may have forgotten some, and not to a node whose clock disagrees."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection

from common.delivery import fence
from common.delivery.policies import in_force
from common.kernel.incarnation import UNDATED, tokens_usable_from
from common.kernel.policy import CLOCK_MARGIN_SECONDS
from common.kernel.refusal import Fault, Refusal
from common.kernel.work_order import HQ_NODE
from hq.store import policies, provinces

RETRY_SECONDS = 5.0


def fenced(connection: Connection, now: int) -> str:
    """Why HQ, back from a backup, issues nothing yet; empty where it may."""
    own = fence.load(connection)
    if own.fenced_at == UNDATED:
        return "HQ came back from a backup and no peer's clock agrees with its own; nothing is issued before one does"
    until = tokens_usable_from(own, in_force(connection))
    if now < until:
        when = datetime.fromtimestamp(until, UTC).isoformat()
        return f"HQ came back from a backup and what it forgot may count until {when}; nothing is issued before"
    silent = provinces.yet_to_retell(connection, own.number)
    if silent:
        return f"HQ came back from a backup and provinces {', '.join(silent)} have yet to tell it again what they hold"
    return ""


def check(connection: Connection, node: str, now: int) -> None:
    """Raises Refusal RESTORE_FENCED or CLOCK_DISAGREES where nothing may be leased to `node` now.

    Work that needs no lease, such as issuing what is over already, goes on where only a policy is lost.
    """
    why = fenced(connection, now) or _policy_lost(connection, now)
    if why:
        raise Refusal(Fault.BUSY, "RESTORE_FENCED", why, retry_seconds=RETRY_SECONDS)
    off = 0 if node == HQ_NODE else provinces.clock_off_seconds(connection, node)
    if abs(off) > CLOCK_MARGIN_SECONDS:
        message = f"the clock of province {node} is {off} s ahead of HQ's; nothing is leased to it until they agree"
        raise Refusal(Fault.BUSY, "CLOCK_DISAGREES", message, retry_seconds=RETRY_SECONDS)


def _policy_lost(connection: Connection, now: int) -> str:
    """Two levels that share contacts by policies of which nobody can say how they fit might pass every cap."""
    lost = policies.forgotten(connection, in_force(connection), now)
    if not lost:
        return ""
    return (
        f"HQ came back from a backup and has forgotten the contact policy that provinces {', '.join(lost)} have; "
        "nothing is issued before every province has had a newer one for its longest window: apply one"
    )
