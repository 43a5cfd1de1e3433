"""Pairs of a key and a number -> dense places, with columns of values by place: open addressing, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Keys, Mask, Rows

Places = NDArray[np.intp]
Numbers = NDArray[Any]
"""Whole numbers of the type the table was made with."""

NOBODY = 0
"""The place of a pair that is not there. Others begin at 1."""
KEYS, NUMBERS = "keys", "numbers"
_SLOTS_MIN = 256
_LOAD = (5, 8)
"""No more of the slots are ever taken: beyond it, looking for what is not there grows slow."""
_CHUNK = 1 << 17
"""Places seated at once when the slots are laid anew: their temporaries stay in the processor's cache."""
_KEY_MULTIPLIER, _NUMBER_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_HALF = np.uint64(32)


class Ordinals:
    """Places are given in order of arrival.

    The number tells when a pair is used up: `forget` drops those below one, and only it and `sift` move places.
    """

    def __init__(self, number_type: type[np.signedinteger[Any]], fills: Mapping[str, Any] | None = None) -> None:
        """`fills`: what each column of values begins with; an array where a place has several."""
        own = {KEYS: np.int64(0), NUMBERS: number_type(0)}
        self._fills = {name: np.asarray(fill) for name, fill in (own | dict(fills or {})).items()}
        self._columns = {name: fill[np.newaxis].copy() for name, fill in self._fills.items()}
        self._columns[NUMBERS][NOBODY] = np.iinfo(number_type).min
        self._count = self._looked_at = 0
        self._lay(_SLOTS_MIN)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column of values by place, to read and to write until the next `add` or `forget`."""
        return self._columns[name]

    @property
    def bytes(self) -> int:
        return self._slots.nbytes + sum(column.nbytes for column in self._columns.values())

    def columns(self) -> dict[str, NDArray[Any]]:
        """All there is to keep, in order of places; views, good until the next change."""
        return {name: column[1 : self._count + 1] for name, column in self._columns.items()}

    def restore(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """What `columns` gave, in place of all there was."""
        self._count = len(columns[KEYS])
        self._columns = {name: self._with_nobody(name, column) for name, column in columns.items()}
        self._lay(_slots_for(self._count))

    def find(self, keys: Keys, numbers: Numbers) -> Places:
        """NOBODY where a pair is not there."""
        slots = self._home(keys, numbers)
        places: Places = self._slots[slots].astype(np.intp)
        rows = np.flatnonzero(~self._holds(places, keys, numbers) & (places != NOBODY))
        keys, numbers, slots, step = keys[rows], numbers[rows], slots[rows], 1
        while len(rows):
            slots = slots + step & self._last_slot
            places[rows] = found = self._slots[slots].astype(np.intp)
            on = np.flatnonzero(~self._holds(found, keys, numbers) & (found != NOBODY))
            rows, keys, numbers, slots, step = rows[on], keys[on], numbers[on], slots[on], step + 1
        return places

    def add(self, keys: Keys, numbers: Numbers) -> tuple[Places, Rows]:
        """The place of each, and the rows, ascending, at which a pair occurs for the first time ever."""
        places = self.find(keys, numbers)
        missing = np.flatnonzero(places == NOBODY)
        if len(missing):
            places[missing], first = self._append(keys[missing], numbers[missing])
            missing = missing[first]
        return places, missing

    def forget(self, below: int) -> None:
        """Drop the pairs whose number is lower, once they are most of what is held."""
        self.sift(lambda columns: columns[NUMBERS] >= below)

    def sift(self, kept: Callable[[dict[str, NDArray[Any]]], Mask]) -> None:
        """Drop all that is not `kept`, once that is most; the kept close up in the order they had.

        It looks only after an eighth has come new, so it costs little however often it is asked.
        """
        if self._count - self._looked_at < max(1, self._looked_at // 8):
            return
        columns = self.columns()
        staying = kept(columns)
        if 2 * np.count_nonzero(staying) < self._count:
            self.restore({name: column[staying] for name, column in columns.items()})
        self._looked_at = self._count

    def _with_nobody(self, name: str, column: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate((self._columns[name][: NOBODY + 1], column))

    def _append(self, keys: Keys, numbers: Numbers) -> tuple[Places, Mask]:
        """Places for pairs that are not there, and which of the rows are their first.

        Each row takes a place for the time being, and the first of equal ones keeps it.
        """
        self._make_room(len(keys))
        tried = np.arange(self._count + 1, self._count + 1 + len(keys))
        self._columns[KEYS][tried], self._columns[NUMBERS][tried] = keys, numbers
        holders, slots = self._seat(tried)
        first = holders == tried
        final = np.cumsum(first) + self._count
        if not first.all():
            self._slots[slots[first]] = final[first]
            self._columns[KEYS][final[first]], self._columns[NUMBERS][final[first]] = keys[first], numbers[first]
            final = final[holders - self._count - 1]
        added = slice(self._count + 1, int(self._count + 1 + np.count_nonzero(first)))
        for name, fill in self._fills.items():
            if name not in (KEYS, NUMBERS):
                self._columns[name][added] = fill
        self._count = added.stop - 1
        return final, first

    def _make_room(self, more: int) -> None:
        need = self._count + more
        if need > len(self._slots) * _LOAD[0] // _LOAD[1]:
            self._lay(_slots_for(need))

    def _lay(self, count: int) -> None:
        """So many slots, columns with a row for each that may be taken, and everybody seated anew."""
        self._slots = np.zeros(count, dtype=np.uint32)
        self._last_slot, self._shift = np.int64(count - 1), np.uint64(64 - (count.bit_length() - 1))
        for name, column in self._columns.items():
            grown = np.empty((count * _LOAD[0] // _LOAD[1] + 1, *column.shape[1:]), column.dtype)
            grown[: self._count + 1] = column[: self._count + 1]
            self._columns[name] = grown
        for start in range(1, self._count + 1, _CHUNK):
            self._seat(np.arange(start, min(start + _CHUNK, self._count + 1)))
        self._looked_at = 0

    def _seat(self, places: Places) -> tuple[Places, NDArray[np.int64]]:
        """Enter places whose pairs stand in the columns; of equal ones the first. The place each has, and its slot."""
        keys, numbers = self._columns[KEYS][places], self._columns[NUMBERS][places]
        holders, slots = np.empty_like(places), self._home(keys, numbers)
        rows, at, step = np.arange(len(places)), slots, 0
        while len(rows):
            at = at + step & self._last_slot
            free = np.flatnonzero(self._slots[at] == NOBODY)[::-1]
            self._slots[at[free]] = places[rows[free]]  # the last written stays: the first to arrive
            found = self._slots[at].astype(np.intp)
            same = self._holds(found, keys, numbers)
            holders[rows[same]], slots[rows[same]] = found[same], at[same]
            on = np.flatnonzero(~same)
            rows, keys, numbers, at, step = rows[on], keys[on], numbers[on], at[on], step + 1
        return holders, slots

    def _home(self, keys: Keys, numbers: Numbers) -> NDArray[np.int64]:
        mixed = keys.view(np.uint64) * _KEY_MULTIPLIER
        mixed ^= numbers.astype(np.uint64) * _NUMBER_MULTIPLIER
        mixed ^= mixed >> _HALF
        mixed *= _KEY_MULTIPLIER
        mixed >>= self._shift
        return mixed.view(np.int64)

    def _holds(self, places: Places, keys: Keys, numbers: Numbers) -> Mask:
        same: Mask = self._columns[KEYS][places] == keys
        same &= self._columns[NUMBERS][places] == numbers
        return same


def _slots_for(count: int) -> int:
    """The least power of two that leaves some free."""
    need = count * _LOAD[1] // _LOAD[0] + 1
    return max(_SLOTS_MIN, 1 << (need - 1).bit_length())
