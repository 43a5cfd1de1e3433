"""Runs the nodes' own coroutines without an event loop: they wait for nothing but what the simulation answers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")

Begin = Callable[[Callable[[Any], None]], None]
"""Starts something and says whom to tell what came of it."""


class Answer:
    """What a coroutine of the simulation awaits."""

    def __init__(self, begin: Begin) -> None:
        self.begin = begin

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self)


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that has nothing to wait for."""
    try:
        work.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
    raise RuntimeError(f"{work} waits, and nothing will wake it")


def run(work: Coroutine[Any, Any, Any], ended: Callable[[], None], answer: Any = None) -> None:
    """Run until it waits for an Answer, and go on when that comes."""
    try:
        waits = work.send(answer)
    except StopIteration:
        ended()
    else:
        waits.begin(lambda told: run(work, ended, told))
