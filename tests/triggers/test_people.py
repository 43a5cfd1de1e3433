"""What rules ask of people: as a plain look at each of them says, and as the newest import and order leave it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.warehouse.cell_type import ARROW
from adapters.warehouse.snapshots import Snapshot, Snapshots
from common.delivery import orders
from common.delivery import tables as delivery_tables
from common.kernel.event import Column, Texts
from common.kernel.order import OrderChange, OrderRecords
from common.kernel.tag import Catalogue, Tag, TagType
from common.rules.event_condition import check_condition
from common.runtime.database import Database
from province.triggers import people as module
from province.triggers.matching.areas import Areas
from province.triggers.matching.condition import Condition
from province.triggers.matching.hosts import Hosts
from province.triggers.matching.profile import Known, MemoryProfile, PeopleProfile, Profile, values_of
from province.triggers.matching.view import View
from province.triggers.people import People
from tests.triggers.made_events import events_of, rows_of
from tests.triggers.test_conditions import TAGS, conditions

Persons = Mapping[int, Mapping[str, Any]]

whole = st.integers(-(2**53), 2**53)
days = st.dates(date(1900, 1, 1), date(2100, 1, 1))
moments = st.integers(86_400_000, 4_000_000_000_000).map(lambda ms: datetime(1970, 1, 1) + timedelta(milliseconds=ms))  # noqa: DTZ001
words = st.sampled_from(["gold", "Silver", "Ä", "g_l", "4G", "a"])
CELLS = {
    TagType.INTEGER: whole,
    TagType.NUMBER: st.floats(allow_nan=False, allow_infinity=False),
    TagType.TEXT: words,
    TagType.BOOLEAN: st.booleans(),
    TagType.DATE: days,
    TagType.TIMESTAMP: moments,
}
persons = st.dictionaries(
    st.integers(1, 9), st.fixed_dictionaries({tag.name: st.none() | CELLS[tag.type] for tag in TAGS}), max_size=7
)
owned = st.dictionaries(st.integers(1, 9), st.frozensets(st.sampled_from(["a", "b"])), max_size=5)
asked = st.lists(st.integers(1, 10), max_size=20).map(lambda keys: np.array(keys, dtype=np.int64))


def table(people: Persons, tags: tuple[Tag, ...] = TAGS) -> pa.Table:
    keys = sorted(people)
    own = {
        "subscriber_key": pa.array(keys, pa.int64()),
        "ordinal": pa.array(range(len(keys)), pa.uint32()),
        "province": pa.array([45] * len(keys), pa.int16()),
    }
    return pa.table(
        own | {tag.name: pa.array([people[key].get(tag.name) for key in keys], ARROW[tag.type]) for tag in tags}
    )


def in_columns(people: Persons, owned: Mapping[int, frozenset[str]], chunks: int = 3) -> PeopleProfile:
    """As the adapter gives them: in several pieces."""
    whole = table(people)
    rows = pa.Table.from_batches(whole.to_batches(max_chunksize=chunks), whole.schema)
    values = {tag.name: values_of(tag.type, rows.column(tag.name)) for tag in TAGS}
    owners = {offer: np.array(sorted(k for k in owned if offer in owned[k]), dtype=np.int64) for offer in ("a", "b")}
    return PeopleProfile(45, TAGS, Known(np.array(sorted(people), dtype=np.int64), values, owners))


def plain(column: Column) -> list[Any]:
    if isinstance(column, Texts):
        return [column.words[ref] for ref in column.refs.tolist()]
    return [None if value != value else value for value in column.tolist()]


@given(persons, owned, asked)
def test_columns_say_what_a_look_at_each_person_says(
    people: Persons, owned: Mapping[int, frozenset[str]], keys: Any
) -> None:
    quick, slow = in_columns(people, owned), MemoryProfile(TAGS, people, owned)
    for tag in TAGS:
        assert plain(quick.column(tag, keys)) == plain(slow.column(tag, keys))
    for offer in ("a", "b"):
        assert quick.owns(offer, keys).tolist() == slow.owns(offer, keys).tolist()


over_people = st.recursive(
    conditions | st.sampled_from(["owns('a')", "NOT owns('b')"]),
    lambda inner: st.builds("({} AND {})".format, inner, inner) | st.builds("({} OR {})".format, inner, inner),
    max_leaves=3,
)


@settings(max_examples=300, deadline=None)
@given(over_people, persons, owned, rows_of("data_used", least=3))
def test_a_condition_holds_for_the_same_people(
    text: str, people: Persons, owned: Mapping[int, frozenset[str]], rows: list[dict[str, Any]]
) -> None:
    def holds(profile: Profile, events: Any) -> list[bool]:
        condition = Condition(check_condition(text, ["data_used"], tags=profile.catalogue))
        found: list[bool] = condition.holds(View(events, Areas({}), Hosts({}), profile)).tolist()
        return found

    for events in events_of(rows):
        assert holds(in_columns(people, owned), events) == holds(MemoryProfile(TAGS, people, owned), events)


AGE, PLAN = Tag("age", TagType.INTEGER), Tag("plan", TagType.TEXT)
KEYS = np.array([3, 1, 2, 9, 2], dtype=np.int64)


def said(ages: Mapping[int, int]) -> list[Any]:
    """Of those in KEYS."""
    return plain(MemoryProfile([AGE], {key: {"age": age} for key, age in ages.items()}).column(AGE, KEYS))


class Looked(Snapshots):
    """Notes which columns are read; `before` happens ahead of the next one."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.read: list[str] = []
        self.before: Callable[[], object] = lambda: None

    def column(self, snapshot: Snapshot, name: str) -> pa.ChunkedArray:
        happens, self.before = self.before, lambda: None
        happens()
        self.read.append(name)
        return super().column(snapshot, name)


class Trial:
    """People of a province, and rules that ask for them."""

    def __init__(self, root: Path, url: str) -> None:
        self.database = Database(url)
        self.database.create(delivery_tables.metadata)
        self.snapshots = Looked(root / "people")
        self.people = People(self.database, self.snapshots)
        self.orders = 0

    def publish(self, ages: Mapping[int, int | None], tags: tuple[Tag, ...] = (AGE, PLAN)) -> None:
        people = {key: {"age": age, "plan": f"p{age}"} for key, age in ages.items()}
        self.snapshots.publish(table(people, tags).to_batches(), Catalogue(tags), self.snapshots.latest())

    def serve(self, *tags: str, offers: tuple[str, ...] = ()) -> PeopleProfile:
        profile = PeopleProfile(45, (AGE, PLAN))
        self.people.serve(profile, tags, offers)
        return profile

    def put(self, key: int, offer: str, number: str, revision: int = 1, change: int = OrderChange.SUBSCRIBED) -> None:
        one = np.array([1], dtype=np.int64)
        records = OrderRecords(["bss"], [number], one * revision, one * key, [offer], one.astype(np.uint8) * change,
                               one, one.astype(np.uint32))  # fmt: skip
        with self.database.transaction() as connection:
            orders.put_orders(connection, records, 1)

    def refreshed(self) -> None:
        """As the engine does, until what there was to load is there."""
        self.people._due = 0.0
        for _ in range(2):
            self.people.refresh()
            if self.people._loading:
                self.people._loading.result()


@pytest.fixture
def trial(tmp_path: Path, database_url: str) -> Any:
    made = Trial(tmp_path, database_url)
    yield made
    made.database.close()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)


def test_only_what_rules_name_is_read_and_a_new_import_is_taken_up(trial: Trial) -> None:
    trial.publish({1: 10, 2: 20, 3: None})
    profile = trial.serve("age", "province")
    assert trial.snapshots.read == ["subscriber_key", "age"]
    assert plain(profile.column(AGE, KEYS)) == plain(
        MemoryProfile([AGE], {1: {"age": 10}, 2: {"age": 20}}).column(AGE, KEYS)
    )
    trial.refreshed()
    assert trial.snapshots.read == ["subscriber_key", "age"], "nothing is otherwise"
    trial.publish({1: 11, 9: 90})
    trial.refreshed()
    assert plain(profile.column(AGE, KEYS))[1::2] == [11, 90]
    trial.snapshots.forget(np.array([9]), ())
    trial.refreshed()
    assert plain(profile.column(AGE, KEYS)) == said({1: 11})


def test_other_rules_do_not_read_again_what_is_there(trial: Trial) -> None:
    trial.publish({1: 10, 2: 20})
    trial.serve("age")
    profile = trial.serve("age", "plan")
    assert trial.snapshots.read == ["subscriber_key", "age", "plan"]
    assert plain(profile.column(PLAN, KEYS)) == ["", "p10", "p20", "", "p20"]
    trial.serve()
    assert trial.people._now
    assert trial.people._now.known.values == {}


def test_a_file_that_was_replaced_meanwhile_is_read_from_its_successor(trial: Trial) -> None:
    trial.publish({1: 10, 2: 20})
    trial.snapshots.before = lambda: trial.snapshots.forget(np.array([1]), ())
    assert plain(trial.serve("age").column(AGE, KEYS))[2] == 20
    assert trial.snapshots.read == ["subscriber_key", "subscriber_key", "age"]


def test_without_an_import_and_without_the_tag_everybodys_is_null(trial: Trial) -> None:
    nobody = MemoryProfile([AGE, PLAN]).column(PLAN, KEYS)
    assert plain(trial.serve("plan").column(PLAN, KEYS)) == plain(nobody)
    trial.publish({1: 10, 2: 20}, (AGE,))
    assert plain(trial.serve("plan").column(PLAN, KEYS)) == plain(nobody)


def test_orders_are_taken_up_and_ended_ones_as_well(trial: Trial) -> None:
    trial.put(2, "pack", "n1")
    trial.put(1, "other", "n2")
    profile = trial.serve(offers=("pack",))

    def owners() -> list[bool]:
        trial.refreshed()
        return profile.owns("pack", KEYS).tolist()

    assert owners() == [False, False, True, False, True]
    trial.put(1, "pack", "n3")
    assert owners() == [False, True, True, False, True]
    trial.put(1, "pack", "n3", 2, OrderChange.UNSUBSCRIBED)
    assert owners() == [False, False, True, False, True]
    trial.put(2, "other", "n1", 2)
    assert owners() == [False] * 5, "it was changed to another offer"
    trial.put(9, "pack", "n4")
    assert owners() == [False, False, False, True, False]
    with trial.database.transaction() as connection:
        orders.unlink(connection, 9)
    assert owners() == [False] * 5, "whoever is erased owns nothing"


def test_nothing_is_looked_for_where_no_rule_asks(trial: Trial) -> None:
    trial.publish({1: 10})
    trial.serve("province")
    trial.refreshed()
    assert (trial.snapshots.read, trial.people._loading) == ([], None)


@pytest.mark.usefixtures("at_once")
def test_the_engine_does_not_wait_for_what_is_loaded(trial: Trial) -> None:
    trial.publish({1: 10})
    profile = trial.serve("age")
    trial.publish({1: 11})
    trial.snapshots.before = lambda: time.sleep(0.5)
    begun = time.monotonic()
    trial.people.refresh()
    trial.people.refresh()
    assert time.monotonic() - begun < 0.4
    assert plain(profile.column(AGE, KEYS))[1] == 10
    while plain(profile.column(AGE, KEYS.copy()))[1] == 10:
        assert time.monotonic() - begun < 10
        trial.people.refresh()
        time.sleep(0.01)
