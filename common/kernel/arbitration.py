"""Who is contacted when many ask for the same people and the same scarce places at one moment.

Decided greedily, and exactly: requests have their turn by (priority descending, score descending, id ascending). One is
granted if, at its turn, every cap that covers its kind has a contact of that person left and its pool has a place left.

A pool is shared fairly. Priorities have their turn one after the other, the highest first. In each, every pool's
places left are split among the campaigns that ask: each gets as many as it asks for, but at most some number common to
all, the largest for which the places suffice (max-min fairness). A campaign asks for what no cap forbids at that
moment. First come the turns within these shares; then whoever was only held back by a share has a second turn for the
places left over. So a fair share goes before a higher score, and never before a higher priority; and nobody is denied
who could be granted in the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Codes, Keys, Mask, Rows
from common.kernel.spend_ledger import KINDS, Cap, Ledger

NO_POOL = -1
NOBODY = -1
CODE_BITS = 62
"""Numbers a row is sorted by fit an int64."""


class Verdict(IntEnum):
    GRANTED = 0
    CONTACT_CAP = 1
    """The contacts of a cap were spent before anybody asked."""
    OUTRANKED = 2
    """A request that had its turn earlier took the last contact of a cap."""
    CAPACITY = 3
    """The pool has no place left."""


@dataclass(frozen=True, slots=True)
class Requests:
    """Columns, in any order. `scores` are finite; `ids` are unique; `pools` are positions, or NO_POOL.

    `campaigns` says who asks: pools are shared fairly among them.
    """

    keys: Keys
    priorities: NDArray[np.int64]
    scores: NDArray[np.float64]
    ids: NDArray[np.int64]
    kinds: Codes
    pools: NDArray[np.int32]
    campaigns: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: Rows) -> Requests:
        return Requests(
            self.keys[rows],
            self.priorities[rows],
            self.scores[rows],
            self.ids[rows],
            self.kinds[rows],
            self.pools[rows],
            self.campaigns[rows],
        )


@dataclass(frozen=True, slots=True)
class Pool:
    """Places that requests for many people share, such as call seats."""

    capacity: int


@dataclass(frozen=True, slots=True)
class Decisions:
    """`caps`: the cap that had nothing left, else -1; of several, one that had nothing before anybody asked.

    `rivals`: the request that took the last contact of that cap, or the last place of the pool; else NOBODY.
    """

    verdicts: Codes
    rivals: Rows
    caps: NDArray[np.int64]
    spent: NDArray[np.int32]
    """By cap and person: what the ledger held before anybody asked."""
    people: Rows
    """Each request's person, as a column of `spent`."""


def decide(requests: Requests, ledger: Ledger, caps: Sequence[Cap], pools: Sequence[Pool], now: int) -> Decisions:
    if len(requests) == 0:
        nothing = np.zeros(0, dtype=np.int64)
        return Decisions(nothing.astype(np.uint8), nothing, nothing, np.zeros((len(caps), 0), np.int32), nothing)
    table = _Table(requests, ledger, caps, pools, now)
    for rows in _by_priority(table) if (table.pools != NO_POOL).any() else [np.arange(len(requests))]:
        held = table.settle(rows, *_shares(table, rows))
        if len(held):
            table.settle(held, table.pools[held], table.places)
    return table.decisions()


class _Table:
    """The requests by person, each person's in the order of their turns; and what is left of everything."""

    def __init__(
        self, requests: Requests, ledger: Ledger, caps: Sequence[Cap], pools: Sequence[Pool], now: int
    ) -> None:
        rows = len(requests)
        people = self.asked = _dense(requests.keys)
        turns = _coded(-requests.priorities, -requests.scores, requests.ids)
        self.order = np.argsort(_coded(people, turns))
        self.people = people[self.order]
        self.turns = _dense(turns)[self.order] if len(pools) else self.people
        self.priorities = requests.priorities[self.order]
        self.pools = requests.pools[self.order].astype(np.int64)
        self.campaigns = requests.campaigns[self.order].astype(np.int64)
        covers = np.array([cap.kinds for cap in caps], dtype=np.bool_).reshape(len(caps), KINDS)
        self.covers = covers.take(requests.kinds[self.order], axis=1)
        contacts = np.array([cap.contacts for cap in caps], dtype=np.int32)
        asked_for = requests.keys[self.order[_starts(self.people)]]
        self.spent = ledger.spent(asked_for, caps, now)
        self.left = contacts[:, None] - self.spent
        """Contacts by cap and person."""
        self.places = np.array([pool.capacity for pool in pools], dtype=np.int64)
        self.takers = np.full(self.left.shape, NOBODY)
        """Who took the last contact so far, by cap and person: passage * requests + row."""
        self.last = np.full(len(pools), NOBODY)
        """The row that took the last place so far."""
        self.passage = 0
        self.verdicts = np.full(rows, Verdict.CAPACITY, dtype=np.uint8)
        self.rivals = np.full(rows, NOBODY)
        self.caps = np.full(rows, -1)

    def open_to(self, rows: Rows) -> Mask:
        """Which of `rows` no cap forbids by now."""
        used_up = self.covers[:, rows] & (self.left.take(self.people[rows], axis=1) <= 0)
        return ~_any(used_up)

    def settle(self, rows: Rows, seats: Rows, places: NDArray[np.int64]) -> Rows:
        """Give `rows` (ascending) their turn, each for a place of its seat; answers who only lacked a place."""
        granted = _grant(
            self.people[rows],
            self.covers[:, rows],
            self.left.take(self.people[rows], axis=1),
            self.turns[rows],
            seats,
            np.append(places, len(rows))[seats],
        )
        self._take(rows[granted])
        denied = rows[~granted]
        lacking = ~self._deny(denied)
        self.passage += 1
        return denied[lacking]

    def _take(self, rows: Rows) -> None:
        self.verdicts[rows] = Verdict.GRANTED
        for cap, covered in enumerate(self.covers[:, rows]):
            people = self.people[rows[covered]]
            self.left[cap] -= np.bincount(people, minlength=self.left.shape[1]).astype(np.int32)
            self.takers[cap, people] = self.passage * len(self.order) + rows[covered]
        seated = rows[self.pools[rows] != NO_POOL]
        seated = seated[np.argsort(self.turns[seated])]
        np.subtract.at(self.places, self.pools[seated], 1)
        self.last[self.pools[seated]] = seated

    def _deny(self, rows: Rows) -> Mask:
        """Note what forbade each of `rows` when its turn came; answers which of them a cap forbade."""
        people, turn = self.people[rows], self.passage * len(self.order) + rows
        takers = self.takers.take(people, axis=1)
        used_up: NDArray[np.bool_] = (
            self.covers.take(rows, axis=1) & (self.left.take(people, axis=1) <= 0) & (takers < turn)
        )
        capped = _any(used_up)
        if not capped.any():
            return capped
        rows, takers, used_up = rows[capped], takers[:, capped], used_up[:, capped]
        spent = used_up & (takers == NOBODY)
        cap = np.where(_any(spent), spent.argmax(axis=0), used_up.argmax(axis=0))
        taker = takers[cap, np.arange(len(cap))]
        self.caps[rows] = cap
        self.verdicts[rows] = np.where(taker == NOBODY, Verdict.CONTACT_CAP, Verdict.OUTRANKED)
        self.rivals[rows] = np.where(taker == NOBODY, NOBODY, taker % len(self.order))
        return capped

    def decisions(self) -> Decisions:
        """In the order the requests came."""
        crowded = self.verdicts == Verdict.CAPACITY
        self.rivals[crowded] = self.last[self.pools[crowded]]
        rivals = np.where(self.rivals == NOBODY, NOBODY, self.order[self.rivals])
        back = np.empty_like(self.order)
        back[self.order] = np.arange(len(back))
        return Decisions(self.verdicts[back], rivals[back], self.caps[back], self.spent, self.asked)


def _by_priority(table: _Table) -> Iterator[Rows]:
    """The rows of each priority, the highest first."""
    order = np.argsort(-table.priorities, kind="stable")
    return iter(np.split(order, _starts(table.priorities[order])[1:]))


def _shares(table: _Table, rows: Rows) -> tuple[Rows, NDArray[np.int64]]:
    """Each campaign's fair share of each pool: the share each row draws on (NO_POOL: none), and their places."""
    seats = np.full(len(rows), NO_POOL)
    asking = np.flatnonzero(table.pools[rows] != NO_POOL)
    asking = asking[table.open_to(rows[asking])]
    if len(asking) == 0:
        return seats, seats[:0]
    pairs = np.stack([table.pools[rows[asking]], table.campaigns[rows[asking]]])
    (pools, _), seats[asking], asked = np.unique(pairs, axis=1, return_inverse=True, return_counts=True)
    shares = asked.copy()
    for pool in np.unique(pools):
        shares[pools == pool] = fair_shares(asked[pools == pool], int(table.places[pool]))
    return seats, shares


def fair_shares(asked: NDArray[np.int64], places: int) -> NDArray[np.int64]:
    """What each gets: as much as it asked for, up to the largest common bound that `places` allow."""
    ascending = np.sort(asked)
    before = np.cumsum(ascending) - ascending
    others = np.arange(len(asked), 0, -1)
    short = np.flatnonzero(before + others * ascending > places)
    if len(short) == 0:
        return asked
    bound = int(places - before[short[0]]) // int(others[short[0]])
    return np.minimum(asked, bound)


def _grant(
    people: Rows, covers: NDArray[np.bool_], left: NDArray[np.int32], turns: Rows, seats: Rows, places: Rows
) -> Mask:
    """Which rows are granted, rows being sorted by (person, turn).

    Each round settles all that can be known: who would be granted even if everybody undecided ahead were, and who
    would not even if none of them. At least the undecided row with the first turn is one of the two.
    """
    granted = np.zeros(len(people), dtype=np.bool_)
    rows = np.arange(len(people))
    while len(rows):
        heads = _heads(people)
        queue = _Queue(seats, turns)
        fits = ~_any(covers & (_ahead(covers, heads) >= left))
        fits &= queue.ahead(np.ones(len(rows), dtype=np.bool_)) < places
        granted[rows[fits]] = True
        left = left - _ahead(covers & fits, heads)
        places = places - queue.ahead(fits)
        lost = _any(covers & (left <= 0)) | (places <= 0)
        open_yet = np.flatnonzero(~(fits | lost))
        rows, people, turns, seats, places = (c[open_yet] for c in (rows, people, turns, seats, places))
        covers, left = covers.take(open_yet, axis=1), left.take(open_yet, axis=1)
    return granted


class _Queue:
    """Rows in the order of their turns at each seat; those that need no seat have nobody ahead."""

    def __init__(self, seats: Rows, turns: Rows) -> None:
        seated = np.flatnonzero(seats != NO_POOL)
        self._order = seated[np.argsort(_coded(seats[seated], turns[seated]))]
        self._heads = _heads(seats[self._order])

    def ahead(self, marks: Mask) -> Rows:
        found = np.zeros(len(marks), dtype=np.int64)
        if len(self._order):
            found[self._order] = _ahead(marks[None, self._order], self._heads)[0]
        return found


def _ahead(marks: NDArray[np.bool_], heads: Rows) -> NDArray[np.int32]:
    """How many marks each column has before it in its stretch, by row of `marks`."""
    counted = np.zeros((len(marks), marks.shape[1] + 1), dtype=np.int32)
    np.cumsum(marks, axis=1, out=counted[:, 1:])
    ahead: NDArray[np.int32] = counted[:, :-1] - counted.take(heads, axis=1)
    return ahead


def _any(marks: NDArray[np.bool_]) -> Mask:
    """Which columns have a mark in any row."""
    found: Mask = np.logical_or.reduce(marks, axis=0)
    return found


def _starts(values: NDArray[np.int64]) -> Rows:
    """Where each stretch of equal values begins."""
    return np.flatnonzero(np.concatenate([np.ones(len(values[:1]), dtype=np.bool_), values[1:] != values[:-1]]))


def _heads(values: NDArray[np.int64]) -> Rows:
    """For each value, where its stretch of equal values begins."""
    starts = _starts(values)
    return np.repeat(starts, np.diff(starts, append=len(values)))


def _coded(*columns: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.int64]:
    """One number a row, ascending as the rows do by these columns, the first the most significant."""
    codes, bits = np.zeros(len(columns[0]), dtype=np.int64), 0
    for column in columns if len(codes) else ():
        code, width = _code(column)
        if bits + width > CODE_BITS:
            codes, bits = _dense(codes), len(codes).bit_length()
        codes, bits = codes << width | code, bits + width
    return codes


def _code(column: NDArray[np.int64] | NDArray[np.float64]) -> tuple[NDArray[np.int64], int]:
    """Numbers from 0 in the order of the column, and the bits they need."""
    if column.dtype.kind == "i":
        low, high = int(column.min()), int(column.max())
        width = (high - low).bit_length()
        if width <= CODE_BITS // 2:
            return column.astype(np.int64) - low, width
    return _dense(column), len(column).bit_length()


def _dense(column: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.int64]:
    """Each value's rank among the distinct values."""
    order = np.argsort(column)
    ascending = column[order]
    ranks = np.empty(len(column), dtype=np.int64)
    ranks[order] = np.cumsum(np.concatenate([[False], ascending[1:] != ascending[:-1]]))
    return ranks
