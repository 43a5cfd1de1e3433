"""The contact policy: how often, when and on what consent a person may be contacted. Versioned, the same everywhere.

Nodes take a new version over at different moments, so for a while HQ may decide by one and a province by another.
What is safe then:

- Fewer contacts, or a longer window: at once. Spends are derived from the ledger, never counted up, so a longer window
  finds those made under the shorter one; blocks stay in the ledger at least as long as the longest window taken.
- More contacts, each level's share as large as before or larger: at once.
- A contact that moves from one level to the other, or a cap that is stricter in one window and looser in another: only
  in two versions. The first takes away; when that has been in force at every node for the longest window, a second may
  give. `unsafe` finds what must not be done in one.
- Everything that is decided where the contact is made (quiet hours, consent, cooling): from when that node has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import IntEnum, StrEnum
from math import inf
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from common.kernel.channel import CHANNELS, Channel, ChannelClass
from common.kernel.province import PROVINCES

CLOCK_MARGIN_SECONDS = 15
"""How far two nodes' clocks may disagree and still lease contacts to each other."""
SUBMIT_SECONDS = 60
"""From the booking of a contact to the last moment its message may be written to the wire."""
SPEND_MARGIN_SECONDS = SUBMIT_SECONDS + 2 * CLOCK_MARGIN_SECONDS
"""A spend is counted this much longer than its window: the contact may be that much younger than its date says."""
DAY_SECONDS = 86_400
CONTACTS_MAX = 200
WINDOW_SECONDS_MAX = 400 * DAY_SECONDS
CAPS_MAX = 12
REST_SECONDS_MAX = 400 * DAY_SECONDS
STOP_FRESHNESS_SECONDS_MIN = 60
STOP_FRESHNESS_SECONDS_MAX = 7 * DAY_SECONDS
CAPACITY_MAX = 1_000_000_000
YEARS = range(2000, 2101)
YEARS_MAX = 20
QUIET_DAYS_MAX = 40
"""A quiet stretch is not followed further than this."""

Place = tuple[int | str, ...]
"""Where a value stands in a policy: ("caps", 0, "contacts")."""


class Mode(StrEnum):
    """Who owns the contacts of a cap."""

    HQ_CONTROLLED = "hq_controlled"
    """HQ all of them; a province asks for each."""
    SHARED = "shared"
    """HQ and the home province each its share."""
    PROVINCE_LOCAL = "province_local"
    """The home province all of them; HQ contacts nobody by its own tokens."""


class Scope(IntEnum):
    ALL = 0
    CHANNEL_CLASS = 1
    PRODUCT_LINE = 2


@dataclass(frozen=True, slots=True)
class CapRule:
    """At most `contacts` in any stretch of `window_seconds`; of them `province_share` are the home province's own."""

    scope: Scope
    value: str
    """The channel class or product line; empty for all marketing."""
    contacts: int
    window_seconds: int
    province_share: int

    def covers(self, channel_class: str, product_line: str) -> bool:
        return self.scope is Scope.ALL or self.value == {
            Scope.CHANNEL_CLASS: channel_class,
            Scope.PRODUCT_LINE: product_line,
        }.get(self.scope)


@dataclass(frozen=True, slots=True)
class Window:
    """Seconds of a civil day from `begins` until before `ends`; of both its ends where it ends before it begins."""

    begins: int
    ends: int

    @property
    def parts(self) -> list[tuple[int, int]]:
        if self.begins <= self.ends:
            return [(self.begins, self.ends)]
        return [(0, self.ends), (self.begins, DAY_SECONDS)]


ALL_DAY = Window(0, DAY_SECONDS)
NO_TIME = Window(0, 0)


@dataclass(frozen=True, slots=True)
class Quiet:
    """When nobody is contacted on working days and on days of rest.

    Each moment goes by the day it falls on: a Friday night is Friday's until midnight and Saturday's from there.
    """

    working: Window
    rest: Window


@dataclass(frozen=True, slots=True)
class Policy:
    """Times are seconds. `rest_days` and `make_up_days` hold every exception to the week from Monday to Friday."""

    version: int
    caps: tuple[CapRule, ...]
    mode: Mode = Mode.SHARED
    stop_freshness_seconds: int = 3600
    """A node that has not heard the stops for this long contacts nobody."""
    cooling_seconds: int = 0
    """Marketing rests this long after a refusal."""
    after_order_seconds: int = 0
    """Marketing rests this long after an order of anything."""
    consent_classes: tuple[str, ...] = ()
    """Channel classes that need the person's consent."""
    capacities: tuple[tuple[str, int], ...] = ()
    """(channel, contacts a day at each node), such as call seats."""
    quiet: tuple[tuple[str, Quiet], ...] = ()
    """By channel, where it is not the channel's own quiet window."""
    years: frozenset[int] = frozenset()
    """Those whose days of rest are known. In another, both windows of a channel are quiet."""
    rest_days: frozenset[date] = field(default=frozenset(), repr=False)
    make_up_days: frozenset[date] = field(default=frozenset(), repr=False)
    zones: tuple[tuple[int, str], ...] = ()
    """(home province, time zone), where people live by another clock than the channel's."""

    def own_contacts(self, rule: CapRule, *, province: bool) -> int:
        """How many of the rule's contacts this level may spend."""
        share = {Mode.HQ_CONTROLLED: 0, Mode.SHARED: rule.province_share, Mode.PROVINCE_LOCAL: rule.contacts}[self.mode]
        return share if province else rule.contacts - share

    @property
    def longest_window_seconds(self) -> int:
        return max((rule.window_seconds for rule in self.caps), default=0)

    def capacity(self, channel: str) -> int | None:
        return dict(self.capacities).get(channel)

    def rests(self, day: date) -> bool:
        return day in self.rest_days or (day.weekday() >= 5 and day not in self.make_up_days)

    def zone(self, channel: Channel, home: int) -> str:
        """By which clock people of a home province live."""
        return dict(self.zones).get(home, channel.zone)

    def quiet_parts(self, channel: Channel, day: date) -> list[tuple[int, int]]:
        """The quiet stretches of the day, ascending by their begin; they may overlap."""
        quiet = dict(self.quiet).get(channel.name) or _own_quiet(channel)
        if quiet.working == quiet.rest or day.year in self.years:
            return (quiet.rest if self.rests(day) else quiet.working).parts
        return sorted(quiet.working.parts + quiet.rest.parts)


def _own_quiet(channel: Channel) -> Quiet:
    begins, ends = (t.hour * 3600 + t.minute * 60 + t.second for t in (channel.quiet_from, channel.quiet_until))
    return Quiet(Window(begins, ends), Window(begins, ends))


DEFAULT = Policy(
    version=0,
    caps=(
        CapRule(Scope.ALL, "", 2, DAY_SECONDS, 1),
        CapRule(Scope.ALL, "", 6, 7 * DAY_SECONDS, 2),
    ),
)
"""In force until an operator applies one."""


def renumbered(policy: Policy, version: int) -> Policy:
    return replace(policy, version=version)


def quiet_until(policy: Policy, channel: Channel, now: int, zone: str = "") -> int | None:
    """When the quiet stretch around `now` ends (Unix seconds), or None where `now` is outside one.

    By the clock in `zone`, else in the channel's. Where that clock is turned back or forward over the end of the
    stretch, the answer is the later of the possible moments.
    """
    clock = ZoneInfo(zone or channel.zone)
    local = datetime.fromtimestamp(now, clock)
    day, second = local.date(), local.hour * 3600 + local.minute * 60 + local.second
    end = _followed(policy.quiet_parts(channel, day), second)
    if end == second:
        return None
    for _ in range(QUIET_DAYS_MAX):
        if end < DAY_SECONDS:
            break
        day, end = day + timedelta(days=1), _followed(policy.quiet_parts(channel, day + timedelta(days=1)), 0)
    moment = datetime(day.year, day.month, day.day, tzinfo=clock) + timedelta(seconds=end)
    return max(int(moment.replace(fold=fold).timestamp()) for fold in (0, 1))


def _followed(parts: list[tuple[int, int]], second: int) -> int:
    """The second at which the quiet that holds `second` ends; `second` itself where none does."""
    for begins, ends in parts:
        if begins <= second < ends:
            second = ends
    return second


def quiet_by_home(policy: Policy, channel: Channel, now: int, homes: NDArray[np.int64]) -> NDArray[np.int64]:
    """What `quiet_until` says of people at home in these provinces; 0 where they may be contacted now."""
    until = np.zeros(len(homes), dtype=np.int64)
    for home in np.unique(homes).tolist():
        until[homes == home] = quiet_until(policy, channel, now, policy.zone(channel, home)) or 0
    return until


def everybody_quiet(policy: Policy, channel: Channel, now: int) -> bool:
    """Whether it is quiet wherever people may live."""
    zones = {channel.zone, *dict(policy.zones).values()}
    return all(quiet_until(policy, channel, now, zone) is not None for zone in zones)


def unsafe(new: Policy, current: Policy, earlier: Sequence[Policy] = ()) -> Iterator[Place]:
    """Changed caps that must not be used beside `current`, nor beside what was in use within the longest window.

    Of two policies in use at once, one must allow each level at least what the other does, in every window. Then the
    most generous in use allows all that both levels do, of each kind of cap.
    """
    for scope, value in dict.fromkeys((rule.scope, rule.value) for rule in new.caps):
        mine = _shares(new, scope, value)
        kin = [_shares(other, scope, value) for other in (current, *earlier)]
        if mine != kin[0] and not all(_ordered(mine, theirs) for theirs in kin):
            yield ("caps", next(n for n, rule in enumerate(new.caps) if (rule.scope, rule.value) == (scope, value)))


class _Share(NamedTuple):
    window: int
    hq: float
    province: float


def _shares(policy: Policy, scope: Scope, value: str) -> list[_Share]:
    rules = [rule for rule in policy.caps if (rule.scope, rule.value) == (scope, value)]
    own = policy.own_contacts
    return sorted(_Share(r.window_seconds, own(r, province=False), own(r, province=True)) for r in rules)


def _ordered(one: Sequence[_Share], other: Sequence[_Share]) -> bool:
    windows = {share.window for share in (*one, *other)}
    pairs = [pair for window in windows for pair in zip(_left(one, window), _left(other, window), strict=True)]
    return all(a <= b for a, b in pairs) or all(a >= b for a, b in pairs)


def _left(shares: Sequence[_Share], window: int) -> tuple[float, float]:
    """What each level may contact in a window: a rule binds every shorter window as well."""
    binding = [share for share in shares if share.window >= window]
    return min((s.hq for s in binding), default=inf), min((s.province for s in binding), default=inf)


def problems(policy: Policy) -> Iterator[tuple[Place, str]]:
    """All that is wrong with it: where, and what to do. Places are named as in a policy file."""
    if not 0 < len(policy.caps) <= CAPS_MAX:
        yield ("caps",), f"{len(policy.caps)} rules. Write 1 to {CAPS_MAX}"
    for number, rule in enumerate(policy.caps):
        yield from _cap_problems(("caps", number), rule, policy.caps[:number])
    yield from _range("stop_freshness", policy.stop_freshness_seconds, STOP_FRESHNESS_SECONDS_MIN,
                      STOP_FRESHNESS_SECONDS_MAX)  # fmt: skip
    yield from _range("cooling", policy.cooling_seconds, 0, REST_SECONDS_MAX)
    yield from _range("after_order", policy.after_order_seconds, 0, REST_SECONDS_MAX)
    for number, value in enumerate(policy.consent_classes):
        yield from _class_problems(("consent", number), value)
    for channel, contacts in policy.capacities:
        yield from _channel_problems(("capacities", channel))
        if not 0 <= contacts <= CAPACITY_MAX:
            yield ("capacities", channel), f"{contacts} is out of range. Give 0 to {CAPACITY_MAX} contacts a day"
    yield from _quiet_problems(policy)
    yield from _calendar_problems(policy)
    for province, zone in policy.zones:
        yield from _zone_problems(province, zone)


def _cap_problems(place: Place, rule: CapRule, before: Sequence[CapRule]) -> Iterator[tuple[Place, str]]:
    if not isinstance(rule.scope, Scope):
        yield (*place, "scope"), f"{rule.scope!r} is no scope. Write all, channel_class or product_line"
    elif (rule.scope is Scope.ALL) != (rule.value == ""):
        needs = "covers all marketing. Delete value" if rule.value else "needs to say which one. Add value"
        yield (*place, "value"), f"scope {rule.scope.name.lower()} {needs}"
    elif rule.scope is Scope.CHANNEL_CLASS:
        yield from _class_problems((*place, "value"), rule.value)
    if not 1 <= rule.contacts <= CONTACTS_MAX:
        yield (*place, "contacts"), f"{rule.contacts} is out of range. Give 1 to {CONTACTS_MAX}"
    if not 1 <= rule.window_seconds <= WINDOW_SECONDS_MAX:
        yield (*place, "per"), f"is out of range. Give 1s to {WINDOW_SECONDS_MAX // DAY_SECONDS}d"
    if not 0 <= rule.province_share <= rule.contacts:
        yield (*place, "province_share"), f"{rule.province_share} is out of range. Give 0 to contacts, {rule.contacts}"
    known = [(other.scope, other.value, other.window_seconds) for other in before]
    if (rule.scope, rule.value, rule.window_seconds) in known:
        yield place, "the same scope and window are there twice. Delete one"


def _quiet_problems(policy: Policy) -> Iterator[tuple[Place, str]]:
    for channel, quiet in policy.quiet:
        place = ("quiet", channel)
        yield from _channel_problems(place)
        for name, window in (("working", quiet.working), ("rest", quiet.rest)):
            if not (0 <= window.begins < DAY_SECONDS and 0 <= window.ends <= DAY_SECONDS):
                yield (*place, name), "is no part of a day. Write it as 21:00-09:00"
        if quiet.working == ALL_DAY:
            yield (*place, "working"), f"leaves no time. Close the channel by capacities.{channel}: 0"
        if quiet.working != quiet.rest and not policy.years:
            yield (*place, "rest"), "days of rest are not known. Add calendar with country and years"


def _calendar_problems(policy: Policy) -> Iterator[tuple[Place, str]]:
    if len(policy.years) > YEARS_MAX or not policy.years <= set(YEARS):
        what = f"Write at most {YEARS_MAX} years, each from {YEARS[0]} to {YEARS[-1]}"
        yield ("calendar", "years"), f"years are too many or too far. {what}"
    for name, days in (("rest_days", policy.rest_days), ("make_up_days", policy.make_up_days)):
        for day in sorted(day for day in days if day.year not in policy.years):
            yield ("calendar", name), f"{day} is in no year of the calendar. Add {day.year} to calendar.years"
    for day in sorted(policy.rest_days & policy.make_up_days):
        yield ("calendar", "make_up_days"), f"{day} is a day of rest as well. Delete one of the two"


def _zone_problems(province: int, zone: str) -> Iterator[tuple[Place, str]]:
    place = ("zones", f"{province:02d}")
    if province not in PROVINCES:
        yield place, "is no province. Use a two-digit code such as 65"
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        yield place, f"{zone!r} is no time zone. Use one such as Asia/Urumqi"


def _class_problems(place: Place, value: str) -> Iterator[tuple[Place, str]]:
    if value not in set(ChannelClass):
        yield place, f"{value!r} is no channel class. Use one of: {', '.join(ChannelClass)}"


def _channel_problems(place: Place) -> Iterator[tuple[Place, str]]:
    if place[-1] not in CHANNELS:
        yield place, f"unknown channel. Use one of: {', '.join(CHANNELS)}"


def _range(name: str, value: int, least: int, most: int) -> Iterator[tuple[Place, str]]:
    if not least <= value <= most:
        yield (name,), f"is out of range. Give {least}s to {most // DAY_SECONDS}d"


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    """A policy as it travels and is stored: YAML, its days of rest resolved."""

    version: int
    document: str


@dataclass(frozen=True, slots=True)
class PolicyEvent:
    """What a province made of a policy; an empty `objection`: it is in force."""

    version: int
    objection: str
