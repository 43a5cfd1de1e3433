"""The contact policy: how often, when and on what consent a person may be contacted. Versioned, the same everywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from enum import IntEnum, StrEnum
from zoneinfo import ZoneInfo

from common.kernel.channel import Channel, ChannelClass
from common.kernel.refusal import Fault, Refusal

CLOCK_MARGIN_SECONDS = 15
"""How far two nodes' clocks may disagree and still lease contacts to each other."""
SUBMIT_SECONDS = 60
"""From the booking of a contact to the last moment its message may be written to the wire."""
SPEND_MARGIN_SECONDS = SUBMIT_SECONDS + 2 * CLOCK_MARGIN_SECONDS
"""A spend is counted this much longer than its window: the contact may be that much younger than its date says."""
CONTACTS_MAX = 200
WINDOW_SECONDS_MAX = 400 * 86_400
CAPS_MAX = 12
SECONDS_MAX = 400 * 86_400
STOP_FRESHNESS_SECONDS_MIN = 60
CAPACITY_MAX = 1_000_000_000


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
class Quiet:
    """No contact from `begins` to `ends` (civil times; may pass midnight) on working days, or on days of rest."""

    begins: time
    ends: time
    rest_begins: time
    rest_ends: time


@dataclass(frozen=True, slots=True)
class Policy:
    """Times are seconds. `rest_days` and `make_up_days` hold every exception to the week from Monday to Friday."""

    version: int
    caps: tuple[CapRule, ...]
    mode: Mode = Mode.SHARED
    stop_freshness_seconds: int = 3600
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
    rest_days: frozenset[date] = frozenset()
    make_up_days: frozenset[date] = frozenset()

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


def checked(policy: Policy) -> Policy:
    """The policy itself, or a Refusal POLICY_INVALID that names the field."""
    if len(policy.caps) > CAPS_MAX:
        raise _invalid(f"caps: {len(policy.caps)} rules; at most {CAPS_MAX} are taken")
    for place, rule in enumerate(policy.caps):
        _check_cap(f"caps[{place}]", rule)
    _check_range("stop_freshness", policy.stop_freshness_seconds, STOP_FRESHNESS_SECONDS_MIN, SECONDS_MAX)
    _check_range("cooling", policy.cooling_seconds, 0, SECONDS_MAX)
    _check_range("after_order", policy.after_order_seconds, 0, SECONDS_MAX)
    for channel, contacts in policy.capacities:
        _check_range(f"capacities.{channel}", contacts, 0, CAPACITY_MAX)
    for value in policy.consent_classes:
        _check_class("consent", value)
    return policy


def _check_cap(where: str, rule: CapRule) -> None:
    if not isinstance(rule.scope, Scope):
        raise _invalid(f"{where}.scope: {rule.scope!r} is no scope; write all, channel_class or product_line")
    if (rule.scope is Scope.ALL) != (rule.value == ""):
        raise _invalid(
            f"{where}.value: scope {rule.scope.name.lower()} {'takes no' if rule.value else 'needs a'} value"
        )
    if rule.scope is Scope.CHANNEL_CLASS:
        _check_class(where, rule.value)
    _check_range(f"{where}.contacts", rule.contacts, 1, CONTACTS_MAX)
    _check_range(f"{where}.window", rule.window_seconds, 1, WINDOW_SECONDS_MAX)
    _check_range(f"{where}.province_share", rule.province_share, 0, rule.contacts)


def _check_class(where: str, value: str) -> None:
    if value not in set(ChannelClass):
        raise _invalid(f"{where}: {value!r} is no channel class; use one of {', '.join(ChannelClass)}")


def _check_range(where: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise _invalid(f"{where}: {value} is out of range; give {least} to {most}")


def _invalid(message: str) -> Refusal:
    return Refusal(Fault.INVALID, "POLICY_INVALID", message)


DEFAULT = Policy(
    version=0,
    caps=(
        CapRule(Scope.ALL, "", 2, 86_400, 1),
        CapRule(Scope.ALL, "", 6, 7 * 86_400, 2),
    ),
)
"""In force until an operator applies one."""


def renumbered(policy: Policy, version: int) -> Policy:
    return replace(policy, version=version)


def quiet_until(policy: Policy, channel: Channel, now: int) -> int | None:
    """When the channel's quiet window around `now` ends (Unix seconds), or None where `now` is outside one.

    A window belongs to the day it begins on: a Friday evening's follows the rules of Friday.
    """
    own = Quiet(channel.quiet_from, channel.quiet_until, channel.quiet_from, channel.quiet_until)
    quiet = dict(policy.quiet).get(channel.name, own)
    local = datetime.fromtimestamp(now, ZoneInfo(channel.zone))
    ends = [end for day in (local.date() - timedelta(days=1), local.date()) if (end := _end(policy, quiet, day, local))]
    return int(max(ends).timestamp()) if ends else None


def _end(policy: Policy, quiet: Quiet, day: date, local: datetime) -> datetime | None:
    """The end of the window that begins on `day`, where `local` is within it."""
    begins, ends = (quiet.rest_begins, quiet.rest_ends) if policy.rests(day) else (quiet.begins, quiet.ends)
    begin = datetime.combine(day, begins, local.tzinfo)
    end = datetime.combine(day if begins <= ends else day + timedelta(days=1), ends, local.tzinfo)
    return end if begin <= local < end else None


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
