"""A campaign's report as one JSON document; every field is described in docs/report.md."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from common.kernel.marketing_state import MarketingState
from common.kernel.task import TaskReason, TaskState
from hq.audience import Manifest
from hq.campaigns import Campaign, CampaignState
from hq.effect import HELD_OUT_MIN, SAMPLE_RATIO_P_MIN, Effect, effect, sample_ratio_p
from hq.evaluation import FATES, Cell, Evaluation, Place

Document = dict[str, Any]
Group = TypeVar("Group", str, int)

REASONED = (TaskState.SUPPRESSED, TaskState.EXPIRED, TaskState.FAILED, TaskState.UNKNOWN)
_FIRST_CODE = {TaskState.SUPPRESSED: 1, TaskState.FAILED: 20, TaskState.UNKNOWN: 40, TaskState.EXPIRED: 60}
"""Task reasons are numbered in a range a state."""
_RANGE = 20


UNKNOWN_CONTACTS_MAX = 1_000
"""How many contacts of unknown fate a report lists; it counts all of them."""


@dataclass(frozen=True, slots=True)
class UnknownContact:
    """One contact whose fate cannot be known: ask the vendor by its work order and task."""

    work_order: str
    task: int
    reason: str
    submitted_at: int


@dataclass(frozen=True, slots=True)
class WaveStanding:
    """`unreachable`: chosen by the wave and taken by none of its channels; None before it is cut."""

    number: int
    name: str
    state: str
    select_at: int
    selected: int
    unreachable: int | None


def report_of(
    campaign: Campaign,
    state: CampaignState,
    manifest: Manifest,
    waves: list[WaveStanding],
    found: Evaluation,
    unknown: list[UnknownContact],
    now: int,
) -> Document:
    """`unknown`: the first UNKNOWN_CONTACTS_MAX of them, or all."""
    total = _by(found.cells, lambda _: "")[""]
    by_wave = _by(found.cells, lambda place: place[0])
    by_channel = _by(found.cells, lambda place: place[1])
    document = {
        "campaign": campaign.name,
        "title": campaign.title.model_dump(),
        "state": state.name.lower(),
        "at": now,
        "starts_at": campaign.schedule.start,
        "ends_at": campaign.schedule.end,
        "attribution_ends_at": campaign.attribution_over_at,
        "attribution_days": campaign.attribution_days,
        "offer": {
            "code": campaign.offer.code,
            "title": campaign.offer.title.model_dump(),
            "price_fen": campaign.offer.price_fen,
        },
        "people": _people(manifest, found),
        "marketing_states": {each.name.lower(): found.states[each.name.lower()] for each in MarketingState},
        "total": _row(total) | {"penetration": _ratio(found.reached, manifest.target)},
        "waves": [asdict(wave) | _row(by_wave[wave.number]) for wave in waves],
        "channels": [{"channel": channel} | _row(cell) for channel, cell in sorted(by_channel.items())],
        "provinces": _provinces(manifest, found),
        "rows": [_named(place) | _row(cell) for place, cell in sorted(found.cells.items())],
        "unknown_contacts": [asdict(each) for each in unknown],
        "orders": _orders(found.orders),
        "goal": _goal(campaign, total),
        "effect": _effect(found),
        "sample_ratio": _sample_ratio(manifest),
    }
    return document | {"checks": _checks(document, manifest, waves, found)}


def _people(manifest: Manifest, found: Evaluation) -> Document:
    entries = ("held_out", *FATES, "unreachable", "not_yet_waved")
    counted = {entry: found.people[entry] for entry in entries}
    return {"target": manifest.target} | counted | {"unaccounted": manifest.target - sum(counted.values())}


def _row(cell: Cell) -> Document:
    contacted, ordered, cost, income = (cell[name] for name in ("contacted", "ordered", "cost_fen", "income_fen"))
    return {
        "issued": cell["issued"],
        **{fate: cell[fate] for fate in FATES},
        **{f"{state.name.lower()}_by": _reasons(cell, state) for state in REASONED},
        "contacted": contacted,
        **{name: cell[name] for name in ("responded", "interested", "refused", "opted_out")},
        "ordered": ordered,
        "response_rate": _ratio(cell["responded"], contacted),
        "success_rate": _ratio(ordered, contacted),
        "conversion_rate": _ratio(ordered, cell["responded"]),
        "cost_fen": cost,
        "income_fen": income,
        "roi": _ratio(income - cost, cost),
    }


def _reasons(cell: Cell, state: TaskState) -> dict[str, int]:
    first = _FIRST_CODE[state]
    mine = [reason for reason in TaskReason if first <= reason < first - first % _RANGE + _RANGE]
    return {reason.name: cell[f"reasons.{reason.name}"] for reason in mine if cell[f"reasons.{reason.name}"]}


def _provinces(manifest: Manifest, found: Evaluation) -> list[Document]:
    cells = _by(found.cells, lambda place: place[3])
    return [
        {"province": f"{each.province:02d}", "target": each.target, "held_out": each.held_out}
        | _row(cells[each.province])
        for each in manifest.provinces
    ]


def _named(place: Place) -> Document:
    wave, channel, node, province = place
    return {"wave": wave, "channel": channel, "node": node, "province": f"{province:02d}"}


def _orders(book: Cell) -> Document:
    organic = sum(book[name] for name in ("organic_contactable", "organic_held_out", "organic_outside"))
    entries = ("attributed", "elsewhere", "organic_contactable", "organic_held_out", "organic_outside")
    taken = {name: book[name] for name in entries}
    amounts = {f"{name}_fen": book[f"{name}_fen"] for name in (*entries, "reversed", "unmatched")}
    apart = {name: book[name] for name in ("reversed", "unmatched", "cancelled_later")}
    return {"taken": sum(taken.values()), **taken, "organic": organic, **apart, **amounts}


def _goal(campaign: Campaign, total: Cell) -> Document | None:
    if campaign.goal is None:
        return None
    return {"orders": campaign.goal.orders, "attainment": _ratio(total["ordered"], campaign.goal.orders)}


def _effect(found: Evaluation) -> Document:
    answer = effect(found.meant, found.held_out)
    groups = {
        "contactable": asdict(found.meant) | {"rate": found.meant.rate},
        "held_out": asdict(found.held_out) | {"rate": found.held_out.rate},
        "least_people": HELD_OUT_MIN,
    }
    if isinstance(answer, Effect):
        return groups | {"stated": True, "not_stated_because": ""} | asdict(answer)
    return groups | {"stated": False, "not_stated_because": answer}


def _sample_ratio(manifest: Manifest) -> Document:
    p = sample_ratio_p(manifest.target, manifest.held_out, manifest.holdout_share)
    return {
        "share": manifest.holdout_share,
        "held_out": manifest.held_out,
        "expected": manifest.holdout_share * manifest.target,
        "p": p,
        "alarm": p < SAMPLE_RATIO_P_MIN,
    }


def _checks(document: Document, manifest: Manifest, waves: list[WaveStanding], found: Evaluation) -> dict[str, bool]:
    """What must hold of every report, at any moment."""
    people, total, orders = document["people"], document["total"], document["orders"]
    cut = waves[0].unreachable if waves else None
    audience = {each.province: (each.target, each.held_out) for each in manifest.provinces}
    return {
        "people_close": people["unaccounted"] == 0,
        "tasks_close": total["issued"] == sum(total[fate] for fate in FATES),
        "reasons_close": all(
            sum(total[f"{state.name.lower()}_by"].values()) == total[state.name.lower()] for state in REASONED
        ),
        "orders_close": orders["taken"] == orders["attributed"] + orders["elsewhere"] + orders["organic"],
        "credits_close": total["ordered"] == orders["attributed"],
        "states_close": sum(document["marketing_states"].values()) == people["target"] - people["held_out"],
        "audience_as_approved": audience
        == {province: (cell["target"], cell["held_out"]) for province, cell in found.provinces.items()},
        "unreachable_as_recorded": cut is None or people["unreachable"] == cut,
        "unknown_listed": len(document["unknown_contacts"]) == min(total["unknown"], UNKNOWN_CONTACTS_MAX),
        "work_orders_whole": found.tasks_missing == 0 or any(wave.state == "selected" for wave in waves),
        "nobody_held_out_has_a_task": found.tasks_held_out == 0,
        "nobody_outside_has_a_task": found.tasks_outside == 0,
    }


def _by(cells: dict[Place, Cell], key: Callable[[Place], Group]) -> defaultdict[Group, Cell]:
    """The cells added up by `key`; a group without cells is empty."""
    groups: defaultdict[Group, Cell] = defaultdict(Counter)
    for place, cell in cells.items():
        groups[key(place)].update(cell)
    return groups


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
