"""Rules and logs of events to hold the counting states to, and what comes out of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import strategies as st

from common.kernel.trigger_rule import Crosses, Each, Form, Offer, Period, Stays, Sum, Surge, TriggerRule
from province.triggers.counting.observed import Fired, Observed
from province.triggers.counting.reference import Fire, Reference
from province.triggers.counting.state import State

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
NOON = int(datetime(2026, 11, 30, 12, tzinfo=ZoneInfo("Asia/Shanghai")).timestamp()) * 1000
"""Half a day before a month ends."""
OFFER = Offer("pack", "5g", ("local_sms",), "", 50, "", 600)
RULE = TriggerRule("r", 1, "scene", ("e",), "", Each(), Period.DAY, 1, 60, OFFER)


@dataclass(frozen=True)
class Happening:
    """One event. What names it, besides its id, is that nothing of it ever changes."""

    id: int
    key: int
    at: int
    amount: float = 1.0
    limit: float = float("nan")
    side: int = 1


FORMS: tuple[Form, ...] = (
    Each(),
    Sum("bytes", 12.0),
    Sum("bytes", None, 0.8, "allowance"),
    Surge("bytes", 60, 9.0),
    Surge("bytes", 10, 6.0),
    Surge("bytes", 7200, 12.0),
    Crosses("square", True),
    Crosses("square", False),
    Stays(1),
    Stays(30),
    Stays(7200),
)
SPANS = (20 * SECOND, 3 * MINUTE, 3 * HOUR, 3 * DAY, 90 * DAY)
LATENESS_SECONDS = (0, 5, 60, 7200, 400 * 86_400)


def rules(forms: Sequence[Form] = FORMS) -> st.SearchStrategy[TriggerRule]:
    return st.builds(
        lambda form, period, cycle_day, lateness: replace(
            RULE, form=form, period=period, cycle_day=cycle_day, lateness_seconds=lateness
        ),
        st.sampled_from(forms),
        st.sampled_from(Period),
        st.sampled_from((1, 2, 28)),
        st.sampled_from(LATENESS_SECONDS),
    )


@st.composite
def happenings(draw: st.DrawFn, whole: bool = False) -> list[Happening]:
    """Of few people, close together or far apart; all different."""
    span, people = draw(st.sampled_from(SPANS)), draw(st.sampled_from((1, 3)))
    amount = st.integers(0, 5).map(float) if whole else st.one_of(st.integers(0, 5).map(float), st.floats(0, 5))
    limits = [draw(st.sampled_from((float("nan"), 0.0, 4.0, 12.0))) for _ in range(people)]
    made = draw(
        st.lists(
            st.tuples(st.integers(0, people - 1), st.integers(0, span), amount, st.integers(0, 1)),
            min_size=1,
            max_size=40,
        )
    )
    return [
        Happening(number, key, NOON + after, much, limits[key], side)
        for number, (key, after, much, side) in enumerate(made)
    ]


@st.composite
def logs(draw: st.DrawFn) -> list[Happening]:
    """In any order, some of them several times, with limits that change from event to event."""
    made = draw(happenings())
    limits = st.sampled_from((float("nan"), 0.0, 4.0, 12.0))
    made = [replace(each, limit=draw(limits)) for each in made]
    if draw(st.booleans()):
        made.sort(key=lambda each: each.at)
    return made + draw(st.lists(st.sampled_from(made), max_size=10)) if draw(st.booleans()) else made


@st.composite
def arrivals(draw: st.DrawFn, made: list[Happening], lateness_seconds: int) -> list[Happening]:
    """All of them, some several times, each late by no more than the lateness."""
    sent = made + draw(st.lists(st.sampled_from(made), max_size=10))
    delays = [draw(st.integers(0, lateness_seconds * SECOND)) for _ in sent]
    order = sorted(range(len(sent)), key=lambda row: (sent[row].at + delays[row], row))
    return [sent[row] for row in order]


def observed(log: Sequence[Happening]) -> Observed:
    at = np.array([each.at for each in log], dtype=np.int64)
    return Observed(
        ids=np.array([each.id for each in log], dtype=np.uint64),
        keys=np.array([each.key for each in log], dtype=np.int64),
        at=at,
        newest=np.maximum.accumulate(at),
        amounts=np.array([each.amount for each in log], dtype=np.float64),
        limits=np.array([each.limit for each in log], dtype=np.float64),
        sides=np.array([each.side for each in log], dtype=np.int8),
        rows=np.arange(len(log), dtype=np.int64),
    )


@st.composite
def cuts(draw: st.DrawFn, count: int) -> list[slice]:
    inner = draw(st.sets(st.integers(1, count), max_size=6))
    return [slice(first, last) for first, last in pairwise(sorted({0, count, *inner}))]


def spelled(fired: Fired) -> list[Fire]:
    columns = (fired.keys, fired.periods, fired.at, fired.rows)
    return list(map(Fire, *(column.tolist() for column in columns)))


def run(state: State, log: Observed, runs: Sequence[slice]) -> Iterator[tuple[slice, list[Fire]]]:
    for each in runs:
        yield each, spelled(state.take(log[each]))


def expected(rule: TriggerRule, log: Observed, runs: Sequence[slice]) -> list[list[Fire]]:
    """Of each run, what the reference says, told as the states do."""
    reference, told = Reference(rule), []
    for each in runs:
        before = len(reference.fires)
        reference.take(log[each])
        fires = reference.fires[before:]
        if isinstance(rule.form, Stays):  # its event may have come in an earlier run
            fires = [fire if fire.row >= each.start else fire._replace(row=-1) for fire in fires]
        told.append(sorted(fires, key=lambda fire: (fire.row, fire.at, fire.key, fire.period)))
    return told
