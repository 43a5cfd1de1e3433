"""The same decisions as `common.kernel.arbitration`, one request at a time: slow, and plain to read.

It is what the fast kernel is held to, in the tests and each time the benchmark runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from common.kernel.arbitration import NO_POOL, NOBODY, Pool, Requests, Verdict
from common.kernel.spend_ledger import KINDS, Cap

Spent = Mapping[int, Sequence[tuple[int, int]]]
"""(date, kind) of each contact spent, by subscriber key."""


def decide(requests: Requests, spent: Spent, caps: Sequence[Cap], pools: Sequence[Pool], now: int) -> Decided:
    table = Decided(requests, spent, caps, pools, now)
    for _, turns in groupby(table.by_turn, key=requests.priorities.tolist().__getitem__):
        rows = list(turns)
        shares = _shares(table, rows)
        held = [row for row in rows if not table.turn(row, shares)]
        for row in held:
            table.second_turn(row)
    for row, verdict in enumerate(table.verdicts):
        if verdict == Verdict.CAPACITY:
            table.rivals[row] = table.last_of_pool.get(table.pools[row], NOBODY)
    return table


class Decided:
    """`verdicts`, `rivals` and `blocking` (the cap) for each request, as the kernel's Decisions."""

    def __init__(self, requests: Requests, spent: Spent, caps: Sequence[Cap], pools: Sequence[Pool], now: int) -> None:
        self.keys: list[int] = requests.keys.tolist()
        self.kinds: list[int] = requests.kinds.tolist()
        self.pools, self.campaigns = requests.pools.tolist(), requests.campaigns.tolist()
        columns = (-requests.priorities, -requests.scores, requests.ids)
        turns = list(zip(*(column.tolist() for column in columns), strict=True))
        self.by_turn = sorted(range(len(turns)), key=turns.__getitem__)
        self.caps = caps
        self.covering = [[cap for cap, each in enumerate(caps) if each.kinds[kind]] for kind in range(KINDS)]
        """The caps that cover each kind."""
        self.spent, self.now = spent, now
        self.places = [pool.capacity for pool in pools]
        self.used: dict[tuple[int, int], int] = {}
        self.last_of_cap: dict[tuple[int, int], int] = {}
        self.last_of_pool: dict[int, int] = {}
        self.verdicts = [int(Verdict.CAPACITY)] * len(turns)
        self.rivals, self.blocking = [NOBODY] * len(turns), [-1] * len(turns)

    def turn(self, row: int, shares: dict[tuple[int, int], int]) -> bool:
        """False where only the campaign's share of the pool held it back."""
        cap = self.forbidding_cap(row)
        if cap is not None:
            self.deny(row, cap)
            return True
        share = (self.pools[row], self.campaigns[row])
        if self.pools[row] != NO_POOL:
            if shares[share] == 0:
                return False
            shares[share] -= 1
        self.grant(row)
        return True

    def second_turn(self, row: int) -> None:
        cap = self.forbidding_cap(row)
        if cap is not None:
            self.deny(row, cap)
        elif self.places[self.pools[row]] > 0:
            self.grant(row)

    def forbidding_cap(self, row: int) -> int | None:
        """A cap with nothing left for this request: the first that had nothing before anybody asked, or the first."""
        covering = self.covering[self.kinds[row]]
        used_up = [cap for cap in covering if self.used_of(cap, self.keys[row]) >= self.caps[cap].contacts]
        spent = [cap for cap in used_up if (cap, self.keys[row]) not in self.last_of_cap]
        return next(iter(spent or used_up), None)

    def used_of(self, cap: int, key: int) -> int:
        """Contacts of this cap that the person has spent, or was granted since."""
        if (cap, key) not in self.used:
            since = self.now - self.caps[cap].window_seconds
            counting = [1 for date, kind in self.spent.get(key, ()) if date > since and cap in self.covering[kind]]
            self.used[cap, key] = len(counting)
        return self.used[cap, key]

    def deny(self, row: int, cap: int) -> None:
        taker = self.last_of_cap.get((cap, self.keys[row]))
        self.verdicts[row] = int(Verdict.CONTACT_CAP if taker is None else Verdict.OUTRANKED)
        self.rivals[row] = NOBODY if taker is None else taker
        self.blocking[row] = cap

    def grant(self, row: int) -> None:
        self.verdicts[row] = int(Verdict.GRANTED)
        for cap in self.covering[self.kinds[row]]:
            self.used[cap, self.keys[row]] = self.used_of(cap, self.keys[row]) + 1
            self.last_of_cap[cap, self.keys[row]] = row
        if self.pools[row] != NO_POOL:
            self.places[self.pools[row]] -= 1
            self.last_of_pool[self.pools[row]] = row


def _shares(table: Decided, rows: Iterable[int]) -> dict[tuple[int, int], int]:
    """Places by (pool, campaign): one more for everybody who asks for more, while the places suffice for all."""
    asked = Counter(
        (table.pools[row], table.campaigns[row])
        for row in rows
        if table.pools[row] != NO_POOL and table.forbidding_cap(row) is None
    )
    shares = dict.fromkeys(asked, 0)
    for pool, places in enumerate(table.places):
        campaigns = [pair for pair in asked if pair[0] == pool]
        bound = 0
        while bound < max((asked[pair] for pair in campaigns), default=0) and (
            sum(min(asked[pair], bound + 1) for pair in campaigns) <= places
        ):
            bound += 1
        shares |= {pair: min(asked[pair], bound) for pair in campaigns}
    return shares
