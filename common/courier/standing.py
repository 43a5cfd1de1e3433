"""What the two sides of a link tell each other when a session opens, so that neither goes on from what it forgot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from common.courier.cursor import Place
from common.courier.log import LogPosition


@dataclass(frozen=True, slots=True)
class Written:
    """An outbox stream: its newest entry, and how much of it HQ acknowledged."""

    head: Place
    acknowledged: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What a province says of itself. `hq_incarnation` is the HQ it last told everything to; 0: none."""

    incarnation: int
    hq_incarnation: int
    feed: Mapping[str, Place]
    outbox: Mapping[str, Written]


@dataclass(frozen=True, slots=True)
class Known:
    """What HQ answers: its incarnation, what it holds of each outbox stream, and where it believes each topic to be."""

    incarnation: int
    outbox: Mapping[str, Place]
    feed: Mapping[str, LogPosition]
