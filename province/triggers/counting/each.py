"""The state of a rule that fires on each event: who has had theirs."""

from __future__ import annotations

import numpy as np

from common.kernel.trigger_rule import TriggerRule
from province.triggers.counting.observed import Fired, Observed
from province.triggers.counting.ordinals import Ordinals
from province.triggers.counting.state import State, fired_at


class EachState(State):
    def __init__(self, rule: TriggerRule) -> None:
        self._had = Ordinals(np.int32)
        super().__init__(rule, {"had": self._had})

    def _count(self, seen: Observed) -> Fired:
        periods = self._periods(seen.at)
        _, first = self._had.add(seen.keys, periods)
        return fired_at(seen, first, periods[first])

    def _forget(self, before: int) -> None:
        self._had.forget(self._period(before))
