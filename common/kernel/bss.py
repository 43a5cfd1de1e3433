"""What BSS (a province's) and cBSS (the nation's) tell a node, and the ports their adapters implement.

Numbers appear here in clear; `order_records` is the edge where they become subscriber keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from common.kernel.order import OrderChange, OrderRecords, PoolChange
from common.kernel.subscriber import subscriber_keys

PAGE_ROWS_MAX = 1_000
NAME_CHARS_MAX = 64
"""Of order numbers and offers."""
REVISION_MAX = 2**31 - 1
AMOUNT_FEN_MAX = 10**15
MSISDN_MAX = 10**15 - 1
"""E.164 has at most fifteen digits."""
TIME_MAX = 2**32 - 1


@dataclass(frozen=True, slots=True)
class BssOrder:
    """`accepted_at` is Unix seconds by the source's clock; `msisdn` E.164 without the plus sign.

    Raises ValueError naming the field that is out of range.
    """

    order_number: str
    revision: int
    msisdn: int
    offer: str
    change: OrderChange
    amount_fen: int
    accepted_at: int

    def __post_init__(self) -> None:
        _within("characters of order_number", len(self.order_number), 1, NAME_CHARS_MAX)
        _within("revision", self.revision, 1, REVISION_MAX)
        _check_msisdn(self.msisdn)
        _within("characters of offer", len(self.offer), 1, NAME_CHARS_MAX)
        _within("amount_fen", self.amount_fen, -AMOUNT_FEN_MAX, AMOUNT_FEN_MAX)
        _within("accepted_at", self.accepted_at, 0, TIME_MAX)


@dataclass(frozen=True, slots=True)
class BssPoolChange:
    """Raises ValueError as BssOrder does."""

    msisdn: int
    change: PoolChange
    changed_at: int

    def __post_init__(self) -> None:
        _check_msisdn(self.msisdn)
        _within("changed_at", self.changed_at, 0, TIME_MAX)


def _within(what: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ValueError(f"{what}: {value} is not from {least} to {most}")


def _check_msisdn(msisdn: int) -> None:
    # Without the value: what this raises is logged, and a number never is.
    if not 0 < msisdn <= MSISDN_MAX:
        raise ValueError("msisdn is no number of E.164")


@dataclass(frozen=True, slots=True)
class OrderPage:
    """`caught_up`: the source had nothing newer when it cut the page. `rejects` names what could not be read."""

    orders: tuple[BssOrder, ...]
    next_page_token: str
    caught_up: bool
    rejects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PoolPage:
    changes: tuple[BssPoolChange, ...]
    next_page_token: str
    caught_up: bool
    rejects: tuple[str, ...] = ()


class SourceUnavailable(Exception):
    """The source did not answer; asking again from the same token loses nothing."""


class OrderSource(Protocol):
    """Pages oldest first. A token stays valid for ever: asking again from it repeats the page's records."""

    async def list_orders(self, page_token: str, page_size: int = PAGE_ROWS_MAX) -> OrderPage:
        """Raises SourceUnavailable, or Refusal ARGUMENT_INVALID for a token the source never gave."""
        ...


class PoolSource(Protocol):
    async def list_pool_changes(self, page_token: str, page_size: int = PAGE_ROWS_MAX) -> PoolPage:
        """Raises as `list_orders` does."""
        ...


class Ordering(Protocol):
    async def check_eligibility(self, msisdn: int, offer: str) -> str:
        """Why this number may not order, for people; empty when it may."""
        ...

    async def create_order(self, request_id: str, msisdn: int, offer: str) -> BssOrder:
        """Repeating a request_id answers the first order. Raises Refusal where the number may not order."""
        ...

    async def get_order(self, request_id: str) -> BssOrder:
        """Raises Refusal NOT_FOUND where no such request was taken."""
        ...


class BssPort(OrderSource, PoolSource, Ordering, Protocol):
    """A whole BSS."""


def order_records(source_system: str, orders: Sequence[BssOrder], federation_key: bytes) -> OrderRecords:
    return OrderRecords(
        source_systems=[source_system] * len(orders),
        order_numbers=[order.order_number for order in orders],
        revisions=np.array([order.revision for order in orders], dtype=np.int64),
        keys=subscriber_keys(federation_key, [order.msisdn for order in orders]),
        offers=[order.offer for order in orders],
        changes=np.array([order.change for order in orders], dtype=np.uint8),
        amounts_fen=np.array([order.amount_fen for order in orders], dtype=np.int64),
        accepted_at=np.array([order.accepted_at for order in orders], dtype=np.uint32),
    )
