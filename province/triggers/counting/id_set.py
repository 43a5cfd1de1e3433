"""The ids of the events that came within the lateness: exact, and forgotten by the time of the event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Mask, Rows
from common.kernel.event import EventIds, Millis

_FREE = np.uint64(0)
_SLOTS_MIN = 256
_LOAD = (5, 8)
"""No more of the slots are ever taken: beyond it, looking for what is not there grows slow."""
_CHUNK = 1 << 17
"""Ids entered at once when slots are laid anew: their temporaries stay in the processor's cache."""
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_GATHER = np.uint64(pow(int(_SPREAD), -1, 1 << 64))
"""Undoes it."""
_BUCKET_BITS = 16
_BUCKET_SHIFT = np.uint64(64 - _BUCKET_BITS)
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
        return sum(each.bytes for each in self._generations)

    def take(self, ids: EventIds, at: Millis) -> Mask:
        """Which are new; of those that come several times here, the first. They are held from now on."""
        if not len(ids):
            return np.zeros(0, dtype=np.bool_)
        spread = ids * _SPREAD
        distinct, several = _distinct(spread)
        known = self._enter(distinct[1:] if distinct[0] == _FREE else distinct, int(at.max()))
        new = np.ones(len(ids), dtype=np.bool_)
        new[_among(spread, known)] = False
        again = _among(spread, several)
        new[np.delete(again, np.unique(spread[again], return_index=True)[1])] = False
        entered = ids if new.all() and distinct[0] != _FREE else ids[new & (ids != _FREE)]
        self._generations[-1].keep(entered)
        if distinct[0] == _FREE:
            self._take_zero(new, ids, at)
        return new

    def forget(self, newest: int) -> None:
        """What can come no more, after an event of that time."""
        if newest - self._begun_at < self._lateness:
            return
        self._begun_at, oldest = newest, newest - self._lateness
        count, before = len(self._generations[-1]), self._generations
        self._generations = [each for each in before if len(each) and each.latest >= oldest]
        self._generations.append(_Generation(count, [each.slots for each in before if each not in self._generations]))
        if self._zero_at < oldest:
            self._zero_at = _AGES_AGO

    def columns(self) -> dict[str, NDArray[Any]]:
        """In the order they came."""
        heads = [[len(each), each.latest] for each in self._generations]
        return {
            "ids": np.concatenate([each.ids for each in self._generations]),
            "generations": np.array([[self._begun_at, self._zero_at], *heads], dtype=np.int64),
        }

    def restore(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Into an empty one: what `columns` gave."""
        (self._begun_at, self._zero_at), *heads = columns["generations"].tolist()
        self._generations, start = [], 0
        for count, latest in heads:
            generation = _Generation(count)
            ids = columns["ids"][start : start + count]
            generation.enter(np.sort(ids * _SPREAD), latest)
            generation.keep(ids)
            self._generations.append(generation)
            start += count

    def _enter(self, ids: EventIds, latest: int) -> EventIds:
        """Ascending: those of them that were there."""
        known = np.zeros(len(ids), dtype=np.bool_)
        for each in self._generations[:-1]:
            known |= each.has(ids)
        there, new = ids[known], ids[~known] if known.any() else ids
        if not len(new):
            return there
        entered = self._generations[-1].enter(new, latest)
        return there if entered.all() else np.sort(np.concatenate((there, new[~entered])))

    def _take_zero(self, new: Mask, ids: EventIds, at: Millis) -> None:
        """The id 0 marks a free slot, so it is held apart."""
        for row in np.flatnonzero(new & (ids == _FREE)):
            new[row] = self._zero_at == _AGES_AGO
            self._zero_at = max(self._zero_at, int(at[row]))


class _Generation:
    """Open addressing: the ids stand in the slots themselves, spread over all numbers and about in their order.

    Ids that come in ascending order go through the slots from one end to the other: memory is read ahead.
    """

    def __init__(self, expected: int, spare: Sequence[EventIds] = ()) -> None:
        """`spare`: slots of nobody any more. Memory that is at hand costs a tenth of what new memory does."""
        self.latest = _AGES_AGO
        self._ids = [np.zeros(0, dtype=np.uint64)]
        self._lay(expected, spare)

    def __len__(self) -> int:
        return self._count

    @property
    def bytes(self) -> int:
        return self.slots.nbytes + sum(each.nbytes for each in self._ids)

    @property
    def ids(self) -> EventIds:
        """In the order they came."""
        if len(self._ids) > 1:
            self._ids = [np.concatenate(self._ids)]
        return self._ids[0]

    def keep(self, ids: EventIds) -> None:
        """As they came, those that were entered."""
        self._ids.append(ids)

    def has(self, ids: EventIds) -> Mask:
        at = self._home(ids)
        found = self.slots.take(at)
        there: Mask = found == ids
        rows, step = np.flatnonzero((found != _FREE) & ~there), 1
        at, ids = at.take(rows), ids.take(rows)
        while len(rows):
            at = at + step & self._last_slot
            found = self.slots.take(at)
            same = found == ids
            there[rows] = same
            on = np.flatnonzero((found != _FREE) & ~same)
            rows, at, ids, step = rows.take(on), at.take(on), ids.take(on), step + 1
        return there

    def enter(self, ids: EventIds, latest: int) -> Mask:
        """Which of these ids, all different, ascending and none 0, were not there. They are now."""
        self.latest = max(self.latest, latest)
        if self._count + len(ids) > len(self.slots) * _LOAD[0] // _LOAD[1]:
            held = np.sort(self._held())
            self._lay(len(held) + len(ids))
            for start in range(0, len(held), _CHUNK):
                self._seat(held[start : start + _CHUNK])
        return self._seat(ids)

    def _held(self) -> EventIds:
        ids: EventIds = self.slots[self.slots != _FREE]
        return ids

    def _lay(self, expected: int, spare: Sequence[EventIds] = ()) -> None:
        count = max(_SLOTS_MIN, 1 << (expected * _LOAD[1] // _LOAD[0]).bit_length())
        self.slots = next((each for each in spare if len(each) == count), np.zeros(count, dtype=np.uint64))
        self.slots[:] = _FREE
        self._last_slot, self._shift = np.int64(count - 1), np.uint64(64 - (count.bit_length() - 1))
        self._count = 0

    def _seat(self, ids: EventIds) -> Mask:
        """Those that want the same slot stand side by side, as they are as far from home: the first has it."""
        new, rows, at, step = np.zeros(len(ids), dtype=np.bool_), np.arange(len(ids)), self._home(ids), 0
        while len(rows):
            found = self.slots.take(at)
            wins = found == _FREE
            wins[1:] &= at[1:] != at[:-1]
            won = np.flatnonzero(wins)
            self.slots[at.take(won)] = ids.take(won)
            new[rows.take(won)] = True
            on = np.flatnonzero(~wins & (found != ids))
            step += 1
            rows, ids, at = rows.take(on), ids.take(on), at.take(on) + step & self._last_slot
        self._count += int(np.count_nonzero(new))
        return new

    def _home(self, ids: EventIds) -> NDArray[np.int64]:
        slots: NDArray[np.int64] = (ids >> self._shift).view(np.int64)
        return slots


def _distinct(ids: EventIds) -> tuple[EventIds, EventIds]:
    """Each once, and those that come several times; both ascending."""
    ordered = np.sort(ids)
    again = ordered[1:] == ordered[:-1]
    if not again.any():
        return ordered, ordered[:0]
    return ordered[np.append(True, ~again)], np.unique(ordered[1:][again])


def _among(ids: EventIds, wanted: EventIds) -> Rows:
    """The rows of the `wanted`, few and ascending: of whatever shares its first bits with none is seen no more."""
    if not len(wanted):
        return np.zeros(0, dtype=np.int64)
    marks = np.zeros(1 << _BUCKET_BITS, dtype=np.bool_)
    marks[wanted >> _BUCKET_SHIFT] = True
    rows = np.flatnonzero(marks[ids >> _BUCKET_SHIFT])
    places = np.minimum(np.searchsorted(wanted, ids[rows]), len(wanted) - 1)
    found: Rows = rows[wanted[places] == ids[rows]]
    return found
