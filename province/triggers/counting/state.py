"""What a rule keeps of a partition's events: who is late, who comes again, and what every form has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Rows
from common.kernel.event import Millis
from common.kernel.trigger_rule import TriggerRule
from province.triggers.counting import period
from province.triggers.counting.id_set import IdSet
from province.triggers.counting.observed import Fired, Observed, Periods
from province.triggers.counting.ordinals import Ordinals

Columns = dict[str, NDArray[Any]]
_NONE = np.zeros(0, dtype=np.int64)
NOTHING = Fired(_NONE, _NONE, _NONE, _NONE)


class State(ABC):
    """Of one rule and one partition.

    The same events in the same order make the same fires, however they are cut into runs. Of the events it has
    been given, it has counted `counted`; `late` and `duplicates` it has left out.
    """

    def __init__(self, rule: TriggerRule, tables: Mapping[str, Ordinals], with_ids: bool = False) -> None:
        self.rule = rule
        self.late = self.duplicates = self.counted = 0
        self._lateness = rule.lateness_seconds * 1000
        self._tables = tables
        self._ids = IdSet(self._lateness) if with_ids else None

    @property
    def bytes(self) -> int:
        """All it takes in memory."""
        return self.id_bytes + sum(table.bytes for table in self._tables.values())

    @property
    def id_bytes(self) -> int:
        """What of it goes by the events within the lateness, not by people."""
        return self._ids.bytes if self._ids is not None else 0

    def take(self, observed: Observed) -> Fired:
        """Count the next events of the partition."""
        if not len(observed):
            return NOTHING
        seen = self._once(self._in_time(observed))
        self.counted += len(seen)
        fired = self._count(seen) if len(seen) else NOTHING
        newest = int(observed.newest[-1])
        self._forget(newest - self._lateness)
        if self._ids is not None:
            self._ids.forget(newest)
        return fired

    def pass_time(self, newest: int) -> Fired:  # noqa: ARG002 - for those that wait for something
        """The partition has come to an event of that time, which the rule may not look at."""
        return NOTHING

    def columns(self) -> Columns:
        """All there is to keep; good until the next `take` or `pass_time`."""
        kept: Columns = {"counts": np.array([self.late, self.duplicates, self.counted], dtype=np.int64)}
        for name, table in self._tables.items():
            kept |= _named(name, table.columns())
        return kept | (_named("ids", self._ids.columns()) if self._ids is not None else {})

    def restore(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Into an empty one: what `columns` gave."""
        self.late, self.duplicates, self.counted = columns["counts"].tolist()
        for name, table in self._tables.items():
            table.restore(_of(name, columns))
        if self._ids is not None:
            self._ids.restore(_of("ids", columns))

    @abstractmethod
    def _count(self, seen: Observed) -> Fired:
        """Events that are in time and come for the first time: at least one."""

    @abstractmethod
    def _forget(self, before: int) -> None:
        """No event of an earlier time can count any more."""

    def _periods(self, at: Millis) -> Periods:
        return period.numbers(self.rule.period, self.rule.cycle_day, at)

    def _period(self, at: int) -> int:
        return period.number(self.rule.period, self.rule.cycle_day, at)

    def _in_time(self, observed: Observed) -> Observed:
        in_time = observed.at >= observed.newest - self._lateness
        return self._left(observed, in_time, "late")

    def _once(self, observed: Observed) -> Observed:
        if self._ids is None or not len(observed):
            return observed
        return self._left(observed, self._ids.take(observed.ids, observed.at), "duplicates")

    def _left(self, observed: Observed, kept: NDArray[np.bool_], counter: str) -> Observed:
        dropped = len(observed) - int(np.count_nonzero(kept))
        setattr(self, counter, getattr(self, counter) + dropped)
        return observed[kept] if dropped else observed


def fired_at(seen: Observed, events: Rows, periods: Periods) -> Fired:
    """Which of the events made it fire, and for which period each; in the order of the partition."""
    order = np.lexsort((periods, events))
    events = events[order]
    return Fired(seen.keys[events], periods[order], seen.at[events], seen.rows[events])


def _named(prefix: str, columns: Columns) -> Columns:
    return {f"{prefix}.{name}": column for name, column in columns.items()}


def _of(prefix: str, columns: Mapping[str, NDArray[Any]]) -> Columns:
    start = f"{prefix}."
    return {name.removeprefix(start): column for name, column in columns.items() if name.startswith(start)}
