"""I6: what was acknowledged is at the receiver. I7: logs have no gap and no repeat. I16: queues drain."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from deploy.checker.finding import Finding, Tally
from deploy.checker.world import FIRST_TERMINAL, Cursor, Log, Node, OrderState, World

ENDED = (OrderState.REJECTED, OrderState.COMPLETED)


def check(world: World) -> Iterator[Finding]:
    yield _unbroken(world)
    yield _acknowledged(world)
    if world.settled:
        yield _queues_drained(world)
        yield _everything_ended(world)


def _unbroken(world: World) -> Finding:
    """Entries are numbered without a gap from the oldest to the head, and each carries its digest."""
    tally = Tally("I7", "logs_unbroken")
    for node in world.nodes:
        for log in node.logs:
            numbers = np.arange(log.oldest, log.head + 1)
            whole = np.array_equal(log.sequences, numbers) and bool(np.all(log.sound))
            placed = log.oldest - 1 <= log.head and 0 <= log.committed <= log.head and log.oldest <= log.committed + 1
            if tally.note(len(numbers), int(not (whole and placed))):
                tally.first = _say(node, log)
    return tally.finding


def _acknowledged(world: World) -> Finding:
    """A receiver stands where its sender believes it to stand, or further; at the end, at the head."""
    tally = Tally("I6", "acknowledged_is_there")
    for node in world.nodes:
        for log in node.logs:
            reader = world.node(log.peer)
            if reader is not None:
                cursor = _cursor(reader, node.name, log.stream)
                if tally.note(1, int(not _in_step(world, reader, log, cursor))):
                    tally.first = f"{_say(node, log)}; {reader.name} stands at {cursor.sequence} of {cursor.epoch}"
    return tally.finding


def _in_step(world: World, reader: Node, log: Log, cursor: Cursor) -> bool:
    """A reader restored from a backup is behind until it is told again; of an empty log there is nothing to read."""
    if world.settled:
        whole = cursor.epoch == log.epoch and cursor.sequence == log.head and _same_chain(log, cursor)
        return whole or log.head == 0
    if cursor.epoch != log.epoch:
        return log.head == 0 or log.committed == 0 or reader.fenced_at > 0
    behind = cursor.sequence < log.committed and reader.fenced_at == 0
    ahead = cursor.sequence > log.head and not world.live
    return not behind and not ahead and _same_chain(log, cursor)


def _same_chain(log: Log, cursor: Cursor) -> bool:
    """Whether both hold the same entry at the cursor; true where the log does not keep it any more."""
    if cursor.sequence == log.oldest - 1:
        return cursor.chain == log.base_chain
    at = np.flatnonzero(log.sequences == cursor.sequence)
    return len(at) == 0 or int(log.chains[at[0]]) == cursor.chain


def _queues_drained(world: World) -> Finding:
    tally = Tally("I16", "queues_drained")
    for node in world.nodes:
        waiting = {f"{log.stream} for {log.peer}": log.head - log.committed for log in node.logs} | dict(node.waiting)
        left = {name: entries for name, entries in waiting.items() if entries}
        if tally.note(len(waiting), sum(left.values())):
            tally.first = f"{node.name}: {left}"
    return tally.finding


def _everything_ended(world: World) -> Finding:
    """Every task has its end, and every work order too."""
    tally = Tally("I16", "everything_ended")
    for node in world.nodes:
        unsettled = int((node.ledger.states < FIRST_TERMINAL).sum())
        going = [order.name for order in node.work_orders if order.state not in ENDED]
        seen = len(node.ledger) + len(node.work_orders)
        if tally.note(seen, unsettled + len(going)):
            tally.first = f"{node.name}: {unsettled} tasks, work orders {', '.join(going[:3])}"
    return tally.finding


def _cursor(reader: Node, peer: str, stream: str) -> Cursor:
    nowhere = Cursor(peer, stream, 0, 0)
    return next((each for each in reader.cursors if (each.peer, each.stream) == (peer, stream)), nowhere)


def _say(node: Node, log: Log) -> str:
    where = f"epoch {log.epoch}, oldest {log.oldest}, committed {log.committed}, head {log.head}"
    return f"log {log.stream} of {node.name} for {log.peer}: {where}, {len(log.sequences)} entries kept"
