"""What must be true at the end of a demo, seen in vendors' journals and the nodes' files, without asking the nodes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.channels.journal import read_journal
from common.kernel.policy import DEFAULT
from common.kernel.subscriber import subscriber_keys
from common.kernel.task import TERMINAL, TaskState
from deploy.local.federation import HQ, NODES, PROVINCES, Local
from deploy.local.motion import query
from hq.audience import HoldOut
from hq.campaigns import Campaign

STATE_COLUMNS = [f"{state.name.lower()}_tasks" for state in TaskState]
STOP_SPREAD_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Check:
    """`broken` counts what contradicts the promise; 0 is good."""

    name: str
    seen: int
    broken: int

    @property
    def holds(self) -> bool:
        return self.broken == 0


class SumsOpenError(Exception):
    """A work order's counters do not add up to its tasks."""


@dataclass(frozen=True, slots=True)
class Contacts:
    """Every message a node's vendors accepted, a row each."""

    work_orders: NDArray[np.str_]
    tasks: NDArray[np.int64]
    keys: NDArray[np.int64]
    accepted_at: NDArray[np.int64]


def all_checks(local: Local, campaign: Campaign, report: dict[str, Any]) -> list[Check]:
    key = (local.home(HQ) / "federation.key").read_bytes()
    contacts = {node: _contacts(local, node, key) for node in NODES}
    return [
        _people_accounted_for(report),
        _report_closes(report),
        _sums_close(local),
        _ledgers_agree(local),
        _nobody_twice(contacts),
        _nothing_unbooked(local, contacts),
        _nothing_lost(local, contacts),
        _caps_hold(contacts),
        _held_out_left_alone(campaign, contacts, key),
        _stops_honoured(local, contacts),
        _orders_arrived(local),
    ]


def assert_sums_close(local: Local) -> None:
    """Raises SumsOpenError. True at every moment, so it may be asked at any."""
    check = _sums_close(local)
    if not check.holds:
        raise SumsOpenError(f"{check.broken} task blocks whose states do not add up; keep the files and report it")


def _people_accounted_for(report: dict[str, Any]) -> Check:
    people = report["people"]
    return Check("people_accounted_for", people["target"], abs(people["unaccounted"]))


def _report_closes(report: dict[str, Any]) -> Check:
    return Check("report_closes", len(report["checks"]), sum(not holds for holds in report["checks"].values()))


def _sums_close(local: Local) -> Check:
    rows = [row for node in NODES for row in _blocks_sums(local, node)]
    return Check("sums_close", len(rows), sum(tasks != total for tasks, total in rows))


def _blocks_sums(local: Local, node: str) -> list[tuple[object, ...]]:
    return query(local.database(node), f"SELECT tasks, {' + '.join(STATE_COLUMNS)} FROM task_block")  # noqa: S608


def _ledgers_agree(local: Local) -> Check:
    """HQ's mirror of every province block tells the same ends, reasons and answers."""
    seen = broken = 0
    for code in PROVINCES:
        mine = {row[:2]: row[2:] for row in _ends(local, code)}
        for name, number, states, reasons, responses in _ends(local, HQ):
            if str(name).endswith(f"/{code}"):
                theirs = mine.get((name, number))
                seen += len(states)
                broken += len(states) if theirs is None else _differences((states, reasons, responses), theirs)
    return Check("ledgers_agree", seen, broken)


def _ends(local: Local, node: str) -> Iterator[tuple[Any, ...]]:
    yield from query(local.database(node), "SELECT work_order, number, states, reasons, responses FROM task_block")


def _differences(at_hq: tuple[bytes, ...], at_province: tuple[Any, ...]) -> int:
    """Rows that differ; what is not terminal yet is open at HQ."""
    states, mine = np.frombuffer(at_hq[0], "u1"), np.frombuffer(at_province[0], "u1")
    ended = np.isin(mine, TERMINAL)
    differs = np.where(ended, states != mine, np.isin(states, TERMINAL))
    for one, other in zip(at_hq[1:], at_province[1:], strict=True):
        differs |= ended & (np.frombuffer(one, "u1") != np.frombuffer(other, "u1"))
    return int(differs.sum())


def _contacts(local: Local, node: str, federation_key: bytes) -> Contacts:
    batches = list(read_journal(local.journal(node)))
    msisdns = np.concatenate([np.zeros(0, dtype=np.int64), *(batch.msisdns for batch in batches)])
    sizes = [len(batch.tasks) for batch in batches]
    return Contacts(
        work_orders=np.repeat(np.array([batch.work_order for batch in batches] or [""])[: len(sizes)], sizes),
        tasks=np.concatenate([np.zeros(0, dtype=np.int64), *(batch.tasks for batch in batches)]).astype(np.int64),
        keys=subscriber_keys(federation_key, msisdns.tolist()),
        accepted_at=np.repeat(np.array([batch.accepted_at for batch in batches], dtype=np.int64), sizes),
    )


def _nobody_twice(contacts: dict[str, Contacts]) -> Check:
    seen = doubled = 0
    for each in contacts.values():
        for name in np.unique(each.work_orders):
            tasks = each.tasks[each.work_orders == name]
            seen += len(tasks)
            doubled += len(tasks) - len(np.unique(tasks))
    return Check("no_message_twice", seen, doubled)


def _ledger_rows(local: Local, node: str) -> dict[tuple[str, int], tuple[Any, Any]]:
    rows = query(
        local.database(node),
        "SELECT b.work_order, b.number, b.states, b.submitted_at FROM task_block b "
        "JOIN work_order w ON w.name = b.work_order WHERE w.node = ?",
        node,
    )
    return {(str(n), int(str(i))): (np.frombuffer(s, "u1"), np.frombuffer(t, "<u4")) for n, i, s, t in rows}


def _nothing_unbooked(local: Local, contacts: dict[str, Contacts]) -> Check:
    """No vendor got a message whose spend is not in the ledger."""
    seen = broken = 0
    for node, each in contacts.items():
        ledger = _ledger_rows(local, node)
        for name in np.unique(each.work_orders):
            tasks = each.tasks[each.work_orders == name]
            for number in np.unique(tasks // 10_000).tolist():
                rows = tasks[tasks // 10_000 == number] - number * 10_000
                block = ledger.get((str(name), number))
                seen += len(rows)
                broken += len(rows) if block is None else int((block[1][rows] == 0).sum())
    return Check("every_contact_booked", seen, broken)


def _nothing_lost(local: Local, contacts: dict[str, Contacts]) -> Check:
    """What the ledger calls delivered was accepted by a vendor."""
    seen = broken = 0
    for node, each in contacts.items():
        for (name, number), (states, _) in _ledger_rows(local, node).items():
            delivered = np.flatnonzero(states == TaskState.DELIVERED) + number * 10_000
            seen += len(delivered)
            broken += int((~np.isin(delivered, each.tasks[each.work_orders == name])).sum())
    return Check("every_delivery_real", seen, broken)


def _caps_hold(contacts: dict[str, Contacts]) -> Check:
    """Over both levels nobody got more messages within a window than the contact policy allows."""
    keys, times = (
        np.concatenate([getattr(each, name) for each in contacts.values()]) for name in ("keys", "accepted_at")
    )
    order = np.lexsort((times, keys))
    keys, times, broken = keys[order], times[order], 0
    for rule in DEFAULT.caps:
        k = rule.contacts
        broken += int(((keys[k:] == keys[:-k]) & (times[k:] - times[:-k] < rule.window_seconds)).sum())
    return Check("contact_cap_holds", len(keys), broken)


def _held_out_left_alone(campaign: Campaign, contacts: dict[str, Contacts], federation_key: bytes) -> Check:
    keys = np.concatenate([each.keys for each in contacts.values()])
    drawn = HoldOut(campaign.holdout, campaign.name, federation_key).drawn(keys)
    return Check("held_out_left_alone", len(keys), int(drawn.sum()))


def _stops_honoured(local: Local, contacts: dict[str, Contacts]) -> Check:
    rows = query(
        local.database(HQ), "SELECT subscriber_key, stopped_at FROM stop WHERE scope = 0 AND NOT lifted ORDER BY 1"
    )
    stops = np.array(rows, dtype=np.int64).reshape(-1, 2)
    broken = 0
    for each in contacts.values():
        places = np.minimum(np.searchsorted(stops[:, 0], each.keys), max(len(stops) - 1, 0))
        if len(stops):
            stopped = stops[places, 0] == each.keys
            broken += int((stopped & (each.accepted_at > stops[places, 1] + STOP_SPREAD_SECONDS)).sum())
    return Check("stops_honoured", len(stops), broken)


def _orders_arrived(local: Local) -> Check:
    """Every record any BSS ever showed is at HQ once, and a province's own are at the province."""
    seen = broken = 0
    for node in NODES:
        source = "cbss" if node == HQ else f"bss-{node}"
        shown = _shown(local, node)
        for holder in {HQ, node}:
            rows = query(
                local.database(holder),
                "SELECT order_number, revision FROM order_record WHERE source_system = ?",
                source,
            )
            seen += len(shown)
            broken += len(shown.symmetric_difference(rows)) + len(rows) - len(set(rows))
    return Check("orders_arrived", seen, broken)


def _shown(local: Local, node: str) -> set[tuple[object, ...]]:
    path = local.home(f"bss-{node}") / "data" / "orders.jsonl"
    orders = [json.loads(line)["order"] for line in path.read_text(encoding="utf-8").splitlines()]
    return {(order["order_number"], order["revision"]) for order in orders}
