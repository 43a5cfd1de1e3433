"""The contact policy at HQ: a new version goes to every province in the transaction that stores it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, select, true, update

from common.delivery import fence, policies
from common.delivery.policies import VERSION_MAX
from common.delivery.policy_document import parsed, refused, source_of
from common.delivery.tables import incarnation, policy, work_order
from common.kernel.incarnation import FIRST, UNDATED
from common.kernel.policy import DEFAULT, SPEND_MARGIN_SECONDS, Policy, PolicyDocument, PolicyEvent, renumbered, unsafe
from common.kernel.refusal import invalid
from hq.store import feed, provinces
from hq.store.tables import province

VERSIONS_AN_INCARNATION = 10_000
"""An HQ that came back from a backup numbers on above all that it may have forgotten."""
TOLD_VERSION_MAX = 1_000_000_000
"""What a province tells beyond this does not count: no liar may use the numbers up."""
OBJECTION_CHARS_MAX = 1_000

_log = logging.getLogger(__name__)

LONG_AGO = -1
"""Before anything was heard."""

_INSERT = insert(policy)
_INCARNATION = select(func.coalesce(func.max(incarnation.c.number), 1))
_SINCE = select(policy.c.version).where(policy.c.version >= bindparam("floor"))
_HERE_BEFORE = select(func.coalesce(func.max(policy.c.version), 0)).where(policy.c.received_at <= bindparam("moment"))
_TOLD = select(func.coalesce(func.max(province.c.policy_version), 0)).where(
    province.c.policy_version <= TOLD_VERSION_MAX
)
_ANY_WORK_ORDER = select(work_order.c.name).limit(1)
_PROVINCES = select(province.c.code, province.c.policy_version, province.c.policy_objection).order_by(province.c.code)
_RECORD = select(province.c.policy_version, province.c.policy_before, province.c.policy_heard_at)
_CONNECTED = _RECORD.where(province.c.seen_at > 0)
_USED = _CONNECTED.add_columns(province.c.code).where(province.c.policy_version <= TOLD_VERSION_MAX)
_VERSIONS = select(policy.c.version)
_LEASED_BY_FORGOTTEN = (
    select(work_order.c.name)
    .where(
        work_order.c.leased == true(),
        work_order.c.end_at > bindparam("since"),
        work_order.c.policy_version != DEFAULT.version,
        work_order.c.policy_version.not_in(_VERSIONS),
    )
    .limit(1)
)
_OF = _RECORD.where(province.c.code == bindparam("of"), province.c.policy_version <= bindparam("version"))
_UPDATE = update(province).where(province.c.code == bindparam("of"))
_IN_FORCE = _UPDATE.values(
    policy_version=bindparam("told"),
    policy_objection="",
    policy_before=bindparam("before"),
    policy_heard_at=bindparam("heard_at"),
)
_DATE = update(province).where(province.c.policy_heard_at == UNDATED).values(policy_heard_at=bindparam("moment"))
_OBJECTED = _UPDATE.values(policy_objection=bindparam("objection"))


@dataclass(frozen=True, slots=True)
class Applied:
    version: int
    changed: bool
    told: list[str]
    """Provinces whose control feed grew."""


@dataclass(frozen=True, slots=True)
class AtProvince:
    """What a province made of the policies it was sent."""

    province: str
    version: int
    objection: str


def apply(connection: Connection, text: str, document: str, now: int) -> Applied:
    """Put the `document` made of `text` in force here and send it on. The same content again changes nothing.

    Raises Refusal POLICY_INVALID where a cap could be exceeded while some decide by an older version, or by one that
    HQ forgot in a restore.
    """
    current, new = policies.in_force(connection), parsed(document, 0)
    if current.version > 0 and new == renumbered(current, 0) and _newest_known(connection) == current.version:
        return Applied(current.version, False, [])
    if forgotten(connection, new, now) and _spent_by_forgotten(connection, now - _longest(new)):
        raise refused([source_of(text).problem(("caps",), _FORGOTTEN)])
    unsound = list(unsafe(new, current, _earlier(connection, new, now))) if _anybody_contacted(connection) else []
    if unsound:
        raise refused([source_of(text).problem(place, _UNSAFE) for place in unsound])
    version = _next(connection)
    row = {"version": version, "document": document, "received_at": now, "objection": ""}
    connection.execute(_INSERT, row)
    fence.raise_mark(connection)
    told = provinces.enrolled(connection)
    for code in told:
        feed.put(connection, code, [PolicyDocument(version, document)], now)
    return Applied(version, True, told)


_UNSAFE = (
    "gives contacts to one level that the other may still spend, or is stricter in one window and looser in another, "
    "while an older policy is in use. First apply what is stricter; the rest when every province has had that, as "
    "`liandong policy show` tells, for the longest window"
)


_FORGOTTEN = (
    "HQ came back from a backup and has forgotten a version that provinces decide by. What was contacted by it may "
    "still count by this one: apply this when the longest window has passed since the restore and since the end of "
    "what was issued by that version"
)


def forgotten(connection: Connection, counting: Policy, now: int) -> list[str]:
    """Provinces that contact by a version which HQ forgot in a restore, or whose contacts by one `counting` may count.

    An HQ that never came back forgot nothing: what it does not know there is none of.
    """
    if fence.load(connection).number == FIRST:
        return []
    known, since = {DEFAULT.version, *connection.execute(_VERSIONS).scalars()}, now - _longest(counting)
    used = connection.execute(_USED).all()
    return [row.code for row in used if not {row.policy_version, _floor(row, since)} <= known]


def _spent_by_forgotten(connection: Connection, since: int) -> bool:
    """Whether HQ, as it was, may have spent contacts after `since` by a version it forgot."""
    own = fence.load(connection)
    if own.fenced_at > since or provinces.yet_to_retell(connection, own.number):
        return True
    return connection.execute(_LEASED_BY_FORGOTTEN, {"since": since}).first() is not None


def heard(connection: Connection, code: str, event: PolicyEvent, now: int) -> None:
    """A province tells what it made of a version. What it tells of an older one changes nothing.

    Where `now` is UNDATED, the version before counts as in force there until `date` is called.
    """
    if not 0 < event.version <= VERSION_MAX:
        raise invalid(f"policy version {event.version}: there is none; tell of those that HQ sent")
    known = connection.execute(_OF, {"of": code, "version": event.version}).one_or_none()
    if known is not None and event.objection:
        objection = f"{event.version}: {event.objection[:OBJECTION_CHARS_MAX]}"
        _log.error("province %s does not apply policy %s", code, objection)
        connection.execute(_OBJECTED, {"of": code, "objection": objection})
    elif known is not None:
        rises = known.policy_version < event.version
        since = LONG_AGO if now == UNDATED else now - _longest(policies.in_force(connection))
        before = _floor(known, since) if rises else known.policy_before
        heard_at = now if rises else known.policy_heard_at
        connection.execute(_IN_FORCE, {"of": code, "told": event.version, "before": before, "heard_at": heard_at})


def date(connection: Connection, now: int) -> None:
    """What was heard while nobody could tell the time counts as heard now."""
    connection.execute(_DATE, {"moment": now})


def at_provinces(connection: Connection) -> list[AtProvince]:
    """Of every enrolled province, by code."""
    return [AtProvince(row.code, row.policy_version, row.policy_objection) for row in connection.execute(_PROVINCES)]


def _anybody_contacted(connection: Connection) -> bool:
    return connection.execute(_ANY_WORK_ORDER).first() is not None


def _earlier(connection: Connection, new: Policy, now: int) -> Sequence[Policy]:
    """By which policies contacts may be decided somewhere, or were within the longest window."""
    since = now - max(_longest(policies.in_force(connection)), _longest(new))
    here = int(connection.execute(_HERE_BEFORE, {"moment": since}).scalar_one())
    floor = min([here, *(_floor(each, since) for each in connection.execute(_CONNECTED))])
    versions = [*([0] if floor == 0 else []), *connection.execute(_SINCE, {"floor": floor}).scalars()]
    return [known for version in versions if (known := policies.of_version(connection, version)) is not None]


def _floor(row: Row[*tuple[Any, ...]], since: int) -> int:
    """No older version was in force at the province after `since`."""
    return int(row.policy_version if row.policy_heard_at <= since else row.policy_before)


def _longest(policy: Policy) -> int:
    return policy.longest_window_seconds + SPEND_MARGIN_SECONDS


def _newest_known(connection: Connection) -> int:
    """Here or at a province: HQ may have come back from a backup, or to an older build."""
    return max(policies.received(connection), int(connection.execute(_TOLD).scalar_one()))


def _next(connection: Connection) -> int:
    floor = (int(connection.execute(_INCARNATION).scalar_one()) - 1) * VERSIONS_AN_INCARNATION
    return max(floor, _newest_known(connection)) + 1
