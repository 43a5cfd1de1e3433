"""A run: events of one stretch of one partition, of whatever types, in the partition's order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.kernel.columns import Rows
from common.kernel.event import ABSENT, Events, Millis


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """`rows[i]` are the places in the run of the events of `types[i]`, ascending. Rows count from 0 over all types."""

    types: tuple[Events, ...]
    rows: tuple[Rows, ...]
    newest: Millis
    """By row: the latest time of the partition up to and with that event."""

    def __len__(self) -> int:
        return len(self.newest)

    @property
    def newest_after(self) -> int:
        """To carry into the partition's next run; meaningless where this one is empty."""
        return int(self.newest[-1])


def run_of(types: Sequence[Events], newest_before: int = ABSENT) -> Run:
    """`newest_before` is what the partition's last run ended with; ABSENT before the first."""
    filled = tuple(events for events in types if len(events))
    if not filled:
        return Run((), (), np.zeros(0, dtype=np.int64))
    rows = _rows(filled)
    at = np.empty(sum(map(len, filled)), dtype=np.int64)
    for events, places in zip(filled, rows, strict=True):
        at[places] = events.at
    return Run(filled, rows, np.maximum(np.maximum.accumulate(at), newest_before))


def _rows(types: tuple[Events, ...]) -> tuple[Rows, ...]:
    """By position; what stands at one position keeps its order."""
    if len(types) == 1:
        return (np.arange(len(types[0]), dtype=np.int64),)
    order = np.argsort(np.concatenate([events.positions for events in types]), kind="stable")
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    return tuple(np.split(places, np.cumsum([len(events) for events in types])[:-1]))
