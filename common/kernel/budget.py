"""The contact budget: when a task may last have become a contact, and how many count against a cap at a moment.

A cap of K contacts in a window is K tokens a person, each owned by one level. A spend is dated at the latest moment
its contact may happen; the token is free again when the window has passed since. So no window ever holds more than K,
whichever of the two levels spends, and whether they hear of each other or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Codes, Keys, Mask, Rows, Times
from common.kernel.policy import SPEND_MARGIN_SECONDS, SUBMIT_SECONDS, CapRule, Policy
from common.kernel.task import TaskReason, TaskState

_LEASED = (TaskState.OPEN, TaskState.SUBMITTING)


@dataclass(frozen=True, slots=True)
class Account:
    """A work order that spends contacts."""

    work_order: str
    channel_class: str
    product_line: str


@dataclass(frozen=True, slots=True)
class Spends:
    """Columns in no order; `refs` points into `accounts`. `dates`: the latest moment of each contact."""

    accounts: tuple[Account, ...]
    keys: Keys
    dates: NDArray[np.int64]
    refs: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: Rows | Mask) -> Spends:
        return Spends(self.accounts, self.keys[rows], self.dates[rows], self.refs[rows])


NO_SPENDS = Spends((), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64))


def spend_dates(
    states: Codes, reasons: Codes, submitted_at: Times, settled_at: Times, end_at: int
) -> NDArray[np.int64]:
    """The latest moment each task of a work order was or may yet be a contact; 0 where it never was nor will be.

    One that may still be sent counts as sent when its work order ends; where nobody knows whether or when it was, as
    when it was given up.
    """
    submitted, settled = submitted_at.astype(np.int64), settled_at.astype(np.int64)
    dates = np.where(np.isin(states, _LEASED), np.maximum(end_at, submitted), submitted)
    unknown = (states == TaskState.UNKNOWN) & (reasons != TaskReason.NO_RECEIPT)
    dates[unknown] = np.maximum(submitted[unknown], settled[unknown])
    return dates


def latest(submitted_at: Times, now: int) -> Times:
    """When those booked at `submitted_at`, and perhaps sent again until `now`, may last have been contacts.

    A first sending leaves within SUBMIT_SECONDS of its booking, which the margin of every window covers.
    """
    again = submitted_at.astype(np.int64) + SUBMIT_SECONDS < now
    return np.where(again, now, submitted_at).astype(np.uint32)


def counts(spends: Spends, rule: CapRule, now: int) -> Mask:
    """Which spends the rule still counts at `now`."""
    covered = np.array([rule.covers(a.channel_class, a.product_line) for a in spends.accounts], dtype=np.bool_)
    if not covered.any():
        return np.zeros(len(spends), dtype=np.bool_)
    counting: Mask = covered[spends.refs] & (spends.dates + rule.window_seconds + SPEND_MARGIN_SECONDS > now)
    return counting


def spent(keys: Keys, spends: Spends, rule: CapRule, now: int) -> NDArray[np.int64]:
    """How many of the rule's contacts each of `keys` (ascending, unique) has spent."""
    found = spends.keys[counts(spends, rule, now)]
    places = np.searchsorted(keys, found)
    there = places < len(keys)
    there[there] = keys[places[there]] == found[there]
    return np.bincount(places[there], minlength=len(keys)).astype(np.int64)


def own_from(
    policy: Policy, channel_class: str, product_line: str, since: NDArray[np.int64], now: int
) -> NDArray[np.int64]:
    """When contacts that all counted as spent at `since` (0: none did) are a province's own; 0 where they are by now.

    So are those of somebody who came from another province, which may have spent them, and everybody's after a restore.
    """
    covering = [rule.window_seconds for rule in policy.caps if rule.covers(channel_class, product_line)]
    if not covering:
        return np.zeros_like(since)
    free = since + max(covering) + SPEND_MARGIN_SECONDS
    return np.where((since > 0) & (free > now), free, 0)


def joined(parts: Sequence[tuple[Account, Keys, NDArray[np.int64]]]) -> Spends:
    """Spends of several work orders; each part has its account, keys and dates."""
    accounts: dict[Account, int] = {}
    if not parts:
        return NO_SPENDS
    refs = [np.full(len(keys), accounts.setdefault(account, len(accounts))) for account, keys, _ in parts]
    keys, dates = np.concatenate([p[1] for p in parts]), np.concatenate([p[2] for p in parts])
    return Spends(tuple(accounts), keys, dates, np.concatenate(refs))
