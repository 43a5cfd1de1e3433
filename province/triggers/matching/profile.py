"""What is known of subscribers beside their events: tags, as columns by subscriber key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Protocol

import numpy as np

from common.kernel.columns import Keys
from common.kernel.event import ABSENT, FLAG_ABSENT, Column, Texts
from common.kernel.tag import PROVINCE_TAG, Catalogue, Tag, TagType
from common.kernel.trigger_rule import ZONE_SECONDS


class Profile(Protocol):
    @property
    def catalogue(self) -> Catalogue:
        """The tags there are."""
        ...

    def column(self, tag: Tag, keys: Keys) -> Column:
        """The tag of each subscriber, absent where it is not known, in the form fields of events have.

        A date is the Unix milliseconds at which it begins in China.
        """
        ...


class HomeProfile:
    """A province's own: nobody is offered anything here who is at home elsewhere."""

    catalogue = Catalogue(())

    def __init__(self, province: int) -> None:
        self._province = province

    def column(self, tag: Tag, keys: Keys) -> Column:
        if tag != PROVINCE_TAG:
            raise KeyError(tag.name)
        return np.full(len(keys), self._province, dtype=np.int64)


class MemoryProfile:
    """Tags of a few subscribers, by key and name."""

    def __init__(self, tags: Sequence[Tag] = (), people: Mapping[int, Mapping[str, Any]] | None = None) -> None:
        self.catalogue = Catalogue(tuple(tags))
        self._people = people or {}

    def column(self, tag: Tag, keys: Keys) -> Column:
        distinct, places = np.unique(keys, return_inverse=True)
        values = [self._people.get(key, {}).get(tag.name) for key in distinct.tolist()]
        return _column(tag.type, values)[places]


def _column(kind: TagType, values: Sequence[Any]) -> Column:
    if kind is TagType.TEXT:
        return Texts(np.arange(len(values), dtype=np.uint32), tuple(value or "" for value in values))
    if kind is TagType.NUMBER:
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    if kind is TagType.BOOLEAN:
        return np.array([FLAG_ABSENT if value is None else value for value in values], dtype=np.int8)
    whole = values if kind is TagType.INTEGER else [None if value is None else _millis(value) for value in values]
    return np.array([ABSENT if value is None else value for value in whole], dtype=np.int64)


def _millis(moment: date) -> int:
    local = moment if isinstance(moment, datetime) else datetime(moment.year, moment.month, moment.day)  # noqa: DTZ001
    return round((local.replace(tzinfo=UTC).timestamp() - ZONE_SECONDS) * 1000)
