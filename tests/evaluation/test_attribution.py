"""Attribution closes, against a plain reading of the rule."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from common.kernel.order import OrderChange, OrderRecords
from hq.attribution import DAY_SECONDS, ORGANIC, Attribution, Contacts, Standing, attribute

WINDOW_DAYS = 3


@dataclass(frozen=True)
class Record:
    source: str
    number: str
    revision: int
    key: int
    change: OrderChange
    amount: int
    at: int


@dataclass(frozen=True)
class Contact:
    work_order: int
    key: int
    at: int


def _columns(records: list[Record]) -> OrderRecords:
    return OrderRecords(
        [r.source for r in records],
        [r.number for r in records],
        np.array([r.revision for r in records], dtype=np.int64),
        np.array([r.key for r in records], dtype=np.int64),
        ["offer"] * len(records),
        np.array([r.change for r in records], dtype=np.uint8),
        np.array([r.amount for r in records], dtype=np.int64),
        np.array([r.at for r in records], dtype=np.uint32),
    )


def _blocks(contacts: list[Contact]) -> list[Contacts]:
    blocks = []
    for work_order in sorted({c.work_order for c in contacts}):
        mine = sorted({c.key: c for c in contacts if c.work_order == work_order}.values(), key=lambda c: c.key)
        for start in range(0, len(mine), 3):
            some = mine[start : start + 3]
            keys = np.array([c.key for c in some], dtype=np.int64)
            blocks.append(Contacts(work_order, keys, keys * 10, np.array([c.at for c in some], dtype=np.uint32)))
    return blocks


def _plainly(records: list[Record], contacts: list[Contact]) -> dict[tuple[str, str], tuple[Standing, int, int]]:
    """Per order number: its standing, amount and credited work order."""
    contacts = list({(c.work_order, c.key): c for c in contacts}.values())
    book = {}
    for name in {(r.source, r.number) for r in records}:
        mine = sorted((r for r in records if (r.source, r.number) == name), key=lambda r: r.revision)
        undone = max((r.revision for r in mine if r.change == OrderChange.REVERSED), default=-1)
        taken = [r for r in mine if r.change == OrderChange.SUBSCRIBED]
        valid = [r for r in taken if r.revision > undone]
        if not valid:
            amount = taken[0].amount if taken else 0
            book[name] = (Standing.REVERSED if undone >= 0 else Standing.UNMATCHED, amount, ORGANIC)
            continue
        order = valid[0]
        near = [c for c in contacts if c.key == order.key and 0 <= order.at - c.at <= WINDOW_DAYS * DAY_SECONDS]
        last = max(near, key=lambda c: (c.at, c.work_order), default=None)
        book[name] = (Standing.STANDS, order.amount, last.work_order if last else ORGANIC)
    return book


def _read(result: Attribution) -> dict[tuple[str, str], tuple[Standing, int, int]]:
    orders = result.orders
    names = zip(orders.source_systems, orders.order_numbers, strict=True)
    values = zip(orders.standings, orders.amounts_fen, result.work_orders, strict=True)
    return {name: (Standing(s), int(a), int(w)) for name, (s, a, w) in zip(names, values, strict=True)}


@st.composite
def _records(draw: st.DrawFn) -> list[Record]:
    records = []
    for number in range(draw(st.integers(0, 12))):
        key = draw(st.integers(1, 6))
        for revision in sorted(draw(st.sets(st.integers(1, 4), min_size=1))):
            change = draw(st.sampled_from(OrderChange))
            at = draw(st.integers(0, 12)) * DAY_SECONDS // 2
            records.append(
                Record(draw(st.sampled_from(["bss-45"])) if number % 2 else "cbss", f"n{number // 2}", revision, key,
                       change, draw(st.integers(-5, 9900)), at)
            )  # fmt: skip
    return records


_contacts = st.lists(
    st.builds(Contact, st.integers(0, 4), st.integers(1, 6), st.integers(0, 12).map(lambda d: d * DAY_SECONDS // 2)),
    max_size=25,
)


@given(_records(), _contacts, st.randoms(use_true_random=False))
def test_attribution_is_what_the_plain_rule_says_in_any_order(
    records: list[Record], contacts: list[Contact], chance: random.Random
) -> None:
    expected = _plainly(records, contacts)
    late = records + chance.sample(records, k=len(records) // 3)
    blocks = _blocks(contacts)
    chance.shuffle(late)
    chance.shuffle(blocks)
    assert _read(attribute(_columns(late), blocks, WINDOW_DAYS)) == expected


@given(_records(), _contacts)
def test_every_order_is_credited_once_or_organic_or_apart_to_the_cent(
    records: list[Record], contacts: list[Contact]
) -> None:
    result = attribute(_columns(records), _blocks(contacts), WINDOW_DAYS)
    orders, stands = result.orders, result.orders.standings == Standing.STANDS
    attributed = stands & (result.work_orders != ORGANIC)
    organic = stands & (result.work_orders == ORGANIC)
    apart = ~stands
    assert not (result.work_orders[apart] != ORGANIC).any()
    assert attributed.sum() + organic.sum() + apart.sum() == len({(r.source, r.number) for r in records})
    parts = [orders.amounts_fen[some].sum() for some in (attributed, organic, apart)]
    assert sum(parts) == orders.amounts_fen.sum()


ORDER = Record("cbss", "1", 1, 7, OrderChange.SUBSCRIBED, 5900, 10 * DAY_SECONDS)


def test_a_contact_after_the_order_earns_nothing() -> None:
    after = Contact(0, 7, ORDER.at + 1)
    assert _read(attribute(_columns([ORDER]), _blocks([after]), WINDOW_DAYS))["cbss", "1"][2] == ORGANIC


def test_the_window_includes_its_last_second_and_not_the_one_before() -> None:
    edge = ORDER.at - WINDOW_DAYS * DAY_SECONDS
    inside = attribute(_columns([ORDER]), _blocks([Contact(0, 7, edge)]), WINDOW_DAYS)
    outside = attribute(_columns([ORDER]), _blocks([Contact(0, 7, edge - 1)]), WINDOW_DAYS)
    assert (inside.work_orders.tolist(), outside.work_orders.tolist()) == ([0], [ORGANIC])
    assert inside.tasks.tolist() == [70]


def test_a_reversal_that_came_first_still_undoes_its_order() -> None:
    reversal = Record("cbss", "1", 2, 7, OrderChange.REVERSED, -5900, ORDER.at + 5)
    for arrival in ([reversal, ORDER], [ORDER, reversal]):
        result = attribute(_columns(arrival), _blocks([Contact(0, 7, ORDER.at - 1)]), WINDOW_DAYS)
        assert _read(result) == {("cbss", "1"): (Standing.REVERSED, 5900, ORGANIC)}


def test_a_cancellation_leaves_the_order_credited_and_is_told() -> None:
    cancelled = Record("cbss", "1", 2, 7, OrderChange.UNSUBSCRIBED, 0, ORDER.at + 5)
    result = attribute(_columns([cancelled, ORDER]), _blocks([Contact(3, 7, ORDER.at - 1)]), WINDOW_DAYS)
    assert (result.work_orders.tolist(), result.orders.cancelled.tolist()) == ([3], [True])
