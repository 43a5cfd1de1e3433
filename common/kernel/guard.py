"""The rules that keep the promises, by name, each of which a test may leave out to see a promise broken.

A rule that can be left out unseen is either useless or not tested: so every name here has a simulated run that finds
its absence.
"""

from __future__ import annotations

from collections.abc import Iterable

GUARDS: dict[str, str] = {}
"""What each rule says."""

_left_out: frozenset[str] = frozenset()


def guarded(name: str) -> bool:
    """True, unless a test left the rule out."""
    return name not in _left_out


def leave_out(names: Iterable[str]) -> None:
    """These, and no others, from now on in this process: for tests and simulations alone. Raises KeyError."""
    global _left_out
    chosen = frozenset(names)
    unknown = sorted(chosen - GUARDS.keys())
    if unknown:
        raise KeyError(f"no guard is called {', '.join(unknown)}")
    _left_out = chosen
