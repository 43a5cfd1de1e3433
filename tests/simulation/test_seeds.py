"""HQ and provinces in bad weather, seed by seed."""

from __future__ import annotations

from deploy.simulation.run import Asked, run_seeds


def test_one_seed_is_one_history() -> None:
    asked = Asked(5, 1, 2)
    (once,), (again,) = run_seeds([5], asked), run_seeds([5], asked)
    assert (once.digest, once.events, once.contacts) == (again.digest, again.events, again.contacts)
