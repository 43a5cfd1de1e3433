"""A campaign: the values an operator writes down, and the steps of its life."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from common.kernel.channel import CHANNELS
from common.kernel.marketing_state import MarketingState
from common.kernel.refusal import conflict
from hq.content import Origin, ParameterKind, fits, parameters_of

HOLDOUT_MAX = 0.5
WAVES_MAX = 20
RESPOND_HOURS_MAX = 24 * 60
ATTRIBUTION_DAYS_MAX = 365
PRICE_FEN_MAX = 10_000_000_00
YEARS = range(2020, 2100)

SELECTABLE = (
    MarketingState.NOT_CONTACTED,
    MarketingState.CONTACTED,
    MarketingState.NO_RESPONSE,
    MarketingState.INTERESTED,
    MarketingState.REFUSED,
)
"""A later wave may choose among these: who ordered or opted out is never contacted again."""


class CampaignState(IntEnum):
    """Codes equal those of `liandong.campaign.v1.CampaignState`."""

    DRAFT = 1
    APPROVED = 2
    PAUSED = 3
    CANCELLED = 4
    FINISHED = 5


class Step(StrEnum):
    APPROVE = "approve"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    FINISH = "finish"


STEPS: dict[Step, dict[CampaignState, CampaignState]] = {
    Step.APPROVE: {CampaignState.DRAFT: CampaignState.APPROVED},
    Step.PAUSE: {CampaignState.APPROVED: CampaignState.PAUSED},
    Step.RESUME: {CampaignState.PAUSED: CampaignState.APPROVED},
    Step.CANCEL: {
        CampaignState.DRAFT: CampaignState.CANCELLED,
        CampaignState.APPROVED: CampaignState.CANCELLED,
        CampaignState.PAUSED: CampaignState.CANCELLED,
    },
    Step.FINISH: {CampaignState.APPROVED: CampaignState.FINISHED},
}


def take(step: Step, name: str, state: CampaignState) -> CampaignState:
    """The state the step leads to; the same state where the step was taken before. Raises Refusal STATE_CONFLICT."""
    if state in STEPS[step].values():
        return state
    if state not in STEPS[step]:
        allowed = " or ".join(before.name for before in STEPS[step])
        what = f"Campaign {name} is {state.name}; only one that is {allowed} can take the step {step}."
        raise conflict(f"{what} See `liandong campaign status`.", state=state.name)
    return STEPS[step][state]


_SPAN = re.compile(r"(?:(\d{1,3})d)? ?(?:(\d{1,3})h)? ?(?:(\d{1,4})m)?")
_SHARE = re.compile(r"(\d{1,2}(?:\.\d{1,3})?)\s*%")


def _instant(value: object) -> object:
    """Seconds since the Unix epoch, UTC."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or moment.year not in YEARS:
        raise ValueError(f"{value!r} is no time with a zone. Write it as 2026-03-01T09:00:00+08:00")
    return int(moment.astimezone(UTC).timestamp())


def _seconds(value: object) -> object:
    found = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if found is None or not any(found.groups()):
        raise ValueError(f"{value!r} is no span of time. Write it as 0d, 3d 20h or 90m")
    days, hours, minutes = (int(part or 0) for part in found.groups())
    return days * 86_400 + hours * 3_600 + minutes * 60


def _share(value: object) -> object:
    found = _SHARE.fullmatch(value) if isinstance(value, str) else None
    share = float(found[1]) / 100 if found else value
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= HOLDOUT_MAX:
        raise ValueError(f"{value!r} is no share from 0% to {HOLDOUT_MAX:.0%}. Write it as 10% or 0.1")
    return float(share)


def _channel(value: object) -> object:
    if value not in CHANNELS:
        raise ValueError(f"unknown channel {value!r}. Use one of: {', '.join(CHANNELS)}")
    return value


def _state(value: object) -> object:
    names = {state.name.lower(): state for state in SELECTABLE}
    if value not in names:
        raise ValueError(f"{value!r} is no state a wave may select on. Use: {', '.join(names)}")
    return names[str(value)]


def _word(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _template(value: object) -> object:
    if isinstance(value, str):
        parameters_of(value)
    return value


Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Template = Annotated[str, BeforeValidator(_template), StringConstraints(min_length=1)]
Instant = Annotated[int, BeforeValidator(_instant)]
ChannelName = Annotated[str, BeforeValidator(_channel)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Title(_Strict):
    zh: Text
    en: Text


class Offer(_Strict):
    code: Slug
    title: Title
    price_fen: Annotated[int, Field(ge=0, le=PRICE_FEN_MAX)]
    """Income an order brings."""
    monthly: bool = False
    line: Annotated[str, StringConstraints(pattern=r"^([a-z0-9][a-z0-9_-]{0,62})?$")] = ""
    """The product line it belongs to, for the contact policy."""


class Schedule(_Strict):
    start: Instant
    end: Instant

    @model_validator(mode="after")
    def _runs_forward(self) -> Schedule:
        if self.end <= self.start:
            raise ValueError("end is not after start. Move end to a later time")
        return self


class Goal(_Strict):
    orders: Annotated[int, Field(ge=1)]


class Parameter(_Strict):
    column: Text
    fallback: Annotated[str, BeforeValidator(_word), StringConstraints(min_length=1, max_length=100)]
    kind: Annotated[ParameterKind, Field(strict=False)]

    @model_validator(mode="after")
    def _fallback_reads_well(self) -> Parameter:
        if not fits(self.kind, self.fallback):
            raise ValueError(f"fallback {self.fallback!r} does not suit kind {self.kind}. Write a word or such a value")
        return self


class English(_Strict):
    """Who reads the `en` texts: people whose `column` is one of `values`."""

    column: Text
    values: Annotated[tuple[str, ...], Field(strict=False, min_length=1, max_length=20)]


class Content(_Strict):
    zh: Template
    en: Template | None = None


class Choice(_Strict):
    channel: ChannelName
    when: str | None = None
    """A rule; absent: everybody."""


class Wave(_Strict):
    name: Slug
    after: Annotated[int, BeforeValidator(_seconds)] | None = None
    """Seconds from the start of the schedule."""
    at: Instant | None = None
    select: Annotated[
        tuple[Annotated[MarketingState, BeforeValidator(_state)], ...], Field(strict=False, max_length=len(SELECTABLE))
    ] = ()
    """Marketing states the wave before left, of which this wave takes the people; empty in the first wave."""
    channels: Annotated[tuple[Choice, ...], Field(strict=False, min_length=1, max_length=len(CHANNELS))]
    """In order of preference."""
    end: Instant | None = None

    @model_validator(mode="after")
    def _begins_once(self) -> Wave:
        if (self.after is None) == (self.at is None):
            raise ValueError("a wave begins either `after` the start or `at` a time. Write exactly one of the two")
        return self


class Campaign(_Strict):
    """Times are Unix seconds, UTC; waves count from 1 everywhere outside this value."""

    name: Slug
    title: Title
    priority: Annotated[int, Field(ge=0, le=100)] = 50
    """A higher one goes first."""
    service: bool = False
    """A service notice, to which no marketing rule applies."""
    purpose: Literal["", "location"] = ""
    """What separate consent a contact needs."""
    offer: Offer
    audience: str
    holdout: Annotated[float, BeforeValidator(_share)] = 0.0
    schedule: Schedule
    respond_hours: Annotated[int, Field(ge=1, le=RESPOND_HOURS_MAX)]
    """Time to respond, after which silence is NO_RESPONSE."""
    attribution_days: Annotated[int, Field(ge=1, le=ATTRIBUTION_DAYS_MAX)]
    goal: Goal | None = None
    costs: dict[ChannelName, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """Fen a contact, where it is not the channel's own cost."""
    parameters: dict[str, Parameter] = Field(default_factory=dict)
    english: English | None = None
    content: dict[ChannelName, Content]
    waves: Annotated[tuple[Wave, ...], Field(strict=False, min_length=1, max_length=WAVES_MAX)]

    @property
    def respond_seconds(self) -> int:
        return self.respond_hours * 3600

    @property
    def attribution_over_at(self) -> int:
        return self.schedule.end + self.attribution_days * 86_400

    def select_at(self, number: int) -> int:
        wave = self.waves[number - 1]
        return wave.at if wave.at is not None else self.schedule.start + (wave.after or 0)

    def end_at(self, number: int) -> int:
        return self.waves[number - 1].end or self.schedule.end

    def cost_fen(self, channel: str) -> int:
        return self.costs.get(channel, CHANNELS[channel].cost_fen)

    @property
    def origins(self) -> dict[str, Origin]:
        return {name: Origin(each.column, each.fallback, each.kind) for name, each in self.parameters.items()}
