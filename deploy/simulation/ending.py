"""What must hold once the weather was calm for long enough, read from the stores' rows alone."""

from __future__ import annotations

from collections.abc import Sequence

from common.kernel.task import TERMINAL, TaskReason, TaskState
from common.kernel.work_order import HQ_NODE, WorkOrderState
from deploy.simulation.node import Node
from deploy.simulation.source import Source
from deploy.simulation.violation import Violation

SETTLED = min(TERMINAL)
OVER = (WorkOrderState.REJECTED, WorkOrderState.COMPLETED)
COUNTERS = ", ".join(f"{name}_tasks" for name in ("delivered", "suppressed", "expired", "failed", "unknown"))
TASKS = "work_order, number, keys, states, reasons, responses"
WISHES = {
    "stop": ("SELECT subscriber_key, scope, stopped_at, lifted FROM stop", True),
    "consent": ("SELECT subscriber_key, purpose, given_at, expires_at, withdrawn FROM consent", False),
}
"""Rows by their first two columns, and which value of the last allows contacts."""
ORDERS = "SELECT source_system, order_number, revision FROM order_record"
LOGS = "SELECT stream, epoch, head FROM log WHERE peer = ?"
CURSORS = "SELECT stream, epoch, sequence FROM cursor WHERE peer = ?"
WAITING = {
    "a command": "SELECT work_order FROM pending_command",
    "a request": "SELECT name FROM local_request WHERE state <> 3",
}

_Block = tuple[bytes, ...]
"""Keys, states, reasons, responses."""


def check(hq: Node, provinces: Sequence[Node]) -> None:
    for node in (hq, *provinces):
        _check_settled(node)
    for province in provinces:
        _check_drained(hq, province)
        _check_drained(province, hq)
        _check_agree(hq, province)
        _check_work_orders(hq, province)
        _check_own(province)
        _check_waiting(province)
        _check_wishes(hq, province)
        _check_orders(hq, province)


def _check_settled(node: Node) -> None:
    """I4, I5 and I16: every task ended, and the counters are the states'."""
    columns = f"SELECT work_order, number, tasks, states, {COUNTERS} FROM task_block"  # noqa: S608
    for name, number, tasks, states, *counted in node.rows(columns):
        left = [row for row, state in enumerate(states) if state < SETTLED]
        if left:
            raise Violation("liveness", f"{node.name}: tasks {left} of {name}/{number} are not settled: {list(states)}")
        if counted != [states.count(state) for state in TERMINAL] or sum(counted) != tasks:
            raise Violation("sums", f"{node.name}: {name}/{number} counts {counted} of {tasks}, holds {list(states)}")


def _check_drained(writer: Node, reader: Node) -> None:
    """I16: what was written for the other side is applied there. (That it was, the writer may still have to hear.)"""
    applied = {stream: tuple(place) for stream, *place in reader.rows(CURSORS, writer.name)}
    for stream, *head in writer.rows(LOGS, reader.name):
        if head[1] and applied.get(stream) != tuple(head):
            what = f"{reader.name} has read {stream} of {writer.name} up to {applied.get(stream)} of {tuple(head)}"
            raise Violation("liveness", what)


def _check_waiting(province: Node) -> None:
    for what, statement in WAITING.items():
        if found := province.rows(statement):
            raise Violation("liveness", f"{province.name}: {what} waits for ever: {found}")


def _check_agree(hq: Node, province: Node) -> None:
    """I10: both sides hold the same of every task, but for what a restored side cannot know."""
    mine = {row[:2]: row[2:] for row in province.rows(f"SELECT {TASKS} FROM task_block")}  # noqa: S608
    theirs = {
        row[:2]: row[2:]
        for row in hq.rows(
            f"SELECT {TASKS} FROM task_block WHERE work_order IN (SELECT name FROM work_order WHERE node = ?)",  # noqa: S608
            province.name,
        )
    }
    restored = hq.restored or province.restored
    for place in sorted(mine.keys() | theirs.keys()):
        # What is over is not told to a province that forgot it.
        forgotten = place not in mine and province.restored
        if not forgotten and not _agree(mine.get(place), theirs.get(place), restored):
            shown = f"{_shown(mine.get(place))} there, {_shown(theirs.get(place))} at {HQ_NODE}"
            raise Violation("convergence", f"{province.name}: {place[0]}/{place[1]} is {shown}")


def _check_work_orders(hq: Node, province: Node) -> None:
    """I11 and I16: every work order of the province is over, at both sides alike.

    But for what a province forgot that came back from a backup: of what HQ knows to be over it is told nothing.
    """
    statement = "SELECT name, state, version, task_count FROM work_order WHERE node = ?"
    here, there = ({row[0]: row[1:] for row in node.rows(statement, province.name)} for node in (province, hq))
    for name in sorted(here.keys() | there.keys()):
        mine, theirs = here.get(name), there.get(name)
        if mine is None and theirs and theirs[0] in OVER and province.restored:
            continue
        if mine is None or mine != theirs or mine[0] not in OVER:
            raise Violation("work_orders", f"{province.name}: {name} is {mine} there, {theirs} at {HQ_NODE}")


def _agree(mine: _Block | None, theirs: _Block | None, restored: bool) -> bool:
    if mine is None or theirs is None or not restored:
        return mine == theirs
    rows = zip(mine[1], mine[2], theirs[1], theirs[2], strict=True)
    # What a node forgot it may never learn again, and says so. Or it forgot that a rule forbade a contact, and let it
    # expire before it met the one who had heard of that: both ends say that nobody was contacted, and both stay.
    return mine[0] == theirs[0] and all(
        (state, why) == (other, reason)
        or TaskState.UNKNOWN in (state, other)
        or (_unsent(state, why) and _unsent(other, reason))
        for state, why, other, reason in rows
    )


def _unsent(state: int, why: int) -> bool:
    return state == TaskState.SUPPRESSED or (state, why) == (TaskState.EXPIRED, TaskReason.VALIDITY_OVER)


def _shown(block: _Block | None) -> str:
    if block is None:
        return "absent"
    _, states, reasons, responses = (list(column) for column in block)
    return f"states {states} reasons {reasons} responses {responses}"


def _check_own(province: Node) -> None:
    """I9: a province holds work orders of its own only."""
    others = province.rows("SELECT name, node FROM work_order WHERE node <> ?", province.name)
    if others:
        raise Violation("isolation", f"{province.name} holds work orders of others: {others}")


def _check_wishes(hq: Node, province: Node) -> None:
    """I10: of what people wish all nodes know the same.

    But for what allows contacts, once HQ was restored: it believes that only of the home province (DESIGN 12, I9), so
    what a forgetful home and a forgetful HQ both lost, others cannot bring back. Nobody is contacted for it: who is
    not at home there, a province does not contact. Nor does HQ believe it of the province somebody moved from.
    """
    at_home = {person.key for person in hq.world.people if person.home == province.name and not person.moved}
    moved = {person.key for person in hq.world.people if person.moved}
    for table, (statement, allows) in WISHES.items():
        here, there = ({row[:2]: row[2:] for row in node.rows(statement)} for node in (province, hq))
        for identity in sorted(here.keys() | there.keys()):
            mine = here.get(identity)
            forgot = hq.restored or identity[0] in moved
            unheard = forgot and mine is not None and mine[-1] == allows and identity[0] not in at_home
            if mine != there.get(identity) and not unheard:
                what = f"{table} {identity} is {mine} there, {there.get(identity)} at {HQ_NODE}"
                raise Violation("convergence", f"{province.name}: {what}")


def _check_orders(hq: Node, province: Node) -> None:
    """I6: what a source system told is kept where it was told, and at HQ; no restore loses it, for the source tells
    it again.
    """
    at_hq = set(hq.rows(ORDERS))
    for node, known in ((province, set(province.rows(ORDERS))), (hq, at_hq)):
        lost = _told(node.sources()) - known
        if lost:
            raise Violation("lost", f"{node.name} lost orders that its source told: {sorted(lost)}")
    if only_there := _told(province.sources()) - at_hq:
        raise Violation("lost", f"{HQ_NODE} never had orders of {province.name}: {sorted(only_there)}")


def _told(sources: Sequence[Source[object]]) -> set[tuple[str, str, int]]:
    records = [record for source in sources if source.feed == "orders" for record in source.records]
    return {identity for record in records for identity in _identities(record)}


def _identities(record: object) -> list[tuple[str, str, int]]:
    columns = (getattr(record, name) for name in ("source_systems", "order_numbers", "revisions"))
    return [(system, number, int(revision)) for system, number, revision in zip(*columns, strict=True)]
