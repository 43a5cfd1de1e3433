"""I6: what the ledgers say happened, happened. I8: nothing is sent twice. I9: a vendor serves its own node alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from deploy.checker.columns import among, first_true
from deploy.checker.finding import Finding, Tally
from deploy.checker.joined import Joined
from deploy.checker.ledgers import UNSENT, own_rows, say_task
from deploy.checker.world import Ints, Mask, Scope, State


def check(joined: Joined) -> Iterator[Finding]:
    yield _finding(joined, "I6", "contacts_booked", _unbooked(joined))
    yield _finding(joined, "I8", "nothing_sent_twice", _twice(joined))
    yield _finding(joined, "I9", "own_contacts_only", _foreign(joined))
    if not joined.world.live:
        yield _deliveries_real(joined)


def _finding(joined: Joined, invariant: str, rule: str, broken: Mask) -> Finding:
    first = joined.say(first_true(broken)) if broken.any() else ""
    return Finding(invariant, rule, len(joined), int(broken.sum()), first)


def _unbooked(joined: Joined) -> Mask:
    """No vendor got a message whose spend is not in the ledger, or that went to somebody else."""
    states, reasons = joined.ledger_column("states"), joined.ledger_column("reasons")
    channels = [joined.table[place].channel for place in joined.line_orders.tolist()]
    asked = [channel == line[0] for channel, line in zip(channels, joined.lines, strict=False)]
    keys = joined.ledger_column("keys")
    right = np.array(asked or [False])[joined.refs] & ((keys == joined.keys) | _erased(joined, keys))
    mask: Mask = ~((joined.rows >= 0) & right & ~UNSENT[states, reasons]) & ~joined.excused
    return mask


def _erased(joined: Joined, keys: Ints) -> Mask:
    """Contacts of tasks whose subscriber's number was forgotten since, so that nobody can say whose it was."""
    erased = [node.stops.keys[node.stops.scopes == Scope.ERASED] for node in joined.world.nodes]
    return (joined.keys < 0) & among(keys, np.unique(np.concatenate(erased)))


def _twice(joined: Joined) -> Mask:
    """Every acceptance of a task after its first, at whatever vendor."""
    names: dict[str, int] = {}
    numbers = np.array([names.setdefault(name, len(names)) for _, name in joined.lines] or [0])
    order = np.lexsort((joined.accepted_at, joined.tasks, numbers[joined.refs]))
    lines, tasks = numbers[joined.refs][order], joined.tasks[order]
    broken = np.zeros(len(joined), dtype=np.bool_)
    broken[order[1:]] = (lines[1:] == lines[:-1]) & (tasks[1:] == tasks[:-1])
    return broken


def _foreign(joined: Joined) -> Mask:
    """A vendor got a work order of another node than the one it serves."""
    positions = {node.name: place for place, node in enumerate(joined.world.nodes)}
    executing = joined.order_values(lambda order: positions.get(order.node, -1))
    mask: Mask = (joined.orders >= 0) & (executing != joined.nodes)
    return mask


def _deliveries_real(joined: Joined) -> Finding:
    """What a ledger calls delivered, a vendor accepted."""
    tally = Tally("I6", "deliveries_real")
    start = 0
    for node in joined.world.nodes:
        stop = start + len(node.ledger)
        accepted = np.zeros(len(node.ledger), dtype=np.bool_)
        accepted[joined.rows[(joined.rows >= start) & (joined.rows < stop)] - start] = True
        delivered = own_rows(node) & (node.ledger.states == State.DELIVERED)
        missing = delivered & ~accepted
        if tally.note(int(delivered.sum()), int(missing.sum())):
            tally.first = say_task(node, first_true(missing))
        start = stop
    return tally.finding
