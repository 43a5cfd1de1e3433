"""Stops (opt-outs and complaints) and their liftings, as columns."""

from __future__ import annotations

from dataclasses import dataclass

from common.kernel.columns import Keys, Mask, Rows, Times


@dataclass(frozen=True, slots=True)
class Stops:
    """`lifted` takes a stop back: the number was given to somebody new."""

    keys: Keys
    stopped_at: Times
    lifted: Mask

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: Rows) -> Stops:
        return Stops(self.keys[rows], self.stopped_at[rows], self.lifted[rows])
