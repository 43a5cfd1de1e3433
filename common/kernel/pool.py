"""Changes of the target user pool (目标用户池), as columns."""

from __future__ import annotations

from dataclasses import dataclass

from common.kernel.columns import Codes, Keys, Rows, Times


@dataclass(frozen=True, slots=True)
class PoolChanges:
    """`changes` holds codes of `common.kernel.order.PoolChange`."""

    keys: Keys
    changes: Codes
    changed_at: Times

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: Rows) -> PoolChanges:
        return PoolChanges(self.keys[rows], self.changes[rows], self.changed_at[rows])
