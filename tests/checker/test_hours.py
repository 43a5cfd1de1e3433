"""Quiet hours as the checker reads them: to the second, by the day a moment falls on, where the person lives."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from deploy.checker.hours import quiet
from deploy.checker.world import Channel, Policy, Quiet

NIGHT, MIDDAY, WHOLE_DAY, NEVER = (21 * 3600, 9 * 3600), (12 * 3600, 14 * 3600), (0, 86_400), (0, 0)
CHANNEL = Channel("message")
SATURDAY, MONDAY, TUESDAY = "2026-11-21", "2026-11-23", "2026-11-24"


def is_quiet(moment: str, policy: Policy, home: int = 45, margin: int = 0) -> bool:
    """`moment` by the clocks of Shanghai."""
    at = int(datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo("Asia/Shanghai")).timestamp())
    return bool(quiet(policy, "sms", CHANNEL, np.array([at]), np.array([home]), margin)[0])


def policy(working: tuple[int, int], rest: tuple[int, int], **more: object) -> Policy:
    calendar = {"years": frozenset({2026}), **more}
    return Policy(1, 0, quiet={"sms": Quiet(working, rest)}, **calendar)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("20:59:59", False),
        # Sent before, taken in the second the night begins.
        ("21:00:00", False),
        ("21:00:01", True),
        ("23:59:59", True),
        ("00:00:00", True),
        ("08:59:59", True),
        ("09:00:00", False),
    ],
)
def test_a_night_is_exact_to_the_second(moment: str, expected: bool) -> None:
    assert is_quiet(f"{MONDAY}T{moment}", Policy(0, 0)) is expected
    assert is_quiet(f"{MONDAY}T{moment}", policy(NIGHT, NIGHT)) is expected


def test_clocks_that_differ_are_given_their_margin() -> None:
    assert is_quiet(f"{MONDAY}T21:00:14", policy(NIGHT, NIGHT), margin=10)
    assert not is_quiet(f"{MONDAY}T21:00:14", policy(NIGHT, NIGHT), margin=15)
    assert not is_quiet(f"{MONDAY}T08:59:50", policy(NIGHT, NIGHT), margin=15)


def test_the_day_a_moment_falls_on_says_which_hours_count() -> None:
    hours = policy(MIDDAY, WHOLE_DAY)
    assert is_quiet(f"{MONDAY}T13:00", hours)
    assert not is_quiet(f"{MONDAY}T15:00", hours)
    assert is_quiet(f"{SATURDAY}T15:00", hours)
    assert is_quiet(f"{MONDAY}T15:00", policy(MIDDAY, WHOLE_DAY, rest_days=frozenset({date.fromisoformat(MONDAY)})))
    worked = frozenset({date.fromisoformat(SATURDAY)})
    assert not is_quiet(f"{SATURDAY}T15:00", policy(MIDDAY, WHOLE_DAY, make_up_days=worked))
    assert not is_quiet(f"{TUESDAY}T13:00", policy(NEVER, MIDDAY))


def test_in_a_year_nobody_knows_the_days_of_both_hours_are_quiet() -> None:
    unknown = policy(NIGHT, MIDDAY, years=frozenset())
    assert is_quiet(f"{MONDAY}T13:00", unknown)
    assert is_quiet(f"{MONDAY}T22:00", unknown)
    assert not is_quiet(f"{MONDAY}T15:00", unknown)


def test_people_sleep_by_the_clock_of_their_home() -> None:
    west = policy(NIGHT, NIGHT, zones={65: "Asia/Urumqi"})
    assert is_quiet(f"{MONDAY}T10:00", west, home=65)
    assert not is_quiet(f"{MONDAY}T10:00", west, home=45)
    assert not is_quiet(f"{MONDAY}T22:00", west, home=65)
    assert is_quiet(f"{MONDAY}T23:30", west, home=65)
