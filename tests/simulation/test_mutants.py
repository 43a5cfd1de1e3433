"""The mutation gate: leave a guard out of the product, and a simulated run finds out."""

from __future__ import annotations

import pytest

from common.kernel.refusal import Refusal
from common.kernel.task import NEXT
from deploy.simulation.guards import GUARDS
from deploy.simulation.leaving_out import found, left_out
from deploy.simulation.mutants import AGAIN, PROVINCES, Caught, again, kept
from deploy.simulation.run import Asked, run_seeds


def test_every_guard_stands_where_the_table_says() -> None:
    for name, guard in GUARDS.items():
        for place, instead in guard.instead.items():
            assert found(place)[2] is not instead, name


def test_what_is_left_out_is_back_afterwards() -> None:
    places = [place for guard in GUARDS.values() for place in guard.instead]
    before = [found(place)[2] for place in places]
    for name in GUARDS:
        with left_out([name]):
            assert any(found(place)[2] is not value for place, value in zip(places, before, strict=True))
    assert all(found(place)[2] is value for place, value in zip(places, before, strict=True))


def test_it_is_left_out_wherever_it_was_imported() -> None:
    from common.kernel import task_block

    with left_out(["terminal_stays"]):
        assert task_block.NEXT is GUARDS["terminal_stays"].instead["common.kernel.task:NEXT"]
    assert task_block.NEXT is NEXT


def test_a_guard_nobody_knows_is_refused() -> None:
    with pytest.raises(Refusal, match="no guard is called none_such"), left_out(["none_such"]):
        pass


def test_every_guard_has_a_seed_that_found_its_absence() -> None:
    assert list(kept()) == list(GUARDS), f"search anew: {AGAIN}"
    assert len(GUARDS) >= 25


@pytest.mark.slow
@pytest.mark.parametrize("before", kept().values(), ids=lambda before: before.guard)
def test_the_seed_still_finds_out(before: Caught) -> None:
    assert again(before) == before, f"the simulation draws otherwise by now; search anew: {AGAIN}"
    (ended,) = run_seeds([before.seed], Asked(before.seed, 1, PROVINCES))
    assert not ended.rule, f"with every guard in its place: {ended.message}"
