"""The array types of the columns that travel through the system, one name a meaning."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.int64]
"""Subscriber keys."""
Rows = NDArray[np.int64]
"""Positions inside a block or a table."""
Codes = NDArray[np.uint8]
"""One enum value a row."""
Times = NDArray[np.uint32]
"""Seconds since the Unix epoch, UTC; 0 where it did not happen."""
Refs = NDArray[np.uint32]
"""Positions in a dictionary, or task numbers."""
Mask = NDArray[np.bool_]


def in_sorted(values: NDArray[np.int64], members: NDArray[np.int64]) -> Mask:
    """Which of `values` occur in `members`; both ascending."""
    if len(members) == 0:
        return np.zeros(len(values), dtype=np.bool_)
    places = np.minimum(np.searchsorted(members, values), len(members) - 1)
    found: Mask = members[places] == values
    return found
