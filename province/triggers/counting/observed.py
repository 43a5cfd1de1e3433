"""What passes between matching and counting: one rule's view of a run of events, and those that made it fire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Keys, Rows
from common.kernel.event import EventIds, Millis

Sides = NDArray[np.int8]
"""1 inside, or the state begins; 0 outside, or it ends."""
Periods = NDArray[np.int64]
"""Numbers of hours, days, months or cycles; equal for equal periods of one rule, and ascending in time."""


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """The events of one partition that one rule looks at, in the order of the partition. Aligned columns."""

    ids: EventIds
    keys: Keys
    at: Millis
    newest: Millis
    """The latest time of the partition up to and with each event, of whatever type: what is late is late by it."""
    amounts: NDArray[np.float64]
    """What is added up; 1 where events are counted. Empty where the rule's form has no use for it."""
    limits: NDArray[np.float64]
    """What the sum must reach; NaN never. Empty where the rule's form has no use for it."""
    sides: Sides
    """Empty where the rule's form has no use for it."""
    rows: Rows
    """Where each event is in the run, for what the offer's text says of it."""

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: Any) -> Observed:
        """Those of a mask, a slice or an array of positions."""
        return Observed(
            self.ids[rows],
            self.keys[rows],
            self.at[rows],
            self.newest[rows],
            self.amounts[rows] if len(self.amounts) else self.amounts,
            self.limits[rows] if len(self.limits) else self.limits,
            self.sides[rows] if len(self.sides) else self.sides,
            self.rows[rows],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Fired:
    """At most one row for a person and period, ascending by `rows`. Aligned columns."""

    keys: Keys
    periods: Periods
    at: Millis
    """Of the event that made it fire."""
    rows: Rows
    """Where that event is in the run; -1 where it came in an earlier one (a state that has lasted)."""

    def __len__(self) -> int:
        return len(self.keys)
