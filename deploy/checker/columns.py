"""Searches over whole columns that several checks share."""

from __future__ import annotations

import numpy as np

from deploy.checker.world import Ints, Mask


def ranges(starts: Ints, sizes: Ints) -> Ints:
    """All positions of several stretches, one stretch after the other."""
    sizes = np.asarray(sizes, dtype=np.int64)
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    shifts: Ints = np.asarray(starts, dtype=np.int64) - (ends - sizes)
    found: Ints = np.arange(total) + np.repeat(shifts, sizes)
    return found


def pairs(keys: Ints, others: Ints) -> tuple[Ints, Ints]:
    """Every pair of positions (in `keys`, in `others`) that hold the same key; `others` is ascending."""
    first, last = np.searchsorted(others, keys, "left"), np.searchsorted(others, keys, "right")
    return np.repeat(np.arange(len(keys)), last - first), ranges(first, last - first)


def places(values: Ints, members: Ints) -> Ints:
    """Where each value stands in `members` (ascending, unique); -1 where it does not."""
    if len(members) == 0:
        return np.full(len(values), -1, dtype=np.int64)
    found = np.minimum(np.searchsorted(members, values), len(members) - 1)
    return np.where(members[found] == values, found, -1)


def among(values: Ints, members: Ints) -> Mask:
    """Which values occur in `members` (ascending)."""
    mask: Mask = places(values, members) >= 0
    return mask


def first_true(mask: Mask) -> int:
    """Position of the first, where there is one."""
    return int(np.argmax(mask))
