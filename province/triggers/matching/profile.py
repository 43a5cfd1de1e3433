"""What is known of subscribers beside their events: tags and orders, as columns by subscriber key."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from common.kernel.columns import Keys, Mask, Rows, in_sorted
from common.kernel.event import ABSENT, FLAG_ABSENT, Column, Texts
from common.kernel.tag import PROVINCE_TAG, Catalogue, Tag, TagType
from common.kernel.trigger_rule import ZONE_SECONDS

ZONE_MS = ZONE_SECONDS * 1000
DAY_MS = 86_400_000


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

    def owns(self, offer: str, keys: Keys) -> Mask:
        """Who has an order of it that stands."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What there is to know of many people at one moment, of all that rules ask for.

    It takes 8 bytes a person, for each tag 8 more where it is a number or a time, 4 where it is a text, 1 where it is
    true or false, and 8 for each owner of an offer; and each distinct text once.
    """

    keys: Keys = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Ascending, those who have tags."""
    values: Mapping[str, Values] = field(default_factory=dict)
    """By tag."""
    owners: Mapping[str, Keys] = field(default_factory=dict)
    """Ascending, by offer."""


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """One tag of everybody in the order of their keys, and at the end of whoever is not among them."""

    column: NDArray[Any]
    words: pa.StringArray | None = None
    """Of texts, whose `column` are places in it; the first is that of NULL."""

    def at(self, places: Rows) -> Column:
        found = self.column[places]
        if self.words is None:
            return found
        refs, inverse = np.unique(found, return_inverse=True)
        return Texts(inverse.astype(np.uint32), tuple(self.words.take(pa.array(refs)).to_pylist()))


def values_of(kind: TagType, cells: pa.ChunkedArray) -> Values:
    """`cells` are of that type, or all NULL."""
    if kind is TagType.TEXT:
        return _texts(cells.cast(pa.string()))
    if kind is TagType.NUMBER:
        return Values(_ended(pc.fill_null(cells.cast(pa.float64()), np.nan), np.nan, np.float64))
    if kind is TagType.BOOLEAN:
        return Values(_ended(pc.fill_null(cells.cast(pa.int8()), FLAG_ABSENT), FLAG_ABSENT, np.int8))
    return Values(_ended(pc.fill_null(_whole(kind, cells), ABSENT), ABSENT, np.int64))


def _whole(kind: TagType, cells: pa.ChunkedArray) -> pa.ChunkedArray:
    if kind is TagType.DATE:
        days = cells.cast(pa.date32()).cast(pa.int32()).cast(pa.int64())
        return pc.subtract(pc.multiply(days, DAY_MS), ZONE_MS)
    if kind is TagType.TIMESTAMP:
        return pc.subtract(cells.cast(pa.timestamp("ms"), safe=False).cast(pa.int64()), ZONE_MS)
    return cells.cast(pa.int64())


def _texts(cells: pa.ChunkedArray) -> Values:
    coded = cells.dictionary_encode().combine_chunks()
    refs = np.zeros(len(cells) + 1, dtype=np.uint32)
    refs[:-1] = pc.fill_null(coded.indices, -1).to_numpy() + 1
    return Values(refs, pa.concat_arrays([pa.array([""]), coded.dictionary]))


def _ended(cells: pa.ChunkedArray, absent: float, kind: type[Any]) -> NDArray[Any]:
    column = np.empty(len(cells) + 1, dtype=kind)
    column[:-1] = cells.to_numpy()
    column[-1] = absent
    return column


class PeopleProfile:
    """A province's own people. Nobody is offered anything here who is at home elsewhere.

    Used by one thread; what is `known` may be put in place of what was between two runs.
    """

    def __init__(self, province: int, tags: Iterable[Tag] = (), known: Known | None = None) -> None:
        self.catalogue = Catalogue(tuple(tags))
        self.known = known or Known()
        self._province = province
        self._asked: tuple[Keys, Keys, Rows] | None = None
        self._found: tuple[Keys, Keys, Rows] | None = None

    def column(self, tag: Tag, keys: Keys) -> Column:
        if tag == PROVINCE_TAG:
            return np.full(len(keys), self._province, dtype=np.int64)
        return self.known.values[tag.name].at(self._places(keys))

    def owns(self, offer: str, keys: Keys) -> Mask:
        people, places = self._distinct(keys)
        return in_sorted(people, self.known.owners[offer])[places]

    def _places(self, keys: Keys) -> Rows:
        """Where each stands among those known; one row of events is asked for several tags."""
        if self._found is None or self._found[0] is not keys or self._found[1] is not self.known.keys:
            people, places = self._distinct(keys)
            there = self.known.keys
            at = np.searchsorted(there, people)
            at[~in_sorted(people, there)] = len(there)
            self._found = keys, there, at[places]
        return self._found[2]

    def _distinct(self, keys: Keys) -> tuple[Keys, Rows]:
        if self._asked is None or self._asked[0] is not keys:
            self._asked = (keys, *np.unique(keys, return_inverse=True))
        return self._asked[1], self._asked[2]


class MemoryProfile:
    """Tags and orders of a few subscribers, by key."""

    def __init__(
        self,
        tags: Sequence[Tag] = (),
        people: Mapping[int, Mapping[str, Any]] | None = None,
        orders: Mapping[int, Collection[str]] | None = None,
    ) -> None:
        self.catalogue = Catalogue(tuple(tags))
        self._people, self._orders = people or {}, orders or {}

    def column(self, tag: Tag, keys: Keys) -> Column:
        distinct, places = np.unique(keys, return_inverse=True)
        values = [self._people.get(key, {}).get(tag.name) for key in distinct.tolist()]
        return _column(tag.type, values)[places]

    def owns(self, offer: str, keys: Keys) -> Mask:
        return np.array([offer in self._orders.get(key, ()) for key in keys.tolist()], dtype=np.bool_)


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
