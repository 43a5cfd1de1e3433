"""What BSS or cBSS has to tell a node, in order; the node keeps how far it has read in its own store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy import Connection

from common.delivery.source_place import place, set_place

if TYPE_CHECKING:
    from deploy.simulation.node import Node

T = TypeVar("T")
BSS = "bss-"
"""A province's BSS is called so, with the province's code."""


class Source(Generic[T]):
    def __init__(self, system: str, feed: str) -> None:
        self.system = system
        self.feed = feed
        self.records: list[T] = []


def follow(node: Node, source: Source[T], take: Callable[..., Sequence[Any]], *arguments: Any) -> None:
    """Read on to the end, each record and the new place in one transaction."""
    token = node.read(place, source.system, source.feed)
    for number in range(int(token or 0), len(source.records)):
        node.write(_take, source, number, take, arguments, node.clock.now())


def _take(
    connection: Connection,
    source: Source[Any],
    number: int,
    take: Callable[..., Sequence[Any]],
    arguments: tuple[Any, ...],
    now: int,
) -> None:
    take(connection, source.records[number], *arguments, now)
    set_place(connection, source.system, source.feed, str(number + 1))
