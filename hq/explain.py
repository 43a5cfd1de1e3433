"""Why one subscriber was contacted by a campaign, or was not: from audience to order, as it stood at a moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.kernel.channel import CHANNELS
from common.kernel.columns import Times
from common.kernel.order import OrderChange, OrderRecords
from common.kernel.policy import Policy, quiet_until
from common.kernel.tag import Person
from common.kernel.task import CONTACTED, IN_FLIGHT, TaskState
from common.kernel.work_order import WorkOrderState
from hq.attribution import ORGANIC, Contacts, Standing, attribute
from hq.audience import Manifest
from hq.campaigns import Campaign, CampaignState, Wave
from hq.ruling import Document, PolicyOf, Task, as_of, marketing_state, ruling
from hq.selection import Selection

REACHED = (*IN_FLIGHT, *CONTACTED)


@dataclass(frozen=True, slots=True)
class Orders:
    """The person's order records, and when HQ heard of each."""

    records: OrderRecords
    observed_at: Times

    def of_offer(self, offer: str, at: int) -> Orders:
        """Those of an offer that HQ had heard of at a moment."""
        heard = np.array([name == offer for name in self.records.offers], dtype=np.bool_) & (self.observed_at <= at)
        rows = np.flatnonzero(heard)
        return Orders(self.records.take(rows), self.observed_at[rows])

    @property
    def owned(self) -> bool:
        """Whether one of them stands: the highest revision of an order number says."""
        last: dict[tuple[str, str], tuple[int, int]] = {}
        records = self.records
        numbers = zip(records.source_systems, records.order_numbers, strict=True)
        for number, revision in zip(
            numbers, zip(records.revisions.tolist(), records.changes.tolist(), strict=True), strict=True
        ):
            last[number] = max(last.get(number, revision), revision)
        return any(change == OrderChange.SUBSCRIBED for _, change in last.values())


@dataclass(frozen=True, slots=True)
class Whom:
    """The person asked about, wherever the node knows of them."""

    key: int
    province: int
    """0 where nobody told."""
    known: bool
    active: bool
    history: Sequence[Task]
    """Every task they ever had, under any campaign."""
    orders: Orders
    foreseen: Mapping[str, Sequence[Document]]
    """By work order whose task is open: what the rules of a claim would say now, by what HQ knows."""


@dataclass(frozen=True, slots=True)
class Sight:
    """A campaign's view of the person, in the snapshot its audience was approved on.

    `person`: None where the snapshot has nobody of that key. `conditions`: what the rule says must hold together.
    `choices`: by wave, whether each channel takes them.
    """

    person: Person | None
    reads: Sequence[str]
    """The columns the rule reads."""
    hidden: frozenset[str]
    """Columns whose values are not to be shown."""
    matched: bool
    conditions: Sequence[tuple[str, bool]]
    choices: Sequence[Sequence[bool]]
    held_out: bool


@dataclass(frozen=True, slots=True)
class Begun:
    """A wave as stored; `selection` is None before it was selected."""

    number: int
    select_at: int
    selection: Selection | None


@dataclass(frozen=True, slots=True)
class Case:
    """One campaign and one person. `manifest` is None before approval, `sight` where the snapshot is gone."""

    campaign: Campaign
    state: CampaignState
    manifest: Manifest | None
    waves: Sequence[Begun]
    sight: Sight | None
    whom: Whom


@dataclass(frozen=True, slots=True)
class Moment:
    """When and by which policies; `in_force` is the present one."""

    at: int
    now: int
    policy_of: PolicyOf
    in_force: Policy


def explain(case: Case, moment: Moment) -> Document:
    """See docs/why.md for every field."""
    waves = [_wave(case, begun, moment) for begun in case.waves]
    bars = _barred(case)
    telling = _telling(waves)
    return {
        "campaign": case.campaign.name,
        "title": case.campaign.title.model_dump(),
        "state": case.state.name.lower(),
        "outcome": bars or (telling["outcome"] if telling else "planned"),
        "reason": telling["reason"] if telling and not bars else "",
        "would_change": _would_change(case, bars, telling),
        "audience": _audience(case),
        "waves": waves,
        "orders": _orders(case, moment.at),
    }


def _telling(waves: Sequence[Document]) -> Document | None:
    """The wave that says what became of the person: the last that reached them, else the last that had a task for
    them, else the last that began."""
    begun = [wave for wave in waves if wave["outcome"] != "planned"]
    tasked = [wave for wave in begun if wave["task"]]
    reached = [wave for wave in tasked if TaskState[wave["outcome"].upper()] in REACHED]
    found = reached or tasked or begun
    return found[-1] if found else None


def alone(task: Task, whom: Whom, moment: Moment) -> Document | None:
    """A task under no campaign: a province asked for it. None before it was issued."""
    known = as_of(task, moment.at)
    if known is None:
        return None
    return {"task": _told(known), "decisions": _rulings(whom, known, moment)}


def _barred(case: Case) -> str:
    """Why no wave could take the person, or nothing."""
    if case.manifest is None:
        return "not_approved"
    if case.sight is None:
        return ""
    if case.sight.person is None:
        return "not_in_snapshot"
    if not case.sight.matched:
        return "not_matched"
    return "held_out" if case.sight.held_out else ""


def _would_change(case: Case, bars: str, last: Document | None) -> Document | None:
    """The fewest things that had to be otherwise: `conditions` of the rule, the `state` that the wave before left, a
    channel's rule, or `rules` of a decision."""
    if bars == "not_matched" and case.sight is not None:
        return {"conditions": [text for text, holds in case.sight.conditions if not holds]}
    if bars or last is None:
        return {"draw": case.campaign.holdout} if bars == "held_out" else None
    if last["outcome"] == "not_chosen":
        return {"state": last["chosen"]["takes"]}
    if last["outcome"] == "unreachable":
        return {"channels": [choice["channel"] for choice in last["channels"]]}
    decided = [each for each in last["decisions"] if each["would_change"]]
    return decided[-1]["would_change"] if decided else None


def _audience(case: Case) -> Document | None:
    manifest, sight = case.manifest, case.sight
    if manifest is None or sight is None:
        return None
    values = {} if sight.person is None else {name: sight.person.values.get(name) for name in sight.reads}
    return {
        "rule": manifest.rule,
        "snapshot": manifest.snapshot_version,
        "in_snapshot": sight.person is not None,
        "matched": sight.matched,
        "conditions": [{"condition": text, "holds": holds} for text, holds in sight.conditions],
        "columns": {name: _shown(value, name in sight.hidden) for name, value in values.items()},
        "holdout_share": manifest.holdout_share,
        "held_out": sight.held_out,
    }


def _shown(value: Any, hidden: bool) -> Any:
    if hidden and value is not None:
        return "…"
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _wave(case: Case, begun: Begun, moment: Moment) -> Document:
    wave = case.campaign.waves[begun.number - 1]
    selection = begun.selection if begun.selection and begun.selection.selected_at <= moment.at else None
    task = _task(case, begun.number, moment.at)
    chosen = _chosen(case, begun, selection, moment)
    channels = _channels(case, begun.number, wave)
    outcome = _outcome(selection, chosen, channels, task)
    return {
        "wave": begun.number,
        "name": wave.name,
        "select_at": begun.select_at,
        "selected_at": selection.selected_at if selection else 0,
        "outcome": outcome,
        "reason": task.reason.name if task and task.reason else "",
        "chosen": chosen,
        "channels": channels,
        "task": _told(task) if task else None,
        "decisions": _rulings(case.whom, task, moment) if task else [],
        "awaits": _awaits(case, task, moment) if task and task.state is TaskState.OPEN else [],
        "foreseen": list(case.whom.foreseen.get(task.order.name, ())) if task and moment.at == moment.now else [],
    }


def _outcome(selection: Selection | None, chosen: Document | None, channels: list[Document], task: Task | None) -> str:
    if task is not None:
        return task.state.name.lower()
    if selection is None:
        return "planned"
    if chosen is not None and not chosen["holds"]:
        return "not_chosen"
    return "being_issued" if any(choice["takes"] for choice in channels) else "unreachable"


def _chosen(case: Case, begun: Begun, selection: Selection | None, moment: Moment) -> Document | None:
    """By which state of the wave before; None for a first wave, which takes the audience."""
    takes = case.campaign.waves[begun.number - 1].select
    if begun.number == 1:
        return None
    at = selection.selected_at if selection else moment.at
    before = _task(case, begun.number - 1, at)
    told = {"takes": [state.name.lower() for state in takes], "at": at}
    if before is None:
        return told | {"was": "", "holds": False}
    ordered = case.whom.orders.of_offer(case.campaign.offer.code, at).owned
    was = marketing_state(before, ordered, at, case.campaign.respond_seconds)
    return told | {"was": was.name.lower(), "holds": was in takes}


def _channels(case: Case, number: int, wave: Wave) -> list[Document]:
    takes = case.sight.choices[number - 1] if case.sight and case.sight.choices else [False] * len(wave.channels)
    return [
        {"channel": choice.channel, "when": choice.when or "", "takes": took}
        for choice, took in zip(wave.channels, takes, strict=True)
    ]


def _task(case: Case, number: int, at: int) -> Task | None:
    mine = (t for t in case.whom.history if (t.order.campaign, t.order.wave) == (case.campaign.name, number))
    return next((known for task in mine if (known := as_of(task, at))), None)


def _told(task: Task) -> Document:
    order = task.order
    return {
        "work_order": order.name,
        "task": task.number,
        "channel": order.channel,
        "node": order.node,
        "priority": order.priority,
        "start_at": order.start_at,
        "end_at": order.end_at,
        "work_order_state": order.state.name.lower(),
        "state": task.state.name.lower(),
        "reason": task.reason.name,
        "issued_at": task.issued_at,
        "submitted_at": task.submitted_at,
        "settled_at": task.settled_at,
        "response": task.response.name.lower(),
        "text": task.text,
    }


def _rulings(whom: Whom, task: Task, moment: Moment) -> list[Document]:
    return [ruling(task, each, moment.policy_of(each.policy_version), whom.history) for each in task.decisions]


def _awaits(case: Case, task: Task, moment: Moment) -> list[Document]:
    """What a task that is still open waits for, and until when where time decides."""
    order, found = task.order, list[Document]()
    if moment.at == moment.now:
        states = {WorkOrderState.ISSUED: "acceptance", WorkOrderState.PAUSED: "resumption",
                  WorkOrderState.CANCELLED: "ending"}  # fmt: skip
        found += [{"for": states[order.state], "until": None}] if order.state in states else []
    if moment.at < order.start_at:
        found.append({"for": "start", "until": order.start_at})
    channel = CHANNELS.get(order.channel)
    quiet = None
    if channel is not None:
        zone = moment.in_force.zone(channel, case.whom.province)
        quiet = quiet_until(moment.in_force, channel, moment.at, zone)
    found += [{"for": "quiet_hours", "until": quiet}] if quiet is not None else []
    return found or [{"for": "turn", "until": None}]


def _orders(case: Case, at: int) -> list[Document]:
    """Orders of the campaign's offer, each with the work order it is credited to, or none."""
    heard = case.whom.orders.of_offer(case.campaign.offer.code, at)
    contacts = _contacts(case, at)
    names = list(contacts)
    places = [Contacts(place, *columns) for place, columns in enumerate(contacts.values())]
    book = attribute(heard.records, places, case.campaign.attribution_days)
    return [
        {
            "source_system": book.orders.source_systems[row],
            "order_number": book.orders.order_numbers[row],
            "standing": Standing(int(book.orders.standings[row])).name.lower(),
            "accepted_at": int(book.orders.accepted_at[row]),
            "amount_fen": int(book.orders.amounts_fen[row]),
            "cancelled": bool(book.orders.cancelled[row]),
            "credited_to": "" if book.work_orders[row] == ORGANIC else names[int(book.work_orders[row])],
        }
        for row in range(len(book.orders))
    ]


def _contacts(case: Case, at: int) -> Mapping[str, tuple[Any, Any, Any]]:
    """The contacts that may earn an order of the offer, by work order."""
    offered = [t for each in case.whom.history if (t := as_of(each, at)) and t.order.offer == case.campaign.offer.code]
    return {
        task.order.name: (
            np.array([case.whom.key]),
            np.array([task.number]),
            np.array([task.submitted_at], dtype=np.uint32),
        )
        for task in sorted(offered, key=lambda task: task.order.name)
        if task.state in CONTACTED
    }
