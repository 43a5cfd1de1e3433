"""What a check saw, and the first thing that contradicts the promise."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

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


def moment(seconds: int) -> str:
    """For people, in China's time."""
    return datetime.fromtimestamp(int(seconds), ZONE).strftime("%Y-%m-%d %H:%M:%S") if seconds else "never"
