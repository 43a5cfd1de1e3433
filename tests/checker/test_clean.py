from __future__ import annotations

import pytest

from deploy.checker.check import check
from tests.checker.histories import history


def test_clean_histories_are_not_flagged() -> None:
    for seed in range(300):
        assert check(history(seed)) == [], seed


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_thousand_clean_histories_are_not_flagged() -> None:
    for seed in range(1_000, 11_000):
        assert check(history(seed)) == [], seed
