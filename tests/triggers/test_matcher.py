"""What each rule looks at, held against a plain look at one event after another; and what offers say."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.kernel.area import Cells
from common.kernel.event import ABSENT, Kind
from common.kernel.event_catalogue import BY_NAME
from common.kernel.refusal import Refusal
from common.kernel.tag import Tag, TagType
from common.kernel.trigger_rule import Crosses, Each, Form, Period, Stays, Sum, Surge, TriggerRule
from common.rules.host_name import host_name
from common.rules.trigger_checks import ROAMS
from province.triggers.counting.observed import Observed
from province.triggers.matching.matcher import Matcher
from province.triggers.matching.profile import MemoryProfile, PeopleProfile
from province.triggers.matching.run import Run, run_of
from province.triggers.matching.text import OfferText
from tests.triggers.made_events import OFFER, Row, events_of, rows_of
from tests.triggers.test_conditions import made

AREAS = {"port": Cells(frozenset({"a", "b"}))}
HOSTS = {"films": ("example.com", "xn--fiqs8s.cn")}
PEOPLE = {1: {"plan": "gold"}, 2: {"plan": "plain"}}
PROFILE = MemoryProfile([Tag("plan", TagType.TEXT)], PEOPLE)

CALENDAR = (-62_135_596_800_000, 253_402_300_799_999)

Verdict = bool | None
CONDITIONS: list[tuple[str, set[str], Callable[[Row], Verdict]]] = [
    ("", set(), lambda row: True),
    ("tag.plan = 'gold'", set(), lambda row: PEOPLE.get(row["key"], {}).get("plan") == "gold"),
    ("used_bytes > 5", {"data_used", "content_visit"}, lambda row: more(row.get("used_bytes"), 5)),
    ("NOT used_bytes > 5", {"data_used", "content_visit"}, lambda row: inverse(more(row.get("used_bytes"), 5))),
    ("inside('port')", {"data_used", "power_on", "power_off"}, lambda row: inside(row)),
    ("event = 'power_off'", {"power_on", "power_off"}, lambda row: row["type"] == "power_off"),
    ("NOT visits('films')", {"content_visit", "url_visit"}, lambda row: inverse(visits(row))),
]
TYPES = [["data_used"], ["data_used", "content_visit"], ["power_on", "power_off", "data_used"],
         ["content_visit", "url_visit"], ["power_off", "power_on"]]  # fmt: skip


def more(value: float | None, than: float) -> Verdict:
    return None if value is None else value > than


def inverse(verdict: Verdict) -> Verdict:
    return None if verdict is None else not verdict


def inside(row: Row) -> Verdict:
    return row["cell_id"] in ("a", "b") if row.get("cell_id") else None


def visits(row: Row) -> Verdict:
    if not row.get("host"):
        return None
    name = host_name(row["host"])
    return any(name == suffix or name.endswith(f".{suffix}") for suffix in HOSTS["films"])


VERDICTS = {text: verdict for text, _, verdict in CONDITIONS}


@st.composite
def rules(draw: st.DrawFn) -> TriggerRule:
    types = draw(st.sampled_from(TYPES))
    texts = [text for text, needed, _ in CONDITIONS if not needed or set(types) <= needed]
    used = all("used_bytes" in {field.name for field in BY_NAME[name].fields} for name in types)
    stays = st.builds(Stays, st.just(9), st.none(), st.sampled_from(texts))
    forms: list[st.SearchStrategy[Form]] = [st.just(Each()), st.just(Sum(None, 3)), st.just(Surge(None, 60, 2)), stays]
    if used:
        forms += [st.just(Sum("used_bytes", 7)), st.just(Surge("used_bytes", 60, 2))]
    if types == ["data_used"]:
        forms.append(st.just(Sum("used_bytes", None, 0.5, "allowance_bytes")))
    if all("cell_id" in {field.name for field in BY_NAME[name].fields} for name in types):
        forms += [st.builds(Crosses, st.just("port"), st.booleans()), st.just(Stays(9, "port"))]
    return rule(types, draw(st.sampled_from(texts)), draw(st.one_of(forms)))


def rule(types: Sequence[str], condition: str = "", form: Form | None = None, name: str = "one") -> TriggerRule:
    return TriggerRule(name, 1, "test", tuple(types), condition, form or Each(), Period.DAY, 1, 600, OFFER)


def looked_at(of: TriggerRule, rows: Sequence[Row], newest: int = ABSENT) -> list[tuple[Any, ...]]:
    """The columns of `Observed`, row by row; None where the form has no use for one."""
    found = []
    for number, row in enumerate(rows):
        newest = max(newest, row["at"])
        seen = _seen(of, row) if row["type"] in of.events else None
        if seen is not None:
            found.append((row["id"], row["key"], row["at"], newest, *seen, number))
    return found


def _seen(of: TriggerRule, row: Row) -> tuple[Any, Any, Any] | None:
    """Amount, limit and side; None where the rule does not look at the event."""
    holds, form = VERDICTS[of.condition](row) is True, of.form
    if isinstance(form, Stays) and form.area is None:
        ends = VERDICTS[form.ends or ""](row) is True
        return (None, None, int(not ends)) if holds or ends else None
    if not holds:
        return None
    if isinstance(form, Crosses | Stays):
        side = inside(row)
        return None if side is None else (None, None, int(side))
    if isinstance(form, Sum | Surge):
        amount = 1 if form.of is None else row.get(form.of)
        return None if amount is None else (amount, _limit(form, row), None)
    return None, None, None


def _limit(form: Sum | Surge, row: Row) -> float | None:
    if isinstance(form, Surge):
        return None
    if form.ratio is None or form.ratio_of is None:
        return form.reaches
    whole = row.get(form.ratio_of)
    return whole * form.ratio if whole else math.nan


def spelled(observed: Observed) -> list[tuple[Any, ...]]:
    columns = []
    for each in fields(observed):
        column = getattr(observed, each.name)
        assert len(column) in (0, len(observed))
        columns.append(column.tolist() or [None] * len(observed))
    return list(zip(*columns, strict=True))


def same(found: list[tuple[Any, ...]], wanted: list[tuple[Any, ...]]) -> bool:
    return np.array_equal(np.array(found, dtype=float), np.array(wanted, dtype=float), equal_nan=True) and [
        row[0] for row in found
    ] == [row[0] for row in wanted]


EVENTS = rows_of("data_used", "content_visit", "url_visit", "power_on", "power_off", size=20)


@settings(max_examples=300, deadline=None)
@given(st.lists(rules(), min_size=1, max_size=4), EVENTS)
def test_rules_look_at_what_a_plain_look_finds(several: list[TriggerRule], rows: list[dict[str, Any]]) -> None:
    several = [replace(each, name=f"rule{number}") for number, each in enumerate(several)]
    found = Matcher(several, AREAS, HOSTS, PROFILE).observe(run_of(events_of(rows)))
    wanted = {each.name: looked_at(each, rows) for each in several}
    assert [each.name for each, _ in found] == [name for name, seen in wanted.items() if seen]
    for each, observed in found:
        assert same(spelled(observed), wanted[each.name])


@settings(max_examples=100, deadline=None)
@given(rules(), EVENTS, st.integers(2, 3))
def test_a_type_may_come_in_several_batches(of: TriggerRule, rows: list[dict[str, Any]], batches: int) -> None:
    types = [events for batch in range(batches) for events in events_of(rows[batch::batches])]
    run = run_of(types)
    assert len({events.type.name for events in run.types}) == len(run.types)
    found = [row for _, observed in Matcher([of], AREAS, HOSTS, PROFILE).observe(run) for row in spelled(observed)]
    assert same(found, looked_at(of, rows))


@settings(max_examples=100, deadline=None)
@given(rules(), st.data(), st.lists(st.integers(1, 9), min_size=1, max_size=3))
def test_how_a_partition_is_cut_changes_nothing(of: TriggerRule, data: st.DataObject, cuts: list[int]) -> None:
    rows = data.draw(rows_of(*of.events, "url_visit", least=4))
    matcher, newest, found = Matcher([of], AREAS, HOSTS, PROFILE), ABSENT, list[tuple[Any, ...]]()
    ends = [*sorted(cuts), len(rows)]
    for begin, end in zip([0, *ends], ends, strict=False):
        run = run_of(events_of(rows[begin:end]), newest)
        if len(run):
            newest = run.newest_after
        found += [(*row[:-1], row[-1] + begin) for _, observed in matcher.observe(run) for row in spelled(observed)]
    assert same(found, looked_at(of, rows))


def test_events_of_one_record_keep_their_order() -> None:
    rows = [{**blank("power_on", 3), "position": 7}, {**blank("power_on", 1), "position": 7},
            {**blank("power_off", 2), "position": 6}]  # fmt: skip
    run = run_of(events_of(rows), newest_before=2)
    assert [each.tolist() for each in run.rows] == [[1, 2], [0]]
    assert run.newest.tolist() == [2, 3, 3]
    assert len(run_of(())) == 0
    assert Matcher([rule(["power_on"])]).observe(run_of(())) == []


def blank(name: str, at: int, **said: Any) -> dict[str, Any]:
    """An event that says the example of every required field, and what is `said`."""
    required = {field.name: field.example for field in BY_NAME[name].fields if field.required}
    return {**required, "type": name, "id": at, "key": 1, "at": at, "position": at, **said}


def test_a_share_of_nothing_is_never_reached() -> None:
    rows = [blank("data_used", at, used_bytes=at, allowance_bytes=whole) for at, whole in enumerate((0, 0, None, 5))]
    each = rule(["data_used"], form=Sum("used_bytes", None, 0.8, "allowance_bytes"))
    ((_, observed),) = Matcher([each]).observe(run_of(events_of(rows)))
    assert np.array_equal(observed.limits, [math.nan, math.nan, math.nan, 4.0], equal_nan=True)


def test_who_is_at_home_where_he_is_does_not_roam() -> None:
    """A phone may ask the network of its own province from one beside it."""
    seen = [("460", 45, False), ("460", 44, True), ("460", None, False), ("454", 44, False), ("461", 13, True)]
    rows = [blank("out_of_province", at, mcc=mcc, visited_province=where) for at, (mcc, where, _) in enumerate(seen)]
    each = rule(["out_of_province"], ROAMS["out_of_province"])
    ((_, observed),) = Matcher([each], profile=PeopleProfile(45)).observe(run_of(events_of(rows)))
    assert observed.rows.tolist() == [at for at, (*_, roams) in enumerate(seen) if roams]


def test_a_rule_that_names_what_is_not_there_is_refused() -> None:
    for condition, problem in (("inside('sea')", "inside knows no 'sea'"), ("tag.plam = 'x'", "did you mean plan"),
                               ("used_byte = 1", "did you mean used_bytes")):  # fmt: skip
        with pytest.raises(Refusal, match=problem) as caught:
            Matcher([rule(["data_used"], condition)], AREAS, HOSTS, PROFILE)
        assert caught.value.reason == "TRIGGER_INVALID"


def said(text: str, *rows: Row, of: Sequence[int] | None = None) -> list[str]:
    run = run_of(events_of(rows))
    found = OfferText(text).texts(run, np.array(range(len(rows)) if of is None else of, dtype=np.int64))
    return found.spelled()


def test_an_offer_says_what_the_event_says() -> None:
    rows = [blank("data_used", i, used_bytes=used, allowance_bytes=10 * 2**30 if i else None, rat="5G" if i else None)
            for i, used in enumerate([8_589_934_592, 734_003_200, 1_610_612_736, 1023, 0])]  # fmt: skip
    text = "已用{used_bytes}/{allowance_bytes|全部}{rat|}"
    assert said(text, *rows) == [
        "已用8GB/全部",
        "已用700MB/10GB5G",
        "已用1.5GB/10GB5G",
        "已用1023B/10GB5G",
        "已用0B/10GB5G",
    ]
    assert said(text, *rows, of=[3, 1, 3]) == ["已用1023B/10GB5G", "已用700MB/10GB5G", "已用1023B/10GB5G"]
    assert said("就这样", *rows[:2]) == ["就这样"] * 2
    assert said(text, *rows, of=[]) == []


@pytest.mark.parametrize(
    ("name", "field", "value", "text"),
    [
        ("payment", "amount_fen", 10_000, "100"),
        ("payment", "amount_fen", 1_250, "12.50"),
        ("payment", "amount_fen", -5, "-0.05"),
        ("voice_call", "duration_seconds", 3_905, "1:05:05"),
        ("contract_expiry", "ends_at", 1_772_294_400_000, "2026-03-01 00:00"),
        ("contract_expiry", "ends_at", 253_402_300_799_999, "10000-01-01 07:59"),
        ("contract_expiry", "ends_at", -62_135_596_800_000, "0001-01-01 08:00"),
        ("charge_swing", "usual_fen", 0, "0"),
        ("model_hit", "score", 0.93, "0.93"),
        ("model_hit", "score", 1.0, "1"),
        ("queue_ticket", "waiting", 6, "6"),
        ("content_search", "keyword", "{x} 世界杯", "{x} 世界杯"),
    ],
)
def test_values_read_as_people_write_them(name: str, field: str, value: Any, text: str) -> None:
    assert said(f"[{{{field}|?}}]", blank(name, 1, **{field: value})) == [f"[{text}]"]


@pytest.mark.parametrize("name", BY_NAME)
def test_whatever_an_event_may_say_can_be_told(name: str) -> None:
    """One that could not would stop the engine again at every start."""
    for field in BY_NAME[name].fields:
        if field.kind not in (Kind.FLAG, Kind.TEXT, Kind.CODE):
            bounds = CALENDAR if field.kind is Kind.TIME else (field.low, field.high)
            for value in (*bounds, 0):
                assert said(f"{{{field.name}|?}}", blank(name, 1, **{field.name: value}))[0].strip("?")


def test_events_of_several_types_each_say_theirs() -> None:
    rows = [blank("own_hall_pay", 1, amount_fen=100), blank("agent_shop_pay", 2, amount_fen=200),
            blank("own_hall_pay", 3, amount_fen=300)]  # fmt: skip
    assert said("{amount_fen}元", *rows) == ["1元", "2元", "3元"]


def test_ten_rules_cost_little_an_event() -> None:
    several = [
        *[rule(["data_used"], "roaming = FALSE", Sum("used_bytes", None, share, "allowance_bytes"), f"sum{share}")
          for share in (0.8, 0.9, 1.0)],
        rule(["data_used"], "", Surge("used_bytes", 600, 1e9), "surge"),
        rule(["data_used"], "", Crosses("some", True), "enters"),
        *[rule(["data_used"], f"used_bytes > {10**8 * i} AND rat = '5G'", Each(), f"each{i}") for i in range(5)],
    ]  # fmt: skip
    matcher = Matcher(several, {"some": Cells(frozenset(f"460-01-{i}" for i in range(100)))})

    def took(run: Run) -> float:
        best = 1.0
        for _ in range(7):
            begun = time.perf_counter()
            matcher.observe(run)
            best = min(best, time.perf_counter() - begun)
        return best

    many, few = took(run_of([made(20_000)])), took(run_of([made(20)]))
    each = many / 20_000 / len(several) * 1e9
    print(f"{each:.1f} ns an event and rule, {few * 1e3:.2f} ms a run of 20 events")
    assert each < 30 * 4, "an idle machine takes a quarter"
    assert few < 0.02
