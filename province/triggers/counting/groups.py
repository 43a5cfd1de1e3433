"""Few events, brought together by whom they are about, so that each group can be walked in order without a loop."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from common.kernel.columns import Mask, Rows

_CELLS_MAX = 1 << 16
"""Of a matrix, so that what is computed over it stays in the processor's cache; a longer group is one alone."""


def walks(groups: Rows) -> Iterator[tuple[Rows, Mask]]:
    """Matrices of rows: a group a line, its rows in ascending order, and where a line has one.

    Groups of like length come together: no more than half of a matrix is empty.
    """
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))[: len(groups)]
    lengths = np.diff(starts, append=len(groups))
    widths = 1 << np.ceil(np.log2(lengths)).astype(np.int64)
    for width in np.unique(widths).tolist():
        chosen = np.flatnonzero(widths == width)
        some = max(1, _CELLS_MAX // width)
        for first in range(0, len(chosen), some):
            of = chosen[first : first + some]
            places = starts[of, np.newaxis] + np.arange(width)
            inside = np.arange(width) < lengths[of, np.newaxis]
            yield order[np.where(inside, places, 0)], inside
