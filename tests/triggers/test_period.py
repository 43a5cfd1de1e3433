"""Numbers of periods, against the calendar of China."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from common.kernel.trigger_rule import Period
from province.triggers.counting.period import number, numbers
from province.triggers.counting.reference import period_of
from tests.triggers.counting_world import RULE

CHINA = ZoneInfo("Asia/Shanghai")
"""Without summer time since 1992."""
FIRST, LAST = datetime(1992, 1, 1, tzinfo=CHINA), datetime(2400, 1, 1, tzinfo=CHINA)
MOMENTS = st.integers(0, int((LAST - FIRST) / timedelta(milliseconds=1))).map(
    lambda after: FIRST + timedelta(milliseconds=after)
)


@given(st.lists(MOMENTS, min_size=1), st.integers(1, 28))
def test_months_and_cycles_are_those_of_the_calendar(moments: list[datetime], cycle_day: int) -> None:
    at = _millis(moments)
    begun = [moment - timedelta(days=cycle_day - 1) for moment in moments]
    assert numbers(Period.MONTH, 1, at).tolist() == [each.year * 12 + each.month - 1 for each in moments]
    assert numbers(Period.CYCLE, cycle_day, at).tolist() == [each.year * 12 + each.month - 1 for each in begun]


@given(st.lists(MOMENTS, min_size=1))
def test_days_and_hours_begin_by_the_clock_of_china(moments: list[datetime]) -> None:
    at = _millis(moments)
    assert (numbers(Period.DAY, 1, at) + date(1970, 1, 1).toordinal()).tolist() == [
        each.toordinal() for each in moments
    ]
    hours = numbers(Period.HOUR, 1, at)
    assert (hours % 24).tolist() == [each.hour for each in moments]
    assert (hours // 24).tolist() == numbers(Period.DAY, 1, at).tolist()


@given(MOMENTS, MOMENTS, st.sampled_from(Period), st.integers(1, 28))
def test_numbers_ascend_in_time(one: datetime, other: datetime, period: Period, cycle_day: int) -> None:
    first, last = numbers(period, cycle_day, np.sort(_millis([one, other]))).tolist()
    assert first <= last


@given(st.lists(MOMENTS, min_size=1), st.sampled_from(Period), st.integers(1, 28))
def test_the_reference_knows_the_same_periods(moments: list[datetime], period: Period, cycle_day: int) -> None:
    rule, at = replace(RULE, period=period, cycle_day=cycle_day), _millis(moments)
    assert numbers(period, cycle_day, at).tolist() == [period_of(rule, each) for each in at.tolist()]


def test_a_cycle_begins_on_its_day() -> None:
    on = datetime(2026, 3, 15, tzinfo=CHINA)
    last, first = _millis([on - timedelta(seconds=1), on]).tolist()
    assert number(Period.CYCLE, 15, last) == 2026 * 12 + 1
    assert number(Period.CYCLE, 15, first) == 2026 * 12 + 2


def test_moments_of_a_thousand_years_are_not_asked_for_day_by_day() -> None:
    at = _millis([datetime(1992, 1, 1, tzinfo=CHINA), datetime(2992, 5, 1, tzinfo=CHINA)])
    assert numbers(Period.MONTH, 1, at).tolist() == [1992 * 12, 2992 * 12 + 4]


def _millis(moments: list[datetime]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([round(each.timestamp() * 1000) for each in moments], dtype=np.int64)
