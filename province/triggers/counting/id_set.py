"""The ids of the events that came within the lateness: exact, and forgotten by the time of the event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Mask
from common.kernel.event import EventIds, Millis

_FREE = np.uint64(0)
_SLOTS_MIN = 256
_LOAD = (5, 8)
"""No more of the slots are ever taken: beyond it, looking for what is not there grows slow."""
_CHUNK = 1 << 17
"""Ids entered at once when slots are laid anew: their temporaries stay in the processor's cache."""
_MULTIPLIER, _HALF = np.uint64(0x9E3779B97F4A7C15), np.uint64(32)
_AGES_AGO = np.iinfo(np.int64).min


class IdSet:
    """A repeat is known by its id alone, and has the time of the first.

    Ids are entered in generations, and a generation is forgotten whole, once its latest event is too late to come
    again. A new one is begun each time the lateness has passed, so that no more than two or three are looked in.
    """

    def __init__(self, lateness_millis: int) -> None:
        self._lateness = max(lateness_millis, 1)
        self._generations = [_Generation(0)]
        self._begun_at = self._zero_at = _AGES_AGO

    def __len__(self) -> int:
        return sum(len(each) for each in self._generations) + (self._zero_at != _AGES_AGO)

    @property
    def bytes(self) -> int:
        return sum(each.slots.nbytes for each in self._generations)

    def take(self, ids: EventIds, at: Millis) -> Mask:
        """Which are new; of those that come several times here, the first. They are held from now on."""
        new = _first_of_each(ids)
        self._take_zero(new, ids, at)
        for each in self._generations[:-1]:
            new &= ~each.has(ids)
        rows = np.flatnonzero(new & (ids != _FREE))
        if len(rows):
            latest = int(at.max())
            new[rows] = self._generations[-1].enter(ids[rows], latest)
        return new

    def forget(self, newest: int) -> None:
        """What can come no more, after an event of that time."""
        if newest - self._begun_at < self._lateness:
            return
        self._begun_at, oldest = newest, newest - self._lateness
        count = len(self._generations[-1])
        self._generations = [each for each in self._generations if len(each) and each.latest >= oldest]
        self._generations.append(_Generation(count))
        if self._zero_at < oldest:
            self._zero_at = _AGES_AGO

    def columns(self) -> dict[str, NDArray[Any]]:
        """Ascending by id within a generation, so that equal sets give equal columns."""
        heads = [[len(each), each.latest] for each in self._generations]
        return {
            "ids": np.concatenate([np.sort(each.held()) for each in self._generations]),
            "generations": np.array([[self._begun_at, self._zero_at], *heads], dtype=np.int64),
        }

    def restore(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Into an empty one: what `columns` gave."""
        (self._begun_at, self._zero_at), *heads = columns["generations"].tolist()
        self._generations, start = [], 0
        for count, latest in heads:
            generation = _Generation(count)
            generation.enter(columns["ids"][start : start + count], latest)
            self._generations.append(generation)
            start += count

    def _take_zero(self, new: Mask, ids: EventIds, at: Millis) -> None:
        """The id 0 marks a free slot, so it is held apart."""
        for row in np.flatnonzero(new & (ids == _FREE)):
            new[row] = self._zero_at == _AGES_AGO
            self._zero_at = max(self._zero_at, int(at[row]))


class _Generation:
    """Open addressing: the ids stand in the slots themselves."""

    def __init__(self, expected: int) -> None:
        self.latest = _AGES_AGO
        self._lay(expected)

    def __len__(self) -> int:
        return self._count

    def held(self) -> EventIds:
        ids: EventIds = self.slots[self.slots != _FREE]
        return ids

    def has(self, ids: EventIds) -> Mask:
        at = self._home(ids)
        found = self.slots[at]
        taken = found != _FREE
        there: Mask = taken & (found == ids)
        rows, step = np.flatnonzero(taken & ~there), 1
        at, ids = at[rows], ids[rows]
        while len(rows):
            at = at + step & self._last_slot
            found = self.slots[at]
            there[rows] = found == ids
            on = np.flatnonzero((found != ids) & (found != _FREE))
            rows, at, ids, step = rows[on], at[on], ids[on], step + 1
        return there

    def enter(self, ids: EventIds, latest: int) -> Mask:
        """Which of these ids, all different and none 0, were not there. They are now."""
        self.latest = max(self.latest, latest)
        if self._count + len(ids) > len(self.slots) * _LOAD[0] // _LOAD[1]:
            held = self.held()
            self._lay(len(held) + len(ids))
            for start in range(0, len(held), _CHUNK):
                self._seat(held[start : start + _CHUNK])
        return self._seat(ids)

    def _lay(self, expected: int) -> None:
        count = max(_SLOTS_MIN, 1 << (expected * _LOAD[1] // _LOAD[0]).bit_length())
        self.slots = np.zeros(count, dtype=np.uint64)
        self._last_slot, self._shift = np.int64(count - 1), np.uint64(64 - (count.bit_length() - 1))
        self._count = 0

    def _seat(self, ids: EventIds) -> Mask:
        new, rows, at, step = np.zeros(len(ids), dtype=np.bool_), np.arange(len(ids)), self._home(ids), 0
        while len(rows):
            found = self.slots[at]
            free = np.flatnonzero(found == _FREE)
            slots, wanted = at[free], ids[free]
            self.slots[slots] = wanted
            won = free[self.slots[slots] == wanted]  # of several that wanted a slot
            new[rows[won]] = True
            going_on = found != ids
            going_on[won] = False
            on = np.flatnonzero(going_on)
            step += 1
            rows, ids, at = rows[on], ids[on], at[on] + step & self._last_slot
        self._count += int(np.count_nonzero(new))
        return new

    def _home(self, ids: EventIds) -> NDArray[np.int64]:
        mixed = ids * _MULTIPLIER
        mixed ^= mixed >> _HALF
        mixed *= _MULTIPLIER
        mixed >>= self._shift
        return mixed.view(np.int64)


def _first_of_each(ids: EventIds) -> Mask:
    first = np.ones(len(ids), dtype=np.bool_)
    ordered = np.sort(ids)
    if (ordered[1:] == ordered[:-1]).any():
        order = np.argsort(ids)
        ordered = ids[order]
        again = ordered[1:] == ordered[:-1]
        rows = np.sort(order[np.append(again, False) | np.append(False, again)])
        _, kept = np.unique(ids[rows], return_index=True)
        first[rows] = False
        first[rows[kept]] = True
    return first
