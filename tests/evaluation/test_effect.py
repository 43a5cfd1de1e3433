"""The effect, against published numbers and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hq.effect import HELD_OUT_MIN, Effect, Group, effect, newcombe, sample_ratio_p, wilson


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        (Group(70, 56), Group(80, 48), 0.0524, 0.3339),
        (Group(10, 9), Group(10, 3), 0.1705, 0.8090),
        (Group(10, 10), Group(10, 0), 0.6075, 1.0),
    ],
)
def test_the_interval_is_the_published_one(one: Group, other: Group, low: float, high: float) -> None:
    """Contrasts (a), (b) and (h) of the paper's table of worked examples."""
    assert newcombe(one, other) == pytest.approx((low, high), abs=6e-5)


def test_too_small_a_hold_out_gets_no_effect_and_is_told_why() -> None:
    answer = effect(Group(10_000, 300), Group(HELD_OUT_MIN - 1, 1))
    assert answer == f"the held-out group has {HELD_OUT_MIN - 1} people; an effect is stated from {HELD_OUT_MIN} on"
    assert isinstance(effect(Group(10_000, 300), Group(HELD_OUT_MIN, 1)), Effect)


def test_the_interval_covers_the_truth_about_nineteen_times_in_twenty() -> None:
    chance = np.random.default_rng(7)
    meant, held = chance.binomial(9_000, 0.05, 2_000), chance.binomial(1_000, 0.03, 2_000)
    covered = 0
    for x, y in zip(meant.tolist(), held.tolist(), strict=True):
        answer = effect(Group(9_000, x), Group(1_000, y))
        assert isinstance(answer, Effect)
        covered += answer.low <= 0.02 <= answer.high
    assert 0.93 <= covered / 2_000 <= 0.97


def test_no_relative_lift_over_nothing() -> None:
    answer = effect(Group(9_000, 90), Group(1_000, 0))
    assert isinstance(answer, Effect)
    assert answer.lift is None
    assert answer.low < answer.difference < answer.high


@pytest.mark.parametrize(("ordered", "low", "high"), [(0, 0.0, 0.0370), (15, 0.0931, 0.2328), (100, 0.9630, 1.0)])
def test_wilsons_interval_of_a_hundred(ordered: int, low: float, high: float) -> None:
    assert wilson(Group(100, ordered)) == pytest.approx((low, high), abs=1e-4)


def test_a_fair_split_raises_no_alarm_and_a_skewed_one_does() -> None:
    assert sample_ratio_p(10_000, 1_000, 0.1) == 1.0
    assert sample_ratio_p(10_000, 1_030, 0.1) == pytest.approx(math.erfc(1 / math.sqrt(2)))
    assert sample_ratio_p(10_000, 850, 0.1) < 0.001
    assert sample_ratio_p(10_000, 0, 0.0) == 1.0
