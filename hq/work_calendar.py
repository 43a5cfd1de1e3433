"""Which weekdays are public holidays in China, and which weekend days are worked in exchange, year by year."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from importlib.metadata import version

import chinese_calendar

LIBRARY = f"chinesecalendar {version('chinesecalendar')}"


def is_known(year: int) -> bool:
    """The State Council orders a year's days in the autumn before; the library follows some weeks later."""
    try:
        chinese_calendar.is_workday(date(year, 1, 1))
    except (NotImplementedError, ValueError):
        return False
    return True


def rest_days(year: int) -> frozenset[date]:
    """Mondays to Fridays off, of a known year."""
    return frozenset(day for day in _days(year) if day.weekday() < 5 and chinese_calendar.is_holiday(day))


def make_up_days(year: int) -> frozenset[date]:
    """Saturdays and Sundays worked, of a known year."""
    return frozenset(day for day in _days(year) if day.weekday() >= 5 and chinese_calendar.is_workday(day))


def _days(year: int) -> Iterator[date]:
    day = date(year, 1, 1)
    while day.year == year:
        yield day
        day += timedelta(days=1)
