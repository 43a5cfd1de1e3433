"""Simulated time: what was planned happens in order of time, and of two at once in the order of planning."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

Act = Callable[..., None]
EVENTS_MAX = 20_000
"""More than any seed needs: one that goes on longer turns in a circle."""


class Endless(Exception):
    """Something is tried for ever."""


class Timeline:
    """`now` is in seconds since the Unix epoch: the true time, which no node knows."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.happened = 0
        self._planned: list[tuple[float, int, Act, tuple[Any, ...]]] = []
        self._count = 0

    def after(self, seconds: float, act: Act, *arguments: Any) -> None:
        self._count += 1
        heappush(self._planned, (self.now + seconds, self._count, act, arguments))

    def run(self, until: float) -> None:
        while self._planned and self._planned[0][0] <= until:
            self.now, _, act, arguments = heappop(self._planned)
            self.happened += 1
            if self.happened > EVENTS_MAX:
                raise Endless
            act(*arguments)
        self.now = max(self.now, until)
