"""Tags: the typed columns known of a person, and the catalogue that lists them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class TagType(StrEnum):
    INTEGER = "integer"
    NUMBER = "number"
    """A double."""
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"
    TEXT = "text"


class TagClass(StrEnum):
    """The nine first-level classes (一级标签)."""

    BASIC = "basic"
    BUSINESS = "business"
    CONSUMPTION_VALUE = "consumption_value"
    CAMPAIGN_PREFERENCE = "campaign_preference"
    TERMINAL = "terminal"
    CHANNEL = "channel"
    INTERNET_CONTENT = "internet_content"
    VALUE_ADDED_CONTENT = "value_added_content"
    SERVICE = "service"


class Sensitivity(StrEnum):
    NORMAL = "normal"
    PERSONAL = "personal"
    """Usable in rules, never shown in a preview."""


@dataclass(frozen=True, slots=True)
class Tag:
    name: str
    type: TagType
    nullable: bool = True
    tag_class: TagClass = TagClass.BASIC
    sensitivity: Sensitivity = Sensitivity.NORMAL


KEY, ORDINAL, PROVINCE, CHOICE = "subscriber_key", "ordinal", "province", "choice"
RESERVED = (KEY, ORDINAL, PROVINCE, CHOICE)
"""Names the warehouse has of its own; no tag may take them."""

PROVINCE_TAG = Tag(PROVINCE, TagType.INTEGER, nullable=False)


@dataclass(frozen=True, slots=True)
class Person:
    """`verdicts`: whether each rule asked for selects this person. `values` are of the columns asked for."""

    province: int
    verdicts: tuple[bool, ...]
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Tags by name; names differ by more than case."""

    tags: tuple[Tag, ...]

    def __iter__(self) -> Iterator[Tag]:
        return iter(self.tags)

    def find(self, name: str) -> Tag | None:
        """The tag so named, upper and lower case alike; `province` is always there."""
        wanted = name.casefold()
        return next((tag for tag in (*self.tags, PROVINCE_TAG) if tag.name.casefold() == wanted), None)

    def nearest(self, name: str, count: int = 3) -> list[str]:
        names = {tag.name.casefold(): tag.name for tag in (*self.tags, PROVINCE_TAG)}
        return [names[near] for near in difflib.get_close_matches(name.casefold(), names, count, 0.5)]

    def unknown(self, name: str) -> str:
        """What to say of a name that is not there."""
        near = self.nearest(name)
        remedy = f"did you mean {' or '.join(near)}?" if near else "import it as a tag, or use one that is there"
        return f"there is no column {name}; {remedy}"


def merge(old: Catalogue, new: Sequence[Tag]) -> Catalogue | Tag:
    """The catalogue with `new` added, an integer and a number becoming a number; or the tag whose type contradicts."""
    tags = {tag.name.casefold(): tag for tag in old}
    for tag in new:
        known = tags.setdefault(tag.name.casefold(), tag)
        if known.type is tag.type:
            continue
        if {known.type, tag.type} != {TagType.INTEGER, TagType.NUMBER}:
            return known
        tags[tag.name.casefold()] = Tag(
            known.name, TagType.NUMBER, known.nullable or tag.nullable, known.tag_class, known.sensitivity
        )
    return Catalogue(tuple(tags.values()))
