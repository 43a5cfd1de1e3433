"""When nobody is contacted: by the person's clock, on the days as they really are."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.delivery.policy_document import parsed
from common.kernel.channel import CHANNELS, Channel
from common.kernel.policy import (
    ALL_DAY,
    DEFAULT,
    NO_TIME,
    Policy,
    Quiet,
    Window,
    everybody_quiet,
    quiet_by_home,
    quiet_until,
)
from hq.policy_file import check

CALL = CHANNELS["outbound_call"]
SHANGHAI = ZoneInfo("Asia/Shanghai")
TURNING = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "America/St_Johns")
"""Zones whose clocks are turned back and forward, one by half an hour, one around a month."""
BEGIN, END = (int(datetime(year, 1, 1, tzinfo=SHANGHAI).timestamp()) for year in (2026, 2027))


def at(text: str, zone: str = "Asia/Shanghai") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp())


def china(working: str, rest: str) -> Policy:
    """Outbound calls rest at these hours, on the days of 2026 as the State Council ordered them."""
    return parsed(
        check(f"""
mode: shared
caps: [{{scope: all, contacts: 2, per: 1d}}]
quiet: {{outbound_call: {{working: {working!r}, rest: {rest!r}}}}}
calendar: {{country: CN, years: [2026]}}
"""),
        1,
    )


EVES = [
    # The moment, and when the quiet around it ends: "" where there is none.
    ("2026-09-24T19:59", "", "a Thursday before eight"),
    ("2026-09-23T20:00", "2026-09-24T09:00", "a Wednesday night"),
    ("2026-09-24T20:00", "2026-09-25T10:00", "the eve of Mid-Autumn goes by the holiday from midnight"),
    ("2026-09-25T09:30", "2026-09-25T10:00", "the holiday itself"),
    ("2026-09-27T21:00", "2026-09-28T09:00", "the holiday's last night goes by the working day from midnight"),
    ("2026-09-20T18:30", "", "a Sunday worked in exchange"),
    ("2026-09-19T18:30", "2026-09-20T09:00", "the Saturday before it"),
    ("2026-10-10T17:00", "", "a Saturday worked in exchange"),
    ("2026-10-10T20:00", "2026-10-11T10:00", "its night"),
    ("2026-10-07T18:00", "2026-10-08T09:00", "the last day of National Day"),
    ("2026-10-11T10:00", "", "the very second it ends"),
    ("2026-10-11T09:59:59", "2026-10-11T10:00", "the second before"),
]


@pytest.mark.parametrize(("moment", "ends"), [each[:2] for each in EVES], ids=[each[2] for each in EVES])
def test_eves_holidays_and_make_up_days(moment: str, ends: str) -> None:
    policy = china("20:00-09:00", "18:00-10:00")
    assert quiet_until(policy, CALL, at(moment)) == (at(ends) if ends else None)


def test_whole_days_of_rest_are_followed_over_the_holiday() -> None:
    policy = china("20:00-09:00", "all_day")
    assert quiet_until(policy, CALL, at("2026-09-30T20:00")) == at("2026-10-08T09:00")
    assert quiet_until(policy, CALL, at("2026-02-14T12:00")) is None
    assert quiet_until(policy, CALL, at("2026-02-15T12:00")) == at("2026-02-24T09:00")


def test_no_quiet_at_all_and_midnight_as_an_end() -> None:
    assert quiet_until(china("none", "none"), CALL, at("2026-03-02T03:00")) is None
    assert quiet_until(china("22:00-24:00", "22:00-24:00"), CALL, at("2026-03-02T23:00")) == at("2026-03-03T00:00")
    assert quiet_until(china("00:00-08:00", "00:00-08:00"), CALL, at("2026-03-02T00:00")) == at("2026-03-02T08:00")


def test_in_a_year_that_is_not_known_both_kinds_of_hours_are_quiet() -> None:
    policy = china("20:00-09:00", "18:00-10:00")
    for day in ("2027-03-03", "2027-03-06"):
        assert quiet_until(policy, CALL, at(f"{day}T18:00")) == at(f"{day}T10:00") + 86_400
        assert quiet_until(policy, CALL, at(f"{day}T17:59")) is None
    mixed = replace(policy, quiet=(("outbound_call", Quiet(Window(72_000, 32_400), Window(43_200, 46_800))),))
    assert quiet_until(mixed, CALL, at("2027-03-03T12:30")) == at("2027-03-03T13:00")
    assert quiet_until(mixed, CALL, at("2027-03-03T20:30")) == at("2027-03-04T09:00")


def test_a_channel_the_policy_does_not_name_keeps_its_own_hours() -> None:
    for policy in (DEFAULT, china("20:00-09:00", "all_day")):
        assert quiet_until(policy, CHANNELS["sms"], at("2026-10-01T20:59")) is None
        assert quiet_until(policy, CHANNELS["sms"], at("2026-10-01T21:00")) == at("2026-10-02T09:00")


def test_people_sleep_by_the_clock_of_their_home() -> None:
    policy = replace(DEFAULT, zones=((65, "Asia/Urumqi"),))
    sms, homes = CHANNELS["sms"], np.array([45, 65, 0, 65])
    evening, night, morning = (at(f"2026-03-02T{hour}") for hour in ("21:30", "23:30", "09:30"))
    assert (quiet_by_home(policy, sms, evening, homes) > 0).tolist() == [True, False, True, False]
    assert (quiet_by_home(policy, sms, morning, homes) > 0).tolist() == [False, True, False, True]
    assert quiet_by_home(policy, sms, night, homes).tolist() == [
        at("2026-03-03T09:00"), at("2026-03-03T11:00"), at("2026-03-03T09:00"), at("2026-03-03T11:00")
    ]  # fmt: skip
    assert [everybody_quiet(policy, sms, moment) for moment in (evening, night, morning)] == [False, True, False]


@st.composite
def windows(draw: st.DrawFn) -> Window:
    whole = st.sampled_from([ALL_DAY, NO_TIME])
    minutes = st.integers(0, 24 * 60 - 1).map(lambda minute: minute * 60)
    return draw(whole | st.builds(Window, minutes, minutes))


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    days = st.frozensets(st.dates(date(2026, 1, 1), date(2026, 12, 31)), max_size=60)
    quiet = (("outbound_call", Quiet(draw(windows().filter(lambda window: window != ALL_DAY)), draw(windows()))),)
    rest = draw(days)
    return Policy(1, DEFAULT.caps, quiet=quiet, years=frozenset({2026}), rest_days=rest, make_up_days=draw(days) - rest)


def is_quiet(policy: Policy, now: int, zone: str) -> bool:
    """What anybody would say who looks at the calendar and at the clock on the wall."""
    local = datetime.fromtimestamp(now, ZoneInfo(zone))
    day, (_, quiet) = local.date(), policy.quiet[0]
    worked = day.weekday() < 5 if day not in policy.rest_days | policy.make_up_days else day in policy.make_up_days
    window = quiet.working if worked else quiet.rest
    second = (local.hour * 60 + local.minute) * 60 + local.second
    if window.begins <= window.ends:
        return window.begins <= second < window.ends
    return second >= window.begins or second < window.ends


moments = st.integers(BEGIN + 40 * 86_400, END - 40 * 86_400)


@given(policies(), moments)
@settings(max_examples=200, deadline=None)
def test_it_ends_at_the_first_moment_that_is_not_quiet(policy: Policy, now: int) -> None:
    end = quiet_until(policy, CALL, now)
    assert (end is not None) == is_quiet(policy, now, "Asia/Shanghai")
    if end is not None:
        assert end > now
        if end - now < 30 * 86_400:
            assert not is_quiet(policy, end, "Asia/Shanghai")
        steps = {end - 1, *range(now, end, 1 + (end - now) // 40)}
        assert all(is_quiet(policy, moment, "Asia/Shanghai") for moment in steps)


@cache
def turns(zone: str) -> list[int]:
    """Moments of 2026 at which clocks in `zone` are turned."""
    hours = [BEGIN + 86_400 + hour * 3_600 for hour in range(363 * 24)]
    offsets = [datetime.fromtimestamp(hour, ZoneInfo(zone)).utcoffset() for hour in hours]
    return [hours[n] for n in range(1, len(hours)) if offsets[n] != offsets[n - 1]]


@given(policies(), st.sampled_from(TURNING), st.data())
@settings(max_examples=200, deadline=None)
def test_turned_clocks_never_open_a_quiet_hour(policy: Policy, zone: str, data: st.DataObject) -> None:
    now = data.draw(st.sampled_from(turns(zone))) + data.draw(st.integers(-14_400, 14_400))
    end = quiet_until(policy, CALL, now, zone)
    assert (end is not None) == is_quiet(policy, now, zone)
    if end is not None and end - now < 30 * 86_400:
        assert end > now
        later = datetime.fromtimestamp(end, ZoneInfo(zone))
        assert not is_quiet(policy, end, zone) or later.utcoffset() != later.replace(fold=1 - later.fold).utcoffset()


def test_the_zone_of_the_channel_counts_where_no_home_says_otherwise() -> None:
    berlin = replace(CHANNELS["sms"], zone="Europe/Berlin", quiet_from=time(2, 15), quiet_until=time(2, 45))
    assert isinstance(berlin, Channel)
    spring = at("2026-03-29T01:59", "Europe/Berlin")
    assert quiet_until(DEFAULT, berlin, spring) is None
    assert quiet_until(DEFAULT, berlin, spring + 120) is None
    autumn = at("2026-10-25T02:20", "Europe/Berlin")
    assert quiet_until(DEFAULT, berlin, autumn) == autumn + 3_600 + 25 * 60
    assert quiet_until(DEFAULT, berlin, autumn + 3_600) == autumn + 3_600 + 25 * 60
    assert quiet_until(DEFAULT, berlin, autumn + int(timedelta(hours=2).total_seconds())) is None
