"""The state of a rule that adds up: a total for each person and period."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Rows
from common.kernel.trigger_rule import Sum, TriggerRule
from province.triggers.counting.groups import walks
from province.triggers.counting.observed import Fired, Observed
from province.triggers.counting.ordinals import Ordinals, Places
from province.triggers.counting.state import NOTHING, State, fired_at

Totals = NDArray[np.float64]
_FIRED = -np.inf
"""Stands for the total of whoever has had theirs: nothing added to it reaches anything."""


class SumState(State):
    """Amounts are added one by one in the order of the partition, so that fractions round alike in every cut."""

    def __init__(self, rule: TriggerRule, form: Sum) -> None:
        self._people, self._reaches = Ordinals(np.int32, {"totals": 0.0}), form.reaches
        super().__init__(rule, {"people": self._people}, with_ids=True)

    def _count(self, seen: Observed) -> Fired:
        periods = self._periods(seen.at)
        amounts, limits = np.fmax(seen.amounts, 0.0), self._limits(seen)
        places, _ = self._people.add(seen.keys, periods)
        totals = self._people["totals"]
        before = totals[places]
        np.add.at(totals, places, amounts)
        hot = totals[places] >= limits
        if not hot.any():
            return NOTHING
        events = _of_the_hot(totals, places, before, hot)
        crossing = _crossing(events, places, before, amounts, limits, totals)
        return fired_at(seen, crossing, periods[crossing])

    def _forget(self, before: int) -> None:
        self._people.forget(self._period(before))

    def _limits(self, seen: Observed) -> Totals:
        return np.full(len(seen), self._reaches) if self._reaches is not None else seen.limits


def _of_the_hot(totals: Totals, places: Places, before: Totals, hot: NDArray[np.bool_]) -> Rows:
    """All events here of the people who may have reached their limit: those who are told from others by _FIRED."""
    kept = places[hot]
    totals_then = totals[kept]
    totals[kept] = _FIRED
    events = np.flatnonzero((totals[places] == _FIRED) & (before != _FIRED))
    totals[kept] = totals_then
    return events


def _crossing(events: Rows, places: Places, before: Totals, amounts: Totals, limits: Totals, totals: Totals) -> Rows:
    """The first event of each person at which the total so far reaches that event's own limit."""
    found = []
    for walk, inside in walks(places[events]):
        rows = events[walk]
        steps = np.where(inside, amounts[rows], 0.0)
        so_far = np.add.accumulate(np.column_stack((before[rows[:, 0]], steps)), axis=1)[:, 1:]
        reached = inside & (so_far >= limits[rows])
        who = np.flatnonzero(reached.any(axis=1))
        crossing = rows[who, reached[who].argmax(axis=1)]
        totals[places[crossing]] = _FIRED
        found.append(crossing)
    return np.concatenate(found)
