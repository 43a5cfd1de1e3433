"""A policy as people write it and as nodes keep it: one form of YAML, read alike at every node.

What HQ stores and sends differs from what an operator wrote in one thing: `calendar` names every day of rest itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from common.kernel.policy import ALL_DAY, NO_TIME, CapRule, Mode, Policy, Quiet, Scope, Window, problems
from common.kernel.refusal import Refusal
from common.runtime.yaml_form import Seconds, Strict, built, refusal
from common.runtime.yaml_source import Problem, Source, UnreadableError, read

DOCUMENTS_KEPT = 8

_WINDOW = re.compile(r"(\d{2}):(\d{2})-(\d{2}):(\d{2})")
_WHOLE = {"all_day": ALL_DAY, "none": NO_TIME}


def _window(value: object) -> object:
    if isinstance(value, str) and value in _WHOLE:
        return _WHOLE[value]
    found = _WINDOW.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{value!r} is no part of a day. Write it as 21:00-09:00, all_day or none")
    hours, minutes, end_hours, end_minutes = map(int, found.groups())
    begins, ends = hours * 60 + minutes, end_hours * 60 + end_minutes
    if max(minutes, end_minutes) > 59 or begins >= 24 * 60 or ends > 24 * 60 or begins == ends:
        raise ValueError(f"{value!r} is no part of a day. Write it as 21:00-09:00, all_day or none")
    return Window(begins * 60, ends * 60)


def _day(value: object) -> object:
    try:
        day = date.fromisoformat(value) if isinstance(value, str) and len(value) == 10 else None
    except ValueError:
        day = None
    if day is None:
        raise ValueError(f"{value!r} is no day. Write it as 2026-10-01")
    return day


def _scope(value: object) -> object:
    names = {scope.name.lower(): scope for scope in Scope}
    if value not in names:
        raise ValueError(f"{value!r} is no scope. Write {', '.join(names)}")
    return names[str(value)]


def _mode(value: object) -> object:
    if value not in set(Mode):
        raise ValueError(f"{value!r} is no mode. Write {', '.join(Mode)}")
    return Mode(str(value))


def _province(value: object) -> object:
    if not (isinstance(value, str) and re.fullmatch(r"\d{2}", value)):
        raise ValueError(f"{value!r} is no province. Use a two-digit code such as 65")
    return int(value)


Day = Annotated[date, BeforeValidator(_day)]
QuietWindow = Annotated[Window, BeforeValidator(_window)]


class CapEntry(Strict):
    scope: Annotated[Scope, BeforeValidator(_scope)]
    value: str = ""
    contacts: int
    per: Seconds
    province_share: int = 0


class QuietEntry(Strict):
    working: QuietWindow
    rest: QuietWindow | None = None
    """Left out: as on working days."""


class Calendar(Strict):
    country: Literal["CN"] | None = None
    """Whose holidays and make-up workdays HQ looks up; never there in what nodes keep."""
    years: Annotated[tuple[int, ...], Field(strict=False)]
    rest_days: Annotated[tuple[Day, ...], Field(strict=False)] = ()
    make_up_days: Annotated[tuple[Day, ...], Field(strict=False)] = ()


class PolicyFile(Strict):
    mode: Annotated[Mode, BeforeValidator(_mode)]
    caps: Annotated[tuple[CapEntry, ...], Field(strict=False)]
    stop_freshness: Seconds = 3_600
    cooling: Seconds = 0
    after_order: Seconds = 0
    consent: Annotated[tuple[str, ...], Field(strict=False)] = ()
    capacities: dict[str, int] = Field(default_factory=dict)
    quiet: dict[str, QuietEntry] = Field(default_factory=dict)
    calendar: Calendar | None = None
    zones: dict[Annotated[int, BeforeValidator(_province)], str] = Field(default_factory=dict)

    def policy(self, version: int) -> Policy:
        calendar = self.calendar or Calendar(years=())
        return Policy(
            version=version,
            caps=tuple(CapRule(c.scope, c.value, c.contacts, c.per, c.province_share) for c in self.caps),
            mode=self.mode,
            stop_freshness_seconds=self.stop_freshness,
            cooling_seconds=self.cooling,
            after_order_seconds=self.after_order,
            consent_classes=self.consent,
            capacities=tuple(sorted(self.capacities.items())),
            quiet=tuple(
                (name, Quiet(q.working, q.working if q.rest is None else q.rest))
                for name, q in sorted(self.quiet.items())
            ),
            years=frozenset(calendar.years),
            rest_days=frozenset(calendar.rest_days),
            make_up_days=frozenset(calendar.make_up_days),
            zones=tuple(sorted(self.zones.items())),
        )


def parsed(text: str, version: int) -> Policy:
    """The policy a document holds. Raises Refusal POLICY_INVALID that lists everything wrong."""
    source = source_of(text)
    file, found = form_of(source)
    policy = file.policy(version) if file else None
    found += [source.problem(place, what) for place, what in (problems(policy) if policy else ())]
    if policy is None or found:
        raise refused(found)
    return policy


@lru_cache(maxsize=DOCUMENTS_KEPT)
def source_of(text: str) -> Source:
    """As read before, where it was: whoever finds a policy wrong looks again for where to say so."""
    try:
        return read(text)
    except UnreadableError as error:
        raise refused(error.problems) from error


def form_of(source: Source) -> tuple[PolicyFile | None, list[Problem]]:
    """The document, or what is wrong with its form."""
    return built(source, PolicyFile, "a policy is a mapping of keys. Begin with `mode: shared`")


def refused(found: Sequence[Problem]) -> Refusal:
    return refusal("The policy is wrong and nothing was changed.", found, "POLICY_INVALID")
