"""What an erasure takes with it, what it leaves, and how a number comes back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from common.delivery import consents, erasures, forgetting, ledger, orders, stops, vault
from common.delivery.claim import claim
from common.kernel.channel import Channel
from common.kernel.consent import Consents
from common.kernel.erasure import Erasures, erasures_of
from common.kernel.order import OrderChange, OrderRecords
from common.kernel.stop import StopScope, stops_of
from common.kernel.task import TaskReason, TaskState
from common.kernel.task_block import TaskBlock, open_block
from common.runtime.database import Database

NOON = 1_800_000_000
NAME = "c/1/sms/hq"


def bought(key: int, number: str, at: int = NOON - 50) -> OrderRecords:
    return OrderRecords(
        ["bss"], [number], np.array([1]), np.array([key]), ["offer-1"], np.array([OrderChange.SUBSCRIBED], np.uint8),
        np.array([990]), np.array([at], dtype=np.uint32),
    )  # fmt: skip


def stop(connection: Connection, key: int, at: int, scope: StopScope = StopScope.ALL) -> None:
    stops.put_stops(connection, stops_of(np.array([key]), np.array([at]), np.array([False]), scope))


def agree(connection: Connection, key: int, at: int) -> None:
    times = (np.array([at], dtype=np.uint32), np.array([at + 10**6], dtype=np.uint32))
    consents.put_consents(connection, Consents(np.array([key]), ["call"], ["form 7"], *times, np.array([False])))


def erase(connection: Connection, key: int, at: int) -> Erasures:
    return forgetting.take(connection, erasures_of(np.array([key]), np.array([at])))


def give_anew(connection: Connection, key: int, at: int) -> Erasures:
    return forgetting.take(connection, erasures_of(np.array([key]), np.array([at]), lifted=True))


def personal(connection: Connection, keys: np.ndarray, name: str = NAME) -> None:
    """A block in which everybody is called by name."""
    texts = tuple(f"您好 {key}" for key in keys.tolist())
    ledger.insert_block(connection, open_block(name, 1, keys, texts, np.arange(len(keys), dtype=np.uint32)))


def texts(connection: Connection, number: int = 1, name: str = NAME) -> list[str]:
    block = ledger.load_block(connection, name, number)
    assert block is not None
    return [block.texts[ref] for ref in block.text_refs.tolist()]


def fates(block: TaskBlock | None) -> list[Any]:
    assert block is not None
    names = ("keys", "states", "reasons", "responses", "submitted_at", "settled_at")
    return [getattr(block, name).tolist() for name in names]


def test_an_erasure_takes_everything_but_the_contacts_and_the_blacklist(
    database: Database, people: Any, issue: Any, memo: Any, channel: Channel
) -> None:
    audience = people(4)
    gone, stays = (int(key) for key in audience.keys[:2])
    with database.transaction() as connection:
        order = issue(connection, audience)
        personal(connection, audience.keys)
        claim(connection, order, 1, NOON, channel, 10, memo)
        for key in (gone, stays):
            orders.put_orders(connection, bought(key, f"A{key}"), NOON)
            agree(connection, key, NOON - 9)
            stop(connection, key, NOON - 9)
            stop(connection, key, NOON - 9, StopScope.BLACKLIST)
        before = [fates(ledger.load_block(connection, NAME, number)) for number in (0, 1)]
        assert len(erase(connection, gone, NOON)) == 1
        assert len(erase(connection, gone, NOON)) == 0
        assert vault.numbers(connection, np.array([gone, stays]))[1].tolist() == [False, True]
        assert orders.orders_of_subscriber(connection, gone).keys.tolist() == []
        assert orders.orders_of_subscriber(connection, stays).order_numbers == [f"A{stays}"]
        assert len(orders.orders_of_offer(connection, "offer-1")) == 2
        assert consents.all_consents(connection).keys.tolist() == [stays]
        left = stops.all_stops(connection)
        assert sorted(zip(left.keys.tolist(), left.scopes.tolist(), strict=True)) == sorted(
            [(gone, StopScope.BLACKLIST), (stays, StopScope.BLACKLIST), (stays, StopScope.ALL)]
        )
        assert texts(connection) == ["", *(f"您好 {key}" for key in audience.keys[1:])]
        stored = ledger.load_block(connection, NAME, 1)
        assert stored is not None
        assert f"您好 {gone}" not in stored.texts
        assert [fates(ledger.load_block(connection, NAME, number)) for number in (0, 1)] == before
        assert sum(ledger.counts(connection, NAME).values()) == 8


def test_who_is_erased_is_never_contacted_again_not_even_by_a_service_notice(
    database: Database, people: Any, issue: Any, memo: Any, channel: Channel
) -> None:
    audience = people(2)
    with database.transaction() as connection:
        order = issue(connection, audience, service=True)
        erase(connection, int(audience.keys[0]), NOON)
        assert claim(connection, order, 0, NOON, channel, 10, memo).rows.tolist() == [1]
        block = ledger.load_block(connection, NAME, 0)
        assert block is not None
        assert (block.states[0], block.reasons[0]) == (TaskState.SUPPRESSED, TaskReason.ERASED)


def test_what_comes_later_of_somebody_erased_is_not_kept(database: Database, people: Any, issue: Any) -> None:
    audience = people(3)
    key = int(audience.keys[1])
    with database.transaction() as connection:
        issue(connection, audience)
        erase(connection, key, NOON)
        added, quarantined = vault.put_subscribers(connection, audience.keys, audience.msisdns, 45)
        assert (added, quarantined.tolist()) == (0, [1])
        assert vault.numbers(connection, audience.keys)[1].tolist() == [True, False, True]
        assert orders.new_orders(connection, bought(key, "late"), NOON).keys.tolist() == [orders.NOBODY]
        agree(connection, key, NOON - 1)
        assert len(consents.all_consents(connection)) == 0
        personal(connection, audience.keys)
        assert texts(connection)[1] == ""
        assert texts(connection)[0] != ""


def test_a_number_given_to_somebody_new_starts_afresh(database: Database, people: Any, issue: Any) -> None:
    audience = people(1)
    key = int(audience.keys[0])
    with database.transaction() as connection:
        issue(connection, audience)
        erase(connection, key, NOON)
        assert erasures.homes_of(connection, audience.keys).tolist() == [45]
        stop(connection, key, NOON + 5)
        agree(connection, key, NOON + 5)
        give_anew(connection, key, NOON + 9)
        assert vault.put_subscribers(connection, audience.keys, audience.msisdns, 45)[0] == 1
        assert (len(stops.all_stops(connection)), len(consents.all_consents(connection))) == (0, 0)
        personal(connection, audience.keys)
        assert texts(connection) != [""]


def test_what_was_written_to_who_had_the_number_before_is_not_sent_to_who_has_it_now(
    database: Database, people: Any, issue: Any, memo: Any, channel: Channel
) -> None:
    audience = people(3)
    key, name = int(audience.keys[1]), "d/1/sms/hq"
    with database.transaction() as connection:
        old = issue(connection, audience)
        personal(connection, audience.keys)
        give_anew(connection, key, NOON)
        assert texts(connection)[1] == ""
        assert claim(connection, old, 1, NOON, channel, 10, memo).rows.tolist() == [0, 2]
        block = ledger.load_block(connection, NAME, 1)
        assert block is not None
        assert (block.states[1], block.reasons[1]) == (TaskState.SUPPRESSED, TaskReason.ERASED)
        new = issue(connection, audience, name=name)
        personal(connection, audience.keys, name)
        give_anew(connection, key, NOON)  # Told once more: no news.
        assert claim(connection, new, 1, NOON, channel, 10, memo).rows.tolist() == [0, 1, 2]


def test_an_erasure_that_comes_after_the_number_went_to_somebody_new_takes_only_what_is_older(
    database: Database, people: Any, issue: Any, memo: Any, channel: Channel
) -> None:
    audience = people(1)
    key = int(audience.keys[0])
    with database.transaction() as connection:
        order = issue(connection, audience, start_at=NOON - 600)
        personal(connection, audience.keys)
        claim(connection, order, 1, NOON - 500, channel, 10, memo)
        orders.put_orders(connection, bought(key, "old", NOON - 400), NOON)
        give_anew(connection, key, NOON)
        orders.put_orders(connection, bought(key, "new", NOON + 100), NOON)
        ledger.insert_block(connection, replace(open_block(NAME, 2, audience.keys, ("新",), np.zeros(1, np.uint32))))
        assert len(erase(connection, key, NOON - 200)) == 0
        assert vault.numbers(connection, audience.keys)[1].tolist() == [True]
        assert orders.orders_of_subscriber(connection, key).order_numbers == ["new"]
        assert (texts(connection, 1), texts(connection, 2)) == ([""], ["新"])


what = st.sampled_from(["stop", "call", "black", "agree", "erase", "anew"])
said = st.lists(st.tuples(what, st.integers(1, 3), st.integers(10, 16)), min_size=1, max_size=14)


def tell(connection: Connection, what: str, key: int, at: int) -> None:
    {
        "stop": lambda: stop(connection, key, at),
        "call": lambda: stop(connection, key, at, StopScope.CALL),
        "black": lambda: stop(connection, key, at, StopScope.BLACKLIST),
        "agree": lambda: agree(connection, key, at),
        "erase": lambda: erase(connection, key, at),
        "anew": lambda: give_anew(connection, key, at),
    }[what]()


def known(connection: Connection) -> list[Any]:
    told, agreed = stops.all_stops(connection), consents.all_consents(connection)
    erased = erasures.all_erasures(connection)
    return [
        *(column.tolist() for column in (told.keys, told.scopes, told.stopped_at, told.lifted)),
        *(column.tolist() for column in (agreed.keys, agreed.given_at)),
        *(column.tolist() for column in (erased.keys, erased.erased_at, erased.lifted)),
    ]


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=said, shuffled=st.randoms(use_true_random=False))
def test_the_order_in_which_it_is_heard_is_inert(sqlite: Database, undone: Any, said: Any, shuffled: Any) -> None:
    with undone(sqlite) as connection:
        for each in said:
            tell(connection, *each)
        expected = known(connection)
    again = [*said, *said[::2]]
    shuffled.shuffle(again)
    with undone(sqlite) as connection:
        for each in again:
            tell(connection, *each)
        assert known(connection) == expected
