"""A policy file, checked whole before anything is changed, and written out as nodes keep it: with every day of rest."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import yaml

from common.delivery.policy_document import Calendar, form_of, refused, source_of
from common.kernel.policy import Place, problems
from hq import work_calendar


def check(text: str) -> str:
    """The document. Raises Refusal POLICY_INVALID that lists everything wrong, a line each, with place and remedy."""
    source = source_of(text)
    file, found = form_of(source)
    if file is not None:
        found += [source.problem(place, what) for place, what in problems(file.policy(0))]
    if file is not None and file.calendar is not None:
        found += [source.problem(place, what) for place, what in _unknown_years(file.calendar)]
    if file is None or found:
        raise refused(found)
    value = dict(source.value)
    if file.calendar is not None:
        value["calendar"] = _resolved(file.calendar)
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)


def _unknown_years(calendar: Calendar) -> Iterator[tuple[Place, str]]:
    remedy = "Write rest_days and make_up_days of it as the State Council orders them, or leave the year out"
    for number, year in enumerate(calendar.years):
        written = any(day.year == year for day in calendar.rest_days)
        if calendar.country is not None and not written and not work_calendar.is_known(year):
            yield ("calendar", "years", number), f"{work_calendar.LIBRARY} does not know {year}. {remedy}"


def _resolved(calendar: Calendar) -> dict[str, list[int] | list[str]]:
    """What is written corrects what is looked up."""
    rest, worked = set(calendar.rest_days), set(calendar.make_up_days)
    for year in calendar.years:
        if calendar.country is not None and work_calendar.is_known(year):
            rest |= work_calendar.rest_days(year) - set(calendar.make_up_days)
            worked |= work_calendar.make_up_days(year) - set(calendar.rest_days)
    return {
        "years": sorted(set(calendar.years)),
        "rest_days": [str(day) for day in sorted(rest) if not _is_weekend(day)],
        "make_up_days": [str(day) for day in sorted(worked) if _is_weekend(day)],
    }


def _is_weekend(day: date) -> bool:
    return day.weekday() >= 5
