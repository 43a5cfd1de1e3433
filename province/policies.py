"""Contact policies here: what this build can read goes into force, of the rest HQ is told why not."""

from __future__ import annotations

import logging

from sqlalchemy import Connection, bindparam, func, insert, select, update

from common.delivery import policies
from common.delivery.tables import policy
from common.kernel.policy import Policy, PolicyDocument, PolicyEvent
from province.uplink import append_policy_event

_log = logging.getLogger(__name__)

_STORED = select(policy.c.document, policy.c.objection).where(policy.c.version == bindparam("of"))
_BEFORE = select(func.coalesce(func.max(policy.c.received_at), 0)).where(policy.c.version < bindparam("of"))
_INSERT = insert(policy)
_JUDGE = update(policy).where(policy.c.version == bindparam("of")).values(objection=bindparam("why"))


def take(connection: Connection, said: PolicyDocument, now: int) -> None:
    """Keep what HQ sent. An older version never goes before a newer one, whenever it comes.

    Nor is a newer one dated before an older one, though a clock that is right by now was ahead when that came.
    """
    stored = connection.execute(_STORED, {"of": said.version}).one_or_none()
    if stored is None:
        why = _objection(said)
        at = max(now, int(connection.execute(_BEFORE, {"of": said.version}).scalar_one()))
        row = {"version": said.version, "document": said.document, "received_at": at, "objection": why}
        connection.execute(_INSERT, row)
        _tell(connection, PolicyEvent(said.version, why), now)
    elif stored.document != said.document:
        _tell(connection, PolicyEvent(said.version, _OTHERWISE), now)


_OTHERWISE = "this version is known here with another content. Apply the policy at HQ again under a new version"


def judge_again(connection: Connection, now: int) -> None:
    """Call at start: this build may read what the one before could not, or the other way round."""
    newest = policies.newest(connection)
    if newest is None:
        return
    why = _objection(newest)
    if why != connection.execute(_STORED, {"of": newest.version}).one().objection:
        connection.execute(_JUDGE, {"of": newest.version, "why": why})
        _tell(connection, PolicyEvent(newest.version, why), now)


def _objection(said: PolicyDocument) -> str:
    found = policies.understood(said.document, said.version)
    return "" if isinstance(found, Policy) else found


def _tell(connection: Connection, event: PolicyEvent, now: int) -> None:
    if event.objection:
        _log.error("policy %s stays out of force: %s", event.version, event.objection)
    append_policy_event(connection, event, now)
