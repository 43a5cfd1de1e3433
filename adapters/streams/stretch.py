"""A stretch of one partition as its source has it: messages not yet decoded, or what a file's reader made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np

from adapters.streams import packed
from adapters.streams.cloudevents import CONTENT_TYPE, STRUCTURED, Headers, Message, decode, decode_structured
from adapters.streams.mapped import decode_lines
from adapters.streams.standard import Decoded, Edge, merged
from common.kernel.columns import Rows
from common.kernel.dead_letter import DeadLetter, DeadLetters
from common.kernel.event import Events

EdgeNow = Callable[[], Edge]


class Owner(Protocol):
    """Whom a source tells which partitions are his, and who says at which offset to begin, None for the earliest.

    `end` is the offset after the last message there is, where that is known.
    """

    def assigned(self, partition: str, end: int | None = None) -> int | None: ...

    def revoked(self, partition: str) -> None: ...

    def lost(self, partition: str) -> None: ...


_PLAIN: tuple[Headers, ...] = ((), [(CONTENT_TYPE, STRUCTURED.encode())])
_PACKED = packed.CONTENT_TYPE.encode()


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Messages of one partition, ascending by offset."""

    partition: str
    next: int
    """The offset after the last."""
    offsets: Rows
    values: Sequence[bytes]
    headers: Sequence[Headers | None] | None
    """None where no message has any: all are structured JSON."""
    edge: EdgeNow

    @property
    def first(self) -> int:
        return int(self.offsets[0])

    def __len__(self) -> int:
        return len(self.values)

    def since(self, offset: int) -> Self:
        """The messages from `offset` on."""
        begin = int(np.searchsorted(self.offsets, offset))
        if not begin:
            return self
        headers = None if self.headers is None else self.headers[begin:]
        return replace(self, offsets=self.offsets[begin:], values=self.values[begin:], headers=headers)

    def decoded(self) -> Decoded:
        """Positions are offsets. Each message by its topic's mapping, or by what its headers tell."""
        edge = self.edge()
        mapping = edge.mappings.get(self.partition.rpartition(":")[0])
        if mapping is not None:
            return decode_lines(self.values, self.offsets, edge, mapping)
        if self.headers is None:
            return decode_structured(self.values, edge, self.offsets)
        kinds = [_kind(headers) for headers in self.headers]
        if not any(kinds):
            return decode_structured(self.values, edge, self.offsets)
        return merged([self._of_kind(kind, kinds, edge) for kind in set(kinds)])

    def _of_kind(self, kind: int, kinds: list[int], edge: Edge) -> Decoded:
        rows = np.flatnonzero(np.array(kinds) == kind)
        values, offsets = [self.values[row] for row in rows.tolist()], self.offsets[rows]
        if kind == 0:
            return decode_structured(values, edge, offsets)
        if kind == 1:
            return placed(packed.decode(values, edge), offsets)
        headers = self.headers or ()
        messages = [Message(value, headers[row] or ()) for value, row in zip(values, rows.tolist(), strict=True)]
        return placed(decode(messages, edge), offsets)


def _kind(headers: Headers | None) -> int:
    """0 structured JSON, 1 packed, 2 whatever else the headers say."""
    if not headers or headers in _PLAIN:
        return 0
    return 1 if any(name.lower() == CONTENT_TYPE and value == _PACKED for name, value in headers) else 2


def placed(decoded: Decoded, offsets: Rows) -> Decoded:
    """With the offsets of the messages in place of their numbers."""
    events = tuple(Events(e.type, e.ids, e.keys, e.at, offsets[e.positions], e.columns) for e in decoded.events)
    letters = tuple(DeadLetter(int(offsets[d.position]), d.reason, d.why, d.raw) for d in decoded.dead)
    return Decoded(events, DeadLetters(letters))
