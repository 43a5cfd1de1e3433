"""Attribution as a closed book: every order is credited once, to the last contact in its window, or is organic."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Keys, Mask, Rows, Times
from common.kernel.order import OrderChange, OrderRecords

DAY_SECONDS = 86_400
ORGANIC = -1


class Standing(IntEnum):
    """What the revisions of one order number come to."""

    STANDS = 1
    """Taken, whether or not cancelled later."""
    REVERSED = 2
    """As if it had not been taken."""
    UNMATCHED = 3
    """A cancellation whose order has not come (yet)."""


@dataclass(frozen=True, slots=True)
class Orders:
    """One row an order number, ascending by (subscriber key, source system, order number).

    `accepted_at` and `amounts_fen` are those of the first SUBSCRIBED revision that no reversal undid; of a reversed
    order, those of its first SUBSCRIBED revision (0 where that has not come).
    """

    source_systems: list[str]
    order_numbers: list[str]
    keys: Keys
    standings: NDArray[np.uint8]
    accepted_at: NDArray[np.int64]
    amounts_fen: NDArray[np.int64]
    cancelled: Mask
    """It stands and its last revision ends the subscription."""

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Contacts:
    """People contacted by one work order: unique keys, ascending. `work_order` is its place in an agreed list."""

    work_order: int
    keys: Keys
    tasks: NDArray[np.int64]
    submitted_at: Times


@dataclass(frozen=True, slots=True)
class Attribution:
    """Columns over the rows of `orders`; `work_orders` is ORGANIC where no contact earned the order."""

    orders: Orders
    work_orders: NDArray[np.int64]
    tasks: NDArray[np.int64]


def attribute(orders: OrderRecords, contacts: Iterable[Contacts], window_days: int) -> Attribution:
    """Credit each order to the last contact of its subscriber at most `window_days` before it.

    Orders and contacts may come in any order. Of contacts at the same second the one of the later work order in the
    agreed list is credited. A reversed or unmatched order is credited to nobody.
    """
    book = settle(orders)
    credit = Credit(book, window_days)
    for some in contacts:
        credit.offer(some)
    return credit.attribution()


class Credit:
    """The best contact seen so far for each order; contacts stream through it."""

    def __init__(self, orders: Orders, window_days: int) -> None:
        self._orders = orders
        self._window = window_days * DAY_SECONDS
        self._open = orders.standings == Standing.STANDS
        self._submitted_at = np.full(len(orders), ORGANIC, dtype=np.int64)
        self._work_orders = np.full(len(orders), ORGANIC, dtype=np.int64)
        self._tasks = np.full(len(orders), ORGANIC, dtype=np.int64)

    def offer(self, contacts: Contacts) -> None:
        rows, found = self._matches(contacts.keys)
        submitted = contacts.submitted_at[found].astype(np.int64)
        age = self._orders.accepted_at[rows] - submitted
        later = submitted > self._submitted_at[rows]
        same = (submitted == self._submitted_at[rows]) & (contacts.work_order > self._work_orders[rows])
        wins = self._open[rows] & (age >= 0) & (age <= self._window) & (later | same)
        best = rows[wins]
        self._submitted_at[best] = submitted[wins]
        self._work_orders[best] = contacts.work_order
        self._tasks[best] = contacts.tasks[found[wins]]

    def attribution(self) -> Attribution:
        return Attribution(self._orders, self._work_orders, self._tasks)

    def _matches(self, keys: Keys) -> tuple[Rows, Rows]:
        """Order rows whose subscriber is among `keys`, and where."""
        if len(keys) == 0 or len(self._orders) == 0:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        start = np.searchsorted(self._orders.keys, keys[0], "left")
        end = np.searchsorted(self._orders.keys, keys[-1], "right")
        rows = np.arange(start, end)
        found = np.searchsorted(keys, self._orders.keys[rows])
        match = keys[found] == self._orders.keys[rows]
        return rows[match], found[match]


def settle(records: OrderRecords) -> Orders:
    """What each order number's revisions come to; the order of the records, and repeats of one, are inert."""
    if len(records) == 0:
        return _no_orders()
    numbers, rows = _by_number_and_revision(records)
    change, revision = records.changes[rows], records.revisions[rows]
    first = np.flatnonzero(np.append(True, numbers[1:] != numbers[:-1]))
    group = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(rows))))
    undone_to = np.full(len(first), -1, dtype=np.int64)
    reversal = change == OrderChange.REVERSED
    np.maximum.at(undone_to, group[reversal], revision[reversal])
    subscribed = change == OrderChange.SUBSCRIBED
    valid = subscribed & (revision > undone_to[group])
    taken, standing = _first_of(group, subscribed, len(first)), _first_of(group, valid, len(first))
    deciding = np.where(standing >= 0, standing, taken)
    standings = np.full(len(first), Standing.UNMATCHED, dtype=np.uint8)
    standings[undone_to >= 0] = Standing.REVERSED
    standings[standing >= 0] = Standing.STANDS
    last = np.append(first[1:], len(rows)) - 1
    return _sorted(
        records,
        rows[np.where(deciding >= 0, deciding, first)],
        standings,
        deciding >= 0,
        (standing >= 0) & (change[last] == OrderChange.UNSUBSCRIBED),
    )


def _by_number_and_revision(records: OrderRecords) -> tuple[NDArray[np.int64], Rows]:
    """A number for each distinct (source system, order number), and the rows sorted by it and then by revision."""
    places: dict[tuple[str, str], int] = {}
    pairs = zip(records.source_systems, records.order_numbers, strict=True)
    numbers = np.fromiter((places.setdefault(pair, len(places)) for pair in pairs), np.int64, len(records))
    rows = np.lexsort((records.revisions, numbers))
    return numbers[rows], rows


def _first_of(group: Rows, wanted: Mask, groups: int) -> Rows:
    """For each group the position of its first wanted row, or -1."""
    found = np.full(groups, -1, dtype=np.int64)
    places = np.flatnonzero(wanted)[::-1]
    found[group[places]] = places
    return found


def _sorted(records: OrderRecords, rows: Rows, standings: NDArray[np.uint8], dated: Mask, cancelled: Mask) -> Orders:
    systems = [records.source_systems[row] for row in rows.tolist()]
    numbers = [records.order_numbers[row] for row in rows.tolist()]
    keys = records.keys[rows]
    names = np.array(sorted(range(len(rows)), key=lambda i: (systems[i], numbers[i])), dtype=np.int64)
    order = names[np.argsort(keys[names], kind="stable")]
    return Orders(
        source_systems=[systems[i] for i in order.tolist()],
        order_numbers=[numbers[i] for i in order.tolist()],
        keys=keys[order],
        standings=standings[order],
        accepted_at=np.where(dated, records.accepted_at[rows], 0).astype(np.int64)[order],
        amounts_fen=np.where(dated, records.amounts_fen[rows], 0)[order],
        cancelled=cancelled[order],
    )


def _no_orders() -> Orders:
    none = np.zeros(0, dtype=np.int64)
    return Orders([], [], none, none.astype(np.uint8), none, none, none.astype(np.bool_))
