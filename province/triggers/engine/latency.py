"""How long things took, in fixed buckets, so that those of many processes add up."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from common.kernel.event import Millis

BOUNDS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 180_000, 900_000)
"""Upper bounds; the last bucket has none."""
_BOUNDS = np.array(BOUNDS_MS, dtype=np.float64)


class Histograms:
    """By scene and stage."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, str], NDArray[np.int64]] = {}

    def add(self, scene: str, stage: str, millis: NDArray[np.float64] | Millis | float, times: int = 1) -> None:
        buckets = self._buckets.setdefault((scene, stage), np.zeros(len(_BOUNDS) + 1, dtype=np.int64))
        places = np.searchsorted(_BOUNDS, np.atleast_1d(millis), side="left")
        buckets += times * np.bincount(places, minlength=len(buckets))

    def document(self) -> Mapping[str, Mapping[str, list[int]]]:
        """Counts by scene and stage, in the order of the buckets."""
        told: dict[str, dict[str, list[int]]] = {}
        for (scene, stage), buckets in self._buckets.items():
            told.setdefault(scene, {})[stage] = buckets.tolist()
        return told
