"""People whose data is to be forgotten, and numbers given to somebody new, as columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.kernel.columns import Keys, Mask, Rows, Times


@dataclass(frozen=True, slots=True)
class Erasures:
    """`lifted`: at that moment the number was given to somebody new, to whom nothing said before applies.

    Of several for one subscriber the latest says; of two at once the erasure.
    """

    keys: Keys
    erased_at: Times
    lifted: Mask

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: Rows) -> Erasures:
        return Erasures(self.keys[rows], self.erased_at[rows], self.lifted[rows])


def erasures_of(keys: Keys, at: Times, *, lifted: bool = False) -> Erasures:
    return Erasures(keys, at, np.full(len(keys), lifted, dtype=np.bool_))
