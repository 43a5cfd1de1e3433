"""The form of a trigger document: what may stand where in its YAML."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from common.kernel.area import Area, Cells, Circle, Polygon
from common.kernel.channel import CHANNELS, Level
from common.kernel.event import CODE_CHARS_MAX
from common.kernel.event_catalogue import COORDINATE_SYSTEMS, event_type
from common.kernel.refusal import Refusal
from common.kernel.statement import PURPOSES
from common.kernel.tag import PROVINCE, RESERVED, Sensitivity, Tag, TagType
from common.kernel.trigger_rule import Period
from common.rules.host_name import host_name
from common.runtime.yaml_form import Seconds, Strict

RULES_MAX = 200
EVENT_TYPES_MAX = 50
AREAS_MAX = 1_000
CELLS_MAX = 10_000
AREA_POINTS_MAX = 2_000
AREA_METRES_MAX = 500_000
MARGIN_METRES_MAX = 10_000
HOST_LISTS_MAX = 1_000
HOSTS_MAX = 1_000_000
LATENESS_SECONDS_MAX = 86_400
VALID_SECONDS_MAX = 7 * 86_400
"""As long as a province's own contact may be held."""
SURGE_SECONDS_MAX = 86_400
STAY_SECONDS_MAX = 31 * 86_400
OFFER_CHARS_MAX = 64
CYCLE_DAY_MAX = 28
TAGS_MAX = 200
TAG_CHARS_MAX = 64

_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*(%|KB|MB|GB|TB)")
_BYTES = {"KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
_CELL = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Amount:
    """`unit` is empty, % or bytes; a share is kept as 0.8."""

    value: float
    unit: str = ""


def _amount(value: object) -> object:
    found = _AMOUNT.fullmatch(value) if isinstance(value, str) else None
    amount = Amount(math.nan)
    if found:
        unit = found[2]
        amount = (
            Amount(float(Decimal(found[1]) / 100), "%")
            if unit == "%"
            else Amount(float(found[1]) * _BYTES[unit], "bytes")
        )
    elif isinstance(value, int | float) and not isinstance(value, bool):
        amount = Amount(float(value))
    if not 0 < amount.value < math.inf:
        raise ValueError(f"{value!r} is no amount. Write a number above 0, 5GB, or 80% with `of`")
    return amount


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _event(name: str) -> str:
    try:
        return event_type(name).name
    except Refusal as refusal:
        raise ValueError(f"{refusal.message}. Correct it") from None


def _channel(name: str) -> str:
    known = [channel.name for channel in CHANNELS.values() if channel.level is Level.TWO]
    if name not in known:
        raise ValueError(f"{name!r} is no channel of provinces. Use one of: {', '.join(known)}")
    return name


def _purpose(name: str) -> str:
    if name not in PURPOSES:
        raise ValueError(f"{name!r} is no purpose. Use one of: {', '.join(PURPOSES)}")
    return name


def _period(value: object) -> object:
    day = value.get("cycle") if isinstance(value, dict) and len(value) == 1 else None
    if isinstance(day, int) and 1 <= day <= CYCLE_DAY_MAX:
        return Period.CYCLE, day
    simple = [period for period in Period if period is not Period.CYCLE]
    if value not in simple:
        raise ValueError(f"{value!r} is no period. Write {', '.join(simple)}, or {{cycle: 1}} with a day up to 28")
    return Period(str(value)), 1


def _cell(name: object) -> object:
    if not (isinstance(name, str) and len(name) <= CODE_CHARS_MAX and _CELL.fullmatch(name)):
        raise ValueError(f"{name!r} is no cell. Write it as events do, such as 460-01-41234-27447297")
    return name


def _point(value: object) -> object:
    good = isinstance(value, list) and len(value) == 2 and all(type(each) in (int, float) for each in value)
    if not good or not (abs(value[0]) <= 180 and abs(value[1]) <= 90):  # type: ignore[index]
        raise ValueError(f"{value!r} is no point. Write [longitude, latitude] in degrees, such as [108.36, 22.81]")
    return float(value[0]), float(value[1])  # type: ignore[index]


def _host(value: object) -> object:
    name = host_name(value) if isinstance(value, str) else ""
    if not name:
        raise ValueError(f"{value!r} is no host name. Write it as example.com, without scheme and path")
    return name


def _some(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise ValueError("the list is empty. Write at least one")
    return _distinct(values)


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((value for number, value in enumerate(values) if value in values[:number]), None)
    if twice is not None:
        raise ValueError(f"{twice} is there twice. Delete one")
    return values


def _tag_name(name: str) -> str:
    if name.casefold() in RESERVED:
        raise ValueError(f"{name} is no tag of an import: tag.{PROVINCE} is always there. Delete it")
    return name


def _number(value: object) -> object:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
Line = Annotated[str, StringConstraints(max_length=OFFER_CHARS_MAX, pattern=r"^[^\x00-\x1f\x7f]*$")]
TagName = Annotated[str, StringConstraints(min_length=1, max_length=TAG_CHARS_MAX), AfterValidator(_tag_name)]
Number = Annotated[float, BeforeValidator(_number)]
Share = Annotated[Number, Field(ge=0, le=1)]
AmountOf = Annotated[Amount, BeforeValidator(_amount)]
CoordinateSystem = Literal["WGS-84", "GCJ-02"]
assert CoordinateSystem.__args__ == COORDINATE_SYSTEMS  # type: ignore[attr-defined]  # noqa: S101


class SumEntry(Strict):
    field: str | None = None
    """Left out: events are counted."""
    to: AmountOf
    of: str | None = None


class SurgeEntry(Strict):
    field: str | None = None
    within: Annotated[Seconds, Field(ge=12, le=SURGE_SECONDS_MAX)]
    to: AmountOf


class StayEntry(Strict):
    in_: str | None = Field(None, alias="in")
    until: str | None = None
    for_: Annotated[Seconds, Field(ge=1, le=STAY_SECONDS_MAX)] = Field(alias="for")

    @model_validator(mode="after")
    def _one_state(self) -> StayEntry:
        if (self.in_ is None) == (self.until is None):
            raise ValueError("a state is being `in` an area, or lasts `until` a condition. Write one of the two")
        return self


class ModelEntry(Strict):
    name: Slug
    at_least: Share


class OfferEntry(Strict):
    offer: Annotated[Line, StringConstraints(min_length=1)]
    product_line: Line = ""
    channels: Annotated[
        tuple[Annotated[str, AfterValidator(_channel)], ...],
        Field(strict=False),
        AfterValidator(_some),
        BeforeValidator(_listed),
    ]
    text: Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00-\x1f\x7f]*$")]
    priority: Annotated[int, Field(ge=0, le=100)] = 50
    purpose: Annotated[str, AfterValidator(_purpose)] | None = None
    valid_for: Annotated[Seconds, Field(ge=1, le=VALID_SECONDS_MAX)]
    delay: Annotated[Seconds, Field(ge=0, le=VALID_SECONDS_MAX)] = 0
    ask_hq: bool = False

    @model_validator(mode="after")
    def _sent_in_time(self) -> OfferEntry:
        if self.delay >= self.valid_for:
            raise ValueError("the offer would be sent after its validity. Make delay shorter than valid_for")
        return self


FORMS = ("adds_up", "surges", "enters", "leaves", "stays")


class RuleEntry(Strict):
    name: Slug
    scene: Slug
    when: Annotated[
        tuple[Annotated[str, AfterValidator(_event)], ...],
        Field(strict=False, max_length=EVENT_TYPES_MAX),
        AfterValidator(_some),
        BeforeValidator(_listed),
    ]
    where: str = ""
    in_: str | None = Field(None, alias="in")
    visits: str | None = None
    roams: Literal["abroad", "out_of_province"] | None = None
    model: ModelEntry | None = None
    adds_up: SumEntry | None = None
    surges: SurgeEntry | None = None
    enters: str | None = None
    leaves: str | None = None
    stays: StayEntry | None = None
    once_a: Annotated[tuple[Period, int], BeforeValidator(_period)]
    lateness: Annotated[Seconds, Field(ge=0, le=LATENESS_SECONDS_MAX)] = 600
    paused: bool = False
    offer: OfferEntry

    @model_validator(mode="after")
    def _one_form(self) -> RuleEntry:
        forms = [name for name in FORMS if getattr(self, name) is not None]
        if len(forms) > 1:
            raise ValueError(f"{' and '.join(forms)} are two rules. Keep one of them here")
        return self


class CircleEntry(Strict):
    longitude: Annotated[Number, Field(ge=-180, le=180)]
    latitude: Annotated[Number, Field(ge=-90, le=90)]
    metres: Annotated[Number, Field(gt=0, le=AREA_METRES_MAX)]
    coordinate_system: CoordinateSystem


class AreaEntry(Strict):
    cells: Annotated[
        frozenset[Annotated[str, BeforeValidator(_cell)]], Field(strict=False, min_length=1, max_length=CELLS_MAX)
    ] | None = None  # fmt: skip
    circle: CircleEntry | None = None
    polygon: Annotated[
        tuple[Annotated[tuple[float, float], BeforeValidator(_point)], ...],
        Field(strict=False, min_length=3, max_length=AREA_POINTS_MAX),
    ] | None = None  # fmt: skip
    coordinate_system: CoordinateSystem | None = None
    """Of a polygon."""
    margin_metres: Annotated[Number, Field(ge=0, le=MARGIN_METRES_MAX)] = 0.0

    @model_validator(mode="after")
    def _one_shape(self) -> AreaEntry:
        if sum(shape is not None for shape in (self.cells, self.circle, self.polygon)) != 1:
            raise ValueError("an area has cells, a circle or a polygon. Write exactly one of the three")
        if (self.polygon is None) != (self.coordinate_system is None):
            raise ValueError("coordinate_system stands beside a polygon, or in a circle. Write WGS-84 or GCJ-02 there")
        if self.cells is not None and self.margin_metres:
            raise ValueError("cells have no margin. Delete margin_metres")
        return self

    def area(self) -> Area:
        if self.cells is not None:
            return Cells(self.cells)
        if self.circle is not None:
            at = self.circle
            return Circle(at.longitude, at.latitude, at.metres, at.coordinate_system, self.margin_metres)
        return Polygon(self.polygon or (), self.coordinate_system or "", self.margin_metres)


class HostsEntry(Strict):
    names: Annotated[
        tuple[Annotated[str, BeforeValidator(_host)], ...], Field(strict=False, min_length=1, max_length=HOSTS_MAX)
    ] | None = None  # fmt: skip
    file: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    """A host name a line; read when the rules are published."""
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Of a long list that was read from a file and travels beside the document."""

    @model_validator(mode="after")
    def _one_source(self) -> HostsEntry:
        if sum(source is not None for source in (self.names, self.file, self.digest)) != 1:
            raise ValueError("a list of hosts has names or a file. Write exactly one of the two")
        return self


class TagEntry(Strict):
    type: Annotated[TagType, Field(strict=False)]
    consent: Literal["location", "internet"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _in_a_word(cls, value: object) -> object:
        return {"type": value} if isinstance(value, str) else value

    def tag(self, name: str) -> Tag:
        return Tag(name, self.type, sensitivity=Sensitivity(self.consent or Sensitivity.NORMAL))


class TriggerFile(Strict):
    rules: Annotated[tuple[RuleEntry, ...], Field(strict=False, max_length=RULES_MAX)] = ()
    tags: Annotated[dict[TagName, TagEntry], Field(max_length=TAGS_MAX)] = Field(default_factory=dict)
    areas: Annotated[dict[Slug, AreaEntry], Field(max_length=AREAS_MAX)] = Field(default_factory=dict)
    hosts: Annotated[dict[Slug, HostsEntry], Field(max_length=HOST_LISTS_MAX)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_differ(self) -> TriggerFile:
        _distinct(tuple(rule.name for rule in self.rules))
        _distinct(tuple(name.casefold() for name in self.tags))
        return self


def hosts_in(lines: Iterable[str]) -> tuple[tuple[str, ...], list[tuple[int, str]]]:
    """The names a file of hosts holds, one a line, # begins a comment; and what is wrong, with its line from 1."""
    found, wrong = dict[str, None](), list[tuple[int, str]]()
    for number, line in enumerate(lines, 1):
        written = line.partition("#")[0].strip()
        name = host_name(written)
        if name:
            found[name] = None
        elif written:
            wrong.append((number, f"{written!r} is no host name. Write it as example.com"))
    return tuple(found), wrong
