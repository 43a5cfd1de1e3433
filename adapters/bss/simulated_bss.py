"""A BSS or cBSS that plays a seeded script, without its wire.

It follows the journals of channel vendors to learn whom a campaign reached, and takes the orders that those contacts
cause beside the ones nobody caused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adapters.bss.order_log import OrderLog, Shown
from adapters.bss.order_script import (
    Hits,
    Lines,
    Numbers,
    Offer,
    PoolChanges,
    Script,
    caused,
    first_of_each,
    lines,
    order_numbers,
    organic,
)
from adapters.channels.journal import AcceptedBatch, read_journal
from adapters.channels.script import Odds, fates
from common.kernel.bss import PAGE_ROWS_MAX, BssOrder, BssPoolChange
from common.kernel.channel import ReceiptStage
from common.kernel.columns import Mask, in_sorted
from common.kernel.order import OrderChange, PoolChange
from common.kernel.refusal import conflict, invalid, missing
from common.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class Vendor:
    """A simulated channel vendor: its journal, and what decides whom its messages reach."""

    journal: Path
    seed: int
    odds: dict[str, Odds]

    def reached(self, batch: AcceptedBatch) -> Numbers:
        drawn = fates(self.odds[batch.channel], self.seed, batch.channel, batch.work_order, batch.msisdns)
        people: Numbers = batch.msisdns[drawn.stages == ReceiptStage.DELIVERED]
        return people


@dataclass(slots=True)
class _Shelf:
    """One offer: hits still to come, records still to be shown, and who has ordered (ascending)."""

    offer: Offer
    hits: Hits
    pending: Lines
    ordered: Numbers


class SimulatedBss:
    """What a simulated BSS knows and answers; one caller at a time.

    It acts only when asked, so that a caller told it has caught up has everything the vendors had accepted and the
    clock had reached by then.
    """

    def __init__(
        self,
        script: Script,
        offers: Sequence[Offer],
        subscribers: Numbers,
        pool: PoolChanges,
        log: OrderLog,
        vendors: Sequence[Vendor],
        clock: Clock,
    ) -> None:
        """`subscribers`: everybody this system takes orders from, ascending."""
        self._script = script
        self._clock = clock
        self._log = log
        self._vendors = vendors
        self._read_to = [0] * len(vendors)
        self._pool = pool
        self._people = subscribers
        self._buyers = subscribers[~in_sorted(subscribers, np.unique(self._pool.msisdns))]
        self._requests = {each.request_id: each.order for each in self._log.shown if each.request_id}
        self._shelves = [self._shelf(offer) for offer in offers]

    def orders(self, page_token: str, page_size: int) -> tuple[list[BssOrder], str, bool]:
        self.advance()
        start, end = _span(page_token, page_size, len(self._log.shown))
        page = [each.order for each in self._log.shown[start:end]]
        return page, str(end), end == len(self._log.shown)

    def pool_changes(self, page_token: str, page_size: int) -> tuple[list[BssPoolChange], str, bool]:
        visible = int(np.searchsorted(self._pool.changed_at, self._clock.now(), "right"))
        start, end = _span(page_token, page_size, visible)
        columns = (self._pool.msisdns, self._pool.changes, self._pool.changed_at)
        rows = zip(*(column[start:end].tolist() for column in columns), strict=True)
        return [BssPoolChange(msisdn, PoolChange(change), at) for msisdn, change, at in rows], str(end), end == visible

    def eligibility(self, msisdn: int, offer: str) -> str:
        """Why not; empty when eligible. Raises Refusal for an offer this BSS does not sell."""
        shelf = self._shelf_of(offer)
        if not _among(msisdn, self._people):
            return "not a subscriber here"
        if not _among(msisdn, self._buyers):
            return "the subscriber is leaving"
        return "already ordered" if _among(msisdn, shelf.ordered) else ""

    def create(self, request_id: str, msisdn: int, offer: str) -> BssOrder:
        if not request_id:
            raise invalid("request_id is empty; send a new one for each order")
        if request_id in self._requests:
            return self._requests[request_id]
        self.advance()
        refused = self.eligibility(msisdn, offer)
        if refused:
            raise conflict(f"order {request_id}: {refused}")
        shelf = self._shelf_of(offer)
        number = hashlib.sha256(request_id.encode()).hexdigest()[:16].upper()
        now = self._clock.now()
        order = BssOrder(f"R{number}", 1, msisdn, offer, OrderChange.SUBSCRIBED, shelf.offer.price_fen, now)
        self._log.append([Shown(order, now, 0, request_id)])
        self._requests[request_id] = order
        shelf.ordered = np.union1d(shelf.ordered, [msisdn])
        return order

    def get(self, request_id: str) -> BssOrder:
        order = self._requests.get(request_id)
        if order is None:
            raise missing(f"no order was created for request {request_id!r}")
        return order

    def advance(self) -> None:
        """Read on in the journals and show what the clock has reached."""
        for place, vendor in enumerate(self._vendors):
            for batch in read_journal(vendor.journal, self._read_to[place]):
                self._read_to[place] = batch.end
                self._reach(batch, vendor.reached(batch))
        now = self._clock.now()
        fresh = [each for shelf in self._shelves for each in self._due(shelf, now)]
        fresh.sort(key=lambda each: (each[0], each[1].order.order_number, each[1].order.revision, each[1].copy))
        self._log.append([each for _, each in fresh])
        for shelf in self._shelves:
            shelf.pending = shelf.pending.take(shelf.pending.visible_at > now)

    def _reach(self, batch: AcceptedBatch, msisdns: Numbers) -> None:
        campaign = batch.work_order.split("/")[0]
        people = msisdns[in_sorted(msisdns, self._buyers)]
        at = np.full(len(people), batch.accepted_at, dtype=np.int64)
        for shelf in self._shelves:
            if campaign in shelf.offer.campaigns:
                hits = caused(self._script, shelf.offer, batch.channel, batch.work_order, people, at)
                shelf.hits = _joined(shelf.hits, hits)

    def _due(self, shelf: _Shelf, now: int) -> list[tuple[int, Shown]]:
        """What is to be shown by `now`; it stays pending until it is in the log."""
        self._take(shelf, now)
        shown = shelf.pending.take(shelf.pending.visible_at <= now)
        return list(zip(shown.visible_at.tolist(), self._shown(shelf.offer, shown), strict=True))

    def _take(self, shelf: _Shelf, now: int) -> None:
        due = shelf.hits.accepted_at <= now
        if due.any():
            taken = first_of_each(_of(shelf.hits, due & ~in_sorted(shelf.hits.msisdns, shelf.ordered)))
            shelf.hits = _of(shelf.hits, ~due)
            shelf.ordered = np.union1d(shelf.ordered, taken.msisdns)
            shelf.pending = Lines.joined([shelf.pending, lines(self._script, shelf.offer, taken)])

    def _shown(self, offer: Offer, some: Lines) -> list[Shown]:
        numbers = order_numbers(self._script, offer, some.msisdns)
        fields = (some.revisions, some.msisdns, some.changes, some.accepted_at, some.taken_at, some.copies)
        rows = zip(numbers, *(column.tolist() for column in fields), strict=True)
        return [
            Shown(
                BssOrder(number, revision, msisdn, offer.code, OrderChange(change), offer.price_fen, accepted), at, copy
            )
            for number, revision, msisdn, change, accepted, at, copy in rows
        ]

    def _shelf(self, offer: Offer) -> _Shelf:
        """As the log left it: who has ordered stays with the moment shown, and only what was not shown is pending."""
        mine = [each for each in self._log.shown if each.order.offer == offer.code]
        scripted = [each for each in mine if not each.request_id]
        begun = {each.order.msisdn: each.taken_at for each in scripted}
        people = np.array(sorted(begun), dtype=np.int64)
        taken = Hits(people, np.array([begun[person] for person in people.tolist()], dtype=np.int64))
        told = {(each.order.msisdn, each.order.revision, each.copy) for each in scripted}
        rest = lines(self._script, offer, taken)
        names = zip(rest.msisdns.tolist(), rest.revisions.tolist(), rest.copies.tolist(), strict=True)
        untold = np.array([name not in told for name in names], dtype=np.bool_)
        ordered = np.unique(np.array([each.order.msisdn for each in mine], dtype=np.int64))
        return _Shelf(offer, organic(self._script, offer, self._buyers), rest.take(untold), ordered)

    def _shelf_of(self, offer: str) -> _Shelf:
        for shelf in self._shelves:
            if shelf.offer.code == offer:
                return shelf
        raise invalid(f"offer {offer!r} is not sold here; sold are {', '.join(s.offer.code for s in self._shelves)}")


def _span(page_token: str, page_size: int, length: int) -> tuple[int, int]:
    start = int(page_token) if page_token.isdigit() else 0 if not page_token else length + 1
    if start > length:
        raise invalid(f"page token {page_token!r} was never given here; begin again with an empty one")
    return start, min(length, start + min(page_size or PAGE_ROWS_MAX, PAGE_ROWS_MAX))


def _among(msisdn: int, people: Numbers) -> bool:
    return bool(in_sorted(np.array([msisdn], dtype=np.int64), people)[0])


def _of(hits: Hits, rows: Mask) -> Hits:
    return Hits(hits.msisdns[rows], hits.accepted_at[rows])


def _joined(one: Hits, other: Hits) -> Hits:
    both = (np.concatenate([one.msisdns, other.msisdns]), np.concatenate([one.accepted_at, other.accepted_at]))
    return Hits(*both)
