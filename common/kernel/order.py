"""Order records as columns, and what they say about who owns an offer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Codes, Keys, Rows, Times


class OrderChange(IntEnum):
    """Codes equal those of `liandong.types.v1.OrderChange`."""

    SUBSCRIBED = 1
    UNSUBSCRIBED = 2
    REVERSED = 3


class PoolChange(IntEnum):
    """Codes equal those of `liandong.types.v1.PoolChange`."""

    JOINED = 1
    LEFT = 2
    REASSIGNED = 3


@dataclass(frozen=True, slots=True)
class OrderRecords:
    """Row i of each column is one record, identified by (source system, order number, revision)."""

    source_systems: list[str]
    order_numbers: list[str]
    revisions: NDArray[np.int64]
    keys: Keys
    offers: list[str]
    changes: Codes
    amounts_fen: NDArray[np.int64]
    accepted_at: Times

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: Rows) -> OrderRecords:
        return OrderRecords(
            source_systems=[self.source_systems[row] for row in rows.tolist()],
            order_numbers=[self.order_numbers[row] for row in rows.tolist()],
            revisions=self.revisions[rows],
            keys=self.keys[rows],
            offers=[self.offers[row] for row in rows.tolist()],
            changes=self.changes[rows],
            amounts_fen=self.amounts_fen[rows],
            accepted_at=self.accepted_at[rows],
        )
