"""The same fires as the states of `province.triggers.counting.forms`, one event at a time: slow, and plain to read.

It is what the fast states are held to, in the tests and each time the benchmark runs. It forgets nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from heapq import heappop, heappush
from math import inf
from typing import NamedTuple

from common.kernel.trigger_rule import ZONE_SECONDS, Crosses, Each, Period, Stays, Sum, Surge, TriggerRule
from province.triggers.counting.observed import Observed

HOUR, DAY = 3_600_000, 86_400_000


class Event(NamedTuple):
    id: int
    key: int
    at: int
    newest: int
    amount: float
    limit: float
    side: int
    row: int


class Fire(NamedTuple):
    key: int
    period: int
    at: int
    row: int


def events_of(observed: Observed) -> Iterator[Event]:
    """Absent columns read as zeros."""
    count = len(observed)
    columns = (observed.ids, observed.keys, observed.at, observed.newest, observed.amounts, observed.limits)
    spelled = [column.tolist() or [0] * count for column in (*columns, observed.sides, observed.rows)]
    return map(Event, *spelled)


def period_of(rule: TriggerRule, at: int) -> int:
    local = at + ZONE_SECONDS * 1000
    match rule.period:
        case Period.EVER:
            return 0
        case Period.HOUR:
            return local // HOUR
        case Period.DAY:
            return local // DAY
        case Period.MONTH:
            return _month(local // DAY)
        case Period.CYCLE:
            return _month(local // DAY - (rule.cycle_day - 1))


@cache
def _month(day: int) -> int:
    date = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)
    return date.year * 12 + date.month - 1


class Reference:
    """Counts one rule's events of one partition."""

    def __init__(self, rule: TriggerRule) -> None:
        self.rule = rule
        self.lateness = rule.lateness_seconds * 1000
        self.late = self.duplicates = self.counted = 0
        self.seen: set[int] = set()
        self.fired: set[tuple[int, int]] = set()
        self.fires: list[Fire] = []
        self.count, self.with_ids = self._form()

    def take(self, observed: Observed) -> None:
        for event in events_of(observed):
            self.one(event)

    def one(self, event: Event) -> None:
        if event.at < event.newest - self.lateness:
            self.late += 1
        elif self.with_ids and event.id in self.seen:
            self.duplicates += 1
        else:
            if self.with_ids:
                self.seen.add(event.id)
            self.counted += 1
            self.count(event)
        if isinstance(self.rule.form, Stays):
            self.pass_time(event.newest)

    def fire(self, key: int, of: int, at: int, row: int) -> None:
        """For the period of the moment `of`, unless the person has had theirs."""
        period = period_of(self.rule, of)
        if (key, period) not in self.fired:
            self.fired.add((key, period))
            self.fires.append(Fire(key, period, at, row))

    def _form(self) -> tuple[Callable[[Event], None], bool]:
        match self.rule.form:
            case Each():
                return self.each, False
            case Sum() as form:
                self.totals: dict[tuple[int, int], float] = defaultdict(float)
                self.reaches = form.reaches
                return self.sum, True
            case Surge() as form:
                self.steps: dict[tuple[int, int], float] = {}
                self.surge_form = form
                return self.surge, True
            case Crosses() as form:
                self.first: dict[tuple[int, int], int] = {}
                self.last: dict[tuple[int, int], int] = {}
                self.from_side = 0 if form.inwards else 1
                return self.crosses, False
            case Stays() as form:
                self.waiting: list[tuple[int, int, Event]] = []
                self.begun: dict[int, Event] = {}
                self.due: list[tuple[int, int, Event]] = []
                self.lasts = form.seconds * 1000
                return self.hold, False

    def each(self, event: Event) -> None:
        self.fire(event.key, event.at, event.at, event.row)

    def sum(self, event: Event) -> None:
        whose = (event.key, period_of(self.rule, event.at))
        self.totals[whose] += event.amount
        if self.totals[whose] >= (event.limit if self.reaches is None else self.reaches):
            self.fire(event.key, event.at, event.at, event.row)

    def surge(self, event: Event) -> None:
        """The windows that this event's step is in end in its own step, or in one of the eleven after it."""
        window, count = self.surge_form.window_seconds * 1000, Surge.STEPS
        step = event.at * count // window
        self.steps[event.key, step] = self.steps.get((event.key, step), 0.0) + event.amount
        for end in range(step, step + count):
            in_window = [self.steps.get((event.key, each), 0.0) for each in range(end - count + 1, end + 1)]
            if (event.key, end) in self.steps and sum_in_order(in_window) >= self.surge_form.reaches:
                begins = -(-end * window // count)
                self.fire(event.key, begins, event.at, event.row)

    def crosses(self, event: Event) -> None:
        whose = (event.key, period_of(self.rule, event.at))
        if event.side == self.from_side:
            self.first[whose] = min(event.at, self.first.get(whose, event.at))
        else:
            self.last[whose] = max(event.at, self.last.get(whose, event.at))
        if self.first.get(whose, inf) < self.last.get(whose, -inf):
            self.fire(event.key, event.at, event.at, event.row)

    def hold(self, event: Event) -> None:
        heappush(self.waiting, (event.at, event.id, event))

    def pass_time(self, newest: int) -> None:
        """Of what nothing earlier can come before any more: states that have lasted, and events, in order of time."""
        now = newest - self.lateness
        while self.waiting and self.waiting[0][0] < now:
            event = heappop(self.waiting)[2]
            self.tell(event.at)
            self.move(event)
        self.tell(now)

    def move(self, event: Event) -> None:
        if event.side == 0:
            self.begun.pop(event.key, None)
        elif event.key not in self.begun:
            self.begun[event.key] = event
            heappush(self.due, (event.at + self.lasts, event.key, event))

    def tell(self, now: int) -> None:
        while self.due and self.due[0][0] <= now:
            lasted_at, key, begin = heappop(self.due)
            if self.begun.get(key) is begin:
                self.fire(key, lasted_at, lasted_at, begin.row)


def sum_in_order(amounts: list[float]) -> float:
    """Not `sum`, which rounds as if it did not."""
    total = 0.0
    for amount in amounts:
        total += amount
    return total
