"""The state of a rule on a surge: what each person's steps of time add up to, a window's length of steps together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Rows
from common.kernel.trigger_rule import Surge, TriggerRule
from province.triggers.counting.groups import walks
from province.triggers.counting.observed import Fired, Observed
from province.triggers.counting.ordinals import Numbers, Ordinals, Places
from province.triggers.counting.state import NOTHING, State, fired_at

_STEPS = Surge.STEPS
_ABSENT = -0.0
"""What a step holds that had no event: adding an amount, even 0.0, clears its sign."""
_SLACK = 1 + 1e-6
"""A block's total rounds otherwise than its steps do, one by one."""
_NO_BLOCK = np.iinfo(np.int64).min

Sums = NDArray[np.float64]


class SurgeState(State):
    """A block is as many steps of time as make a window; a window lies in two neighbouring blocks.

    So an event can change only windows that lie in its own block, the one before and the one after; and those that
    end in its own or the one after are looked at. `had` knows for which periods a person has had theirs.
    """

    def __init__(self, rule: TriggerRule, form: Surge) -> None:
        self._window, self._reaches = form.window_seconds * 1000, form.reaches
        self._blocks = Ordinals(np.int64, {"sums": np.full(_STEPS, _ABSENT), "totals": 0.0})
        self._had = Ordinals(np.int32)
        self._latest = _NO_BLOCK
        super().__init__(rule, {"blocks": self._blocks, "had": self._had}, with_ids=True)

    def restore(self, columns: Mapping[str, NDArray[Any]]) -> None:
        super().restore(columns)
        self._latest = int(columns["blocks.numbers"].max(initial=_NO_BLOCK))

    def _count(self, seen: Observed) -> Fired:
        blocks = seen.at // self._window
        steps = (seen.at - blocks * self._window) * _STEPS // self._window
        amounts = np.fmax(seen.amounts, 0.0) + 0.0  # never -0.0
        self._latest = max(self._latest, int(blocks.max()))
        places, _ = self._blocks.add(seen.keys, blocks)
        np.add.at(self._blocks["totals"], places, amounts)
        spans = self._warm(places)
        before = self._blocks["sums"][spans]
        np.add.at(self._blocks["sums"].reshape(-1), places * _STEPS + steps, amounts)
        spans_hot = self._hot(spans)
        if not spans_hot.any():
            return NOTHING
        spans, before = spans[spans_hot], before[spans_hot]
        return self._fire(seen, *self._crossing(spans, before, places, steps, amounts))

    def _forget(self, before: int) -> None:
        step = before * _STEPS // self._window
        self._blocks.forget(-((2 * (_STEPS - 1) - step) // _STEPS))
        self._had.forget(self._period(self._begins(step)))

    def _begins(self, step: int) -> int:
        return -(-step * self._window // _STEPS)

    def _warm(self, places: Places) -> Places:
        """A line for each block here that may hold a window's part of a surge: with the one before and after it."""
        own = np.sort(places)
        own = own[np.append(True, own[1:] != own[:-1])]
        keys, blocks, totals = self._blocks["keys"][own], self._blocks["numbers"][own], self._blocks["totals"]
        spans = np.zeros((len(own), 3), dtype=np.intp)
        spans[:, 0], spans[:, 1] = self._blocks.find(keys, blocks - 1), own
        followed = np.flatnonzero(blocks < self._latest)
        spans[followed, 2] = self._blocks.find(keys[followed], blocks[followed] + 1)
        around = np.maximum(totals[spans[:, 0]], totals[spans[:, 2]])
        warm: Places = spans[(totals[own] + around) * _SLACK >= self._reaches]
        return warm

    def _hot(self, spans: Places) -> NDArray[np.bool_]:
        """Which lines have a window that reaches the limit, of a period in which the person has not had theirs."""
        line, end = np.nonzero(self._reached(self._blocks["sums"][spans].reshape(-1, 3 * _STEPS)))
        hot = np.zeros(len(spans), dtype=np.bool_)
        new = self._had.find(*self._whose(spans[line, 1], end)) == 0
        hot[line[new]] = True
        return hot

    def _reached(self, sums: Sums) -> NDArray[np.bool_]:
        """By the step a window ends in, of the later two of three blocks: whether it reaches the limit.

        It is added from its beginning on, so that fractions round alike always.
        """
        last = 2 * _STEPS
        windows = sums[..., 1 : 1 + last].copy()
        for step in range(2, _STEPS + 1):
            windows += sums[..., step : step + last]
        reached: NDArray[np.bool_] = windows >= self._reaches
        reached &= ~np.signbit(sums[..., _STEPS:])
        return reached

    def _whose(self, places: Places, end: Rows) -> tuple[Numbers, Numbers]:
        """Keys, and the periods of windows that end so many steps after a block's beginning."""
        steps = self._blocks["numbers"][places] * _STEPS + end
        return self._blocks["keys"][places], self._periods(-(-steps * self._window // _STEPS))

    def _crossing(
        self, spans: Places, before: Sums, places: Places, steps: Rows, amounts: Sums
    ) -> tuple[Places, Rows, Rows]:
        """Of each line and each step that a surge may end in: the block, the step and the event that made it one."""
        lines, events, at = _on_the_lines(spans, places, steps)
        found = []
        for walk, inside in walks(lines):
            of = lines[walk[:, 0]]
            sums = np.full((*walk.shape, 3 * _STEPS), _ABSENT)
            row, turn = np.nonzero(inside)
            sums[row, turn, at[walk[row, turn]]] = amounts[events[walk[row, turn]]]
            first = before[of].reshape(-1, 1, 3 * _STEPS)
            reached = self._reached(np.add.accumulate(np.concatenate((first, sums), axis=1), axis=1)[:, 1:])
            who, end = np.nonzero(reached.any(axis=1))
            turn = reached.argmax(axis=1)[who, end]
            found.append((spans[of[who], 1], end, events[walk[who, turn]]))
        blocks, ends, crossing = zip(*found, strict=True)
        return np.concatenate(blocks), np.concatenate(ends), np.concatenate(crossing)

    def _fire(self, seen: Observed, blocks: Places, ends: Rows, events: Rows) -> Fired:
        """The first event of each person and period, where they had not had theirs."""
        order = np.argsort(events, kind="stable")
        keys, periods = self._whose(blocks[order], ends[order])
        _, first = self._had.add(keys, periods)
        return fired_at(seen, events[order][first], periods[first])


def _on_the_lines(spans: Places, places: Places, steps: Rows) -> tuple[Rows, Rows, Rows]:
    """The events of each line, ascending: the line, the event, and where in its three blocks the event is."""
    found, near = [], _among(places, spans)
    for block, members in enumerate(spans.T):
        order = np.argsort(members)
        lines = order[np.minimum(np.searchsorted(members[order], places[near]), len(members) - 1)]
        its = members[lines] == places[near]
        events = near[its]
        found.append((lines[its], events, block * _STEPS + steps[events]))
    lines, events, at = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(events, kind="stable")
    return lines[order], events[order], at[order]


def _among(places: Places, wanted: Places) -> Rows:
    marks = np.zeros(max(places.max(), wanted.max()) + 1, dtype=np.bool_)
    marks[wanted] = True
    return np.flatnonzero(marks[places])
