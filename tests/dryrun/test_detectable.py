"""The smallest effect a hold-out can show."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hq.effect import CONFIDENCE, HELD_OUT_MIN, POWER, Group, detectable

Z = 1.959963984540054


def power(meant: int, held_out: int, base: float, rise: float, runs: int = 4_000) -> float:
    """In how many made-up campaigns a two-sided z test of the pooled rate finds the rise."""
    draw = np.random.default_rng(11)
    one, other = draw.binomial(meant, base + rise, runs) / meant, draw.binomial(held_out, base, runs) / held_out
    pooled = (one * meant + other * held_out) / (meant + held_out)
    spread = np.sqrt(pooled * (1 - pooled) * (1 / meant + 1 / held_out))
    return float(np.mean(np.abs(one - other) > Z * spread))


@pytest.mark.parametrize(("meant", "held_out", "base"), [(9_000, 1_000, 0.05), (50_000, 50_000, 0.01), (900, 300, 0.3)])
def test_it_is_found_as_often_as_said(meant: int, held_out: int, base: float) -> None:
    assert CONFIDENCE == 0.95
    rise = detectable(meant, held_out, base)
    assert rise is not None
    assert power(meant, held_out, base, rise) == pytest.approx(POWER, abs=0.03)


@given(st.integers(HELD_OUT_MIN, 10**7), st.integers(HELD_OUT_MIN, 10**7), st.floats(0, 0.9))
def test_more_people_show_less(meant: int, held_out: int, base: float) -> None:
    rise, larger = detectable(meant, held_out, base), detectable(4 * meant, 4 * held_out, base)
    if rise is not None:
        assert larger is not None
        assert 0 < larger < rise <= 1 - base


def test_too_few_or_no_hold_out_show_nothing() -> None:
    assert detectable(10_000, 0, 0.1) is None
    assert detectable(10_000, HELD_OUT_MIN - 1, 0.1) is None
    assert detectable(100, 100, 0.999) is None
    assert Group(0, 0).rate == 0
