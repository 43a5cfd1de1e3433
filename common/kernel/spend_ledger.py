"""All contacts a level has spent, in memory: counted for many people and caps at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Codes, Keys, Mask, Times

KINDS = 256
"""A kind is a code for what caps tell apart, such as (channel class, product line); whoever asks assigns them."""
LANDMARK_STEP = 64
_TIME_MAX = int(np.iinfo(np.uint32).max)


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `contacts` of the kinds marked in `kinds` (KINDS entries) in any stretch of `window_seconds`."""

    contacts: int
    window_seconds: int
    kinds: Mask


@dataclass(frozen=True, slots=True)
class _Run:
    """Spends by person: those of `keys[i]` (ascending, unique) are the rows from `starts[i]` to `starts[i + 1]`."""

    keys: Keys
    starts: NDArray[np.int64]
    dates: Times
    kinds: Codes
    landmarks: Keys
    """Every LANDMARK_STEP-th of `keys`."""

    def __len__(self) -> int:
        return len(self.dates)

    def places_of(self, keys: Keys) -> NDArray[np.int64]:
        """Where each of `keys` is in `self.keys`, if it is there.

        Bisected for all together, so that the fetches from memory overlap: twice as fast as searchsorted.
        """
        places = np.maximum(np.searchsorted(self.landmarks, keys, side="right") - 1, 0) * LANDMARK_STEP
        step = LANDMARK_STEP // 2
        while step:
            places += step * (self.keys.take(places + step, mode="clip") <= keys)
            step //= 2
        last = len(self.keys) - 1
        return np.where(places < last, places, last)

    def rows_of(self, keys: Keys) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rows of all of `keys`, one after the other; and where each one's begin among them, and the end."""
        places = self.places_of(keys)
        first = self.starts[places]
        counts = np.where(self.keys[places] == keys, self.starts[places + 1] - first, 0)
        begins = np.concatenate([[0], np.cumsum(counts)])
        rows = np.repeat(first - begins[:-1], counts)
        rows += np.arange(len(rows))
        return rows, begins


@dataclass(frozen=True, slots=True)
class Ledger:
    """Spends as sorted runs, the largest and oldest first; each is at least twice the next, so they are few."""

    runs: tuple[_Run, ...] = ()

    def __len__(self) -> int:
        return sum(len(run) for run in self.runs)

    def add(self, keys: Keys, dates: Times, kinds: Codes) -> Ledger:
        """With more spends, in any order. `dates`: the latest moment each contact may happen."""
        if len(keys) == 0:
            return self
        runs = [*self.runs, _run(keys, dates, kinds)]
        while len(runs) > 1 and len(runs[-2]) < 2 * len(runs[-1]):
            runs[-2:] = [_merged(*runs[-2:])]
        return Ledger(tuple(runs))

    def spent(self, keys: Keys, caps: Sequence[Cap], now: int) -> NDArray[np.int32]:
        """How many contacts of each cap (first axis) count at `now` for each of `keys`, which ascend.

        A spend counts while its date and the cap's window reach past `now`.
        """
        counted = np.zeros((len(caps), len(keys)), dtype=np.int32)
        for run in self.runs:
            rows, begins = run.rows_of(keys)
            dates, kinds = run.dates[rows], run.kinds[rows]
            for cap, counts in zip(caps, counted, strict=True):
                counting = np.zeros(len(rows) + 1, dtype=np.int32)
                np.cumsum(cap.kinds[kinds] & _after(dates, now - cap.window_seconds), out=counting[1:])
                counts += np.diff(counting[begins])
        return counted

    def by_person(self, keys: Keys) -> dict[int, list[tuple[int, int]]]:
        """The (date, kind) of every spend of each of `keys`, which ascend: for few, one by one."""
        found: dict[int, list[tuple[int, int]]] = {key: [] for key in keys.tolist()}
        for run in self.runs:
            rows, begins = run.rows_of(keys)
            spends = list(zip(run.dates[rows].tolist(), run.kinds[rows].tolist(), strict=True))
            for key, begin, end in zip(keys.tolist(), begins[:-1].tolist(), begins[1:].tolist(), strict=True):
                found[key] += spends[begin:end]
        return found


def _after(dates: Times, moment: int) -> Mask:
    if moment < 0 or moment > _TIME_MAX:
        return np.full(len(dates), moment < 0, dtype=np.bool_)
    later: Mask = dates > np.uint32(moment)
    return later


def _run(keys: Keys, dates: Times, kinds: Codes) -> _Run:
    # Stable is the fast one here: columns come as a few ascending stretches.
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    people = keys[first]
    return _Run(people, np.append(first, len(keys)), dates[order], kinds[order], people[::LANDMARK_STEP].copy())


def _merged(older: _Run, newer: _Run) -> _Run:
    keys = [np.repeat(run.keys, np.diff(run.starts)) for run in (older, newer)]
    both = (np.concatenate([older.dates, newer.dates]), np.concatenate([older.kinds, newer.kinds]))
    return _run(np.concatenate(keys), *both)
