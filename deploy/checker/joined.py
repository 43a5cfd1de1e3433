"""Every contact beside what the stores say of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from deploy.checker.columns import places
from deploy.checker.finding import moment
from deploy.checker.world import BLOCK_TASKS, CLASS_SCOPES, Contacts, Ints, Ledger, Mask, Node, WorkOrder, World

_NUMBER_BITS = 24
_UNKNOWN = WorkOrder("", "", "", 0, 0, 0, 0)


class Names:
    """Numbers for the names of work orders, over the whole world."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, name: str) -> int:
        return self._numbers.setdefault(name, len(self._numbers))

    def block(self, work_order: str, number: int) -> int:
        return self.number(work_order) << _NUMBER_BITS | number

    def __len__(self) -> int:
        return len(self._numbers)


@dataclass(frozen=True)
class Joined:
    """A row for each contact of every node. `orders` and `rows` are -1 where no store knows the work order or task."""

    world: World
    names: Names
    lines: tuple[tuple[str, str], ...]
    table: tuple[WorkOrder, ...]
    """What `orders` points into; the last stands for those that no store knows."""
    nodes: Ints
    """Positions in the world's nodes: who decided the contact."""
    refs: Ints
    """Positions in `lines`."""
    tasks: Ints
    keys: Ints
    accepted_at: Ints
    expire_at: Ints
    homes: Ints
    line_orders: Ints
    """Position in `table` of each line's work order."""
    orders: Ints
    rows: Ints
    """Positions in the columns of all nodes' tasks, as `ledger_column` joins them."""

    def __len__(self) -> int:
        return len(self.keys)

    def ledger_column(self, name: str) -> Ints:
        """What the deciding nodes' tasks say, a value each contact; 0 where there is no task."""
        held = np.concatenate([*(getattr(node.ledger, name) for node in self.world.nodes), np.zeros(1, np.int64)])
        return held[self.rows].astype(np.int64)

    def order_values(self, of: Callable[[WorkOrder], Any], rows: Ints | slice = slice(None)) -> Ints:
        """Something of the work order of each contact, or of those in `rows`."""
        return np.array([of(order) for order in self.table])[self.orders[rows]]

    def orders_with(self, name: str, value: Any, rows: Ints | slice = slice(None)) -> Mask:
        """Whether the work order of each contact, or of those in `rows`, has this value."""
        return np.array([getattr(order, name) == value for order in self.table])[self.orders[rows]]

    @cached_property
    def booked_at(self) -> Ints:
        return self.ledger_column("submitted_at")

    @cached_property
    def marketing(self) -> Mask:
        mask: Mask = self.order_values(lambda order: not order.service)
        return mask

    @cached_property
    def class_scopes(self) -> Ints:
        """The channel class of each contact, as stops number them; 0 where the channel is not known."""
        known = self.world.channels
        classes = [known[channel].channel_class if channel in known else "" for channel, _ in self.lines]
        return np.array([CLASS_SCOPES.get(name, 0) for name in classes] or [0])[self.refs]

    @cached_property
    def excused(self) -> Mask:
        """Contacts their node may know nothing of: it came back from a backup since."""
        fenced = np.array([node.fenced_at for node in self.world.nodes], dtype=np.int64)
        mask: Mask = self.accepted_at <= np.where(fenced > 0, fenced + self.world.margin_seconds, 0)[self.nodes]
        return mask

    def order(self, row: int) -> WorkOrder:
        return self.table[int(self.orders[row])]

    def say(self, row: int) -> str:
        """One contact, for people."""
        channel, name = self.lines[int(self.refs[row])]
        node = self.world.nodes[int(self.nodes[row])].name
        when = moment(self.accepted_at[row])
        return f"{name} task {self.tasks[row]} on {channel} of {node} to subscriber {self.keys[row]} at {when}"


def join(world: World) -> Joined:
    names = Names()
    table, positions = _work_orders(world, names)
    lines = tuple(dict.fromkeys(line for node in world.nodes for line in node.contacts.lines))
    line_positions = {line: place for place, line in enumerate(lines)}
    refs = [_refs(node.contacts, line_positions) for node in world.nodes]
    columns = {name: _all(world, name) for name in ("tasks", "keys", "accepted_at", "expire_at", "homes")}
    numbers = np.array([names.number(name) for _, name in lines] or [0])
    orders = np.full(len(names) + 1, -1)
    orders[list(positions.keys())] = list(positions.values())
    all_refs = np.concatenate(refs)
    return Joined(
        world,
        names,
        lines,
        (*table, _UNKNOWN),
        nodes=np.repeat(np.arange(len(world.nodes)), [len(node.contacts) for node in world.nodes]),
        refs=all_refs,
        **columns,
        line_orders=orders[numbers],
        orders=orders[numbers][all_refs],
        rows=_rows(world, names, numbers, refs),
    )


def _work_orders(world: World, names: Names) -> tuple[list[WorkOrder], dict[int, int]]:
    """All work orders, and the position of each by its name's number. The executing node's word goes first."""
    table: list[WorkOrder] = []
    positions: dict[int, int] = {}
    for node in world.nodes:
        for order in node.work_orders:
            number = names.number(order.name)
            if number not in positions or order.node == node.name:
                positions[number] = len(table)
                table.append(order)
    return table, positions


def _refs(contacts: Contacts, positions: dict[tuple[str, str], int]) -> Ints:
    own = np.array([positions[line] for line in contacts.lines] or [0])
    return own[contacts.refs]


def _all(world: World, name: str) -> Ints:
    return np.concatenate([getattr(node.contacts, name) for node in world.nodes]).astype(np.int64)


def _rows(world: World, names: Names, numbers: Ints, refs: list[Ints]) -> Ints:
    found, start = [], 0
    for node, lines in zip(world.nodes, refs, strict=True):
        tasks = node.contacts.tasks.astype(np.int64)
        codes = (numbers[lines] << _NUMBER_BITS) | tasks // BLOCK_TASKS
        rows = _in_ledger(node.ledger, names, codes, tasks % BLOCK_TASKS)
        found.append(np.where(rows < 0, -1, rows + start))
        start += len(node.ledger)
    return np.concatenate(found)


def _in_ledger(ledger: Ledger, names: Names, codes: Ints, rows: Ints) -> Ints:
    held, order = block_codes(ledger, names)
    block = places(codes, held)
    if len(held) == 0:
        return block
    block = np.where(block < 0, -1, order[block])
    sizes = np.diff(ledger.starts)
    there = (block >= 0) & (rows < sizes[block])
    return np.where(there, ledger.starts[block] + rows, -1)


def block_codes(ledger: Ledger, names: Names) -> tuple[Ints, Ints]:
    """Numbers of a ledger's blocks, ascending, and which block each is."""
    codes = np.array([names.block(each.work_order, each.number) for each in ledger.blocks], dtype=np.int64)
    order = np.argsort(codes, kind="stable")
    return codes[order], order


def own_work_orders(node: Node) -> dict[str, WorkOrder]:
    return {order.name: order for order in node.work_orders if order.node == node.name}
