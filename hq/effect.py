"""What a campaign caused: the people it meant to contact against those held out of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

HELD_OUT_MIN = 100
"""With fewer people than this in either group no effect is stated."""
CONFIDENCE = 0.95
SAMPLE_RATIO_P_MIN = 0.001
"""A split less likely than this by chance means the groups were not drawn as said."""
POWER = 0.8
"""A detectable effect is stated, where it is there, in this share of campaigns."""
_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Group:
    people: int
    ordered: int

    @property
    def rate(self) -> float:
        return self.ordered / self.people if self.people else 0.0


@dataclass(frozen=True, slots=True)
class Effect:
    """`difference` of the order rates with its interval; `lift` relative to the held-out rate, None where that is 0."""

    difference: float
    low: float
    high: float
    lift: float | None
    caused_orders: float
    """`difference` over everybody the campaign meant to contact."""


def effect(meant: Group, held_out: Group) -> Effect | str:
    """By intention to treat: `meant` is everybody not held out, contacted or not. A text says why there is none."""
    for name, group in (("held-out group", held_out), ("contactable group", meant)):
        if group.people < HELD_OUT_MIN:
            return f"the {name} has {group.people} people; an effect is stated from {HELD_OUT_MIN} on"
    difference = meant.rate - held_out.rate
    low, high = newcombe(meant, held_out)
    lift = difference / held_out.rate if held_out.ordered else None
    return Effect(difference, low, high, lift, difference * meant.people)


def newcombe(one: Group, other: Group) -> tuple[float, float]:
    """The interval of the difference of two rates: hybrid score, without continuity correction.

    Method 10 of R. G. Newcombe, "Interval estimation for the difference between independent proportions: comparison
    of eleven methods", Statistics in Medicine 17 (1998), 873-890.
    """
    difference = one.rate - other.rate
    low_1, high_1 = wilson(one)
    low_2, high_2 = wilson(other)
    low = difference - math.hypot(one.rate - low_1, high_2 - other.rate)
    return low, difference + math.hypot(high_1 - one.rate, other.rate - low_2)


def wilson(group: Group) -> tuple[float, float]:
    """Wilson's score interval of one proportion."""
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    n, p = group.people, group.rate
    middle = p + z * z / (2 * n)
    spread = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    whole = 1 + z * z / n
    return max(0.0, (middle - spread) / whole), min(1.0, (middle + spread) / whole)


def sample_ratio_p(target: int, held_out: int, share: float) -> float:
    """How likely a split at least this uneven is by chance: chi-square with one degree of freedom. 1 without a draw."""
    if target == 0 or not 0 < share < 1:
        return 1.0
    expected = share * target
    chi_square = (held_out - expected) ** 2 / (expected * (1 - share))
    return math.erfc(math.sqrt(chi_square / 2))


def detectable(meant: int, held_out: int, base_rate: float) -> float | None:
    """The smallest rise of the order rate above `base_rate` that groups of these sizes show with POWER, tested at both
    sides with CONFIDENCE; None where no rise would.

    Solves for the second rate in the sample size for unequal groups, without continuity correction, of J. L. Fleiss,
    B. Levin and M. C. Paik, Statistical Methods for Rates and Proportions, 3rd edition (2003), section 4.3.
    """
    low, high = base_rate, 1.0
    if min(meant, held_out) < HELD_OUT_MIN or _shortfall(meant, held_out, base_rate, high) > 0:
        return None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _shortfall(meant, held_out, base_rate, middle) > 0:
            low = middle
        else:
            high = middle
    return high - base_rate


def _shortfall(meant: int, held_out: int, base_rate: float, rate: float) -> float:
    """How much smaller the difference is than it had to be; none below 0."""
    normal, ratio = NormalDist(), meant / held_out
    mean = (base_rate + ratio * rate) / (1 + ratio)
    by_chance = normal.inv_cdf((1 + CONFIDENCE) / 2) * math.sqrt((1 + ratio) * mean * (1 - mean))
    spread = normal.inv_cdf(POWER) * math.sqrt(ratio * base_rate * (1 - base_rate) + rate * (1 - rate))
    return by_chance + spread - (rate - base_rate) * math.sqrt(ratio * held_out)
