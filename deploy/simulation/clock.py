"""The clocks of a simulated machine: its wall clock may be stepped, its elapsed time begins anew at each boot."""

from __future__ import annotations

from deploy.simulation.timeline import Timeline


class MachineClock:
    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._started = timeline.now
        self.off_seconds = 0.0
        """By how much the wall clock is wrong."""

    def now(self) -> int:
        return int(self._timeline.now + self.off_seconds)

    def monotonic(self) -> float:
        return self._timeline.now - self._started

    def reboot(self) -> None:
        self._started = self._timeline.now
