"""What conditions look at: one type's events of a run, each column prepared once for all rules."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from common.kernel.columns import Mask, Refs
from common.kernel.event import ABSENT, Column, Events, Texts
from common.kernel.event import Field as EventField
from common.kernel.tag import TagType
from common.kernel.trigger_rule import ZONE_SECONDS
from common.rules.event_condition import EVENT, TAG_PREFIX, TYPES
from province.triggers.matching.areas import Areas, Points, points_of
from province.triggers.matching.hosts import Hosts
from province.triggers.matching.profile import Profile
from province.triggers.matching.truth import EVERYWHERE, Truth, told

HOST = "host"


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """Times are microseconds by China's clock. Aligned, or single values that hold for every row."""

    values: NDArray[np.int64] | NDArray[np.float64]
    known: Mask


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """Row i reads `words[refs[i]]`, unless that is NULL; without `refs` the one word holds for every row."""

    words: pa.StringArray
    refs: Refs | None


Value = Truth | Numbers | Words


@dataclass(slots=True, eq=False)
class View:
    events: Events
    areas: Areas
    hosts: Hosts
    profile: Profile
    _values: dict[str, Value] = field(default_factory=dict)
    _inside: dict[str, Truth] = field(default_factory=dict)
    _owns: dict[str, Truth] = field(default_factory=dict)
    _points: Points | None = None
    _lists: NDArray[np.int64] | None = None

    def column(self, name: str) -> Value:
        found = self._values.get(name)
        if found is None:
            found = self._values[name] = self._column(name)
        return found

    def _column(self, name: str) -> Value:
        if name == EVENT:
            return Words(pa.array([self.events.type.name]), None)
        if name.startswith(TAG_PREFIX):
            tag = self.profile.catalogue.find(name[len(TAG_PREFIX) :])
            if tag is None:
                raise KeyError(name)
            return _value(tag.type, self.profile.column(tag, self.events.keys), None)
        known = next(each for each in self.events.type.fields if each.name == name)
        return _value(TYPES[known.kind], self.events.columns[name], known)

    def inside(self, area: str) -> Truth:
        found = self._inside.get(area)
        if found is None:
            found = self._inside[area] = self._look(area)
        return found

    def _look(self, area: str) -> Truth:
        if self.areas.of_cells(area):
            return self.areas.by_cell(area, self.events)
        if self._points is None:
            self._points = points_of(self.events)
        return self.areas.by_point(area, self._points)

    def owns(self, offer: str) -> Truth:
        found = self._owns.get(offer)
        if found is None:
            found = self._owns[offer] = told(self.profile.owns(offer, self.events.keys), EVERYWHERE)
        return found

    def visits(self, name: str) -> Truth:
        """NULL where an event names no host."""
        hosts = self.events.columns.get(HOST)
        if not isinstance(hosts, Texts):
            return Truth(~EVERYWHERE, ~EVERYWHERE)
        if self._lists is None:
            self._lists = self.hosts.look_up(hosts.words)
        named = np.array([bool(word) for word in hosts.words], dtype=np.bool_)
        return told(self.hosts.on(name)[self._lists][hosts.refs], named[hosts.refs])


def _value(kind: TagType, column: Column, known: EventField | None) -> Value:
    """`known` spares a look at which rows have a value, where it says that all do."""
    if isinstance(column, Texts):
        return Words(pa.array([word or None for word in column.words] or [None], pa.string()), column.refs)
    if kind is TagType.BOOLEAN:
        return Truth(column == 1, column == 0)
    there = EVERYWHERE if known is not None and known.required else _there(column)
    if kind in (TagType.DATE, TagType.TIMESTAMP):
        return Numbers((column + ZONE_SECONDS * 1000) * 1000, there)
    return Numbers(column, there)


def _there(column: NDArray[np.int64] | NDArray[np.float64]) -> Mask:
    there: Mask = ~np.isnan(column) if column.dtype == np.float64 else column != ABSENT
    return there
