"""Conditions over events: the rule language over the fields that all types of a rule have, tags and orders."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from common.kernel.event import EventType, Field, Kind
from common.kernel.event_catalogue import event_type
from common.kernel.tag import Catalogue, Tag, TagType
from common.rules.rule_language import Language, Rule, check_rule

INSIDE, VISITS, OWNS = "inside", "visits", "owns"
TAG_PREFIX = "tag."
EVENT = "event"
"""The column that holds the name of the event's type."""
EVERY = "TRUE"

TYPES: dict[Kind, TagType] = {
    Kind.INT: TagType.INTEGER,
    Kind.NUMBER: TagType.NUMBER,
    Kind.TEXT: TagType.TEXT,
    Kind.CODE: TagType.TEXT,
    Kind.TIME: TagType.TIMESTAMP,
    Kind.FLAG: TagType.BOOLEAN,
}


def shared_fields(types: Sequence[EventType]) -> dict[str, Field]:
    """The fields all of them have. One that is optional anywhere is optional."""
    found = {field.name: field for field in types[0].fields} if types else {}
    for each in types[1:]:
        theirs = {field.name: field for field in each.fields}
        found = {
            name: field if field.required is False else theirs[name] for name, field in found.items() if name in theirs
        }
    return found


@dataclass(frozen=True, slots=True)
class EventColumns:
    """What a condition may read: `event`, the fields that all `types` have, and tags as tag.plan."""

    types: tuple[EventType, ...]
    tags: Catalogue

    def find(self, name: str) -> Tag | None:
        wanted = name.casefold()
        if wanted == EVENT:
            return Tag(EVENT, TagType.TEXT, nullable=False)
        if wanted.startswith(TAG_PREFIX):
            tag = self.tags.find(name[len(TAG_PREFIX) :])
            return Tag(TAG_PREFIX + tag.name, tag.type, tag.nullable) if tag else None
        field = shared_fields(self.types).get(wanted)
        return Tag(field.name, TYPES[field.kind], not field.required) if field else None

    def unknown(self, name: str) -> str:
        if name.casefold().startswith(TAG_PREFIX):
            return self._unknown_tag(name[len(TAG_PREFIX) :])
        return unknown_field(name, self.types)

    def _unknown_tag(self, name: str) -> str:
        near = self.tags.nearest(name)
        remedy = f"did you mean {' or '.join(near)}?" if near else f"say what it is, such as tags: {{{name}: integer}}"
        return f"there is no tag {name}; {remedy}"


def unknown_field(name: str, types: Sequence[EventType]) -> str:
    """What to say of a field that not all types have."""
    without = [each.name for each in types if name not in {field.name for field in each.fields}]
    if 0 < len(without) < len(types):
        return f"{', '.join(without)} has no field {name}; write a rule of its own for each type"
    there = shared_fields(types)
    near = difflib.get_close_matches(name, there, 3, 0.5)
    known = ", ".join(sorted(there)) or "none they share"
    remedy = f"did you mean {' or '.join(near)}?" if near else f"there is {known}"
    return f"{', '.join(without)} has no field {name}; {remedy}"


def check_condition(
    text: str,
    events: Sequence[str],
    areas: Collection[str] = (),
    hosts: Collection[str] = (),
    tags: Catalogue | None = None,
) -> Rule:
    """Raises Refusal TRIGGER_INVALID. An empty text is every event."""
    language = Language("TRIGGER_INVALID", {INSIDE: areas, VISITS: hosts, OWNS: None}, patterns=True, qualified=True)
    columns = EventColumns(tuple(map(event_type, events)), tags or Catalogue(()))
    return check_rule(text or EVERY, columns, language)
