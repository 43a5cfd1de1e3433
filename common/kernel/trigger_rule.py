"""A trigger rule: which events make which offer timely, how often, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

ZONE_SECONDS = 8 * 3600
"""Days, months and cycles begin by China's one clock."""


class Period(StrEnum):
    """How often a rule may fire for one person: once in each of these."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    CYCLE = "cycle"
    """A billing month that begins on the rule's `cycle_day`."""
    EVER = "ever"


@dataclass(frozen=True, slots=True)
class Each:
    """Fires on every event that meets the condition."""


@dataclass(frozen=True, slots=True)
class Sum:
    """Fires once what the person's events of the period add up to reaches a limit."""

    of: str | None
    """A numeric field, not negative; None counts events."""
    reaches: float | None
    """An amount; None where `ratio` of a field says it."""
    ratio: float | None = None
    ratio_of: str | None = None
    """A numeric field of the same events, such as allowance_bytes."""


@dataclass(frozen=True, slots=True)
class Surge:
    """Fires once what the person's events add up to within a sliding window reaches a limit.

    The window moves in steps of a twelfth; a step counts from its beginning, so it holds 11 to 12 twelfths of time.
    """

    of: str | None
    window_seconds: int
    reaches: float

    STEPS: ClassVar[int] = 12


@dataclass(frozen=True, slots=True)
class Crosses:
    """Fires for a period in which the person was on one side of an area and later on the other.

    Which side they were on when the period began does not count, so no order of arrival can change what fires.
    """

    area: str
    inwards: bool


@dataclass(frozen=True, slots=True)
class Stays:
    """Fires once a state has lasted: begun by an event and not ended by another for `seconds` of event time.

    What did not happen is known only when nothing earlier can come any more, so it fires `lateness_seconds` later.
    """

    seconds: int
    area: str | None = None
    """The state is being inside it; None: `begins` and `ends` say."""
    ends: str | None = None
    """A condition, in the rule language, of the events that end the state; the rule's own begins it."""


Form = Each | Sum | Surge | Crosses | Stays


@dataclass(frozen=True, slots=True)
class Offer:
    """What is offered when the rule fires. Seconds count from the event."""

    offer: str
    product_line: str
    channels: tuple[str, ...]
    """The first that the province runs is taken."""
    text: str
    """With {field} for what the event says."""
    priority: int
    purpose: str
    """What separate consent it needs, such as "location"; empty: none."""
    valid_seconds: int
    """After it the offer is dropped, never sent late."""
    delay_seconds: int = 0
    ask_hq: bool = False


@dataclass(frozen=True, slots=True)
class TriggerRule:
    name: str
    version: int
    scene: str
    """Its latencies are told under this name."""
    events: tuple[str, ...]
    """Names of event types."""
    condition: str
    """In the rule language, over the fields of those types; empty: all."""
    form: Form
    period: Period
    cycle_day: int
    """1 to 28."""
    lateness_seconds: int
    """How much earlier than the newest event of its partition an event may be and still count."""
    offer: Offer
    paused: bool = False

    def same_state(self, other: TriggerRule) -> bool:
        """Whether what was counted for the one serves the other."""
        return self.counted == other.counted

    @property
    def counted(self) -> str:
        """What its state is a state of, to be compared, also years later."""
        said = (self.events, self.condition, self.form, self.period.value, self.cycle_day, self.lateness_seconds)
        return f"{self.name} {said}"
