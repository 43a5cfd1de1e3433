"""The state of a rule on what lasts: events that wait until nothing earlier can come, and states that have begun."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Keys, Mask, Rows
from common.kernel.event import EventIds, Millis
from common.kernel.trigger_rule import Stays, TriggerRule
from province.triggers.counting.observed import Fired, Observed, Sides
from province.triggers.counting.ordinals import NOBODY, Ordinals, Places
from province.triggers.counting.state import NOTHING, Columns, State

_ENDED, _LASTED = np.iinfo(np.int64).min, np.iinfo(np.int64).max
"""Stand for when a state began: it goes on no more; it goes on, and it has been told that it lasted."""
_ELAPSED_MAX = (1 << 31) - 1
"""Milliseconds that fit in a word with a place."""


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """Events in order of time."""

    ids: EventIds
    keys: Keys
    at: Millis
    sides: Sides
    rows: Rows

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: Any) -> _Held:
        return _Held(self.ids[rows], self.keys[rows], self.at[rows], self.sides[rows], self.rows[rows])

    @property
    def bytes(self) -> int:
        return sum(getattr(self, name).nbytes for name in self.__slots__)


@dataclass(frozen=True, slots=True, eq=False)
class _Begun:
    """States in the order they began in."""

    keys: Keys
    at: Millis
    rows: Rows

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, rows: Any) -> _Begun:
        return _Begun(self.keys[rows], self.at[rows], self.rows[rows])


class StaysState(State):
    """Events are taken in order of time, whatever order they came in: each once nothing earlier can come any more.

    A fire's time is when the state had lasted, and so is its period. A state fires once, however long it goes on; one
    that ends just then has lasted. A repeat says what has been said: ids only tell which of two at one time is first.
    `_passed` is the time it was told of last: no event of a partition's, where the clock told it.
    """

    def __init__(self, rule: TriggerRule, form: Stays) -> None:
        self._lasts = form.seconds * 1000
        self._people, self._had = Ordinals(np.int32, {"begun": _ENDED}), Ordinals(np.int32)
        self._held: list[_Held] = []
        self._waiting: deque[_Begun] = deque()
        self._passed = _ENDED
        super().__init__(rule, {"people": self._people, "had": self._had})

    @property
    def bytes(self) -> int:
        waiting = sum(len(each) * 24 for each in self._waiting)
        return super().bytes + sum(each.bytes for each in self._held) + waiting

    def take(self, observed: Observed) -> Fired:
        if len(observed) and observed.newest[0] < self._passed:
            observed = replace(observed, newest=np.maximum(observed.newest, self._passed))
        super().take(observed)
        fired = self.pass_time(int(observed.newest[-1])) if len(observed) else NOTHING
        last: list[_Held | _Begun] = [*self._held[-1:], *list(self._waiting)[-1:]]
        for each in last:
            each.rows[:] = -1  # the run is over
        self._merge()
        return fired

    def pass_time(self, newest: int) -> Fired:
        self._passed = max(newest, self._passed)
        now = self._passed - self._lateness
        lasted = _joined(_Begun, [*self._released(now), *self._due(now)])
        order = np.lexsort((lasted.keys, lasted.at))
        keys, at, rows = lasted.keys[order], lasted.at[order] + self._lasts, lasted.rows[order]
        periods = self._periods(at)
        _, first = self._had.add(keys, periods)
        first = first[np.argsort(rows[first], kind="stable")]
        fired = Fired(keys[first], periods[first], at[first], rows[first])
        self._had.forget(self._period(now))
        self._people.sift(lambda columns: columns["begun"] != _ENDED)
        return fired

    def columns(self) -> Columns:
        held, waiting = _joined(_Held, self._held), _joined(_Begun, list(self._waiting))
        held = held[np.argsort(held.at, kind="stable")]
        kept = super().columns() | {"passed": np.array([self._passed], dtype=np.int64)}
        kept |= {f"held.{name}": getattr(held, name) for name in _Held.__slots__}
        return kept | {f"waiting.{name}": getattr(waiting, name) for name in _Begun.__slots__}

    def restore(self, columns: Mapping[str, NDArray[Any]]) -> None:
        super().restore(columns)
        (self._passed,) = columns["passed"].tolist()
        self._held = [_Held(*(columns[f"held.{name}"].copy() for name in _Held.__slots__))]
        self._waiting = deque([_Begun(*(columns[f"waiting.{name}"].copy() for name in _Begun.__slots__))])

    def _count(self, seen: Observed) -> Fired:
        order = np.argsort(seen.at)
        self._held.append(_Held(seen.ids, seen.keys, seen.at, seen.sides, seen.rows)[order])
        return NOTHING

    def _forget(self, before: int) -> None:
        """Time passes after it, and then it forgets."""

    def _merge(self) -> None:
        """Few lists, each less than half as long as the one before it."""
        while len(self._held) > 1 and len(self._held[-2]) < 2 * len(self._held[-1]):
            both = _joined(_Held, [self._held.pop(-2), self._held.pop()])
            self._held.append(both[np.argsort(both.at)])

    def _released(self, now: int) -> list[_Begun]:
        """Take the events before `now`: the states that ended having lasted, and had not been told."""
        ends = [int(np.searchsorted(each.at, now)) for each in self._held]
        events = _joined(_Held, [each[:end] for each, end in zip(self._held, ends, strict=True)])
        if not len(events):
            return []
        self._held = [each[end:] for each, end in zip(self._held, ends, strict=True) if end < len(each)]
        begins = events.keys[events.sides == 1]
        self._people.add(begins, np.zeros(len(begins), dtype=np.int64))
        places = self._people.find(events.keys, np.zeros(len(events), dtype=np.int64))
        known = np.flatnonzero(places != NOBODY)
        order = known[_in_order(places[known], events[known])]
        return self._apply(events[order], places[order])

    def _apply(self, events: _Held, places: Places) -> list[_Begun]:
        """`events` by person, then in order."""
        begun = self._people["begun"]
        same = places[1:] == places[:-1]
        before = np.where(np.append(False, same), np.append(0, events.sides[:-1]), begun[places] != _ENDED)
        change = np.flatnonzero(events.sides != before)
        events, places = events[change], places[change]
        begins, last = events.sides == 1, np.append(places[1:] != places[:-1], True)
        ends = np.flatnonzero(~begins)
        since = _since(events, places, begun)[ends]
        self._begin(events[begins & last], begun, places[begins & last])
        begun[places[~begins & last]] = _ENDED
        told = since.at == _LASTED
        return [since[~told & (events.at[ends] - np.where(told, 0, since.at) >= self._lasts)]]

    def _begin(self, events: _Held, begun: Millis, places: Places) -> None:
        begun[places] = events.at
        order = np.argsort(events.at, kind="stable")
        self._waiting.append(_Begun(events.keys[order], events.at[order], events.rows[order]))

    def _due(self, now: int) -> list[_Begun]:
        """The states that have lasted by `now`; those that ended meanwhile drop out."""
        due = []
        while self._waiting and (not len(self._waiting[0]) or self._waiting[0].at[0] + self._lasts <= now):
            first = self._waiting.popleft()
            end = int(np.searchsorted(first.at, now - self._lasts, side="right"))
            if end < len(first):
                self._waiting.appendleft(first[end:])
            due.append(self._still(first[:end]))
        return due

    def _still(self, begun: _Begun) -> _Begun:
        places = self._people.find(begun.keys, np.zeros(len(begun), dtype=np.int64))
        still: Mask = (places != NOBODY) & (self._people["begun"][places] == begun.at)
        self._people["begun"][places[still]] = _LASTED
        return begun[still]


def _in_order(places: Places, events: _Held) -> Rows:
    """By place, then time, then id: in one sort of both, where time is not too long, and another of the few ties."""
    elapsed = events.at - events.at.min(initial=_LASTED)
    if elapsed.max(initial=0) > _ELAPSED_MAX:
        return np.lexsort((events.rows, events.ids, events.at, places))
    words = places * (_ELAPSED_MAX + 1) + elapsed
    order = np.argsort(words)
    tied = words[order[1:]] == words[order[:-1]]
    ties = (
        np.flatnonzero(np.append(tied, False) | np.append(False, tied)) if tied.any() else np.zeros(0, dtype=np.int64)
    )
    among = order[ties]
    order[ties] = among[np.lexsort((events.rows[among], events.ids[among], words[among]))]
    return order


def _since(events: _Held, places: Places, begun: Millis) -> _Begun:
    """For each event that ends a state: the state that it ends, begun just before it here, or in an earlier run."""
    here = np.append(False, places[1:] == places[:-1])
    at = np.where(here, np.append(0, events.at[:-1]), begun[places])
    return _Begun(events.keys, at, np.where(here, np.append(0, events.rows[:-1]), -1))


def _joined(kind: type[Any], parts: list[Any]) -> Any:
    """One of several, in the order given."""
    if not parts:
        types = {"ids": np.uint64, "sides": np.int8}
        return kind(*(np.zeros(0, dtype=types.get(name, np.int64)) for name in kind.__slots__))
    return kind(*(np.concatenate([getattr(part, name) for part in parts]) for name in kind.__slots__))
