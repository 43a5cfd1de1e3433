"""Who a node is to its peers: a number that rises each time its store came back from a backup.

A node that came back has forgotten contacts it made. So it treats what was open as perhaps sent, and its own tokens as
spent, and it tells its peers by a new number, so that nobody relies on what its predecessor was told.
"""

from __future__ import annotations

from dataclasses import dataclass

from common.kernel.policy import SPEND_MARGIN_SECONDS, Policy

FIRST = 1
UNDATED = (1 << 32) - 1
"""In place of a moment, and later than any: it began while nobody could tell the time."""
HEARSAY_MAX = 1 << 48
"""A peer's word takes nobody above this: the number must leave room to rise."""


@dataclass(frozen=True, slots=True)
class Incarnation:
    """`mark` rises with every booking of contacts; `fenced_at` is when this incarnation began by a restore, or 0.

    UNDATED until the clock is trusted: by one set back, the window would seem to have passed already.
    """

    number: int = FIRST
    mark: int = 0
    fenced_at: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """What stands beside the store, written after each booking and before anything of it is sent."""

    number: int
    mark: int


@dataclass(frozen=True, slots=True)
class Retold:
    """Everything a province knows of contacts has been told to the HQ of this incarnation."""

    incarnation: int


class WentBack(Exception):
    """A peer holds what incarnation `number` of this node told it and has forgotten: the store is a restored one.

    `above`: the highest number of this node that the peer has heard of.
    """

    def __init__(self, number: int, above: int, how: str) -> None:
        super().__init__(how)
        self.number = number
        self.above = above


def went_back(stored: Incarnation, kept: Kept | None) -> bool:
    """Whether the store is older than what was written beside it: it was restored, or it is a clone."""
    if kept is None:
        return stored.mark > 0
    return (kept.number, kept.mark) > (stored.number, stored.mark)


def restored(stored: Incarnation, kept: Kept | None, above: int, now: int) -> Incarnation:
    """The incarnation that follows: higher than anybody ever heard of, and its mark than any before."""
    known = kept or Kept(FIRST, 0)
    return Incarnation(max(stored.number, known.number, above) + 1, max(stored.mark, known.mark) + 1, now)


def may_have_sent(own: int, issued_to: int) -> bool:
    """Whether a predecessor of incarnation `own` may have sent what was issued to incarnation `issued_to`."""
    return FIRST < own > issued_to


def tokens_usable_from(own: Incarnation, policy: Policy) -> int:
    """Own tokens count as spent until then (Unix seconds); 0: at once. What was forgotten is older than the fence."""
    return own.fenced_at and own.fenced_at + policy.longest_window_seconds + SPEND_MARGIN_SECONDS
