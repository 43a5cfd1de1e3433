"""Trigger documents at HQ: a new version goes to every province in the transaction that stores it."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from common.delivery import fence, host_lists, triggers
from common.delivery.tables import incarnation
from common.delivery.triggers import VERSION_MAX
from common.kernel.host_list import PARTS_MAX, HostPart
from common.kernel.refusal import conflict, invalid, missing
from common.kernel.trigger_rule import TriggerRule
from common.kernel.trigger_version import LOCAL_PREFIX, NAME, TriggerEvent, TriggerVersion
from common.runtime import bulk
from hq.store import feed, provinces
from hq.store.tables import trigger_standing

VERSIONS_AN_INCARNATION = 10_000
"""An HQ that came back from a backup numbers on above all that it may have forgotten."""
TOLD_VERSION_MAX = 1_000_000_000
"""What a province tells beyond this does not count: no liar may use the numbers up."""
OBJECTION_CHARS_MAX = 1_000
UNNAMED_SECONDS = 86_400
"""How long a list of hosts waits for the document that names it."""
UNNAMED_PARTS_MAX = 4 * PARTS_MAX
"""Of such lists: 128 MiB."""
NAMES_MAX = 200
"""Documents a province may tell of; as many as anybody publishes."""

_log = logging.getLogger(__name__)

_INCARNATION = select(func.coalesce(func.max(incarnation.c.number), 1))
_STANDING = select(trigger_standing).order_by(trigger_standing.c.name, trigger_standing.c.province)
_OF = select(trigger_standing.c.version, trigger_standing.c.heard).where(
    trigger_standing.c.province == bindparam("code"), trigger_standing.c.name == bindparam("of")
)
_NAMES = select(func.count()).where(trigger_standing.c.province == bindparam("code"))
_TOLD = select(func.coalesce(func.max(trigger_standing.c.heard), 0)).where(trigger_standing.c.heard <= TOLD_VERSION_MAX)
_TOLD_OF = _TOLD.where(trigger_standing.c.name == bindparam("of"))


@dataclass(frozen=True, slots=True)
class Changed:
    now: TriggerVersion
    changed: bool
    told: list[str]
    """Provinces whose control feed grew."""


@dataclass(frozen=True, slots=True)
class AtProvince:
    """What a province made of the versions of a document it was sent."""

    province: str
    version: int
    objection: str


def put_part(connection: Connection, part: HostPart, now: int) -> None:
    """Keep a part of a list that a document is going to name."""
    named = triggers.lists_named(connection)
    host_lists.prune(connection, named, now - UNNAMED_SECONDS)
    here = host_lists.every(connection)
    waiting = sum(digest not in named for digest, _ in here)
    if waiting >= UNNAMED_PARTS_MAX and (part.digest, part.number) not in here:
        message = (
            f"{waiting} parts of lists of hosts that no trigger document names wait here, as many as may. "
            "Apply the documents they belong to; a list that none names is dropped a day after it came"
        )
        raise conflict(message)
    host_lists.keep(connection, part, now)


def fresh_parts(connection: Connection, digests: Collection[str]) -> list[tuple[str, int]]:
    """Digest and number of those that no document in force names yet: those of the others are at the provinces.

    Raises Refusal where the parts of one do not belong together.
    """
    _check_lists(connection, digests)
    known = {digest for each in triggers.in_force(connection).values() for digest in each.digests.values()}
    fresh = sorted(set(digests) - known)
    for digest in fresh:
        host_lists.names(connection, digest)
    return [(digest, number) for digest in fresh for number in host_lists.places(connection, digest)]


def send_part(connection: Connection, digest: str, number: int, now: int) -> list[str]:
    """To every province, ahead of the document that will name it; answers whose control feed grew."""
    part = host_lists.part(connection, digest, number)
    return [] if part is None else feed.put_all(connection, [part], now)


def apply(
    connection: Connection,
    name: str,
    text: str,
    rules: frozenset[str],
    now: int,
    digests: Collection[str] = (),
) -> Changed:
    """Put `text` in force under `name` and send it on; `rules` are the names of those in it.

    `digests` are those of its long lists, all of whose parts are here; the fresh ones have been sent.

    The same text again changes nothing, and what was paused stays so. Raises Refusal TRIGGER_INVALID where a rule's
    name is another's.
    """
    _check_names(connection, name, rules)
    _check_lists(connection, digests)
    current = triggers.of_name(connection, name)
    same = current is not None and current.document == text and not current.withdrawn
    if current is not None and same and _told_of(connection, name) <= current.version:
        return Changed(current, False, [])
    paused = tuple(rule for rule in current.paused if rule in rules) if current is not None else ()
    return _publish(connection, TriggerVersion(0, name, text, paused), now)


def pause(connection: Connection, rule: str, paused: bool, now: int) -> Changed:
    """`paused`: the rule fires for nobody from now on, as soon as a province hears of it; else it fires again."""
    current = _document_of(connection, rule)
    if (rule in current.paused) == paused:
        return Changed(current, False, [])
    others = [name for name in current.paused if name != rule]
    return _publish(connection, replace(current, paused=tuple(sorted(others + [rule] * paused))), now)


def withdraw(connection: Connection, name: str, now: int) -> Changed:
    """Take the document's rules out of force, also where only a province knows it."""
    current, told = triggers.of_name(connection, name), _told_of(connection, name)
    if current is None and not told:
        known = ", ".join(each.name for each in triggers.newest(connection)) or "none"
        raise missing(f"there is no trigger document {name}; there are: {known}")
    if current is not None and current.withdrawn and told <= current.version:
        return Changed(current, False, [])
    return _publish(connection, TriggerVersion(0, name, "", withdrawn=True), now)


def heard(connection: Connection, code: str, event: TriggerEvent) -> None:
    """A province tells what it made of a version. What it tells of an older one changes nothing."""
    if not 0 < event.version <= VERSION_MAX or not NAME.fullmatch(event.name):
        raise invalid(f"trigger document {event.name[:60]!r} {event.version}: there is none; tell of those HQ sent")
    known = connection.execute(_OF, {"code": code, "of": event.name}).one_or_none()
    if known is None and connection.execute(_NAMES, {"code": code}).scalar_one() >= NAMES_MAX:
        _log.error("province %s tells of more than %d trigger documents; passed over", code, NAMES_MAX)
    elif known is None or known.version <= event.version:
        before = (known.version, known.heard) if known else (0, 0)
        _note(connection, code, event, *before)


def at_provinces(connection: Connection) -> dict[str, list[AtProvince]]:
    """By document, also those that HQ does not know; of every enrolled province, by code."""
    told = {(row.name, row.province): row for row in connection.execute(_STANDING)}
    names = {name for name, _ in told} | {each.name for each in triggers.newest(connection)}
    codes = provinces.enrolled(connection)
    return {
        name: [
            AtProvince(code, row.version, row.objection) if (row := told.get((name, code))) else AtProvince(code, 0, "")
            for code in codes
        ]
        for name in sorted(names)
    }


def _check_names(connection: Connection, name: str, rules: frozenset[str]) -> None:
    if not NAME.fullmatch(name):
        raise invalid(f"{name!r} is no name of a trigger document; use lower-case letters, digits, - and _, at most 40")
    problems = [
        f"{rule}: names that begin with {LOCAL_PREFIX} are the provinces' own. Choose another"
        for rule in sorted(rules)
        if rule.startswith(LOCAL_PREFIX)
    ]
    for other, document in triggers.in_force(connection).items():
        twice = sorted(rules & {rule.name for rule in document.rules}) if other != name else []
        problems += [f"{rule}: document {other} has a rule of this name. Rename one of the two" for rule in twice]
    if problems:
        raise invalid("\n".join(["The rules were not applied.", *problems]), "TRIGGER_INVALID")


def _document_of(connection: Connection, rule: str) -> TriggerVersion:
    documents = triggers.in_force(connection)
    rules = {each.name: (name, each) for name, document in documents.items() for each in document.rules}
    if rule not in rules:
        raise missing(f"there is no rule {rule} in force; there are: {', '.join(sorted(rules)) or 'none'}")
    name, found = rules[rule]
    current = triggers.of_name(connection, name)
    assert current is not None  # noqa: S101 - a document in force has a version
    _refuse_written(found, current)
    return current


def _refuse_written(rule: TriggerRule, current: TriggerVersion) -> None:
    if rule.paused and rule.name not in current.paused:
        raise conflict(f"document {current.name} itself says that {rule.name} is paused; change it there and apply it")


def _check_lists(connection: Connection, digests: Collection[str]) -> None:
    missed = host_lists.lacking(connection, digests)
    if missed:
        raise invalid(f"the list of hosts {missed[0][:12]}… is not here whole; apply the document by the command line, "
                      "which sends its lists first", "TRIGGER_INVALID")  # fmt: skip


def _publish(connection: Connection, said: TriggerVersion, now: int) -> Changed:
    new = replace(said, version=_next(connection))
    triggers.keep(connection, new, "", now)
    host_lists.prune(connection, triggers.lists_named(connection), now - UNNAMED_SECONDS)
    fence.raise_mark(connection)
    return Changed(new, True, feed.put_all(connection, [new], now))


def _next(connection: Connection) -> int:
    floor = (int(connection.execute(_INCARNATION).scalar_one()) - 1) * VERSIONS_AN_INCARNATION
    return max(floor, triggers.received(connection), int(connection.execute(_TOLD).scalar_one())) + 1


def _told_of(connection: Connection, name: str) -> int:
    """The newest version of the document at any province: HQ may have come back from a backup."""
    return int(connection.execute(_TOLD_OF, {"of": name}).scalar_one())


def _note(connection: Connection, code: str, event: TriggerEvent, version: int, heard: int) -> None:
    objection = f"{event.version}: {event.objection[:OBJECTION_CHARS_MAX]}" if event.objection else ""
    if objection:
        _log.error("province %s does not apply trigger document %s %s", code, event.name, objection)
    row: dict[str, list[Any]] = {
        "province": [code],
        "name": [event.name],
        "version": [version if objection else event.version],
        "heard": [max(heard, event.version)],
        "objection": [objection],
    }
    bulk.upsert(connection, trigger_standing, row)
