"""The state of a rule on crossing an area's border: when a person was first on one side, and last on the other."""

from __future__ import annotations

import numpy as np

from common.kernel.columns import Mask, Rows
from common.kernel.event import Millis
from common.kernel.trigger_rule import Crosses, TriggerRule
from province.triggers.counting.groups import walks
from province.triggers.counting.observed import Fired, Observed
from province.triggers.counting.ordinals import Ordinals, Places
from province.triggers.counting.state import NOTHING, State, fired_at

_NEVER_BEGUN, _NEVER_ENDED = np.iinfo(np.int64).max, np.iinfo(np.int64).min
_FIRED = np.iinfo(np.int64).max
"""Stands for the last time of whoever has had theirs: nothing is later."""


class CrossesState(State):
    def __init__(self, rule: TriggerRule, form: Crosses) -> None:
        self._people = Ordinals(np.int32, {"first": _NEVER_BEGUN, "last": _NEVER_ENDED})
        self._from_side = 0 if form.inwards else 1
        super().__init__(rule, {"people": self._people})

    def _count(self, seen: Observed) -> Fired:
        periods = self._periods(seen.at)
        places, _ = self._people.add(seen.keys, periods)
        first, last = self._people["first"], self._people["last"]
        then = first[places], last[places]
        here = seen.sides == self._from_side
        np.minimum.at(first, places[here], seen.at[here])
        np.maximum.at(last, places[~here], seen.at[~here])
        hot = (first[places] < last[places]) & (then[1] != _FIRED)
        if not hot.any():
            return NOTHING
        last[places[hot]] = _FIRED
        crossing = _crossing(np.flatnonzero(hot), places, then, here, seen.at)
        return fired_at(seen, crossing, periods[crossing])

    def _forget(self, before: int) -> None:
        self._people.forget(self._period(before))


def _crossing(events: Rows, places: Places, then: tuple[Millis, Millis], here: Mask, at: Millis) -> Rows:
    """The event of each person, of whom these are all, that first shows them on one side and later on the other."""
    found = []
    for walk, inside in walks(places[events]):
        rows = events[walk]
        begun = np.where(inside & here[rows], at[rows], _NEVER_BEGUN)
        ended = np.where(inside & ~here[rows], at[rows], _NEVER_ENDED)
        first = np.minimum.accumulate(np.column_stack((then[0][rows[:, 0]], begun)), axis=1)[:, 1:]
        last = np.maximum.accumulate(np.column_stack((then[1][rows[:, 0]], ended)), axis=1)[:, 1:]
        found.append(rows[np.arange(len(rows)), (first < last).argmax(axis=1)])
    return np.concatenate(found)
