"""What a check saw, and the first thing that contradicts the promise."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from deploy.checker.world import NEVER

ZONE = ZoneInfo("Asia/Shanghai")


@dataclass(frozen=True, slots=True)
class Finding:
    """`broken` of the `seen` things contradict `rule`, which belongs to an invariant of the design (I1 to I16)."""

    invariant: str
    rule: str
    seen: int
    broken: int
    first: str = ""
    """The first counter-example, for people; empty where the rule holds."""

    @property
    def holds(self) -> bool:
        return self.broken == 0


@dataclass(slots=True, eq=False)
class Tally:
    """Adds up one finding over nodes or logs."""

    invariant: str
    rule: str
    seen: int = 0
    broken: int = 0
    first: str = ""

    def note(self, seen: int, broken: int) -> bool:
        """True where these are the first that are broken: then set `first`."""
        self.seen += seen
        self.broken += broken
        return 0 < broken == self.broken

    @property
    def finding(self) -> Finding:
        return Finding(self.invariant, self.rule, self.seen, self.broken, self.first)


def moment(seconds: int) -> str:
    """For people, in China's time."""
    if not 0 < seconds < NEVER:
        return "never"
    return datetime.fromtimestamp(int(seconds), ZONE).strftime("%Y-%m-%d %H:%M:%S")
