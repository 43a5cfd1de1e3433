from __future__ import annotations

from random import Random

import pytest

from deploy.checker.check import check
from tests.checker.corruptions import BREAKS, Corruption
from tests.checker.histories import history

CORRUPTIONS = 1_000


def spoilt(corruption: Corruption, count: int, first_seed: int = 0) -> int:
    """Spoil `count` histories; each must be flagged by the rule the corruption breaks. Answers the last seed used."""
    done, seed = 0, first_seed
    while done < count:
        seed += 1
        assert seed < first_seed + 100 * count, f"{corruption.__name__} hardly ever finds anything to spoil"
        world = corruption(Random(seed), history(seed))  # noqa: S311 - keeps no secret
        if world is not None:
            done += 1
            found = {finding.rule: finding for finding in check(world)}
            assert BREAKS[corruption] in found, f"{corruption.__name__}, seed {seed}: {sorted(found)}"
            assert found[BREAKS[corruption]].first, "a finding shows a counter-example"
    return seed


@pytest.mark.parametrize("corruption", BREAKS, ids=lambda each: each.__name__)
def test_every_corruption_is_flagged(corruption: Corruption) -> None:
    spoilt(corruption, 5)


@pytest.mark.slow
def test_a_thousand_corruptions_are_flagged() -> None:
    for corruption in BREAKS:
        spoilt(corruption, 1 + CORRUPTIONS // len(BREAKS), first_seed=10_000)
