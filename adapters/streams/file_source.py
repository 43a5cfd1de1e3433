"""A file of events, played once from its first line: what a rule would have done, or did."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from adapters.streams.files import decode_file
from adapters.streams.mapping import SourceMapping
from adapters.streams.standard import Decoded, Edge
from adapters.streams.stretch import EdgeNow, Owner
from common.kernel.columns import Rows
from common.kernel.dead_letter import DeadLetter, DeadLetters, gathered
from common.kernel.event import Events


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


def parts(path: Path, edge: Edge, mapping: SourceMapping | None = None) -> Iterator[Lines]:
    """One partition, named after the file."""
    after = 0
    for found in decode_file(path, edge, mapping):
        ends = [int(each.positions[-1]) for each in found.events if len(each)]
        ends += [letter.position for letter in found.dead]
        if ends:
            first, after = after, max(ends) + 1
            yield Lines(_name(path), first, after, found)


def in_order_of_time(path: Path, edge: Edge, mapping: SourceMapping | None, wanted: Collection[str]) -> Iterator[Lines]:
    """The whole file as one part. Of types that are not wanted the fields are left out."""
    events, letters = list[Events](), list[DeadLetter]()
    for found in decode_file(path, edge, mapping):
        events += [each if each.type.name in wanted else replace(each, columns={}) for each in found.events]
        letters += found.dead
    at = np.concatenate([each.at for each in events] or [np.zeros(0, dtype=np.int64)])
    places = np.empty(len(at), dtype=np.int64)
    places[np.argsort(at, kind="stable")] = np.arange(len(at))
    ends = np.cumsum([len(each) for each in events])[:-1]
    moved = [_at(each, mine) for each, mine in zip(events, np.split(places, ends), strict=False)]
    if len(at) or letters:
        yield Lines(_name(path), 0, len(at) + len(letters), Decoded(tuple(moved), gathered(letters)))


def _name(path: Path) -> str:
    return f"file:{path.name}"


def _at(events: Events, places: Rows) -> Events:
    """With these positions, ascending by them."""
    order = np.argsort(places, kind="stable")
    return replace(events[order], positions=places[order])


class FileSource:
    """One partition, named after the file."""

    def __init__(self, path: Path, edge: EdgeNow, mapping: SourceMapping | None = None) -> None:
        self._name, self._assigned = _name(path), False
        self._parts, self.ended = parts(path, edge(), mapping), False

    def poll(self, owner: Owner, wait_seconds: float) -> list[Lines]:  # noqa: ARG002 - a file has nothing to wait for
        if not self._assigned:
            owner.assigned(self._name)
            self._assigned = True
        part = next(self._parts, None)
        self.ended = part is None
        return [] if part is None else [part]

    def kept(self, partition: str, offset: int) -> None:
        """Nobody watches from outside."""

    def lag(self, sure: bool = False) -> Mapping[str, int]:  # noqa: ARG002 - it is always known
        return {}

    def close(self, owner: Owner) -> None:
        if self._assigned:
            owner.revoked(self._name)
