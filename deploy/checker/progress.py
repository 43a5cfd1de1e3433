"""What may never go back between two looks at the same world: ends of tasks, versions, places in logs."""

from __future__ import annotations

import numpy as np

from deploy.checker.columns import first_true, places, ranges
from deploy.checker.finding import Finding, Tally
from deploy.checker.joined import Names, block_codes
from deploy.checker.ledgers import say_task
from deploy.checker.world import FIRST_TERMINAL, Node, World


def compare(earlier: World, later: World) -> list[Finding]:
    """A node that came back from a backup in between may have forgotten anything."""
    looks = {
        Tally("I4", "ends_stay"): _ends,
        Tally("I5", "blocks_stay"): _blocks,
        Tally("I6", "places_stay"): _places,
        Tally("I11", "versions_stay"): _versions,
    }
    for before in earlier.nodes:
        after = later.node(before.name)
        if after is not None and after.fenced_at == before.fenced_at:
            for tally, look in looks.items():
                look(tally, before, after)
    return [tally.finding for tally in looks]


def _ends(tally: Tally, before: Node, after: Node) -> None:
    """An end reached is the end for ever."""
    names = Names()
    old, old_order = block_codes(before.ledger, names)
    new, new_order = block_codes(after.ledger, names)
    found = places(old, new)
    blocks, now = old_order[found >= 0], new_order[found[found >= 0]]
    sizes = np.minimum(np.diff(before.ledger.starts)[blocks], np.diff(after.ledger.starts)[now])
    rows, later = ranges(before.ledger.starts[blocks], sizes), ranges(after.ledger.starts[now], sizes)
    ended = before.ledger.states[rows] >= FIRST_TERMINAL
    other = ended & (before.ledger.states[rows] != after.ledger.states[later])
    if tally.note(int(ended.sum()), int(other.sum())):
        at = first_true(other)
        tally.first = f"{say_task(before, int(rows[at]))}; later {say_task(after, int(later[at]))}"


def _blocks(tally: Tally, before: Node, after: Node) -> None:
    there = {(block.work_order, block.number): block.tasks for block in after.ledger.blocks}
    blocks = [(block.work_order, block.number, block.tasks) for block in before.ledger.blocks]
    gone = [block for block in blocks if there.get(block[:2], -1) != block[2]]
    if tally.note(len(blocks), len(gone)):
        tally.first = f"block {gone[0][1]} of {gone[0][0]} is not at {before.name} any more, or has other tasks"


def _versions(tally: Tally, before: Node, after: Node) -> None:
    """Of work orders, and of the newest policy."""
    now = {order.name: order.version for order in after.work_orders}
    back = [order.name for order in before.work_orders if now.get(order.name, -1) < order.version]
    newest = [max((policy.version for policy in node.policies), default=0) for node in (before, after)]
    back += ["the contact policy"] * (newest[1] < newest[0])
    if tally.note(len(before.work_orders) + 1, len(back)):
        tally.first = f"{back[0]} went back at {before.name}"


def _places(tally: Tally, before: Node, after: Node) -> None:
    """Of readers and of acknowledged entries; a new epoch begins anew."""
    old = {(c.peer, c.stream): (c.epoch, c.sequence) for c in before.cursors}
    old |= {(log.peer, f"own {log.stream}"): (log.epoch, log.committed) for log in before.logs}
    new = {(c.peer, c.stream): (c.epoch, c.sequence) for c in after.cursors}
    new |= {(log.peer, f"own {log.stream}"): (log.epoch, log.committed) for log in after.logs}
    back = [place for place, at in old.items() if new.get(place, (0, 0)) < at]
    if tally.note(len(old), len(back)):
        tally.first = f"{before.name} went back in {back[0]}: {old[back[0]]}, then {new.get(back[0])}"
