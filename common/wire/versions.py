"""Which contract revision and optional behaviour two nodes use with each other."""

from __future__ import annotations

from collections.abc import Iterable

from common.kernel.refusal import conflict

CONTRACT_REVISIONS = (1, 1)
"""The oldest and newest revision this build speaks: the current one and the one before."""
CAPABILITIES: frozenset[str] = frozenset()
"""Optional behaviour this build offers. Nobody sends what was not agreed."""


def agreed_revision(oldest: int, newest: int) -> int:
    """The newest revision both sides speak; refused with REVISION_UNSUPPORTED where there is none."""
    ours_oldest, ours_newest = CONTRACT_REVISIONS
    revision = min(newest, ours_newest)
    if revision < max(oldest, ours_oldest):
        raise conflict(
            f"contract revisions {oldest} to {newest} are not spoken here, only {ours_oldest} to {ours_newest}: "
            "upgrade the older node",
            "REVISION_UNSUPPORTED",
            min=str(ours_oldest),
            max=str(ours_newest),
        )
    return revision


def agreed_capabilities(asked: Iterable[str]) -> list[str]:
    return sorted(CAPABILITIES.intersection(asked))
