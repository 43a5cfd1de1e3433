"""How fast messages may leave: a token bucket over elapsed time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

BURST_SECONDS = 0.25


class Pace:
    """At most `rate_per_second` messages in any longer stretch; what was not used in BURST_SECONDS is forgotten."""

    def __init__(self, rate_per_second: float, monotonic: Callable[[], float]) -> None:
        self._rate = rate_per_second
        self._monotonic = monotonic
        self._free_at = monotonic()

    async def take(self, messages: int) -> None:
        """Returns when they may be sent."""
        now = self._monotonic()
        start = max(self._free_at, now - BURST_SECONDS)
        self._free_at = start + messages / self._rate
        if start > now:
            await asyncio.sleep(start - now)

    def hold(self, seconds: float) -> None:
        """Nothing leaves for this long, as a vendor asked."""
        self._free_at = max(self._free_at, self._monotonic() + seconds)


def back_off(attempt: int, first: float = 0.1, longest: float = 30.0) -> float:
    """Seconds to wait before round `attempt` (from 1) of something that failed."""
    return min(longest, first * 2.0 ** min(attempt - 1, 16))
