"""What people will have used by the end of the month: the rate so far, corrected by what past months teach."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Mask
from province.triggers.forecast.usage import Amounts, PersonMonths

NAME = "usage_forecast"
"""The model, as `model_hit` events and rules name it."""
DAYS_MIN = 3
"""Whole days of a month, before which nothing is said."""
ROWS_MIN = 50
"""Person-months to learn from, below which nothing is."""
LATELY_DAYS = 7
RIDGE = 10.0
"""As much as so many rows that say that the rate so far goes on."""
_LOGISTIC = 1.702
"""By which the logistic curve is within a hundredth of the normal one."""
_MONTHS_TO_1970 = 1970 * 12

Features = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Model:
    """For the day after which so many whole days of a month are over."""

    days_done: int
    weights: Features
    spread: float
    """Of the errors, as a share of the allowance."""
    newest: int
    """The last month it has learnt from."""
    rows: int

    @property
    def version(self) -> str:
        """Such as 2026-02.14: learnt up to February, for the 15th."""
        return f"{self.newest // 12}-{self.newest % 12 + 1:02}.{self.days_done}"


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """Aligned with the person-months it is of; NaN where nothing can be said."""

    ratios: Amounts
    """What will have been used, as a share of the allowance."""
    scores: Amounts
    """How sure it is that it is more than the allowance: 0 to 1."""


def run_rate(of: PersonMonths, days_done: int) -> Amounts:
    """Bytes by the month's end, if it goes on as since they were there."""
    used, rates, left = _so_far(of, days_done)
    return used + rates * left


def learn(past: PersonMonths, days_done: int) -> Model | None:
    """None where there is too little to learn from."""
    rows = past[_sayable(past, days_done)]
    if len(rows) < ROWS_MIN:
        return None
    told = _features(rows, days_done)
    wanted = (rows.days.sum(axis=1, dtype=np.float64) - run_rate(rows, days_done)) / rows.allowances
    scale = np.sqrt((told**2).mean(axis=0)) + np.finfo(np.float64).tiny
    scaled = told / scale
    weights = np.linalg.solve(scaled.T @ scaled + RIDGE * np.eye(scaled.shape[1]), scaled.T @ wanted) / scale
    spread = float(np.sqrt(((wanted - told @ weights) ** 2).mean()))
    return Model(days_done, weights, spread, int(rows.months.max()), len(rows))


def forecast(model: Model, now: PersonMonths) -> Forecast:
    ratios, scores = np.full(len(now), np.nan), np.full(len(now), np.nan)
    rows = np.flatnonzero(_sayable(now, model.days_done))
    some = now[rows]
    expected = run_rate(some, model.days_done) / some.allowances + _features(some, model.days_done) @ model.weights
    used = some.days.sum(axis=1, dtype=np.float64) / some.allowances
    ratios[rows] = np.maximum(expected, used)
    scores[rows] = 1 / (1 + np.exp(np.clip(-_LOGISTIC * (expected - 1) / max(model.spread, 1e-6), -50, 50)))
    return Forecast(ratios, scores)


def _sayable(of: PersonMonths, days_done: int) -> Mask:
    sayable: Mask = (of.allowances > 0) & (of.since < days_done) & (_lengths(of) > days_done)
    return sayable


def _features(of: PersonMonths, days_done: int) -> Features:
    """What may be wrong with the rate so far: what is usual, what was lately, and how high it is itself."""
    _, rates, left = _so_far(of, days_done)
    first = max(0, days_done - LATELY_DAYS)
    lately = of.days[:, first:days_done].sum(axis=1, dtype=np.float64) / np.minimum(
        days_done - first, np.maximum(days_done - of.since, 1)
    )
    usual = np.where(np.isnan(of.usual), 0.0, of.usual - rates)
    return np.column_stack((usual, lately - rates, rates)) * (left / of.allowances)[:, np.newaxis]


def _so_far(of: PersonMonths, days_done: int) -> tuple[Amounts, Amounts, Amounts]:
    """Bytes in the whole days that are over, those a day, and how many days are left."""
    used = of.days[:, :days_done].sum(axis=1, dtype=np.float64)
    return used, used / np.maximum(days_done - of.since, 1), (_lengths(of) - days_done).astype(np.float64)


def _lengths(of: PersonMonths) -> NDArray[np.int64]:
    months = of.months.astype(np.int64) - _MONTHS_TO_1970
    begins, ends = (each.astype("M8[M]").astype("M8[D]").astype(np.int64) for each in (months, months + 1))
    lengths: NDArray[np.int64] = ends - begins
    return lengths
