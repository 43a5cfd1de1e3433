"""Evaluation (后评估): one pass over the people of a campaign, their tasks and their orders, in subscriber order.

Streams of people and of task blocks are merged block by block, so memory does not grow with the campaign.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Codes, Keys, Mask, Rows, Times
from common.kernel.marketing_state import MarketingState, marketing_states
from common.kernel.task import CONTACTED, IN_FLIGHT, TERMINAL, Response, TaskReason, TaskState
from common.kernel.task_block import TaskBlock
from common.kernel.work_order import WorkOrder
from hq.attribution import ORGANIC, Attribution, Contacts, Credit, Orders, Standing
from hq.effect import Group

PROVINCES = 100
"""GB/T 2260 province codes are below this; 0 stands for unknown."""

Cell = Counter[str]
"""Named counts that add up; `reasons.<NAME>` counts tasks that ended for a reason."""
Place = tuple[int, str, str, int]
"""(wave, channel, node, home province)"""


class SumsOpenError(Exception):
    """Tasks do not add up: the ledger is damaged, and no report of it would be true."""


@dataclass(frozen=True, slots=True)
class People:
    """Some of the target, ascending by key."""

    keys: Keys
    provinces: NDArray[np.int64]
    held_out: Mask

    def __len__(self) -> int:
        return len(self.keys)


def with_others(people: Iterable[People], others: People) -> Iterator[People]:
    """`people` and, in their place, those of `others` who are not among them; all ascending."""
    start = 0
    for some in people:
        end = int(np.searchsorted(others.keys, some.keys[-1], "right")) if len(some) else start
        yield _merged(some, others, slice(start, end))
        start = end
    yield _merged(NOBODY, others, slice(start, len(others)))


def _merged(some: People, others: People, rows: slice) -> People:
    if rows.start == rows.stop:
        return some
    more = ~_among(others.keys[rows], some.keys)
    keys = np.append(some.keys, others.keys[rows][more])
    order = np.argsort(keys, kind="stable")
    provinces = np.append(some.provinces, others.provinces[rows][more])
    return People(keys[order], provinces[order], np.append(some.held_out, others.held_out[rows][more])[order])


NOBODY = People(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_))


@dataclass(frozen=True, slots=True)
class Plan:
    """What counting needs to know of the campaign. Times are Unix seconds."""

    waved: bool
    """The first wave is cut: who has no task was taken by no channel of it."""
    start_at: int
    until: int
    """Orders accepted in [start_at, until) are the campaign's to explain."""
    respond_seconds: int
    attribution_days: int
    price_fen: int
    costs_fen: dict[str, int]


@dataclass(frozen=True, slots=True)
class Issued:
    """One work order of the campaign, with its blocks ascending. `place` is its rank among all that sell the offer."""

    order: WorkOrder
    place: int
    blocks: Iterable[TaskBlock]


@dataclass(slots=True)
class Evaluation:
    """Everything counted. `people` says what became of each person of the target, each in exactly one entry."""

    cells: dict[Place, Cell] = field(default_factory=dict)
    people: Cell = field(default_factory=Counter)
    states: Cell = field(default_factory=Counter)
    """Marketing states of everybody not held out."""
    provinces: dict[int, Cell] = field(default_factory=dict)
    orders: Cell = field(default_factory=Counter)
    meant: Group = field(default_factory=lambda: Group(0, 0))
    held_out: Group = field(default_factory=lambda: Group(0, 0))
    reached: int = 0
    """People contacted at least once."""
    tasks_outside: int = 0
    """Tasks of people outside the target."""
    tasks_held_out: int = 0
    """Tasks of people held out."""
    tasks_missing: int = 0
    """Tasks the work orders promise and the ledger does not hold (yet)."""


def evaluate(
    people: Iterable[People],
    issued: Sequence[Issued],
    orders: Orders,
    elsewhere: Iterable[Contacts],
    plan: Plan,
    now: int,
) -> Evaluation:
    """`elsewhere`: contacts for the same offer by other campaigns. Raises SumsOpenError."""
    count = _Count(issued, orders, plan, now)
    for some in people:
        count.add(some)
    count.finish()
    for contacts in elsewhere:
        count.credit.offer(contacts)
    return count.evaluation()


@dataclass(frozen=True, slots=True)
class _Tasks:
    """Rows of one work order, ascending by key."""

    issued: Issued
    keys: Keys
    tasks: NDArray[np.int64]
    states: Codes
    reasons: Codes
    responses: Codes
    submitted_at: Times


class _Cursor:
    """Hands out one work order's tasks up to a key; holds one block."""

    def __init__(self, issued: Issued) -> None:
        self.issued = issued
        self.rows = 0
        self._blocks: Iterator[TaskBlock] = iter(issued.blocks)
        self._block: TaskBlock | None = next(self._blocks, None)
        self._from = 0

    def through(self, key: int | None) -> Iterator[_Tasks]:
        """Everything not handed out yet with a key up to `key`, or to the end."""
        while (block := self._block) is not None:
            end = len(block) if key is None else int(np.searchsorted(block.keys, key, "right"))
            if end > self._from:
                yield self._cut(block, slice(self._from, end))
                self.rows += end - self._from
            self._from = end
            if end < len(block):
                return
            self._block, self._from = next(self._blocks, None), 0

    def _cut(self, block: TaskBlock, rows: slice) -> _Tasks:
        numbers = np.arange(block.first_task + rows.start, block.first_task + rows.stop)
        return _Tasks(
            self.issued,
            block.keys[rows],
            numbers,
            block.states[rows],
            block.reasons[rows],
            block.responses[rows],
            block.submitted_at[rows],
        )


class _Count:
    def __init__(self, issued: Sequence[Issued], orders: Orders, plan: Plan, now: int) -> None:
        self._plan, self._now = plan, now
        self._cursors = [_Cursor(each) for each in sorted(issued, key=lambda each: each.order.wave)]
        self._orders = orders
        self._owners = np.unique(orders.keys[(orders.standings == Standing.STANDS) & ~orders.cancelled])
        inside = (orders.accepted_at >= plan.start_at) & (orders.accepted_at < plan.until)
        self._inside = inside & ((orders.standings != Standing.STANDS) | (orders.accepted_at <= now))
        self._taken = np.unique(orders.keys[self._inside & (orders.standings == Standing.STANDS)])
        self._homes = np.full(len(orders), -1, dtype=np.int64)
        self._held = np.zeros(len(orders), dtype=np.bool_)
        self._found = Evaluation()
        self._groups = {False: Group(0, 0), True: Group(0, 0)}
        self.credit = Credit(orders, plan.attribution_days)

    def add(self, some: People) -> None:
        if len(some) == 0:
            return
        fates = np.zeros(len(some), dtype=np.uint8)
        responses, submitted = np.zeros(len(some), dtype=np.uint8), np.zeros(len(some), dtype=np.uint32)
        reached, contacted = np.zeros(len(some), dtype=np.uint8), np.zeros(len(some), dtype=np.bool_)
        for tasks in self._tasks(int(some.keys[-1])):
            rows, known = _places(tasks.keys, some.keys)
            self._tally(tasks, np.where(known, some.provinces[rows], 0))
            self._found.tasks_outside += int((~known).sum())
            at, states = rows[known], tasks.states[known]
            fates[at] = states
            contact = np.isin(states, (*CONTACTED, *IN_FLIGHT))
            contacted[at] |= np.isin(states, CONTACTED)
            reached[at[contact]] = states[contact]
            responses[at] = np.maximum(responses[at], tasks.responses[known])
            submitted[at[contact]] = tasks.submitted_at[known][contact]
        self._found.reached += int(contacted.sum())
        self._found.tasks_held_out += int((some.held_out & (fates > 0)).sum())
        self._classify(some, fates)
        ordered = _among(some.keys, self._owners)
        states = marketing_states(reached, responses, submitted, ordered, self._now, self._plan.respond_seconds)
        self._found.states.update(_named(states[~some.held_out], MarketingState))
        self._group(some)

    def finish(self) -> None:
        """What is left belongs to nobody in the target."""
        for tasks in self._tasks(None):
            self._tally(tasks, np.zeros(len(tasks.keys), dtype=np.int64))
            self._found.tasks_outside += len(tasks.keys)
        promised = sum(cursor.issued.order.task_count for cursor in self._cursors)
        self._found.tasks_missing = promised - sum(cursor.rows for cursor in self._cursors)

    def evaluation(self) -> Evaluation:
        found, attribution = self._found, self.credit.attribution()
        found.meant, found.held_out = self._groups[False], self._groups[True]
        self._credit_cells(attribution)
        found.orders = self._order_book(attribution)
        for place, cell in found.cells.items():
            _close(place, cell)
        return found

    def _tasks(self, key: int | None) -> Iterator[_Tasks]:
        for cursor in self._cursors:
            yield from cursor.through(key)

    def _tally(self, tasks: _Tasks, provinces: NDArray[np.int64]) -> None:
        contacted = np.isin(tasks.states, CONTACTED)
        self.credit.offer(
            Contacts(tasks.issued.place, tasks.keys[contacted], tasks.tasks[contacted], tasks.submitted_at[contacted])
        )
        order = tasks.issued.order
        for province in np.flatnonzero(np.bincount(provinces, minlength=PROVINCES)).tolist():
            cell = self._found.cells.setdefault((order.wave, order.channel, order.node, province), Counter())
            _count_tasks(cell, tasks, provinces == province, self._plan.costs_fen[order.channel])

    def _classify(self, some: People, fates: Codes) -> None:
        found = self._found
        tasked = ~some.held_out & (fates > 0)
        found.people["held_out"] += int(some.held_out.sum())
        untasked = int((~some.held_out & (fates == 0)).sum())
        found.people["unreachable" if self._plan.waved else "not_yet_waved"] += untasked
        found.people.update(_fates(fates[tasked]))
        targets = np.bincount(some.provinces, minlength=PROVINCES)
        held = np.bincount(some.provinces[some.held_out], minlength=PROVINCES)
        for province in np.flatnonzero(targets).tolist():
            cell = found.provinces.setdefault(province, Counter())
            cell.update(target=int(targets[province]), held_out=int(held[province]))

    def _group(self, some: People) -> None:
        ordered = _among(some.keys, self._taken)
        for held in (False, True):
            mine = some.held_out == held
            before = self._groups[held]
            self._groups[held] = Group(before.people + int(mine.sum()), before.ordered + int((mine & ordered).sum()))
        start, end = np.searchsorted(self._orders.keys, (some.keys[0], some.keys[-1] + 1))
        rows, known = _places(self._orders.keys[start:end], some.keys)
        self._homes[start:end][known] = some.provinces[rows[known]]
        self._held[start:end][known] = some.held_out[rows[known]]

    def _credit_cells(self, attribution: Attribution) -> None:
        for cursor in self._cursors:
            order = cursor.issued.order
            mine = attribution.work_orders == cursor.issued.place
            homes = np.maximum(self._homes[mine], 0)
            amounts = self._orders.amounts_fen[mine]
            for province in np.unique(homes).tolist():
                cell = self._found.cells[(order.wave, order.channel, order.node, province)]
                ordered = int((homes == province).sum())
                cell.update(
                    ordered=ordered,
                    income_fen=ordered * self._plan.price_fen,
                    amount_fen=int(amounts[homes == province].sum()),
                )

    def _order_book(self, attribution: Attribution) -> Cell:
        """Order numbers, each in one entry; the ones accepted outside the campaign's time only if it earned them."""
        standings, credited = self._orders.standings, attribution.work_orders
        stands = standings == Standing.STANDS
        ours = np.isin(credited, [cursor.issued.place for cursor in self._cursors])
        inside = self._inside | ours
        organic = stands & (credited == ORGANIC) & inside
        entries = {
            "attributed": ours,
            "elsewhere": stands & ~ours & (credited != ORGANIC) & inside,
            "organic_contactable": organic & (self._homes >= 0) & ~self._held,
            "organic_held_out": organic & self._held,
            "organic_outside": organic & (self._homes < 0),
            "reversed": (standings == Standing.REVERSED) & inside,
            "unmatched": (standings == Standing.UNMATCHED) & inside,
        }
        book: Cell = Counter()
        for name, rows in entries.items():
            book[name] = int(rows.sum())
            book[f"{name}_fen"] = int(self._orders.amounts_fen[rows].sum())
        book["cancelled_later"] = int((self._orders.cancelled & stands & inside).sum())
        return book


def _count_tasks(cell: Cell, tasks: _Tasks, rows: Mask, cost_fen: int) -> None:
    states, reasons, responses = tasks.states[rows], tasks.reasons[rows], tasks.responses[rows]
    cell["issued"] += len(states)
    cell.update(_fates(states))
    contacted = int(np.isin(states, CONTACTED).sum())
    cell["contacted"] += contacted
    cell["cost_fen"] += contacted * cost_fen
    cell["responded"] += int((responses > Response.NONE).sum())
    for response in (Response.INTERESTED, Response.REFUSED, Response.OPTED_OUT):
        cell[response.name.lower()] += int((responses == response).sum())
    ended = reasons[np.isin(states, TERMINAL) & (reasons > TaskReason.NONE)]
    cell.update({f"reasons.{name.upper()}": count for name, count in _named(ended, TaskReason).items()})


def _fates(states: Codes) -> dict[str, int]:
    counts = np.bincount(states, minlength=1 + max(TaskState))
    fates = {state.name.lower(): int(counts[state]) for state in (TaskState.OPEN, *TERMINAL)}
    return fates | {"in_flight": int(counts[list(IN_FLIGHT)].sum())}


def _named(codes: Codes, kind: type[MarketingState] | type[TaskReason]) -> dict[str, int]:
    counts = np.bincount(codes, minlength=1 + max(kind))
    return {each.name.lower(): int(counts[each]) for each in kind if counts[each]}


FATES = ("open", "in_flight", *(state.name.lower() for state in TERMINAL))


def _close(place: Place, cell: Cell) -> None:
    parts = sum(cell[fate] for fate in FATES)
    if cell["issued"] != parts:
        wave, channel, node, province = place
        raise SumsOpenError(
            f"wave {wave}, {channel} at {node}, province {province:02d}: {cell['issued']} tasks issued, {parts} "
            "accounted for. The ledger holds a state this build does not know; check for a newer version's data"
        )


def _places(keys: Keys, among: Keys) -> tuple[Rows, Mask]:
    """Where each of `keys` stands in `among` (both ascending), and which are there at all."""
    rows = np.minimum(np.searchsorted(among, keys), len(among) - 1)
    return rows, among[rows] == keys


def _among(keys: Keys, members: Keys) -> Mask:
    if len(members) == 0:
        return np.zeros(len(keys), dtype=np.bool_)
    return _places(keys, members)[1]
