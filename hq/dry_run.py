"""What a wave would do, added up; see docs/dry-run.md for every field."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.kernel.channel import CHANNELS
from common.kernel.columns import Codes, Mask
from common.kernel.contact_rules import RIVAL, SPENT, Considered
from common.kernel.policy import CONTACTS_MAX, Policy
from common.kernel.task import TaskReason
from hq.campaigns import Campaign
from hq.effect import CONFIDENCE, HELD_OUT_MIN, POWER, detectable

Document = dict[str, Any]
UNLIMITED = 1 << 60
"""More places than any channel has."""
Place = tuple[str, str]
"""A channel at a node."""


@dataclass(frozen=True, slots=True)
class Whose:
    """Where the people of a wave come from: a first wave's are the audience but for those held out, a later one's are
    some of those in the wave before."""

    matched: int
    held_out: int
    not_chosen: int
    audience: tuple[int, int]
    """How many the campaign means to contact, and how many are held out of it."""
    snapshot: int


@dataclass(slots=True)
class Tally:
    """People stream through it; what it keeps does not grow with them."""

    policy: Policy
    selected: int = 0
    rooms: dict[Place, int] = field(default_factory=dict)
    """How many contacts the channel could still take before."""
    issued: Counter[Place] = field(default_factory=Counter)
    tasks: Counter[Place] = field(default_factory=Counter)
    contacts: Counter[Place] = field(default_factory=Counter)
    reasons: defaultdict[Place, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    provinces: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    left: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    """By the place of a cap in the policy: how many people would have 0, 1, 2 … of HQ's contacts left."""
    rivals: Counter[str] = field(default_factory=Counter)
    """By campaign: how many people it leaves without a contact."""

    def add(self, place: Place, homes: NDArray[np.int64], codes: Codes) -> None:
        """Some people of a work order, with their home provinces and what forbids each contact, or NONE."""
        allowed = codes == TaskReason.NONE
        self.tasks[place] += len(codes)
        self.contacts[place] += int(np.count_nonzero(allowed))
        counted = np.bincount(codes[~allowed])
        self.reasons[place].update(
            {TaskReason(code).name: int(counted[code]) for code in np.flatnonzero(counted).tolist()}
        )
        for name, some in (("tasks", homes), ("contacts", homes[allowed])):
            codes, people = np.unique(some, return_counts=True)
            self.provinces[name].update(dict(zip(codes.tolist(), people.tolist(), strict=True)))

    def spend(self, considered: Considered, rivals: list[str], contacted: Mask) -> None:
        """What is left of HQ's contacts of those considered, and to whom those left without one lost it."""
        for place, rule in enumerate(self.policy.caps):
            if rule.covers(considered.terms.channel_class, considered.terms.product_line):
                own = self.policy.own_contacts(rule, province=False)
                left = np.maximum(own - considered.value(f"{SPENT}.{place}") - contacted, 0)
                known = self.left.setdefault(place, np.zeros(CONTACTS_MAX + 1, dtype=np.int64))
                known += np.bincount(left, minlength=len(known))
        if considered.known(RIVAL).any():
            counted = np.bincount(considered.facts[RIVAL].values)
            for ref in np.flatnonzero(counted).tolist():
                self.rivals[rivals[ref].rsplit("/", 3)[0]] += int(counted[ref])


@dataclass(frozen=True, slots=True)
class Wave:
    number: int
    select_at: int
    at: int
    """When it is taken to run: at `select_at`, or now where that is past."""


def dry_run_of(campaign: Campaign, state: str, wave: Wave, whose: Whose, tally: Tally, base_rate: float) -> Document:
    places = sorted(tally.tasks)
    contacts, tasks = sum(tally.contacts.values()), sum(tally.tasks.values())
    reasons = Counter[str]()
    for counted in tally.reasons.values():
        reasons.update(counted)
    funnel = [
        ("held_out", whose.held_out),
        ("not_chosen", whose.not_chosen),
        ("unreachable", tally.selected - tasks),
        *reasons.most_common(),
        ("contacts", contacts),
    ]
    return {
        "campaign": campaign.name,
        "title": campaign.title.model_dump(),
        "state": state,
        "wave": wave.number,
        "name": campaign.waves[wave.number - 1].name,
        "select_at": wave.select_at,
        "at": wave.at,
        "snapshot": whose.snapshot,
        "policy": tally.policy.version,
        "matched": whose.matched,
        "funnel": [{"step": step, "people": people} for step, people in funnel],
        "closes": whose.matched == sum(people for _, people in funnel),
        "contacts": contacts,
        "loads": [_load(tally, place) for place in places],
        "provinces": _provinces(tally),
        "caps": [_cap(tally.policy, place, left) for place, left in sorted(tally.left.items())],
        "conflicts": [{"campaign": name, "people": people} for name, people in tally.rivals.most_common()],
        "cost_fen": sum(campaign.cost_fen(channel) * tally.contacts[channel, node] for channel, node in places),
        "effect": _effect(whose, base_rate),
    }


def _load(tally: Tally, place: Place) -> Document:
    channel, node = place
    contacts, room = tally.contacts[place], tally.rooms[place]
    return {
        "channel": channel,
        "node": node,
        "tasks": tally.tasks[place],
        "contacts": contacts,
        "reasons": dict(tally.reasons[place].most_common()),
        "room": None if room >= UNLIMITED else room,
        "seconds": -(-contacts // CHANNELS[channel].messages_per_second_max),
    }


def _provinces(tally: Tally) -> list[Document]:
    tasks, contacts = tally.provinces["tasks"], tally.provinces["contacts"]
    return [{"province": f"{code:02d}", "tasks": tasks[code], "contacts": contacts[code]} for code in sorted(tasks)]


def _cap(policy: Policy, place: int, left: NDArray[np.int64]) -> Document:
    rule = policy.caps[place]
    own = policy.own_contacts(rule, province=False)
    return {
        "scope": rule.scope.name.lower(),
        "value": rule.value,
        "contacts": rule.contacts,
        "own": own,
        "window_seconds": rule.window_seconds,
        "people_by_contacts_left": left[: own + 1].tolist(),
    }


def _effect(whose: Whose, base_rate: float) -> Document:
    meant, held_out = whose.audience
    return {
        "contactable": meant,
        "held_out": held_out,
        "least_people": HELD_OUT_MIN,
        "base_rate": base_rate,
        "detectable": detectable(meant, held_out, base_rate),
        "power": POWER,
        "confidence": CONFIDENCE,
    }
