"""What must be true at the end of a demo, seen in vendors' journals and the nodes' files, without asking the nodes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from common.kernel.task import TaskState
from deploy.checker.check import examine
from deploy.checker.finding import Finding
from deploy.checker.sources import Sources, read
from deploy.demo.scene import Scene
from deploy.local.federation import HQ, NODES, Local
from deploy.local.motion import query

STATE_COLUMNS = [f"{state.name.lower()}_tasks" for state in TaskState]
INVARIANTS = {
    "I1": "contact_caps_hold",
    "I2": "stops_honoured",
    "I3": "only_who_may_be",
    "I4": "one_end_each",
    "I5": "sums_close",
    "I6": "nothing_lost",
    "I7": "logs_whole",
    "I8": "no_message_twice",
    "I9": "own_rows_only",
    "I10": "ledgers_agree",
    "I11": "versions_rise",
    "I12": "capacity_kept",
    "I16": "queues_drained",
}


@dataclass(frozen=True, slots=True)
class Check:
    """`broken` counts what contradicts the promise; 0 is good. `first` shows one such thing."""

    name: str
    seen: int
    broken: int
    first: str = ""

    @property
    def holds(self) -> bool:
        return self.broken == 0


class SumsOpenError(Exception):
    """A work order's counters do not add up to its tasks."""


def all_checks(local: Local, report: dict[str, Any]) -> list[Check]:
    found = groupby(examine(read(sources(local))), lambda finding: finding.invariant)
    ends = [_check(INVARIANTS[invariant], list(findings)) for invariant, findings in found]
    return [_people_accounted_for(report), _report_closes(report), *ends, _orders_arrived(local)]


def offered_once(scene: Scene) -> Check:
    """It fired for everybody who used up their data and nobody else, and nobody has two messages."""
    return Check("offered_once", scene.fires, abs(scene.fires - scene.people) + scene.twice + (scene.contacts == 0))


def sources(local: Local) -> Sources:
    """For the checker, once everything has arrived."""
    return Sources(
        {node: str(local.database(node)) for node in NODES},
        {node: [local.journal(node)] for node in NODES},
        (local.home(HQ) / "federation.key").read_bytes(),
        settled=True,
        connected=True,
    )


def assert_sums_close(local: Local) -> None:
    """Raises SumsOpenError. True at every moment, so it may be asked at any."""
    statement = f"SELECT count(*) FROM task_block WHERE tasks != {' + '.join(STATE_COLUMNS)}"  # noqa: S608
    broken = sum(int(query(local.database(node), statement)[0][0]) for node in NODES)
    if broken:
        raise SumsOpenError(f"{broken} task blocks whose states do not add up; keep the files and report it")


def _check(name: str, findings: list[Finding]) -> Check:
    first = next((f"{finding.rule}: {finding.first}" for finding in findings if not finding.holds), "")
    seen, broken = (sum(getattr(finding, count) for finding in findings) for count in ("seen", "broken"))
    return Check(name, seen, broken, first)


def _people_accounted_for(report: dict[str, Any]) -> Check:
    people = report["people"]
    return Check("people_accounted_for", people["target"], abs(people["unaccounted"]))


def _report_closes(report: dict[str, Any]) -> Check:
    return Check("report_closes", len(report["checks"]), sum(not holds for holds in report["checks"].values()))


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
