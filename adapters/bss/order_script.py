"""What people order, and when a simulated BSS tells: a pure function of (seed, subscriber, offer, contact).

Nothing here depends on when it is asked, so two runs with one seed take the same orders. Moments are whole days after
`start_at` plus an hour the shops are open, so a clock that stands outside those hours never races an order.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Mask
from common.kernel.keyed_hash import mix, salt, uniform
from common.kernel.order import OrderChange, PoolChange

DAY_SECONDS = 86_400
LATE_DAYS_MAX = 2
CAUSED_DAYS_MAX = 5

Numbers = NDArray[np.int64]
"""MSISDNs, E.164 without the plus sign."""
Moments = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Offer:
    """`caused` is, per channel, the share of the people contacted who then order."""

    code: str
    price_fen: int
    campaigns: tuple[str, ...]
    organic_share: float
    caused: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares of orders."""

    late: float = 0.0
    duplicate: float = 0.0
    reversed: float = 0.0
    cancelled: float = 0.0


@dataclass(frozen=True, slots=True)
class Script:
    """Orders are taken on days 2 to `days` after `start_at` (Unix seconds), between the two hours of the day."""

    seed: int
    source_system: str
    start_at: int
    days: int
    hours: tuple[int, int] = (10, 20)
    faults: Faults = Faults()


@dataclass(frozen=True, slots=True)
class Hits:
    """People who will order one offer, and when; whoever comes first of one person's hits counts."""

    msisdns: Numbers
    accepted_at: Moments


@dataclass(frozen=True, slots=True)
class Lines:
    """Order records as a feed tells them. `copy` is 1 where the feed repeats itself."""

    visible_at: Moments
    msisdns: Numbers
    revisions: NDArray[np.int64]
    changes: NDArray[np.int64]
    accepted_at: Moments
    taken_at: Moments
    copies: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.msisdns)

    def take(self, rows: Mask | NDArray[np.int64]) -> Lines:
        return Lines(*(getattr(self, name)[rows] for name in Lines.__slots__))

    @staticmethod
    def joined(parts: list[Lines]) -> Lines:
        return Lines(*(np.concatenate([getattr(part, name) for part in parts]) for name in Lines.__slots__))


def national(seed: int, msisdns: Numbers, share: float) -> Mask:
    """Whose orders cBSS takes; everybody else's are taken by the BSS of the home province."""
    return uniform(msisdns, salt(seed, "taker")) < share


def organic(script: Script, offer: Offer, msisdns: Numbers) -> Hits:
    """Orders nobody caused; none on the first day."""
    chosen = msisdns[uniform(msisdns, salt(script.seed, "organic", offer.code)) < offer.organic_share]
    day = 1 + _below(chosen, salt(script.seed, "organic day", offer.code), max(1, script.days - 1))
    return Hits(chosen, _moment(script, day, chosen, offer.code))


def caused(
    script: Script, offer: Offer, channel: str, work_order: str, msisdns: Numbers, contacted_at: Moments
) -> Hits:
    """Orders that contacts of one work order lead to, one to five days after the day of the contact."""
    share = offer.caused.get(channel, 0.0)
    chosen = uniform(msisdns, salt(script.seed, "caused", work_order)) < share
    people = msisdns[chosen]
    delay = 1 + _below(people, salt(script.seed, "caused day", work_order), CAUSED_DAYS_MAX)
    day = (contacted_at[chosen] - script.start_at) // DAY_SECONDS + delay
    return Hits(people, _moment(script, day, people, offer.code))


def first_of_each(hits: Hits) -> Hits:
    """The earliest hit of each person."""
    order = np.lexsort((hits.accepted_at, hits.msisdns))
    people, first = np.unique(hits.msisdns[order], return_index=True)
    return Hits(people, hits.accepted_at[order][first])


def lines(script: Script, offer: Offer, taken: Hits) -> Lines:
    """Everything the feed will ever say of these orders: some late, repeated, cancelled or reversed.

    A late order that is reversed shows its reversal first.
    """
    people, at = taken.msisdns, taken.accepted_at
    drawn = {name: uniform(people, salt(script.seed, name, offer.code)) for name in ("late", "duplicate", "end")}
    late = drawn["late"] < script.faults.late
    lateness = late * (1 + _below(people, salt(script.seed, "late days", offer.code), LATE_DAYS_MAX)) * DAY_SECONDS
    reverse = drawn["end"] < script.faults.reversed
    cancel = ~reverse & (drawn["end"] < script.faults.reversed + script.faults.cancelled)
    repeat = drawn["duplicate"] < script.faults.duplicate
    return Lines.joined(
        [
            _lines(people, at, at, at + lateness, 1, OrderChange.SUBSCRIBED),
            _lines(people, at, at, at + lateness + DAY_SECONDS, 1, OrderChange.SUBSCRIBED, 1).take(repeat),
            _lines(people, at, at + DAY_SECONDS, at + DAY_SECONDS, 2, OrderChange.REVERSED).take(reverse),
            _lines(people, at, at + 2 * DAY_SECONDS, at + 2 * DAY_SECONDS, 2, OrderChange.UNSUBSCRIBED).take(cancel),
        ]
    )


def order_numbers(script: Script, offer: Offer, msisdns: Numbers) -> list[str]:
    """One a person and offer; says nothing of the number."""
    return [f"{number:016X}" for number in mix(msisdns, salt(script.seed, script.source_system, offer.code)).tolist()]


@dataclass(frozen=True, slots=True)
class PoolChanges:
    """Ascending by time."""

    msisdns: Numbers
    changes: NDArray[np.int64]
    changed_at: Moments


def pool_changes(script: Script, msisdns: Numbers, left: float, reassigned: float) -> PoolChanges:
    """Shares of people who leave (a third of them come back three days later) or whose number goes to somebody new."""
    drawn = uniform(msisdns, salt(script.seed, "pool"))
    leaving, moving = msisdns[drawn < left], msisdns[(drawn >= left) & (drawn < left + reassigned)]
    back = leaving[uniform(leaving, salt(script.seed, "back")) < 1 / 3]
    people = np.concatenate([leaving, moving, back])
    codes = np.repeat(
        [int(PoolChange.LEFT), int(PoolChange.REASSIGNED), int(PoolChange.JOINED)],
        [len(leaving), len(moving), len(back)],
    )
    day = 1 + _below(people, salt(script.seed, "pool day"), max(1, script.days - 1))
    day = day + 3 * (codes == PoolChange.JOINED)
    moments = _moment(script, day, people, "pool")
    order = np.lexsort((people, moments))
    return PoolChanges(people[order], codes[order], moments[order])


def _lines(
    people: Numbers,
    taken: Moments,
    accepted: Moments,
    visible: Moments,
    revision: int,
    change: OrderChange,
    copy: int = 0,
) -> Lines:
    return Lines(
        visible_at=visible,
        msisdns=people,
        revisions=np.full(len(people), revision),
        changes=np.full(len(people), int(change)),
        accepted_at=accepted,
        taken_at=taken,
        copies=np.full(len(people), copy),
    )


def _moment(script: Script, day: NDArray[np.int64], people: Numbers, what: str) -> Moments:
    opens, closes = script.hours
    second = opens * 3600 + _below(people, salt(script.seed, "second", what), (closes - opens) * 3600)
    return script.start_at + day * DAY_SECONDS + second


def _below(people: Numbers, key: np.uint64, limit: int) -> NDArray[np.int64]:
    """A whole number in [0, limit) for each person."""
    return (uniform(people, key) * limit).astype(np.int64)
