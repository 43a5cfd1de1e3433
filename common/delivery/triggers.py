"""The trigger documents that HQ publishes, as a node keeps them, and the rules in force."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from sqlalchemy import Connection, Row, bindparam, func, insert, select

from common.delivery.tables import trigger_document as table
from common.kernel.refusal import Refusal
from common.kernel.tag import Catalogue
from common.kernel.trigger_rule import TriggerRule
from common.kernel.trigger_version import TriggerVersion
from common.rules.trigger_document import TriggerDocument, parsed

VERSION_MAX = (1 << 31) - 1
_DIGEST = re.compile(r"[0-9a-f]{64}")

_COLUMNS = select(table.c.version, table.c.name, table.c.document, table.c.paused, table.c.withdrawn)
_NEWEST = _COLUMNS.where(table.c.version.in_(select(func.max(table.c.version)).group_by(table.c.name)))
_IN_ORDER = _NEWEST.order_by(table.c.version)
_OF_NAME = _COLUMNS.where(table.c.name == bindparam("of")).order_by(table.c.version.desc())
_VERSION = _COLUMNS.where(table.c.version == bindparam("of"))
_RECEIVED = select(func.coalesce(func.max(table.c.version), 0))
_INSERT = insert(table)


def newest(connection: Connection) -> list[TriggerVersion]:
    """Of every document, withdrawn ones too, by version."""
    return [_read(row) for row in connection.execute(_IN_ORDER)]


def of_name(connection: Connection, name: str) -> TriggerVersion | None:
    row = connection.execute(_OF_NAME.limit(1), {"of": name}).one_or_none()
    return None if row is None else _read(row)


def of_version(connection: Connection, version: int) -> TriggerVersion | None:
    row = connection.execute(_VERSION, {"of": version}).one_or_none()
    return None if row is None else _read(row)


def received(connection: Connection) -> int:
    """The highest version this node ever had; 0 before the first."""
    return int(connection.execute(_RECEIVED).scalar_one())


def keep(connection: Connection, said: TriggerVersion, objection: str, now: int) -> None:
    row = {
        "version": said.version,
        "name": said.name,
        "document": said.document,
        "paused": json.dumps(said.paused),
        "withdrawn": said.withdrawn,
        "received_at": now,
        "objection": objection,
    }
    connection.execute(_INSERT, row)


def in_force(connection: Connection, tags: Catalogue | None = None) -> dict[str, TriggerDocument]:
    """By name. Of each the newest that this build can read, with the rules paused that the newest of all says.

    With `tags`, those of the node's people, what asks for others of them cannot be read either.
    """
    newest_first = newest(connection)[::-1]
    found = {said.name: _readable(connection, said, tags) for said in newest_first if not said.withdrawn}
    return without_namesakes({name: document for name, document in found.items() if document is not None})


def lists_named(connection: Connection, tags: Catalogue | None = None) -> set[str]:
    """Digests in documents that are in force, with `tags` as `in_force` has it, or may come to be."""
    documents = [said.name for said in newest(connection) if not said.withdrawn]
    versions = (((row.document, row.version) for row in _back_to_withdrawal(connection, name)) for name in documents)
    return {digest for newest_first in versions for digest in digests_of(newest_first, tags)}


def digests_of(newest_first: Iterable[tuple[str, int]], tags: Catalogue | None) -> Iterator[str]:
    """Those that a document's versions, each with its number, name, back to the newest that this node can read."""
    for document, version in newest_first:
        yield from _DIGEST.findall(document)
        if not isinstance(understood(document, version, tags), str):
            return


def without_namesakes(documents: dict[str, TriggerDocument]) -> dict[str, TriggerDocument]:
    """Each rule once, in the first that has it: a rule may have moved from a document whose newest cannot be read."""
    seen, kept = set[str](), dict[str, TriggerDocument]()
    for name, document in documents.items():
        kept[name] = replace(document, rules=tuple(rule for rule in document.rules if rule.name not in seen))
        seen |= {rule.name for rule in document.rules}
    return kept


def _readable(connection: Connection, said: TriggerVersion, tags: Catalogue | None) -> TriggerDocument | None:
    """What was withdrawn is not taken up again for want of something better."""
    for row in _back_to_withdrawal(connection, said.name):
        document = understood(row.document, row.version, tags)
        if not isinstance(document, str):
            return replace(document, rules=_paused(document.rules, said.paused))
    return None


def _back_to_withdrawal(connection: Connection, name: str) -> Iterator[Row[int, str, str, str, bool]]:
    for row in connection.execute(_OF_NAME, {"of": name}):
        if row.withdrawn:
            return
        yield row


def _paused(rules: Sequence[TriggerRule], names: Sequence[str]) -> tuple[TriggerRule, ...]:
    return tuple(replace(rule, paused=rule.paused or rule.name in names) for rule in rules)


def understood(document: str, version: int, tags: Catalogue | None = None) -> TriggerDocument | str:
    """The rules, or why this build, or with `tags` this node, cannot read them."""
    found = _parsed(document, version)
    if isinstance(found, str) or tags is None:
        return found
    return "; ".join(found.lacking(tags)) or found


@lru_cache(maxsize=64)
def _parsed(document: str, version: int) -> TriggerDocument | str:
    try:
        return parsed(document, version)
    except Refusal as refusal:
        return refusal.message


def _read(row: Row[int, str, str, str, bool]) -> TriggerVersion:
    return TriggerVersion(row.version, row.name, row.document, tuple(json.loads(row.paused)), bool(row.withdrawn))
