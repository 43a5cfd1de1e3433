"""Three-valued truth of whole columns: where a condition is true and where it is false; elsewhere it is NULL."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.kernel.columns import Mask


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """Aligned masks, or two single values that hold for every row."""

    yes: Mask
    no: Mask

    def __and__(self, other: Truth) -> Truth:
        return Truth(self.yes & other.yes, self.no | other.no)

    def __or__(self, other: Truth) -> Truth:
        return Truth(self.yes | other.yes, self.no & other.no)

    def __invert__(self) -> Truth:
        return Truth(self.no, self.yes)

    def same(self, other: Truth) -> Truth:
        yes = (self.yes & other.yes) | (self.no & other.no)
        return Truth(yes, (self.yes & other.no) | (self.no & other.yes))

    def otherwise(self, other: Truth) -> Truth:
        """`other` where this is NULL."""
        unknown = ~(self.yes | self.no)
        return Truth(self.yes | (unknown & other.yes), self.no | (unknown & other.no))


def told(holds: Mask, known: Mask) -> Truth:
    """True or false where `known`."""
    return Truth(holds & known, ~holds & known)


EVERYWHERE: Mask = np.ones((), dtype=np.bool_)
