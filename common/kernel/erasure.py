"""People whose data is to be forgotten, as columns."""

from __future__ import annotations

from dataclasses import dataclass

from common.kernel.columns import Keys, Rows, Times


@dataclass(frozen=True, slots=True)
class Erasures:
    keys: Keys
    erased_at: Times

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: Rows) -> Erasures:
        return Erasures(self.keys[rows], self.erased_at[rows])
