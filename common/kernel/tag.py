"""Tags: the typed columns known of a person, and the catalogue that lists them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from common.kernel.consent import INTERNET, LOCATION


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
    LOCATION = "location"
    """Says where somebody is: never shown either, and at a province used only with that consent."""
    INTERNET = "internet"
    """Says what somebody visits, reads or looks for; else as LOCATION."""


@dataclass(frozen=True, slots=True)
class Tag:
    name: str
    type: TagType
    nullable: bool = True
    tag_class: TagClass = TagClass.BASIC
    sensitivity: Sensitivity = Sensitivity.NORMAL

    @property
    def purpose(self) -> str:
        """What separate consent a contact needs that it decided on; empty: none."""
        if self.sensitivity is Sensitivity.LOCATION:
            return LOCATION
        by_class = self.tag_class is TagClass.INTERNET_CONTENT
        return INTERNET if by_class or self.sensitivity is Sensitivity.INTERNET else ""

    def serves(self, wanted: Tag) -> bool:
        """Whether a rule written for `wanted` can be asked of this one: whole numbers are numbers, too."""
        return self.type is wanted.type or {self.type, wanted.type} == NUMERIC


NUMERIC = {TagType.INTEGER, TagType.NUMBER}
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


def tags_of(rows: Iterable[Mapping[str, Any]]) -> tuple[Tag, ...]:
    """Tags as `asdict` wrote them down."""
    return tuple(
        Tag(row["name"], TagType(row["type"]), row["nullable"], TagClass(row["tag_class"]),
            Sensitivity(row["sensitivity"]))
        for row in rows
    )  # fmt: skip


def merge(old: Catalogue, new: Sequence[Tag]) -> Catalogue | Tag:
    """The catalogue with `new` added, an integer and a number becoming a number; or the tag whose type contradicts.

    What is sensitive stays so where `new` does not say it.
    """
    tags = {tag.name.casefold(): tag for tag in old}
    for tag in new:
        known = tags.setdefault(tag.name.casefold(), tag)
        if not known.serves(tag):
            return known
        kind = known.type if known.type is tag.type else TagType.NUMBER
        sensitivity = known.sensitivity if tag.sensitivity is Sensitivity.NORMAL else tag.sensitivity
        tags[tag.name.casefold()] = replace(known, type=kind, sensitivity=sensitivity)
    return Catalogue(tuple(tags.values()))
