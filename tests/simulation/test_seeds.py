"""HQ and provinces in bad weather, seed by seed."""

from __future__ import annotations

import pytest

from deploy.simulation.run import Asked, run_seeds


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", [1, 10_001])
def test_no_seed_breaks_a_promise(first: int) -> None:
    asked = Asked(first, 100, 5)
    ended = run_seeds(range(first, first + asked.seeds), asked)
    assert [each.message for each in ended if each.rule] == []
    assert sum(each.contacts for each in ended) > 100
    assert sum(each.faults for each in ended) > 1_000


def test_one_seed_is_one_history() -> None:
    asked = Asked(5, 1, 2)
    (once,), (again,) = run_seeds([5], asked), run_seeds([5], asked)
    assert (once.digest, once.events, once.contacts) == (again.digest, again.events, again.contacts)
