"""Trigger rules of a province's own: put in force and taken out of it here, and told to nobody."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from common.delivery import host_lists
from common.kernel.host_list import HostPart
from common.kernel.refusal import invalid, missing
from common.kernel.trigger_version import LOCAL_PREFIX, NAME
from common.rules.trigger_document import parsed
from province.store import tags, triggers
from province.store.triggers import LocalVersion


def apply(
    connection: Connection, name: str, text: str, now: int, parts: Sequence[HostPart] = ()
) -> tuple[LocalVersion, bool]:
    """The version, and whether it is new: the same text again changes nothing. Raises Refusal TRIGGER_INVALID."""
    _check(connection, name, text)
    for part in parts:
        host_lists.keep(connection, part, now)
    if missed := host_lists.lacking(connection, parsed(text, 0).digests.values()):
        raise invalid(
            f"the list of hosts {missed[0][:12]}… is not here; name its file in the document", "TRIGGER_INVALID"
        )
    current = _newest(connection, name)
    if current is not None and current.document == text and not current.withdrawn:
        return current, False
    return triggers.put_local(connection, name, text, False, now), True


def withdraw(connection: Connection, name: str, now: int) -> tuple[LocalVersion, bool]:
    current = _newest(connection, name)
    if current is None:
        known = ", ".join(said.name for said in triggers.local(connection)) or "none"
        raise missing(f"this province has no trigger document {name} of its own; it has: {known}")
    if current.withdrawn:
        return current, False
    return triggers.put_local(connection, name, "", True, now), True


def _newest(connection: Connection, name: str) -> LocalVersion | None:
    return next((said for said in triggers.local(connection) if said.name == name), None)


def _check(connection: Connection, name: str, text: str) -> None:
    if not NAME.fullmatch(name):
        raise invalid(f"{name!r} is no name of a trigger document; use lower-case letters, digits, - and _, at most 40")
    document = parsed(text, 0)
    rules = sorted(rule.name for rule in document.rules)
    problems = document.lacking(tags.known(connection))
    problems += [
        f"{rule}: a province's own rules are named {LOCAL_PREFIX}…. Write {LOCAL_PREFIX}{rule}"
        for rule in rules
        if not rule.startswith(LOCAL_PREFIX)
    ]
    for other, known in triggers.local_in_force(connection).items():
        names = {rule.name for rule in known.rules} if other != name else set()
        problems += [f"{rule}: document {other} has it, too. Rename one" for rule in rules if rule in names]
    if problems:
        raise invalid("\n".join(["The rules were not applied.", *problems]), "TRIGGER_INVALID")
