"""Where events come from, as the engine sees it: partitions, and stretches of them in the order of their offsets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, Self

from common.kernel.dead_letter import DeadLetters
from common.kernel.event import Events


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

    def assigned(self, partition: str) -> int | None:
        """The offset to begin at; None: at the earliest there is."""
        ...

    def revoked(self, partition: str) -> None:
        """It is somebody else's as soon as this returns."""
        ...

    def lost(self, partition: str) -> None:
        """It is somebody else's already."""
        ...


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
