"""Wakes who waits for a log to grow, so that nobody has to poll fast."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from contextlib import suppress

EVERY = ""
"""Stands for all streams."""


class Bell:
    """One for each process, used on its event loop. Ring it after the commit, with the log's (peer, stream).

    A ring between `heard` and `wait` is not lost: note the count, look at the log, then wait with that count.
    """

    def __init__(self) -> None:
        self._rings: Counter[tuple[str, str]] = Counter()
        self._rings_of_all: Counter[str] = Counter()
        self._waiting: defaultdict[tuple[str, str], set[asyncio.Future[None]]] = defaultdict(set)

    def heard(self, peer: str, stream: str) -> int:
        return self._rings[peer, stream] + self._rings_of_all[stream] + self._rings_of_all[EVERY]

    def ring(self, peer: str, stream: str) -> None:
        self._rings[peer, stream] += 1
        for waiter in self._waiting.pop((peer, stream), ()):
            if not waiter.done():
                waiter.set_result(None)

    def ring_all(self, of: str = EVERY) -> None:
        """The logs of every peer may have grown, those of one stream where it is named."""
        # Counted for those too who have noted the count and do not wait yet.
        self._rings_of_all[of] += 1
        for peer, stream in list(self._waiting):
            if of in (EVERY, stream):
                self.ring(peer, stream)

    async def wait(self, peer: str, stream: str, heard: int, seconds: float) -> None:
        """Returns at the first ring after `heard`, or after `seconds`."""
        if self.heard(peer, stream) != heard:
            return
        waiter = asyncio.get_running_loop().create_future()
        waiting = self._waiting[peer, stream]
        waiting.add(waiter)
        try:
            # Not wait_for: in Python 3.11 it swallows a cancellation that comes together with the ring.
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await waiter
        finally:
            waiting.discard(waiter)
