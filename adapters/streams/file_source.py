"""A file of events, played once from its first line: what a rule would have done, or did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from adapters.streams.files import decode_file
from adapters.streams.mapping import SourceMapping
from adapters.streams.standard import Decoded
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
    """One partition, named after the file."""

    def __init__(self, path: Path, edge: EdgeNow, mapping: SourceMapping | None = None) -> None:
        self._name, self._assigned = f"file:{path.name}", False
        self._parts, self._next = decode_file(path, edge(), mapping), 0
        self.ended = False

    def poll(self, owner: Owner, wait_seconds: float) -> list[Lines]:  # noqa: ARG002 - a file has nothing to wait for
        if not self._assigned:
            owner.assigned(self._name)
            self._assigned = True
        for found in self._parts:
            ends = [int(each.positions[-1]) for each in found.events if len(each)]
            ends += [letter.position for letter in found.dead]
            if ends:
                first, self._next = self._next, max(ends) + 1
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
