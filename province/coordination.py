"""Whom a province may contact on its own account: everything that asks at once, decided by its own contacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from common.kernel.arbitration import NO_POOL, NOBODY, Pool, Requests, Verdict, decide
from common.kernel.budget import Spends, own_from
from common.kernel.channel import CHANNELS, ChannelClass
from common.kernel.columns import Codes, Rows
from common.kernel.contact_rules import NO_ROOM, OUTRANKED_BY, OWN_FROM, SPENT, Fact, Facts, fact_nonzero, fact_where
from common.kernel.policy import SPEND_MARGIN_SECONDS, CapRule, Policy, Scope
from common.kernel.spend_ledger import KINDS, Cap, Ledger
from province.local_request import LocalRequest

_CLASSES = ("", *ChannelClass)


@dataclass(frozen=True, slots=True)
class Books:
    """What the province has spent of its own contacts, and how the policy in force counts it."""

    policy: Policy
    caps: tuple[Cap, ...]
    """The policy's, as far as they are the province's to spend."""
    ledger: Ledger
    opened_at: int

    def booked(self, request: LocalRequest, rows: Rows) -> Books:
        """With contacts of `rows` spent until the request's validity ends."""
        dates = np.full(len(rows), request.end_at, dtype=np.uint32)
        kinds = np.full(len(rows), kind_of(self.policy, *_account(request)), dtype=np.uint8)
        return replace(self, ledger=self.ledger.add(request.keys[rows], dates, kinds))


@dataclass(frozen=True, slots=True)
class Verdicts:
    """One request's, aligned with its people. `rivals`: the request that took what was left, else NOBODY."""

    codes: Codes
    rivals: Rows
    own_from: NDArray[np.int64]
    """When the person's contacts are this province's to spend, where that is still ahead; else 0."""
    spent: NDArray[np.int32]
    """Of each cap of the policy (first axis), before anybody asked; 0 where it does not cover the request."""


def open_books(spends: Spends, policy: Policy, now: int) -> Books:
    """From the spends of the province's own contacts."""
    kinds = [kind_of(policy, account.channel_class, account.product_line) for account in spends.accounts]
    columns = spends.dates.astype(np.uint32), np.array(kinds, dtype=np.uint8)[spends.refs]
    return Books(policy, own_caps(policy), Ledger().add(spends.keys, *columns), now)


def kind_of(policy: Policy, channel_class: str, product_line: str) -> int:
    """What the policy's caps tell apart, as a code of the arbitration kernel."""
    lines = _lines(policy)
    line = lines.index(product_line) + 1 if product_line in lines else 0
    return _CLASSES.index(channel_class) * (len(lines) + 1) + line


def own_caps(policy: Policy) -> tuple[Cap, ...]:
    return tuple(
        Cap(
            contacts=policy.own_contacts(rule, province=True),
            window_seconds=rule.window_seconds + SPEND_MARGIN_SECONDS,
            kinds=_kinds(policy, rule),
        )
        for rule in policy.caps
    )


def arbitrate(
    asked: Sequence[LocalRequest], books: Books, since: Sequence[NDArray[np.int64]], rooms: Mapping[str, int], now: int
) -> list[Verdicts]:
    """Decide all that is asked at `now`; places of a channel are shared fairly among the requests.

    `since`: for each request, when each person's contacts became this province's, all spent; 0: they always were.
    `rooms`: places left, of the channels that have few.
    """
    if not asked:
        return []
    whose = np.repeat(np.arange(len(asked)), [len(request) for request in asked])
    free_at = [own_from(books.policy, *_account(each), at, now) for each, at in zip(asked, since, strict=True)]
    held_until = np.concatenate(free_at)
    rows = np.flatnonzero(held_until == 0)
    pools = [Pool(max(0, places)) for places in rooms.values()]
    asking = _requests(asked, whose, books.policy, list(rooms)).take(rows)
    decided = decide(asking, books.ledger, books.caps, pools, now)
    codes = np.full(len(whose), Verdict.CONTACT_CAP, dtype=np.uint8)
    rivals = np.full(len(whose), NOBODY)
    spent = np.zeros((len(books.caps), len(whose)), dtype=np.int32)
    codes[rows] = decided.verdicts
    spent[:, rows] = decided.spent[:, decided.people] * _covering(asked, books.policy)[:, whose[rows]]
    rivals[rows] = np.where(decided.rivals == NOBODY, NOBODY, whose[rows[decided.rivals]])
    return [Verdicts(codes[at], rivals[at], held_until[at], spent[:, at]) for at in _parts(asked)]


def facts_of(verdicts: Verdicts, part: slice) -> Facts:
    """What the contact rules have to know to come to these verdicts about a part of the people."""
    codes = verdicts.codes[part]
    outranked = np.flatnonzero(codes == Verdict.OUTRANKED)
    facts = {
        OWN_FROM: fact_nonzero(verdicts.own_from[part]),
        OUTRANKED_BY: Fact(outranked, verdicts.rivals[part][outranked]),
        NO_ROOM: fact_where(codes == Verdict.CAPACITY),
    }
    return facts | {f"{SPENT}.{place}": fact_nonzero(counted[part]) for place, counted in enumerate(verdicts.spent)}


def _requests(asked: Sequence[LocalRequest], whose: Rows, policy: Policy, channels: Sequence[str]) -> Requests:
    kinds = [kind_of(policy, *_account(request)) for request in asked]
    pools = [channels.index(request.channel) if request.channel in channels else NO_POOL for request in asked]
    return Requests(
        keys=np.concatenate([request.keys for request in asked]),
        priorities=np.array([request.priority for request in asked], dtype=np.int64)[whose],
        scores=np.concatenate([request.scores for request in asked]),
        ids=np.arange(len(whose)),
        kinds=np.array(kinds, dtype=np.uint8)[whose],
        pools=np.array(pools, dtype=np.int32)[whose],
        campaigns=whose.astype(np.int32),
    )


def _covering(asked: Sequence[LocalRequest], policy: Policy) -> NDArray[np.bool_]:
    """Which caps (first axis) cover which requests."""
    covering = [[rule.covers(*_account(request)) for request in asked] for rule in policy.caps]
    return np.array(covering, dtype=np.bool_).reshape(len(policy.caps), len(asked))


def _parts(asked: Sequence[LocalRequest]) -> list[slice]:
    """Where each request's people are among all."""
    ends = np.cumsum([len(request) for request in asked]).tolist()
    return [slice(end - len(request), end) for request, end in zip(asked, ends, strict=True)]


def _account(request: LocalRequest) -> tuple[str, str]:
    """What the policy counts it under."""
    return CHANNELS[request.channel].channel_class, request.product_line


def _lines(policy: Policy) -> list[str]:
    return sorted({rule.value for rule in policy.caps if rule.scope is Scope.PRODUCT_LINE})


def _kinds(policy: Policy, rule: CapRule) -> NDArray[np.bool_]:
    kinds = np.zeros(KINDS, dtype=np.bool_)
    for channel_class in _CLASSES:
        for line in ("", *_lines(policy)):
            kinds[kind_of(policy, channel_class, line)] = rule.covers(channel_class, line)
    return kinds
