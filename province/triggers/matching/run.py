"""A run: events of one stretch of one partition, of whatever types, in the partition's order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from common.kernel.columns import Rows
from common.kernel.event import ABSENT, Column, Events, Millis, Texts


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
    """`newest_before` is what the partition's last run ended with; ABSENT before the first.

    Several batches of one type become one: `types` may be what many records were decoded to.
    """
    filled = _one_of_each(types)
    if not filled:
        return Run((), (), np.zeros(0, dtype=np.int64))
    rows = _rows(filled)
    if len(filled) == 1:
        return Run(filled, rows, _newest(filled[0].at, newest_before))
    at = np.empty(sum(map(len, filled)), dtype=np.int64)
    for events, places in zip(filled, rows, strict=True):
        at[places] = events.at
    return Run(filled, rows, _newest(at, newest_before))


def _newest(at: Millis, before: int) -> Millis:
    newest: Millis = np.maximum.accumulate(at)
    return newest if newest[0] >= before else np.maximum(newest, before)


def _one_of_each(types: Sequence[Events]) -> tuple[Events, ...]:
    same = dict[str, list[Events]]()
    for events in types:
        if len(events):
            same.setdefault(events.type.name, []).append(events)
    return tuple(batches[0] if len(batches) == 1 else _joined(batches) for batches in same.values())


def _joined(batches: Sequence[Events]) -> Events:
    """By position; a word may stand in the dictionary of a text more than once."""
    first = batches[0]
    joined = Events(
        first.type,
        np.concatenate([events.ids for events in batches]),
        np.concatenate([events.keys for events in batches]),
        np.concatenate([events.at for events in batches]),
        np.concatenate([events.positions for events in batches]),
        {name: _column([events.columns[name] for events in batches]) for name in first.columns},
    )
    if (joined.positions[1:] >= joined.positions[:-1]).all():
        return joined
    return joined[np.argsort(joined.positions, kind="stable")]


def _column(parts: Sequence[Column]) -> Column:
    texts = [part for part in parts if isinstance(part, Texts)]
    if not texts:
        return np.concatenate([part for part in parts if not isinstance(part, Texts)])
    begins = accumulate((len(part.words) for part in texts), initial=0)
    refs = [part.refs + np.uint32(begin) for part, begin in zip(texts, begins, strict=False)]
    return Texts(np.concatenate(refs), tuple(word for part in texts for word in part.words))


def _rows(types: tuple[Events, ...]) -> tuple[Rows, ...]:
    """By position; what stands at one position keeps its order."""
    if len(types) == 1:
        return (np.arange(len(types[0]), dtype=np.int64),)
    order = np.argsort(np.concatenate([events.positions for events in types]), kind="stable")
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    return tuple(np.split(places, np.cumsum([len(events) for events in types])[:-1]))
