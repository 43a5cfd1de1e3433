"""Where events come from, as the engine sees it: partitions, and stretches of them in the order of their offsets."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Protocol, Self

from common.kernel.dead_letter import DeadLetters
from common.kernel.event import Events

log = logging.getLogger(__name__)


class Decoded(Protocol):
    """Every record of a stretch, once; positions are offsets."""

    @property
    def events(self) -> tuple[Events, ...]: ...

    @property
    def dead(self) -> DeadLetters: ...


class Stretch(Protocol):
    @property
    def partition(self) -> str: ...

    @property
    def first(self) -> int: ...

    @property
    def next(self) -> int:
        """The offset after the last."""
        ...

    def __len__(self) -> int: ...

    def since(self, offset: int) -> Self:
        """What of it is at `offset` and after."""
        ...

    def decoded(self) -> Decoded: ...


class Owner(Protocol):
    """Whom a source tells which partitions are his; it does so within `poll` and `close`."""

    def assigned(self, partition: str, end: int | None = None) -> int | None:
        """The offset to begin at; None: at the earliest there is. `end`: that after the last message, if known."""
        ...

    def revoked(self, partition: str) -> None:
        """It is somebody else's as soon as this returns."""
        ...

    def lost(self, partition: str) -> None:
        """It is somebody else's already."""
        ...


def another_log(partition: str, after: int | None, end: int | None) -> bool:
    """Whether it ends before what was read of it, so that it is to be read from its beginning.

    It was put back from a backup, or begun anew. What was counted is late by now, or known by its id.
    """
    another = after is not None and end is not None and end < after
    if another:
        log.error("%s was read up to %s and ends at %s: it is another now, and read from its beginning",
                  partition, after, end)  # fmt: skip
    return another


class Source(Protocol):
    def poll(self, owner: Owner, wait_seconds: float) -> Sequence[Stretch]:
        """What came in, at most `wait_seconds` from now; at once where something is there."""
        ...

    def kept(self, partition: str, offset: int) -> None:
        """Everything before `offset` is in a checkpoint: for whoever watches the source from outside."""
        ...

    def lag(self, sure: bool = False) -> Mapping[str, int]:
        """By partition, how many messages are there beyond those polled, as far as that was last heard.

        `sure` asks anew; then a partition whose end cannot be learnt just now is left out.
        """
        ...

    def close(self, owner: Owner) -> None: ...
