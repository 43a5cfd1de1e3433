"""Evaluation counts what a plain walk over people counts, and its sums close."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.kernel.marketing_state import MarketingState
from common.kernel.order import OrderChange, OrderRecords
from common.kernel.task import CONTACTED, IN_FLIGHT, Response, TaskReason, TaskState
from common.kernel.task_block import TaskBlock, open_block
from common.kernel.work_order import WorkOrder, work_order_name
from hq.attribution import DAY_SECONDS, Contacts, settle
from hq.evaluation import Evaluation, Issued, People, Plan, SumsOpenError, evaluate

START, NOW = 1_000_000, 1_000_000 + 20 * DAY_SECONDS
CHANNELS = ("sms", "local_sms")
PLAN = Plan(
    waved=True,
    start_at=START,
    until=START + 15 * DAY_SECONDS,
    respond_seconds=DAY_SECONDS,
    attribution_days=5,
    price_fen=5900,
    costs_fen={"sms": 5, "local_sms": 4},
)
REASON = {
    TaskState.SUPPRESSED: TaskReason.STOPPED,
    TaskState.EXPIRED: TaskReason.VALIDITY_OVER,
    TaskState.FAILED: TaskReason.UNDELIVERABLE,
    TaskState.UNKNOWN: TaskReason.NO_RECEIPT,
}


@dataclass
class Task:
    state: TaskState
    response: Response
    submitted_at: int


@dataclass
class Person:
    key: int
    province: int
    held_out: bool
    tasks: dict[int, tuple[str, Task]] = field(default_factory=dict)
    """By wave: (channel, task)."""
    ordered_at: int | None = None


@st.composite
def _population(draw: st.DrawFn) -> list[Person]:
    people = []
    for key in sorted(draw(st.sets(st.integers(1, 10_000), min_size=1, max_size=40))):
        person = Person(key, draw(st.sampled_from([45, 13])), draw(st.integers(0, 9)) == 0)
        for wave in (1, 2):
            if not person.held_out and draw(st.booleans()):
                person.tasks[wave] = (draw(st.sampled_from(CHANNELS)), draw(_tasks(wave)))
        person.ordered_at = draw(st.none() | st.integers(0, 20).map(lambda days: START + days * DAY_SECONDS))
        people.append(person)
    return people


@st.composite
def _tasks(draw: st.DrawFn, wave: int) -> Task:
    state = draw(st.sampled_from(TaskState))
    sent = state in (*CONTACTED, *IN_FLIGHT)
    at = START + (wave - 1) * 4 * DAY_SECONDS + draw(st.integers(0, DAY_SECONDS))
    return Task(state, draw(st.sampled_from(Response)) if sent else Response.NONE, at if sent else 0)


def _issued(people: list[Person], rows: int) -> list[Issued]:
    """Work orders with blocks of `rows` people."""
    names = [(wave, channel, node) for wave in (1, 2) for channel in CHANNELS for node in _nodes(channel)]
    places = sorted(work_order_name("spring", *name) for name in names)
    issued = []
    for wave, channel, node in names:
        mine = [p for p in people if p.tasks.get(wave, ("",))[0] == channel and node in ("hq", f"{p.province}")]
        name = work_order_name("spring", wave, channel, node)
        order = WorkOrder(name, "spring", wave, channel, node, "5g", START, NOW, 50, len(mine))
        blocks = [_block(name, wave, n, mine[at : at + rows]) for n, at in enumerate(range(0, len(mine), rows))]
        issued.append(Issued(order, places.index(name), blocks))
    return issued


def _nodes(channel: str) -> list[str]:
    return ["hq"] if channel == "sms" else ["13", "45"]


def _block(name: str, wave: int, number: int, people: list[Person]) -> TaskBlock:
    tasks = [person.tasks[wave][1] for person in people]
    keys = np.array([person.key for person in people], dtype=np.int64)
    block = open_block(name, number, keys, ("hello",), np.zeros(len(keys), dtype=np.uint32))
    return replace(
        block,
        states=np.array([task.state for task in tasks], dtype=np.uint8),
        reasons=np.array([REASON.get(task.state, 0) for task in tasks], dtype=np.uint8),
        responses=np.array([task.response for task in tasks], dtype=np.uint8),
        submitted_at=np.array([task.submitted_at for task in tasks], dtype=np.uint32),
    )


def _orders(people: list[Person]) -> OrderRecords:
    taken = [person for person in people if person.ordered_at is not None]
    return OrderRecords(
        ["cbss"] * len(taken),
        [f"n{person.key}" for person in taken],
        np.ones(len(taken), dtype=np.int64),
        np.array([person.key for person in taken], dtype=np.int64),
        ["5g"] * len(taken),
        np.full(len(taken), OrderChange.SUBSCRIBED, dtype=np.uint8),
        np.full(len(taken), 5900, dtype=np.int64),
        np.array([person.ordered_at for person in taken], dtype=np.uint32),
    )


def _chunks(people: list[Person], rows: int) -> Iterator[People]:
    for start in range(0, len(people), rows):
        some = people[start : start + rows]
        yield People(
            np.array([p.key for p in some], dtype=np.int64),
            np.array([p.province for p in some], dtype=np.int64),
            np.array([p.held_out for p in some], dtype=np.bool_),
        )


def _evaluated(people: list[Person], chunk: int = 7, block: int = 3, plan: Plan = PLAN) -> Evaluation:
    return evaluate(_chunks(people, chunk), _issued(people, block), settle(_orders(people)), (), plan, NOW)


def _credited(person: Person) -> int | None:
    """The wave whose contact earned the person's order."""
    if person.ordered_at is None:
        return None
    near = [
        (task.submitted_at, wave)
        for wave, (_, task) in person.tasks.items()
        if task.state in CONTACTED and 0 <= person.ordered_at - task.submitted_at <= 5 * DAY_SECONDS
    ]
    return max(near)[1] if near else None


@given(_population(), st.integers(1, 9), st.integers(1, 9))
def test_every_row_counts_what_a_plain_walk_counts(people: list[Person], chunk: int, block: int) -> None:
    expected: Counter[tuple[object, ...]] = Counter()
    for person in people:
        for wave, (channel, task) in person.tasks.items():
            node = "hq" if channel == "sms" else f"{person.province}"
            place = (wave, channel, node, person.province)
            fate = "in_flight" if task.state in IN_FLIGHT else task.state.name.lower()
            expected[(*place, "issued")] += 1
            expected[(*place, fate)] += 1
            expected[(*place, "contacted")] += task.state in CONTACTED
            expected[(*place, "responded")] += task.response > Response.NONE
            expected[(*place, "opted_out")] += task.response == Response.OPTED_OUT
            expected[(*place, "cost_fen")] += PLAN.costs_fen[channel] * (task.state in CONTACTED)
            expected[(*place, "ordered")] += _credited(person) == wave
            expected[(*place, "income_fen")] += 5900 * (_credited(person) == wave)
    found = _evaluated(people, chunk, block)
    names = {key[-1] for key in expected}
    counted = {(*place, name): cell[name] for place, cell in found.cells.items() for name in names}
    assert +Counter(counted) == +expected


@given(_population())
def test_each_person_of_the_target_is_in_exactly_one_entry(people: list[Person]) -> None:
    found = _evaluated(people)
    fates: Counter[str] = Counter()
    for person in people:
        last = person.tasks[max(person.tasks)][1].state if person.tasks else None
        fates[
            "held_out"
            if person.held_out
            else "unreachable"
            if last is None
            else "in_flight"
            if last in IN_FLIGHT
            else last.name.lower()
        ] += 1
    assert +found.people == +fates
    assert sum(found.states.values()) == sum(not person.held_out for person in people)


@given(_population())
def test_every_order_is_attributed_organic_or_outside_the_campaigns_time(people: list[Person]) -> None:
    found = _evaluated(people)
    inside = [p for p in people if p.ordered_at is not None and START <= p.ordered_at < PLAN.until]
    book = found.orders
    assert book["attributed"] == sum(_credited(person) is not None for person in people)
    assert book["attributed"] + book["organic_contactable"] + book["organic_held_out"] == len(inside)
    assert book["organic_outside"] == book["elsewhere"] == 0
    assert book["attributed_fen"] == 5900 * book["attributed"]
    assert found.meant.ordered + found.held_out.ordered == len(inside)
    assert found.meant.people + found.held_out.people == len(people)


def _one(**changes: object) -> Person:
    task = Task(TaskState.DELIVERED, Response.NONE, START + 60)
    return replace(Person(5, 45, False, {1: ("sms", task)}), **changes)


def test_before_the_first_wave_is_cut_everybody_waits() -> None:
    people = [_one(tasks={}), _one(key=6, held_out=True, tasks={})]
    found = _evaluated(people, plan=replace(PLAN, waved=False))
    assert +found.people == Counter(not_yet_waved=1, held_out=1)


def test_a_task_of_somebody_held_out_is_seen() -> None:
    assert _evaluated([_one(held_out=True)]).tasks_held_out == 1


def test_tasks_of_people_outside_the_target_are_seen_wherever_their_keys_fall() -> None:
    outsiders = [_one(key=key) for key in (1, 5, 9)]
    issued = _issued([*outsiders, _one(key=12)], 3)
    found = evaluate(_chunks([_one(key=4), _one(key=6)], 1), issued, settle(_orders([])), (), PLAN, NOW)
    assert (found.tasks_outside, sum(cell["issued"] for cell in found.cells.values())) == (4, 4)


def test_a_block_that_is_missing_is_missed() -> None:
    people = [_one(key=key) for key in range(1, 8)]
    issued = _issued(people, 3)
    whole = issued[0]
    found = evaluate(
        _chunks(people, 9), [replace(whole, blocks=list(whole.blocks)[1:])], settle(_orders([])), (), PLAN, NOW
    )
    assert found.tasks_missing == 3


def test_a_state_nobody_knows_is_refused_loudly() -> None:
    issued = _issued([_one()], 3)
    (block,) = issued[0].blocks
    broken = replace(issued[0], blocks=[replace(block, states=np.array([0], dtype=np.uint8))])
    with pytest.raises(SumsOpenError, match="wave 1, sms at hq, province 45: 1 tasks issued, 0 accounted for"):
        evaluate(_chunks([_one()], 9), [broken], settle(_orders([])), (), PLAN, NOW)


def test_another_campaigns_later_contact_takes_the_order() -> None:
    person = _one(ordered_at=START + DAY_SECONDS)
    other = Contacts(99, np.array([5]), np.array([0]), np.array([START + 120], dtype=np.uint32))
    found = evaluate(_chunks([person], 9), _issued([person], 3), settle(_orders([person])), [other], PLAN, NOW)
    assert (found.orders["attributed"], found.orders["elsewhere"]) == (0, 1)


def test_marketing_states_tell_silence_from_waiting() -> None:
    person, waiting = _one(), _one(key=6, tasks={1: ("sms", Task(TaskState.DELIVERED, Response.NONE, NOW - 60))})
    found = _evaluated([person, waiting])
    assert found.states == Counter(no_response=1, contacted=1)
    assert set(found.states) <= {state.name.lower() for state in MarketingState}
