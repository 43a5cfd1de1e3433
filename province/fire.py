"""What a trigger rule that fired hands over, and what becomes of each of its fires."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Codes, Keys, Mask, Refs
from common.kernel.event import Millis
from common.kernel.trigger_rule import Period, TriggerRule
from province.local_request import readable

DAY_SECONDS = 86_400
KEPT_SECONDS: dict[Period, int] = {
    Period.HOUR: 9 * DAY_SECONDS,
    Period.DAY: 9 * DAY_SECONDS,
    Period.MONTH: 40 * DAY_SECONDS,
    Period.CYCLE: 40 * DAY_SECONDS,
}
"""After its event a fire may be forgotten: handed over again, it would be later than any validity. EVER is for ever."""


class Fate(IntEnum):
    """What became of a fire when it was handed over."""

    ASKED = 1
    """A local request asks for its contact."""
    LATE = 2
    UNKNOWN = 3
    """Nobody here has that key, or somebody else had the number when it happened."""
    INACTIVE = 4
    PAUSED = 5
    NO_CHANNEL = 6
    """None of the offer's channels runs here."""
    BAD_TEXT = 7
    """Blank, or nothing the channel can tell."""
    SUPERSEDED = 8
    """The same person's fire for a newer period came with it."""


@dataclass(frozen=True, slots=True, eq=False)
class Firing:
    """One rule's fires. Aligned columns, in any order; a person may be there for several periods."""

    rule: TriggerRule
    keys: Keys
    periods: NDArray[np.int64]
    event_at: Millis
    texts: tuple[str, ...]
    text_refs: Refs

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: NDArray[np.integer]) -> Firing:
        columns = (self.keys[rows], self.periods[rows], self.event_at[rows])
        return Firing(self.rule, *columns, self.texts, self.text_refs[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """What the province knows of whoever fired. Aligned with the fires."""

    known: Mask
    active: Mask
    since: NDArray[np.int64]
    """Unix seconds: what happened before was another's doing; 0: nothing was."""


def joined(firings: Sequence[Firing]) -> list[Firing]:
    """One for each rule, in the order in which they first come."""
    same = dict[TriggerRule, list[Firing]]()
    for firing in firings:
        same.setdefault(firing.rule, []).append(firing)
    return [some[0] if len(some) == 1 else _one_of(some) for some in same.values()]


def _one_of(firings: Sequence[Firing]) -> Firing:
    begins = accumulate((len(each.texts) for each in firings), initial=0)
    refs = [each.text_refs + np.uint32(begin) for each, begin in zip(firings, begins, strict=False)]
    return Firing(
        firings[0].rule,
        np.concatenate([each.keys for each in firings]),
        np.concatenate([each.periods for each in firings]),
        np.concatenate([each.event_at for each in firings]),
        tuple(text for each in firings for text in each.texts),
        np.concatenate(refs),
    )


def in_order(firing: Firing) -> Firing:
    """Each identity once, by person and period."""
    order = np.lexsort((firing.event_at, firing.periods, firing.keys))
    keys, periods = firing.keys[order], firing.periods[order]
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = (keys[1:] != keys[:-1]) | (periods[1:] != periods[:-1])
    return firing.take(order[first])


def fates(firing: Firing, person: Person, text_chars_max: int | None, now: int) -> Codes:
    """Of fires in order, at `now` (milliseconds). `text_chars_max`: the channel's; None where none runs here."""
    offer = firing.rule.offer
    codes = np.full(len(firing), Fate.ASKED, dtype=np.uint8)
    codes[:-1][firing.keys[1:] == firing.keys[:-1]] = Fate.SUPERSEDED
    codes[_unreadable(firing, text_chars_max or 0)] = Fate.BAD_TEXT
    if text_chars_max is None:
        codes[:] = Fate.NO_CHANNEL
    codes[~person.active] = Fate.INACTIVE
    codes[~person.known | (firing.event_at < person.since * 1000)] = Fate.UNKNOWN
    codes[firing.event_at + offer.valid_seconds * 1000 <= now] = Fate.LATE
    if firing.rule.paused:
        codes[:] = Fate.PAUSED
    return codes


def _unreadable(firing: Firing, text_chars_max: int) -> Mask:
    bad = np.array([not readable(text, text_chars_max) for text in firing.texts], dtype=np.bool_)
    found: Mask = bad[firing.text_refs]
    return found
