"""Who of a block may be contacted, by which rules: one pure decision over sparse facts, made again by `replay`.

A fact is silent about everybody it does not concern, so that a decision is recorded in little more than its hits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Codes, Keys, Mask, Rows
from common.kernel.policy import Policy
from common.kernel.task import TaskReason

BLACKLISTED_AT, STOPPED_AT, CLASS_STOPPED_AT, REFUSED_AT = (
    "blacklisted_at",
    "stopped_at",
    "class_stopped_at",
    "refused_at",
)
LEFT, ERASED_AT, UNNUMBERED = "left", "erased_at", "unnumbered"
OWNS_SINCE, ORDERED_AT = "owns_since", "ordered_at"
CONSENT_UNTIL, CLASS_CONSENT_UNTIL = "consent_until", "class_consent_until"
SPENT, NO_ROOM = "spent", "no_room"
"""SPENT is followed by the place of the cap in the policy: `spent.0`."""
RIVAL = "rival"
"""No rule looks at it. Whose contact it was that left none: a place in the decision's list of rivals."""
OWN_FROM, OUTRANKED_BY = "own_from", "outranked_by"


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known of some of the people considered: places among them, ascending, and a value each."""

    places: Rows
    values: NDArray[np.int64]


Facts = Mapping[str, Fact]
NOTHING = Fact(np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class Terms:
    """What of a work order the rules look at."""

    channel_class: str
    product_line: str
    service: bool
    purpose: str


@dataclass(frozen=True, slots=True)
class Considered:
    """Everything a decision about `count` people was made of. Times are Unix seconds."""

    count: int
    terms: Terms
    policy: Policy
    facts: Facts
    now: int

    def known(self, name: str) -> Mask:
        """Of whom the fact says anything."""
        mask = np.zeros(self.count, dtype=np.bool_)
        mask[self.facts.get(name, NOTHING).places] = True
        return mask

    def value(self, name: str) -> NDArray[np.int64]:
        """0 where the fact is silent."""
        values = np.zeros(self.count, dtype=np.int64)
        fact = self.facts.get(name, NOTHING)
        values[fact.places] = fact.values
        return values


def _cooling(of: Considered) -> Mask:
    refused, ordered = of.value(REFUSED_AT), of.value(ORDERED_AT)
    rests = (refused > 0) & (refused + of.policy.cooling_seconds > of.now)
    return rests | ((ordered > 0) & (ordered + of.policy.after_order_seconds > of.now))


def _no_consent(of: Considered) -> Mask:
    missing = np.zeros(of.count, dtype=np.bool_)
    if of.terms.purpose:
        missing |= of.value(CONSENT_UNTIL) <= of.now
    if of.terms.channel_class in of.policy.consent_classes:
        missing |= of.value(CLASS_CONSENT_UNTIL) <= of.now
    return missing


def _capped(of: Considered, *, province: bool = False) -> Mask:
    """The level's own contacts of some cap are all spent."""
    capped = np.zeros(of.count, dtype=np.bool_)
    for place, rule in enumerate(of.policy.caps):
        if rule.covers(of.terms.channel_class, of.terms.product_line):
            capped |= of.value(f"{SPENT}.{place}") >= of.policy.own_contacts(rule, province=province)
    return capped


def _capped_here(of: Considered) -> Mask:
    """The province's own contacts are all spent, or count as spent until OWN_FROM."""
    return _capped(of, province=True) | (of.value(OWN_FROM) > of.now)


@dataclass(frozen=True, slots=True)
class ContactRule:
    """Forbids whom `forbids` marks. `service`: it holds for service notices as well."""

    reason: TaskReason
    forbids: Callable[[Considered], Mask]
    service: bool = False


AT_ISSUE: tuple[ContactRule, ...] = (
    ContactRule(TaskReason.CONTACT_CAP, _capped),
    ContactRule(TaskReason.CAPACITY, lambda of: of.known(NO_ROOM), service=True),
)
"""What HQ decides when it issues tasks, in order: the first that forbids gives the reason."""

AT_LOCAL: tuple[ContactRule, ...] = (
    ContactRule(TaskReason.CONTACT_CAP, _capped_here),
    ContactRule(TaskReason.OUTRANKED, lambda of: of.known(OUTRANKED_BY)),
    ContactRule(TaskReason.CAPACITY, lambda of: of.known(NO_ROOM), service=True),
)
"""What a province decides about contacts it asks for itself, in order."""

AT_CLAIM: tuple[ContactRule, ...] = (
    ContactRule(TaskReason.ERASED, lambda of: of.known(ERASED_AT), service=True),
    ContactRule(TaskReason.BLACKLISTED, lambda of: of.known(BLACKLISTED_AT), service=True),
    ContactRule(TaskReason.STOPPED, lambda of: of.known(STOPPED_AT) | of.known(CLASS_STOPPED_AT)),
    ContactRule(TaskReason.INACTIVE, lambda of: of.known(LEFT), service=True),
    ContactRule(TaskReason.ORDERED, lambda of: of.known(OWNS_SINCE)),
    ContactRule(TaskReason.NO_CONSENT, _no_consent),
    ContactRule(TaskReason.COOLING, _cooling),
    ContactRule(TaskReason.NO_NUMBER, lambda of: of.known(UNNUMBERED), service=True),
    ContactRule(TaskReason.CONTACT_CAP, lambda of: of.value(OWN_FROM) > of.now),
)
"""What the executing node decides before it books contacts, in order. Who came from another province after a province
decided to contact them on its own account, may have been contacted there."""

STAGES: dict[str, tuple[ContactRule, ...]] = {"issue": AT_ISSUE, "local": AT_LOCAL, "claim": AT_CLAIM}


def verdicts(rules: Sequence[ContactRule], considered: Considered) -> list[tuple[ContactRule, Mask]]:
    """Each rule that applies, with whom it forbids."""
    applying = [rule for rule in rules if rule.service or not considered.terms.service]
    return [(rule, rule.forbids(considered)) for rule in applying]


def reasons(rules: Sequence[ContactRule], considered: Considered) -> Codes:
    """The first rule that forbids each contact, or NONE."""
    codes = np.zeros(considered.count, dtype=np.uint8)
    for rule, forbidden in reversed(verdicts(rules, considered)):
        codes[forbidden] = rule.reason
    return codes


def fact_of(keys: Keys, about: Keys, values: NDArray[np.integer] | int = 1) -> Fact:
    """The fact about those of `about` (ascending, unique, with their values) that are among `keys` (ascending)."""
    if len(about) == 0 or len(keys) == 0:
        return NOTHING
    places = np.searchsorted(keys, about)
    there = places < len(keys)
    there[there] = keys[places[there]] == about[there]
    held = np.broadcast_to(np.asarray(values, dtype=np.int64), about.shape)
    return Fact(places[there], held[there])


def fact_nonzero(values: NDArray[np.signedinteger]) -> Fact:
    """Silent where the value is 0."""
    places = np.flatnonzero(values)
    return Fact(places, values[places].astype(np.int64))


def fact_where(mask: Mask) -> Fact:
    places = np.flatnonzero(mask)
    return Fact(places, np.ones(len(places), dtype=np.int64))
