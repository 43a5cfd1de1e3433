"""Which hour, day, month or cycle a moment is in, as a number that ascends in time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.kernel.event import Millis
from common.kernel.trigger_rule import ZONE_SECONDS, Period
from province.triggers.counting.observed import Periods

_ZONE_MILLIS = ZONE_SECONDS * 1000
_HOUR_MILLIS = 3_600_000
_DAY_MILLIS = 86_400_000
_MONTHS_TO_1970 = 1970 * 12
_DAYS_AT_ONCE_MAX = 100_000
"""Calendars are asked day by day where the moments are closer together than that; so is any sane stream."""


def numbers(period: Period, cycle_day: int, at: Millis) -> Periods:
    """A MONTH or a CYCLE is year * 12 + month - 1 of the day it begins on; HOUR and DAY count from 1970; EVER is 0."""
    match period:
        case Period.EVER:
            return np.zeros(len(at), dtype=np.int64)
        case Period.HOUR:
            return (at + _ZONE_MILLIS) // _HOUR_MILLIS
        case Period.DAY:
            return _days(at)
        case Period.MONTH:
            return _months(_days(at))
        case Period.CYCLE:
            return _months(_days(at) - (cycle_day - 1))


def number(period: Period, cycle_day: int, at: int) -> int:
    return int(numbers(period, cycle_day, np.array([at], dtype=np.int64))[0])


def _days(at: Millis) -> NDArray[np.int64]:
    return (at + _ZONE_MILLIS) // _DAY_MILLIS


def _months(days: NDArray[np.int64]) -> Periods:
    if not len(days):
        return days
    first, last = days.min(), days.max()
    if last - first > _DAYS_AT_ONCE_MAX:
        return _calendar(days)
    months: Periods = _calendar(np.arange(first, last + 1))[days - first]
    return months


def _calendar(days: NDArray[np.int64]) -> Periods:
    months: Periods = days.astype("M8[D]").astype("M8[M]").astype(np.int64) + _MONTHS_TO_1970
    return months
