"""I4 and I5: a task has one state at each moment and one end for ever, and sums close. I10: both sides agree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from deploy.checker.columns import first_true, places, ranges
from deploy.checker.finding import Finding, Tally
from deploy.checker.joined import Joined, Names, block_codes
from deploy.checker.world import (
    BLOCK_TASKS,
    COLUMNS,
    FIRST_TERMINAL,
    RESTORED,
    Ints,
    Ledger,
    Mask,
    Node,
    OrderState,
    State,
    WorkOrder,
    World,
    contact_dates,
)

REFUSED, UNDELIVERABLE, VALIDITY_OVER, VENDOR_EXPIRED = 20, 21, 60, 61
_REASONS: dict[State, Iterable[int]] = {
    State.OPEN: (0,),
    State.SUBMITTING: (0,),
    State.SUBMITTED: (0,),
    State.DELIVERED: (0,),
    State.SUPPRESSED: range(1, 20),
    State.EXPIRED: (VALIDITY_OVER, VENDOR_EXPIRED),
    State.FAILED: (REFUSED, UNDELIVERABLE),
    State.UNKNOWN: range(40, 60),
}
_UNSENT = (
    (State.OPEN, (0,)),
    (State.SUPPRESSED, _REASONS[State.SUPPRESSED]),
    (State.EXPIRED, (VALIDITY_OVER,)),
    (State.FAILED, (REFUSED,)),
)
"""States and reasons of tasks that no vendor took."""
_ENDED_UNSENT = (State.SUPPRESSED, State.EXPIRED)
_AGREED = ("states", "reasons", "responses", "submitted_at")


def _table(states: Iterable[tuple[State, Iterable[int]]]) -> Mask:
    table = np.zeros((256, 256), dtype=np.bool_)
    for state, reasons in states:
        table[state, list(reasons)] = True
    return table


ALLOWED = _table(_REASONS.items())
"""[state, reason]"""
UNSENT = _table(_UNSENT)


def check(joined: Joined) -> Iterator[Finding]:
    yield _counters(joined.world)
    yield _blocks(joined.world)
    yield _work_orders(joined.world)
    yield _states(joined.world)
    yield from _both_sides(joined)


def _counters(world: World) -> Finding:
    """Counters equal the columns beside them, so sums close at every instant."""
    tally = Tally("I5", "sums_close")
    for node in world.nodes:
        blocks = node.ledger.blocks
        stored = [(*block.counters, block.tasks, block.last_submitted_at) for block in blocks]
        broken = (np.array(stored).reshape(-1, len(State) + 2) != _counted(node.ledger)).any(axis=1)
        if tally.note(len(blocks), int(broken.sum())):
            tally.first = _say_block(node, first_true(broken))
    return tally.finding


def _counted(ledger: Ledger) -> Ints:
    """For each block: tasks by state, all tasks, the newest contact that may have been."""
    sizes = np.diff(ledger.starts)
    of = np.repeat(np.arange(len(sizes)), sizes)
    codes = 1 + max(State)
    states = np.where(ledger.states < codes, ledger.states, 0)
    counts = np.bincount(of * codes + states, minlength=len(sizes) * codes).reshape(-1, codes)[:, 1:]
    newest = np.zeros(len(sizes), dtype=np.int64)
    np.maximum.at(newest, of, contact_dates(ledger.states, ledger.submitted_at, ledger.settled_at))
    return np.column_stack([counts, sizes, newest])


def _blocks(world: World) -> Finding:
    """Columns of one length, keys that rise over all blocks of a work order and lie where the block says."""
    tally = Tally("I5", "blocks_whole")
    for node in world.nodes:
        ends: dict[str, int] = {}
        broken = []
        rising = _rising(node.ledger)
        for place, block in enumerate(node.ledger.blocks):
            lengths = {len(getattr(block, name)) for name in COLUMNS}
            stored = (block.first_key, block.last_key)
            if (
                len(lengths) > 1
                or not 0 < len(block.keys) <= BLOCK_TASKS
                or stored != (int(block.keys[0]), int(block.keys[-1]))
                or not rising[place]
                or block.first_key <= ends.get(block.work_order, -1)
            ):
                broken.append(place)
            ends[block.work_order] = block.last_key
        if tally.note(len(node.ledger.blocks), len(broken)):
            tally.first = _say_block(node, broken[0])
    return tally.finding


def _rising(ledger: Ledger) -> Mask:
    """Which blocks' keys rise from row to row."""
    falls = np.flatnonzero(np.diff(ledger.keys) <= 0) + 1
    inside = falls[~np.isin(falls, ledger.starts)]
    rising = np.ones(len(ledger.blocks), dtype=np.bool_)
    rising[np.searchsorted(ledger.starts, inside, "right") - 1] = False
    return rising


def _work_orders(world: World) -> Finding:
    """No task too many; none missing once a work order is accepted whole, or at the end; no block without its order."""
    tally = Tally("I5", "work_orders_whole")
    for node in world.nodes:
        held: dict[str, int] = {}
        for block in node.ledger.blocks:
            held[block.work_order] = held.get(block.work_order, 0) + block.tasks
        wrong = [order.name for order in node.work_orders if not _whole(world, node, order, held.pop(order.name, 0))]
        wrong += held
        if tally.note(len(node.work_orders), len(wrong)):
            tally.first = f"work order {wrong[0]} at {node.name}"
    return tally.finding


def _whole(world: World, node: Node, order: WorkOrder, tasks: int) -> bool:
    if order.state == OrderState.REJECTED and node.name == order.node:
        return tasks == 0
    came = order.node == node.name != "hq" and order.state in (OrderState.ACCEPTED, OrderState.PAUSED)
    complete = came or world.settled or order.state == OrderState.COMPLETED
    return tasks == order.task_count if complete else tasks <= order.task_count


def _states(world: World) -> Finding:
    """State, reason and times of each task tell one story. HQ's copy of a province's task may lag behind."""
    tally = Tally("I4", "one_state_each")
    for node in world.nodes:
        ledger, own = node.ledger, own_rows(node)
        states, reasons = ledger.states, ledger.reasons
        terminal, settled, sent = states >= FIRST_TERMINAL, ledger.settled_at > 0, ledger.submitted_at > 0
        unsent = UNSENT[states, reasons]
        broken = ~ALLOWED[states, reasons] | (terminal != settled)
        broken |= own & (sent == unsent) & (reasons != RESTORED)
        if tally.note(len(ledger), int(broken.sum())):
            tally.first = say_task(node, first_true(broken))
    return tally.finding


def own_rows(node: Node) -> Mask:
    """Tasks that the node itself executes."""
    own = {order.name for order in node.work_orders if order.node == node.name}
    mine = np.array([block.work_order in own for block in node.ledger.blocks], dtype=np.bool_)
    return np.repeat(mine, np.diff(node.ledger.starts))


@dataclass(frozen=True, slots=True)
class Sides:
    """A province's tasks beside HQ's copy of them, a row each."""

    province: Node
    mine: Ints
    hqs: Ints
    """Positions in the columns of either ledger."""
    unmatched: tuple[str, ...]
    """Blocks one side has and the other has not, or not with as many tasks."""


def _both_sides(joined: Joined) -> Iterator[Finding]:
    world, hq = joined.world, joined.world.hq
    if hq is None:
        return
    ends, agree = Tally("I4", "one_end_each"), Tally("I10", "ledgers_agree")
    for province in world.provinces:
        sides = _sides(hq, province, joined.names)
        two = _two_ends(world, hq, sides)
        if ends.note(len(two), int(two.sum())):
            ends.first = _say_sides(hq, sides, first_true(two))
        differ = _differ(world, hq, sides)
        missing = sides.unmatched if world.settled else ()
        if agree.note(len(differ), int(differ.sum()) + len(missing)):
            agree.first = _say_differ(hq, sides, differ)
    yield ends.finding
    yield agree.finding


def _sides(hq: Node, province: Node, names: Names) -> Sides:
    mine, my_order = block_codes(province.ledger, names)
    theirs, their_order = block_codes(hq.ledger, names)
    found = places(mine, theirs)
    my_blocks, their_blocks = my_order[found >= 0], their_order[found[found >= 0]]
    my_sizes, their_sizes = np.diff(province.ledger.starts)[my_blocks], np.diff(hq.ledger.starts)[their_blocks]
    same = my_sizes == their_sizes
    executing = {order.name for order in (*hq.work_orders, *province.work_orders) if order.node == province.name}
    rejected = {order.name for order in province.work_orders if order.state == OrderState.REJECTED}
    lonely = [hq.ledger.blocks[block] for block in np.setdiff1d(np.arange(len(hq.ledger.blocks)), their_blocks)]
    # What had ended before a province came back from a backup stays forgotten there; HQ has it.
    forgotten = {order.name for order in hq.work_orders if order.state == OrderState.COMPLETED and province.fenced_at}
    unmatched = [block for block in lonely if block.work_order in executing - rejected - forgotten]
    unmatched += [province.ledger.blocks[block] for block in (*my_order[found < 0], *my_blocks[~same])]
    return Sides(
        province,
        ranges(province.ledger.starts[my_blocks[same]], my_sizes[same]),
        ranges(hq.ledger.starts[their_blocks[same]], my_sizes[same]),
        tuple(f"block {block.number} of {block.work_order}" for block in unmatched),
    )


def _two_ends(world: World, hq: Node, sides: Sides) -> Mask:
    """HQ calls ended what the province does not, or ended otherwise; but for what a restore made anybody forget."""
    mine, hqs = sides.province.ledger, hq.ledger
    ended, state = hqs.states[sides.hqs] >= FIRST_TERMINAL, mine.states[sides.mine]
    restored = _forgotten(hq, sides)
    forgot = (state < FIRST_TERMINAL) & (sides.province.fenced_at > 0) & (not world.settled)
    two: Mask = ended & (hqs.states[sides.hqs] != state) & ~restored & ~forgot & ~_decided_twice(hq, sides)
    two |= mine.keys[sides.mine] != hqs.keys[sides.hqs]
    return two


def _differ(world: World, hq: Node, sides: Sides) -> Mask:
    """At the end everything that HQ is told of a task is the same at both; ends and reasons even where one of them
    came back from a backup and had to guess when."""
    mine, hqs = sides.province.ledger, hq.ledger
    if not world.settled:
        return np.zeros(len(sides.mine), dtype=np.bool_)
    restored = _forgotten(hq, sides)
    fenced = sides.province.fenced_at > 0 or hq.fenced_at > 0
    differ = np.zeros(len(sides.mine), dtype=np.bool_)
    for name in _AGREED[: 2 if fenced else len(_AGREED)]:
        differ |= getattr(mine, name)[sides.mine] != getattr(hqs, name)[sides.hqs]
    # What HQ never let happen, each side dates when it wrote it down.
    sent = mine.submitted_at[sides.mine] > 0
    differ |= sent & (mine.settled_at[sides.mine] != hqs.settled_at[sides.hqs]) & (not fenced)
    differ &= ~restored & ~_decided_twice(hq, sides)
    return differ


def _forgotten(hq: Node, sides: Sides) -> Mask:
    """A side that came back from a backup gave it up, or waited in vain for a receipt it had heard before."""
    mine, hqs = sides.province.ledger, hq.ledger
    given_up = (mine.reasons[sides.mine] == RESTORED) | (hqs.reasons[sides.hqs] == RESTORED)
    submitted, unknown = mine.submitted_at[sides.mine], mine.states[sides.mine] == State.UNKNOWN
    ended = hqs.states[sides.hqs] >= FIRST_TERMINAL
    mask: Mask = given_up | (unknown & ended & (submitted > 0) & (submitted <= sides.province.fenced_at))
    return mask


def _decided_twice(hq: Node, sides: Sides) -> Mask:
    """A side that came back from a backup may end once more what it has forgotten that it ended, unsent both times."""
    mine, hqs = sides.province.ledger, hq.ledger
    unsent: Mask = (mine.submitted_at[sides.mine] == 0) & (hqs.submitted_at[sides.hqs] == 0)
    unsent &= np.isin(mine.states[sides.mine], _ENDED_UNSENT) & np.isin(hqs.states[sides.hqs], _ENDED_UNSENT)
    return unsent & bool(sides.province.fenced_at > 0 or hq.fenced_at > 0)


def _say_block(node: Node, place: int) -> str:
    block = node.ledger.blocks[place]
    counted = dict(zip((state.name.lower() for state in State), block.counters, strict=False))
    return f"block {block.number} of {block.work_order} at {node.name}: {block.tasks} tasks, counters {counted}"


def _task(ledger: Ledger, row: int) -> str:
    place = int(np.searchsorted(ledger.starts, row, "right")) - 1
    block = ledger.blocks[place]
    return f"{block.work_order} task {block.number * BLOCK_TASKS + row - int(ledger.starts[place])}"


def _story(ledger: Ledger, row: int) -> str:
    state = int(ledger.states[row])
    name = State(state).name if 0 < state <= max(State) else str(state)
    times = f"submitted {ledger.submitted_at[row]}, settled {ledger.settled_at[row]}"
    return f"{name} (reason {ledger.reasons[row]}, response {ledger.responses[row]}, {times})"


def say_task(node: Node, row: int) -> str:
    return f"{_task(node.ledger, row)} at {node.name}: {_story(node.ledger, row)}"


def _say_sides(hq: Node, sides: Sides, row: int) -> str:
    mine, theirs = int(sides.mine[row]), int(sides.hqs[row])
    ledger, name = sides.province.ledger, sides.province.name
    return f"{_task(ledger, mine)}: {_story(ledger, mine)} at {name}, {_story(hq.ledger, theirs)} at hq"


def _say_differ(hq: Node, sides: Sides, differ: Mask) -> str:
    if differ.any():
        return _say_sides(hq, sides, first_true(differ))
    return f"{sides.unmatched[0]} of {sides.province.name} is not the same at both sides"
