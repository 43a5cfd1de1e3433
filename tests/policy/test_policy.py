"""What a policy may say."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, time

import pytest

from common.kernel.channel import CHANNELS
from common.kernel.policy import (
    ALL_DAY,
    CAPS_MAX,
    DEFAULT,
    NO_TIME,
    CapRule,
    Mode,
    Policy,
    Quiet,
    Scope,
    Window,
    problems,
    unsafe,
)

ALL = CapRule(Scope.ALL, "", 2, 86_400, 1)


def told(policy: Policy) -> str:
    return "\n".join(f"{'.'.join(map(str, place))}: {what}" for place, what in problems(policy))


WRONG = [
    (replace(DEFAULT, caps=()), "caps: 0 rules. Write 1 to 12"),
    (replace(DEFAULT, caps=tuple(replace(ALL, window_seconds=n) for n in range(1, CAPS_MAX + 2))), "caps: 13 rules"),
    (replace(DEFAULT, caps=(replace(ALL, contacts=0, province_share=0),)), "caps.0.contacts: 0 is out of range. Give"),
    (replace(DEFAULT, caps=(replace(ALL, contacts=201),)), "caps.0.contacts: 201 is out of range"),
    (replace(DEFAULT, caps=(ALL, replace(ALL, window_seconds=-1))), "caps.1.per: is out of range. Give 1s to 400d"),
    (replace(DEFAULT, caps=(replace(ALL, window_seconds=0),)), "caps.0.per: is out of range"),
    (replace(DEFAULT, caps=(replace(ALL, province_share=3),)), "caps.0.province_share: 3 is out of range. Give 0 to"),
    (replace(DEFAULT, caps=(replace(ALL, province_share=-1),)), "caps.0.province_share: -1 is out of range"),
    (replace(DEFAULT, caps=(replace(ALL, scope=7),)), "caps.0.scope: 7 is no scope. Write all"),
    (replace(DEFAULT, caps=(replace(ALL, value="call"),)), "caps.0.value: scope all covers all marketing"),
    (replace(DEFAULT, caps=(replace(ALL, scope=Scope.PRODUCT_LINE),)), "caps.0.value: scope product_line needs to say"),
    (replace(DEFAULT, caps=(replace(ALL, scope=Scope.CHANNEL_CLASS, value="fax"),)), "'fax' is no channel class. Use"),
    (replace(DEFAULT, caps=(ALL, replace(ALL, contacts=3))), "caps.1: the same scope and window are there twice"),
    (replace(DEFAULT, stop_freshness_seconds=59), "stop_freshness: is out of range. Give 60s to 7d"),
    (replace(DEFAULT, stop_freshness_seconds=8 * 86_400), "stop_freshness: is out of range"),
    (replace(DEFAULT, cooling_seconds=-1), "cooling: is out of range. Give 0s to 400d"),
    (replace(DEFAULT, after_order_seconds=401 * 86_400), "after_order: is out of range"),
    (replace(DEFAULT, consent_classes=("call", "letter")), "consent.1: 'letter' is no channel class"),
    (replace(DEFAULT, capacities=(("fax", 1),)), "capacities.fax: unknown channel. Use one of: sms"),
    (replace(DEFAULT, capacities=(("sms", -1),)), "capacities.sms: -1 is out of range"),
    (replace(DEFAULT, quiet=(("fax", Quiet(NO_TIME, NO_TIME)),)), "quiet.fax: unknown channel"),
    (replace(DEFAULT, quiet=(("sms", Quiet(ALL_DAY, ALL_DAY)),)), "Close the channel by capacities.sms: 0"),
    (replace(DEFAULT, quiet=(("sms", Quiet(Window(90_000, 1), NO_TIME)),)), "quiet.sms.working: is no part of a day"),
    (replace(DEFAULT, quiet=(("sms", Quiet(NO_TIME, ALL_DAY)),)), "quiet.sms.rest: days of rest are not known"),
    (replace(DEFAULT, rest_days=frozenset({date(2026, 1, 1)})), "2026-01-01 is in no year of the calendar. Add 2026"),
    (replace(DEFAULT, years=frozenset({1999})), "calendar.years: years are too many or too far"),
    (replace(DEFAULT, years=frozenset(range(2020, 2041))), "Write at most 20 years"),
    (replace(DEFAULT, zones=((65, "Asia/Nowhere"),)), "zones.65: 'Asia/Nowhere' is no time zone. Use one such as"),
    (replace(DEFAULT, zones=((65, "../../etc/passwd"),)), "zones.65: '../../etc/passwd' is no time zone"),
    (replace(DEFAULT, zones=((66, "Asia/Urumqi"),)), "zones.66: is no province"),
]  # fmt: skip


@pytest.mark.parametrize(("policy", "what"), WRONG, ids=[each[1][:50] for each in WRONG])
def test_what_is_wrong_is_named_with_its_remedy(policy: Policy, what: str) -> None:
    assert what in told(policy)


def test_everything_wrong_is_told_at_once_and_the_default_is_right() -> None:
    assert len(list(problems(replace(DEFAULT, cooling_seconds=-1, capacities=(("fax", -1),))))) == 3
    assert told(DEFAULT) == ""


def test_one_day_is_either_worked_or_not() -> None:
    day = frozenset({date(2026, 10, 10)})
    assert "2026-10-10 is a day of rest as well" in told(
        replace(DEFAULT, years=frozenset({2026}), rest_days=day, make_up_days=day)
    )


def test_each_contact_of_a_cap_belongs_to_one_level() -> None:
    for mode, (hq, province) in {
        Mode.HQ_CONTROLLED: (2, 0), Mode.SHARED: (1, 1), Mode.PROVINCE_LOCAL: (0, 2)
    }.items():  # fmt: skip
        policy = replace(DEFAULT, mode=mode)
        assert (policy.own_contacts(ALL, province=False), policy.own_contacts(ALL, province=True)) == (hq, province)


def test_a_cap_covers_what_it_names() -> None:
    call = CapRule(Scope.CHANNEL_CLASS, "call", 1, 60, 0)
    line = CapRule(Scope.PRODUCT_LINE, "5g", 1, 60, 0)
    assert [rule.covers("call", "5g") for rule in (ALL, call, line)] == [True, True, True]
    assert [rule.covers("message", "") for rule in (ALL, call, line)] == [True, False, False]
    assert [rule.covers("5g", "call") for rule in (ALL, call, line)] == [True, False, False]


def test_channels_own_hours_are_the_default() -> None:
    channel = replace(CHANNELS["sms"], quiet_from=time(22, 30), quiet_until=time(7))
    assert DEFAULT.quiet_parts(channel, date(2026, 3, 2)) == [(0, 25_200), (81_000, 86_400)]


def rule(contacts: int, share: int, window: int = 86_400) -> CapRule:
    return CapRule(Scope.ALL, "", contacts, window, share)


OLD = Policy(1, (rule(3, 1), rule(8, 3, 7 * 86_400)))
CHANGES = {
    "fewer for both": ((rule(2, 1), rule(6, 2, 7 * 86_400)), True),
    "more for HQ": ((rule(4, 1), rule(8, 3, 7 * 86_400)), True),
    "more for the province": ((rule(4, 2), rule(9, 4, 7 * 86_400)), True),
    "one moves down": ((rule(3, 2), rule(8, 3, 7 * 86_400)), False),
    "one moves up": ((rule(3, 0), rule(8, 3, 7 * 86_400)), False),
    "one is taken from HQ only": ((rule(2, 1), rule(8, 3, 7 * 86_400)), True),
    "one is taken from the province only": ((rule(2, 0), rule(8, 3, 7 * 86_400)), True),
    "a longer window besides": ((rule(3, 1), rule(8, 3, 7 * 86_400), rule(12, 3, 30 * 86_400)), True),
    "a longer window instead": ((rule(3, 1), rule(8, 3, 14 * 86_400)), True),
    "a window less": ((rule(3, 1),), True),
    "more a day and fewer a week": ((rule(4, 1), rule(6, 3, 7 * 86_400)), False),
    "another order": ((rule(8, 3, 7 * 86_400), rule(3, 1)), True),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_contact_never_has_two_owners(name: str) -> None:
    caps, safe = CHANGES[name]
    assert (list(unsafe(Policy(2, caps), OLD)) == []) is safe


def test_a_change_of_mode_moves_contacts() -> None:
    for mode in (Mode.HQ_CONTROLLED, Mode.PROVINCE_LOCAL):
        assert list(unsafe(replace(OLD, mode=mode), OLD)) == [("caps", 0)]


def test_a_second_step_waits_for_the_first() -> None:
    first, second = Policy(2, (rule(2, 1),)), Policy(3, (rule(3, 2),))
    start = Policy(1, (rule(3, 1),))
    assert list(unsafe(first, start)) == []
    assert list(unsafe(second, first, [start])) == [("caps", 0)]
    assert list(unsafe(second, first)) == []


def test_what_does_not_change_is_never_in_the_way() -> None:
    assert list(unsafe(replace(OLD, cooling_seconds=5), OLD, [Policy(0, (rule(3, 3),))])) == []
