"""Conditions over columns of events say what DuckDB says of the same rule, and cost little."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.kernel.event import Events, Texts
from common.kernel.event_catalogue import BY_NAME
from common.kernel.tag import Catalogue, Tag, TagType
from common.rules.event_condition import EventColumns, check_condition
from province.triggers.matching.areas import Areas
from province.triggers.matching.condition import Condition
from province.triggers.matching.hosts import Hosts
from province.triggers.matching.profile import MemoryProfile
from province.triggers.matching.view import View
from tests.triggers.made_events import Row, events_of, rows_of

TAGS = (Tag("plan", TagType.TEXT), Tag("age", TagType.INTEGER), Tag("spend", TagType.NUMBER),
        Tag("vip", TagType.BOOLEAN), Tag("joined", TagType.DATE), Tag("seen", TagType.TIMESTAMP))  # fmt: skip
PEOPLE: dict[int, dict[str, Any]] = {
    1: {"plan": "gold", "age": 3, "spend": 1.5, "vip": True, "joined": date(2026, 2, 26)},
    2: {"plan": "Silver", "age": -1, "vip": False, "seen": datetime(2026, 2, 25, 8, 30)},  # noqa: DTZ001
    3: {},
}
PROFILE = MemoryProfile(TAGS, PEOPLE)
SQL = {TagType.INTEGER: pa.int64(), TagType.NUMBER: pa.float64(), TagType.TEXT: pa.string(),
       TagType.BOOLEAN: pa.bool_(), TagType.TIMESTAMP: pa.timestamp("us"), TagType.DATE: pa.timestamp("s")}  # fmt: skip
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001


def holds(text: str, events: Events) -> list[bool]:
    rule = check_condition(text, [events.type.name], tags=PROFILE.catalogue)
    found = Condition(rule).holds(View(events, Areas({}), Hosts({}), PROFILE))
    assert found.shape == (len(events),)
    return [bool(one) for one in found.tolist()]


def by_duckdb(text: str, rows: Sequence[Row]) -> list[bool]:
    name = rows[0]["type"]
    columns = EventColumns((BY_NAME[name],), PROFILE.catalogue)
    rule = check_condition(text, [name], tags=PROFILE.catalogue)
    names = ["event", *(field.name for field in BY_NAME[name].fields), *(f"tag.{tag.name}" for tag in TAGS)]
    cells = {}
    for each in names:
        tag = columns.find(each)
        assert tag
        values = [_plain(row, each, tag.type) for row in rows]
        cells[each] = pa.array(values, SQL[tag.type])
    asked = pa.table({**cells, "place": pa.array(range(len(rows)))})  # noqa: F841 - DuckDB finds it by its name
    answer = duckdb.sql(f"SELECT coalesce({rule.sql()}, FALSE) FROM asked ORDER BY place").fetchall()
    return [bool(one) for (one,) in answer]


def _plain(row: Row, name: str, kind: TagType) -> Any:
    if name == "event":
        return row["type"]
    if name.startswith("tag."):
        value = PEOPLE.get(row["key"], {}).get(name[4:])
        return datetime(value.year, value.month, value.day) if type(value) is date else value  # noqa: DTZ001
    value = row.get(name)
    if kind is TagType.TIMESTAMP and value is not None:
        return EPOCH + timedelta(hours=8, milliseconds=value)
    return value


def one_of(*parts: str | st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of([st.just(part) if isinstance(part, str) else part for part in parts])


whole = one_of("used_bytes", "allowance_bytes", "month_used_bytes", "tag.age", "3", "-2", "0", "length(cell_id)")
numbers = st.recursive(
    one_of(whole, "tag.spend", "1.5", ".25"),
    lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from("+-*/%"), inner)
    | st.builds("abs({})".format, inner) | st.builds("-({})".format, inner)
    | st.builds("coalesce({}, {})".format, inner, inner),
    max_leaves=4,
)  # fmt: skip
texts = st.recursive(
    one_of("cell_id", "rat", "apn", "tag.plan", "event", "'a'", "'4G'", "''", "'Ä'"),
    lambda inner: st.builds("{}({})".format, st.sampled_from(["lower", "upper"]), inner)
    | st.builds("coalesce({}, {})".format, inner, inner),
    max_leaves=3,
)  # fmt: skip
times = one_of("tag.joined", "tag.seen", "DATE '2026-02-26'", "TIMESTAMP '2026-02-25 08:30:00'")
orders = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
flags = one_of("roaming", "tag.vip", "TRUE")
leaves = st.one_of(
    st.builds("{} {} {}".format, numbers, orders, numbers),
    st.builds("{} {} {}".format, texts, orders, texts),
    st.builds("{} {} {}".format, times, orders, times),
    st.builds("{} {} {}".format, flags, st.sampled_from(["=", "<>"]), flags),
    st.builds("{} BETWEEN {} AND {}".format, numbers, numbers, numbers),
    st.builds("{} BETWEEN {} AND {}".format, texts, texts, texts),
    st.builds("{} IN (1, 2, -2.5)".format, numbers),
    st.builds("{} NOT IN ('a', 'gold', '4G')".format, texts),
    st.builds("{} IN (TRUE)".format, flags),
    st.builds("{} LIKE {}".format, texts, st.sampled_from(["'%G'", "'_'", "'%'", "'g_l%'", "'Ä'", "''"])),
    st.builds("matches({}, {})".format, texts, st.sampled_from(["'^[a-c]$'", "'G'", "''", "'(?i)GOLD'"])),
    st.builds("{} IS NULL".format, one_of(numbers, texts, times, flags)),
    flags,
)
conditions = st.recursive(
    leaves,
    lambda inner: st.builds("({} AND {})".format, inner, inner) | st.builds("({} OR {})".format, inner, inner)
    | st.builds("NOT ({})".format, inner) | st.builds("coalesce({}, {})".format, inner, inner)
    | st.builds("({}) = ({})".format, inner, inner),
    max_leaves=5,
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(conditions, rows_of("data_used", least=3))
def test_a_condition_holds_where_duckdb_says_it_does(text: str, rows: list[dict[str, Any]]) -> None:
    for events in events_of(rows):
        assert holds(text, events) == by_duckdb(text, rows)


@pytest.mark.parametrize(
    "text",
    [
        "used_bytes / 0 > 1",
        "NOT used_bytes % 0 = 1",
        "allowance_bytes / used_bytes >= 1 OR allowance_bytes / used_bytes < 1",
        "used_bytes % allowance_bytes = 1",
        "-7 % 3 = -1 AND 7 / 2 = 3.5",
        "coalesce(rat, '') = ''",
        "NOT rat IN ('4G')",
        "rat < apn OR NOT rat < apn",
        "coalesce(tag.plan, rat, 'x') >= 'gold'",
        "lower(tag.plan) = 'silver' AND length(tag.plan) = 6",
        "roaming = FALSE OR tag.vip",
        "coalesce(roaming, tag.vip)",
        "tag.joined = tag.seen OR tag.joined > DATE '2026-02-25'",
        "1 = 1",
        "'a' < 'b' AND 'a' LIKE '_' AND 'a' IN ('a')",
    ],
)
def test_null_and_division_by_zero_are_those_of_the_language(text: str) -> None:
    said = [(used, allowance, rat, roaming) for used in (0, 1, 7) for allowance in (None, 0, 3)
            for rat in (None, "4G", "5G") for roaming in (None, True, False)]  # fmt: skip
    rows = [
        {"type": "data_used", "id": i, "key": i % 4, "at": 0, "position": i, "used_bytes": used,
         "allowance_bytes": allowance, "rat": rat, "apn": "5F" if i % 3 else None, "roaming": roaming}
        for i, (used, allowance, rat, roaming) in enumerate(said)
    ]  # fmt: skip
    (events,) = events_of(rows)
    assert holds(text, events) == by_duckdb(text, rows)


def test_times_are_compared_by_chinas_clock() -> None:
    midnight = 1_772_323_200_000 - 8 * 3_600_000
    rows = [
        {"type": "contract_expiry", "id": i, "key": 1, "at": 0, "position": i, "contract_id": "c", "ends_at": at}
        for i, at in enumerate([midnight - 1, midnight, midnight + 1])
    ]
    (events,) = events_of(rows)
    assert holds("ends_at >= DATE '2026-03-01'", events) == [False, True, True]
    assert holds("ends_at = TIMESTAMP '2026-03-01 00:00:00'", events) == [False, True, False]
    assert holds("ends_at = TIMESTAMP '2026-03-01 00:00:00.001'", events) == [False, False, True]


def made(count: int) -> Events:
    random = np.random.default_rng(5)
    kind, cells = BY_NAME["data_used"], tuple(f"460-01-{i}" for i in range(3000))
    return Events(
        kind,
        random.integers(0, 2**63, count).astype(np.uint64),
        random.integers(1, 10**6, count),
        np.sort(random.integers(1_772_000_000_000, 1_772_000_060_000, count)),
        np.arange(count),
        {
            "used_bytes": random.integers(0, 10**9, count),
            "allowance_bytes": random.integers(0, 10**10, count),
            "month_used_bytes": random.integers(0, 10**10, count),
            "rat": Texts(random.integers(0, 3, count).astype(np.uint32), ("4G", "5G", "")),
            "apn": Texts(random.integers(0, 2, count).astype(np.uint32), ("3gnet", "wonet")),
            "cell_id": Texts(random.integers(0, 3000, count).astype(np.uint32), cells),
            "roaming": random.integers(-1, 2, count).astype(np.int8),
        },
    )


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("roaming = FALSE", 10),
        ("used_bytes > 1000000 AND rat = '5G'", 20),
        ("month_used_bytes / allowance_bytes >= 0.8 AND NOT roaming", 30),
        ("apn IN ('3gnet', 'wap') OR used_bytes BETWEEN 5 AND 5000", 30),
        ("matches(cell_id, '^460-01-1[0-9]+$')", 60),
    ],
)
def test_a_condition_costs_little_an_event_and_little_a_run(text: str, nanoseconds: float) -> None:
    condition = Condition(check_condition(text, ["data_used"]))

    def took(events: Events) -> float:
        best = 1.0
        for _ in range(7):
            begun = time.perf_counter()
            condition.holds(View(events, Areas({}), Hosts({}), PROFILE))
            best = min(best, time.perf_counter() - begun)
        return best

    many, few = took(made(20_000)), took(made(20))
    print(f"{text}: {many / 20_000 * 1e9:.1f} ns an event, {few * 1e6:.0f} us a small run")
    assert many / 20_000 * 1e9 < nanoseconds * 4, "an idle machine takes a quarter"
    assert few < 0.02


def test_a_name_the_profile_does_not_have_is_refused() -> None:
    with pytest.raises(Exception, match="there is no tag plam; did you mean plan"):
        check_condition("tag.plam = 'x'", ["payment"], tags=Catalogue(TAGS))


def test_a_pattern_that_would_explode_elsewhere_takes_no_time() -> None:
    rows = [{"type": "content_search", "id": i, "key": 1, "at": 0, "position": i, "keyword": "a" * 120 + "!" * (i % 2)}
            for i in range(1000)]  # fmt: skip
    (events,) = events_of(rows)
    begun = time.perf_counter()
    assert holds("matches(keyword, '^(a+)+$')", events) == [i % 2 == 0 for i in range(1000)]
    assert time.perf_counter() - begun < 1
