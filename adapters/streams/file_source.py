"""A file of events, played once from its first line: what a rule would have done, or did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from adapters.streams.files import BATCH_ROWS, decode_file
from adapters.streams.mapping import SourceMapping
from adapters.streams.standard import Decoded, merged
from adapters.streams.stretch import EdgeNow, Owner
from common.kernel.dead_letter import DeadLetters


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Part of a file; its offsets are its lines."""

    partition: str
    first: int
    next: int
    found: Decoded

    def __len__(self) -> int:
        return self.found.count

    def since(self, offset: int) -> Self:
        events = tuple(each[each.positions >= offset] for each in self.found.events)
        letters = DeadLetters(tuple(letter for letter in self.found.dead if letter.position >= offset))
        return replace(self, first=max(self.first, offset), found=Decoded(events, letters))

    def decoded(self) -> Decoded:
        return self.found


class FileSource:
    """One partition, named after the file.

    `by_time`: the lines of a file that was never a stream, such as an export sorted by customer, tell nothing of what
    came late, so its events are played in the order in which they happened. It is held in memory for that.
    """

    def __init__(self, path: Path, edge: EdgeNow, mapping: SourceMapping | None = None, by_time: bool = False) -> None:
        self._name, self._assigned = f"file:{path.name}", False
        parts = decode_file(path, edge(), mapping)
        self._parts, self._next = in_order_of_time(parts) if by_time else parts, 0
        self.ended = False

    def poll(self, owner: Owner, wait_seconds: float) -> list[Lines]:  # noqa: ARG002 - a file has nothing to wait for
        if not self._assigned:
            owner.assigned(self._name)
            self._assigned = True
        for found in self._parts:
            ends = [int(each.positions[-1]) for each in found.events if len(each)]
            ends += [letter.position for letter in found.dead]
            if ends:
                first, self._next = self._next, max(*ends, self._next) + 1
                return [Lines(self._name, first, self._next, found)]
        self.ended = True
        return []

    def kept(self, partition: str, offset: int) -> None:
        """Nobody watches from outside."""

    def lag(self, sure: bool = False) -> Mapping[str, int]:  # noqa: ARG002 - it is always known
        return {}

    def close(self, owner: Owner) -> None:
        if self._assigned:
            owner.revoked(self._name)


def in_order_of_time(parts: Iterable[Decoded]) -> Iterator[Decoded]:
    """All of it, the same for the same events in whichever order; positions are places in it.

    What was refused keeps its own line, and comes last.
    """
    whole = merged(list(parts))
    at = np.concatenate([np.zeros(0, dtype=np.int64), *(events.at for events in whole.events)])
    ids = np.concatenate([np.zeros(0, dtype=np.uint64), *(events.ids for events in whole.events)])
    places = np.empty(len(at), dtype=np.int64)
    places[np.lexsort((ids, at))] = np.arange(1, len(at) + 1)
    ends = np.cumsum([len(events) for events in whole.events])
    sorted_in = [
        replace(events, positions=mine)[np.argsort(mine)]
        for events, mine in zip(whole.events, np.split(places, ends[:-1]), strict=False)
    ]
    for first in range(1, len(at) + 1, BATCH_ROWS):
        some = [e[slice(*np.searchsorted(e.positions, (first, first + BATCH_ROWS)))] for e in sorted_in]
        yield Decoded(tuple(events for events in some if len(events)), DeadLetters())
    if len(whole.dead):
        yield Decoded((), whole.dead)
