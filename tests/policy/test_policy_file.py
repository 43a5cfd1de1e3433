"""A policy file is checked whole, told line by line, and kept with every day of rest in it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from common.delivery.policy_document import parsed
from common.kernel.policy import ALL_DAY, CapRule, Mode, Quiet, Scope, Window
from common.kernel.refusal import Refusal
from common.runtime.yaml_source import SOURCE_BYTES_MAX
from hq import work_calendar
from hq.policy_file import check

EXAMPLE = Path(__file__).parents[2] / "deploy" / "demo" / "policy.yaml"


def refusal(text: str) -> str:
    with pytest.raises(Refusal) as refused:
        check(text)
    assert refused.value.reason == "POLICY_INVALID"
    return refused.value.message


def test_a_good_file_says_what_was_written(text: str) -> None:
    policy = parsed(check(text), 7)
    assert (policy.version, policy.mode, policy.stop_freshness_seconds) == (7, Mode.SHARED, 1_800)
    assert policy.caps == (
        CapRule(Scope.ALL, "", 3, 86_400, 1),
        CapRule(Scope.ALL, "", 8, 604_800, 3),
        CapRule(Scope.CHANNEL_CLASS, "call", 1, 604_800, 0),
        CapRule(Scope.PRODUCT_LINE, "5g", 2, 2_592_000, 0),
    )
    assert (policy.cooling_seconds, policy.after_order_seconds) == (2_592_000, 129_600)
    assert (policy.consent_classes, policy.capacity("outbound_call"), policy.capacity("sms")) == (("call",), 200, None)
    assert policy.quiet == (("outbound_call", Quiet(Window(72_000, 32_400), ALL_DAY)),)
    assert policy.zones == ((65, "Asia/Urumqi"),)


def test_windows_are_exact_to_the_second(text: str) -> None:
    spans = {"24h": 86_400, "1d": 86_400, "7d": 604_800, "1d 12h": 129_600, "90m": 5_400, "1s": 1, "1h 1m 1s": 3_661}
    for written, seconds in spans.items():
        assert parsed(check(text.replace("30d}", f"{written}}}", 1)), 1).caps[3].window_seconds == seconds


# What is replaced, by what, and the line, the field and the remedy the refusal must name.
WRONG = [
    ("mode: shared", "mode: mine", 1, "mode", "Write hq_controlled, shared, province_local"),
    ("mode: shared", "modus: shared", 1, "modus", "unknown key. Known here: mode, caps, stop_freshness"),
    ("mode: shared", "mode: shared\nmode: shared", 2, "mode", "is there twice. Delete one"),
    ("contacts: 3", "contacts: 0", 3, "caps[0].contacts", "Give 1 to 200"),
    ("contacts: 3", "contacts: 3.0", 3, "caps[0].contacts", "whole number"),
    ("contacts: 3", "contacts: yes", 3, "caps[0].contacts", "whole number"),
    ("contacts: 3", "contacts: 999999999999999999999", 3, "caps[0].contacts", "whole number"),
    ("contacts: 3, ", "", 3, "caps[0].contacts", "is missing. Add it"),
    ("contacts: 3", "contact: 3", 3, "caps[0].contact", "unknown key. Known here: scope, value, contacts"),
    ("per: 24h", "per: -24h", 3, "caps[0].per", "Write it as 24h, 7d"),
    ("per: 24h", "per: 24", 3, "caps[0].per", "Write it as 24h, 7d"),
    ("per: 24h", "per: 0h", 3, "caps[0].per", "Give 1s to 400d"),
    ("per: 24h", "per: 401d", 3, "caps[0].per", "Give 1s to 400d"),
    ("per: 24h", 'per: ""', 3, "caps[0].per", "is no span of time"),
    ("province_share: 1", "province_share: 4", 3, "caps[0].province_share", "Give 0 to contacts, 3"),
    ("province_share: 1", "province_share: -1", 3, "caps[0].province_share", "Give 0 to contacts, 3"),
    ("scope: all,", "scope: everything,", 3, "caps[0].scope", "Write all, channel_class, product_line"),
    ("scope: all,", "scope: all, value: call,", 3, "caps[0].value", "Delete value"),
    ("value: call,", "", 5, "caps[2].value", "Add value"),
    ("value: call,", "value: fax,", 5, "caps[2].value", "Use one of: message, push"),
    ("contacts: 8, per: 7d", "contacts: 8, per: 24h", 4, "caps[1]", "there twice. Delete one"),
    ("cooling: 30d", "cooling: 30", 7, "cooling", "Write it as 24h"),
    ("stop_freshness: 30m", "stop_freshness: 30s", 9, "stop_freshness", "Give 60s to 7d"),
    ("consent: [call]", "consent: [cal]", 10, "consent[0]", "Use one of: message"),
    ("consent: [call]", "consent: call", 10, "consent", "must be a list"),
    ("outbound_call: 200", "outbound_call: -1", 11, "capacities.outbound_call", "Give 0 to"),
    ("outbound_call: 200", "fax: 200", 11, "capacities.fax", "Use one of: sms"),
    ('outbound_call: {working: "20', 'fax: {working: "20', 13, "quiet.fax", "Use one of: sms"),
    ('"20:00-09:00"', "20:00", 13, "quiet.outbound_call.working", "Write it as 21:00-09:00, all_day or none"),
    ('"20:00-09:00"', '"24:00-09:00"', 13, "quiet.outbound_call.working", "Write it as 21:00-09:00"),
    ('"20:00-09:00"', '"20:60-09:00"', 13, "quiet.outbound_call.working", "Write it as 21:00-09:00"),
    ('"20:00-09:00"', '"09:00-09:00"', 13, "quiet.outbound_call.working", "all_day or none"),
    ('"20:00-09:00"', "all_day", 13, "quiet.outbound_call.working", "Close the channel by capacities.outbound_call: 0"),
    ("country: CN", "country: US", 14, "calendar.country", "must be one of 'CN'"),
    ("years: [2026]", "years: [2031]", 14, "calendar.years[0]", "does not know 2031. Write rest_days and make_up_days"),
    ("years: [2026]", "years: [twenty]", 14, "calendar.years[0]", "whole number"),
    ("years: [2026]", "years: [20261]", 14, "calendar.years", "each from 2000 to 2100"),
    ("years: [2026]", "years: [2026], rest_days: [2026-02-30]", 14, "calendar.rest_days[0]", "Write it as 2026-10-01"),
    ("years: [2026]", "years: [2026], rest_days: [2028-01-03]", 14, "calendar.rest_days", "Add 2028 to calendar.years"),
    ("years: [2026]", "years: [2026], rest_days: [2026-05-09], make_up_days: [2026-05-09]", 14,
     "calendar.make_up_days", "Delete one of the two"),
    ("calendar: {country: CN, years: [2026]}", "", 13, "quiet.outbound_call.rest", "Add calendar with country"),
    ('"65"', '"66"', 15, "zones.66", "is no province"),
    ('"65"', "Xinjiang", 15, "zones.Xinjiang", "Use a two-digit code such as 65"),
    ("Asia/Urumqi", "Urumqi", 15, "zones.65", "Use one such as Asia/Urumqi"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "remedy"), WRONG, ids=[f"{each[3]}: {each[1]!r}"[:60] for each in WRONG]
)
def test_what_is_wrong_is_told_with_line_field_and_remedy(
    text: str, old: str, new: str, line: int, field: str, remedy: str
) -> None:
    assert text.count(old) >= 1
    message = refusal(text.replace(old, new, 1))
    told = [each for each in message.splitlines() if each.startswith(f"line {line}, ") and f": {field}: " in each]
    assert told, message
    assert remedy in told[0]


def bomb() -> str:
    levels = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    levels += [
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    return "\n".join(levels)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the file is empty"),
        ("- a\n", "a policy is a mapping of keys. Begin with `mode: shared`"),
        ("mode: &m shared\ncaps: *m\n", "line 2, column 7: aliases (*name) are not supported. Write the value out"),
        (bomb(), "aliases (*name) are not supported"),
        ("mode: !!python/object/apply:os.system ['true']\n", "is not supported. Write a plain value"),
        ("[" * 5_000, "nested deeper than 16. Flatten it"),
        ("mode: " + "x" * SOURCE_BYTES_MAX, f"Shorten it to {SOURCE_BYTES_MAX}"),
        ("mode: shared\n  caps: x\n", "Check indentation"),
        ("mode: sh\x00ared", "is not allowed. Delete it"),
    ],
    ids=lambda each: repr(each)[:40],
)
def test_what_is_no_policy_at_all_is_told_with_its_place(text: str, told: str) -> None:
    assert any(told in line for line in refusal(text).splitlines())


def test_everything_wrong_is_told_at_once(text: str) -> None:
    wrong = (
        text.replace("contacts: 3", "contacts: 0").replace("Asia/", "Mars/").replace("fax", "x").replace("30m", "1s")
    )
    assert [line.split(",")[0] for line in refusal(wrong).splitlines()[1:]] == ["line 3", "line 3", "line 9", "line 15"]


def test_what_is_kept_is_read_alike_and_needs_no_library(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = check(text)
    monkeypatch.delattr(work_calendar, "chinese_calendar")
    assert check(kept) == kept
    policy = parsed(kept, 1)
    assert {date(2026, 10, 1), date(2026, 2, 23)} < policy.rest_days
    assert policy.make_up_days == {date(2026, *each) for each in [(1, 4), (2, 14), (2, 28), (5, 9), (9, 20), (10, 10)]}
    assert "country" not in yaml.safe_load(kept)["calendar"]


def test_every_day_of_a_known_year_is_what_the_library_says(text: str) -> None:
    import chinese_calendar

    policy = parsed(check(text.replace("[2026]", "[2020, 2021, 2022, 2023, 2024, 2025, 2026]")), 1)
    days = [date.fromordinal(n) for n in range(date(2020, 1, 1).toordinal(), date(2027, 1, 1).toordinal())]
    assert [policy.rests(day) for day in days] == [chinese_calendar.is_holiday(day) for day in days]


def test_what_is_written_corrects_and_supplies(text: str) -> None:
    written = text.replace("[2026]", "[2026, 2031], rest_days: [2026-10-10, 2026-10-08, 2031-10-01], "
                                     "make_up_days: [2026-10-07, 2031-10-11]")  # fmt: skip
    policy = parsed(check(written), 1)
    assert [policy.rests(date(2026, 10, day)) for day in (6, 7, 8, 9, 10)] == [True, False, True, False, True]
    assert [policy.rests(date(2031, 10, day)) for day in (1, 2, 11, 12)] == [True, False, False, True]


def test_without_a_country_only_what_is_written_counts(text: str) -> None:
    policy = parsed(check(text.replace("country: CN, ", "")), 1)
    assert (policy.rest_days, policy.make_up_days, policy.years) == (frozenset(), frozenset(), {2026})


def test_the_example_is_right_and_says_everything_there_is_to_say() -> None:
    from common.delivery.policy_document import PolicyFile

    policy = parsed(check(EXAMPLE.read_text("utf-8")), 1)
    assert policy.years == {2026, 2027}
    assert yaml.safe_load(EXAMPLE.read_text("utf-8")).keys() == PolicyFile.model_fields.keys()


@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda raw: raw.decode("utf-8", "replace")))
def test_no_text_does_more_than_be_refused(noise: str) -> None:
    for written in (noise, f"mode: shared\ncaps:\n  - {noise}", f"mode: shared\ncalendar: {{years: [{noise}]}}"):
        with pytest.raises(Refusal, check=lambda refused: refused.reason == "POLICY_INVALID"):
            check(written)
