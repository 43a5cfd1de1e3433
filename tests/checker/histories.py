"""Clean histories, made up from a seed out of the checker's own values: what correct nodes would have left behind."""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from random import Random
from typing import Any

import numpy as np

from deploy.checker.stops import CANCELLED
from deploy.checker.world import (
    BLOCK_TASKS,
    CLASS_SCOPES,
    HQ,
    NEVER,
    RESTORED,
    Block,
    Cap,
    Consents,
    Contacts,
    Cursor,
    Grant,
    Log,
    Node,
    Orders,
    OrderState,
    Policy,
    Scope,
    State,
    Stops,
    WorkOrder,
    World,
    block,
    ledger,
)

MIDNIGHT = 1_789_920_000
"""A Monday's, in Shanghai."""
HOUR, DAY = 3_600, 86_400
DAYS = 6
CHANNELS = {HQ: ("sms", "app_push"), "province": ("local_sms", "outbound_call")}
CLASSES = {"sms": "message", "app_push": "push", "local_sms": "message", "outbound_call": "call"}
PURPOSE = "location"


@dataclass
class Task:
    key: int
    state: State = State.OPEN
    reason: int = 0
    response: int = 0
    submitted_at: int = 0
    settled_at: int = 0


@dataclass
class Job:
    """A work order with its tasks, in blocks of `block_rows`."""

    order: WorkOrder
    tasks: list[Task]
    block_rows: int
    cancelled_at: int = NEVER

    def number(self, row: int) -> int:
        return row // self.block_rows * BLOCK_TASKS + row % self.block_rows

    def blocks(self, told: bool) -> Iterator[Block]:
        """As their node has them; or, `told`, as HQ does, which hears of ends only."""
        for start in range(0, len(self.tasks), self.block_rows):
            part = self.tasks[start : start + self.block_rows]
            tasks = [task if task.state >= State.DELIVERED or not told else Task(task.key) for task in part]
            columns = {
                "reasons": [task.reason for task in tasks],
                "responses": [task.response for task in tasks],
                "submitted_at": [task.submitted_at for task in tasks],
                "settled_at": [task.settled_at for task in tasks],
            }
            yield block(
                self.order.name,
                start // self.block_rows,
                np.array([task.key for task in tasks]),
                np.array([task.state for task in tasks], dtype=np.uint8),
                **{name: np.array(values) for name, values in columns.items()},
            )


@dataclass
class Sent:
    job: Job
    row: int
    accepted_at: int


@dataclass
class Story:
    """Everything that happens, in order; at the end it is written down as a World."""

    random: Random
    settled: bool
    provinces: list[str] = field(init=False)
    people: dict[int, str] = field(init=False)
    """Home province of each subscriber."""
    policies: list[Policy] = field(init=False)
    jobs: list[Job] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    contacted: defaultdict[int, list[tuple[int, WorkOrder]]] = field(default_factory=lambda: defaultdict(list))
    stops: list[tuple[int, int, int, int, dict[str, int]]] = field(default_factory=list)
    """(key, scope, at, lifted, when each node heard of it)"""
    consents: list[tuple[int, str, int, int, int]] = field(default_factory=list)
    """(key, purpose, given at, expires at, withdrawn)"""
    ordered: list[tuple[int, str, int]] = field(default_factory=list)
    """(key, offer, at)"""
    held_out: dict[str, list[int]] = field(default_factory=dict)
    fenced: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        random = self.random
        self.provinces = random.sample(["45", "13", "31"], random.randint(1, 3))
        keys = random.sample(range(1, 1_000_000), random.randint(3, 12))
        self.people = {key: random.choice(self.provinces) for key in keys}
        self.policies = [self._policy(version) for version in range(1, random.choice([2, 2, 3]))]

    def tell(self) -> World:
        self._before()
        for number in range(self.random.randint(3, 10)):
            self._issue(number)
        for at, job, row in sorted(self._attempts(), key=lambda attempt: attempt[0]):
            self._attempt(job, row, at)
        self._afterwards()
        return self._written_down()

    # What is decided before anything is sent

    def _policy(self, version: int) -> Policy:
        random = self.random
        caps = [Cap("all", "", random.randint(1, 4), random.choice([8 * HOUR, DAY, 2 * DAY]))]
        if random.random() < 0.5:
            caps.append(Cap("channel_class", "message", random.randint(1, 2), random.choice([DAY, 3 * DAY])))
        if random.random() < 0.5:
            caps.append(Cap("product_line", "data", 1, random.choice([DAY, 4 * DAY])))
        return Policy(
            version,
            MIDNIGHT + (version - 1) * random.randint(DAY, 3 * DAY),
            tuple(caps),
            cooling_seconds=random.choice([0, DAY]),
            after_order_seconds=random.choice([0, 0, DAY]),
            consent_classes=random.choice([(), (), ("call",)]),
            capacities=random.choice([{}, {"outbound_call": random.randint(1, 4)}]),
            rest_days=frozenset(random.sample([date(2026, 9, day) for day in range(21, 27)], 1)),
            digest=f"policy {version}",
        )

    def _before(self) -> None:
        for key in self.people:
            if self.random.random() < 0.3:
                self._stop(key)
            if self.random.random() < 0.6:
                given = MIDNIGHT - self.random.randint(1, 30) * DAY
                expires = MIDNIGHT + self.random.choice([2 * DAY, 30 * DAY])
                self.consents.append((key, self.random.choice([PURPOSE, "call"]), given, expires, 0))

    def _stop(self, key: int) -> None:
        """And sometimes its lifting, a while later."""
        random, at = self.random, self._moment()
        scope = random.choice([Scope.ALL, Scope.ALL, Scope.REFUSED, Scope.BLACKLIST, CLASS_SCOPES["message"]])
        self.stops.append((key, scope, at, 0, self._hearings(at)))
        if random.random() < 0.3:
            at += random.randint(HOUR, DAY)
            self.stops.append((key, scope, at, 1, self._hearings(at)))

    def _hearings(self, at: int) -> dict[str, int]:
        return {node: at + self.random.randint(0, 50) for node in (HQ, *self.provinces)}

    def _moment(self) -> int:
        return MIDNIGHT + self.random.randrange(DAYS * DAY)

    def _issue(self, number: int) -> None:
        random = self.random
        node = random.choice([HQ, *self.provinces])
        channel = random.choice(CHANNELS[HQ if node == HQ else "province"])
        campaign = random.choice(["spring", "summer"])
        local = node != HQ and random.random() < 0.3
        start = MIDNIGHT + random.randrange(DAYS - 1) * DAY + random.choice([0, 9 * HOUR])
        end = start + random.randint(1, 2) * DAY
        held_out = self.held_out.setdefault(campaign, [key for key in self.people if random.random() < 0.1])
        at_home = [key for key, home in self.people.items() if node in (HQ, home) and key not in held_out]
        keys = sorted(random.sample(at_home, random.randint(0, len(at_home))))
        if not keys:
            return
        order = WorkOrder(
            name=f"local/{number}/{node}" if local else f"{campaign}/{number}/{channel}/{node}",
            node=node,
            channel=channel,
            start_at=start,
            end_at=end,
            task_count=len(keys),
            state=OrderState.ACCEPTED,
            version=random.randint(1, 3),
            campaign="" if local else campaign,
            offer=random.choice(["plan_a", "plan_b"]),
            product_line=random.choice(["", "data"]),
            service=random.random() < 0.15,
            leased=not local,
            purpose=random.choice(["", "", "", PURPOSE]),
            policy_version=self._in_force(start)[-1].version,
        )
        cancelled_at = random.randrange(start, end) if random.random() < 0.2 else NEVER
        self.jobs.append(Job(order, [Task(key) for key in keys], random.randint(1, 4), cancelled_at))

    # What happens to each task

    def _attempts(self) -> Iterator[tuple[int, Job, int]]:
        for job in self.jobs:
            for row in range(len(job.tasks)):
                yield self._waking_moment(job.order), job, row

    def _waking_moment(self, order: WorkOrder) -> int:
        """Within its validity, and seldom at night."""
        found = [self.random.randrange(order.start_at, order.end_at) for _ in range(3)]
        return next((at for at in found if not self._quiet(at)), found[0])

    def _attempt(self, job: Job, row: int, booked: int) -> None:
        task, order, random = job.tasks[row], job.order, self.random
        accepted = min(booked + random.choice([0, 1, 5, 59]), order.end_at)
        if not self.settled and random.random() < 0.2:
            return
        if booked >= job.cancelled_at:
            task.state, task.reason, task.settled_at = State.SUPPRESSED, CANCELLED, booked
        elif self._quiet(booked) or self._quiet(accepted):
            task.state, task.reason, task.settled_at = State.EXPIRED, 60, order.end_at
        elif not self._allowed(job, task, booked, accepted):
            task.state, task.reason, task.settled_at = State.SUPPRESSED, random.choice([1, 2, 3, 5, 12]), booked
        elif random.random() < 0.1:
            task.state, task.reason, task.settled_at = State.FAILED, 20, accepted
        else:
            self._send(job, row, booked, accepted)

    def _send(self, job: Job, row: int, booked: int, accepted: int) -> None:
        task, random = job.tasks[row], self.random
        fates = [
            (State.DELIVERED, 0, 0.7),
            (State.FAILED, 21, 0.1),
            (State.EXPIRED, 61, 0.05),
            (State.UNKNOWN, 40, 0.1),
            (State.UNKNOWN, 41, 0.05),
        ]
        unsettled = [] if self.settled else [(State.SUBMITTING, 0, 0.1), (State.SUBMITTED, 0, 0.2)]
        chances = [*fates, *unsettled]
        state, reason, _ = random.choices(chances, [weight for *_, weight in chances])[0]
        task.state, task.reason, task.submitted_at = state, reason, booked
        if state >= State.DELIVERED:
            task.settled_at, task.response = accepted + random.randint(0, HOUR), random.randint(0, 3)
        lost = state in (State.SUBMITTING, State.UNKNOWN) and reason != 40 and random.random() < 0.5
        if not lost:
            self.sent.append(Sent(job, row, accepted))
        insort(self.contacted[task.key], (accepted, job.order), key=lambda contact: contact[0])
        if state == State.DELIVERED and random.random() < 0.2:
            self.ordered.append((task.key, job.order.offer, accepted + random.randint(1, DAY)))

    def _in_force(self, at: int) -> list[Policy]:
        """By whom a node may decide at that moment: a new version takes a while to be everywhere."""
        return [
            policy
            for policy, after in zip(self.policies, [*self.policies[1:], None], strict=True)
            if policy.received_at <= at + DAY and (after is None or after.received_at + HOUR > at - DAY)
        ] or self.policies[:1]

    def _quiet(self, at: int) -> bool:
        return not 9 * HOUR <= (at - MIDNIGHT) % DAY <= 21 * HOUR

    def _allowed(self, job: Job, task: Task, booked: int, accepted: int) -> bool:
        order = job.order
        barred = any(
            scope == Scope.BLACKLIST or (not order.service and self._applies(scope, order))
            for key, scope, at, lifted, _ in self.stops
            if key == task.key and not lifted and at <= accepted
        )
        if barred or not self._has_room(order, accepted):
            return False
        return order.service or self._marketing_allowed(order, task, booked, accepted)

    def _applies(self, scope: int, order: WorkOrder) -> bool:
        return scope in (Scope.ALL, Scope.REFUSED, CLASS_SCOPES[CLASSES[order.channel]])

    def _marketing_allowed(self, order: WorkOrder, task: Task, booked: int, accepted: int) -> bool:
        purposes = [order.purpose] if order.purpose else []
        for policy in self.policies:
            purposes += [name for name in policy.consent_classes if name == CLASSES[order.channel]]
        given = {
            purpose
            for key, purpose, since, until, withdrawn in self.consents
            if key == task.key and since <= booked and accepted < until and not withdrawn
        }
        known = any(key == task.key and at < accepted for key, _, at in self.ordered)
        return given >= set(purposes) and not known and self._within_caps(order, task.key, accepted)

    def _within_caps(self, order: WorkOrder, key: int, accepted: int) -> bool:
        """Plainly: with this contact no stretch of any cap of any version holds too many."""
        mine = [(at, other) for at, other in self.contacted[key] if not other.service]
        for policy in self.policies:
            for cap in policy.caps:
                covered = [at for at, other in (*mine, (accepted, order)) if _covers(cap, other)]
                crowd = max(sum(0 <= at - begin < cap.window_seconds for at in covered) for begin in (*covered, 0))
                if _covers(cap, order) and crowd > cap.contacts:
                    return False
        return True

    def _has_room(self, order: WorkOrder, at: int) -> bool:
        day = (at - MIDNIGHT) // DAY
        used = sum(
            other.channel == order.channel and other.node == order.node and (when - MIDNIGHT) // DAY == day
            for contacts in self.contacted.values()
            for when, other in contacts
        )
        return all(used < policy.capacities.get(order.channel, NEVER) for policy in self.policies)

    # What faults leave behind

    def _afterwards(self) -> None:
        if self.random.random() < 0.3:
            self._restore(self.random.choice(self.provinces))

    def _restore(self, node: str) -> None:
        """The node forgot what happened to some of its tasks, and gave them up."""
        fenced = MIDNIGHT + (DAYS + 3) * DAY
        self.fenced[node] = fenced
        for job in self.jobs:
            for task in job.tasks if job.order.node == node else []:
                if task.state in (State.DELIVERED, State.UNKNOWN) and self.random.random() < 0.4:
                    task.state, task.reason, task.settled_at, task.response = State.UNKNOWN, RESTORED, fenced, 0

    # Writing it down

    def _written_down(self) -> World:
        if self.settled:
            for job in self.jobs:
                job.order = replace(job.order, state=OrderState.COMPLETED)
        logs, cursors = self._logs()
        nodes = tuple(self._node(name, logs[name], cursors[name]) for name in (HQ, *self.provinces))
        held_out = {campaign: np.array(sorted(keys), dtype=np.int64) for campaign, keys in self.held_out.items()}
        return World(nodes, held_out, settled=self.settled, connected=True)

    def _node(self, name: str, logs: list[Log], cursors: list[Cursor]) -> Node:
        jobs = sorted((job for job in self.jobs if name in (HQ, job.order.node)), key=lambda job: job.order.name)
        return Node(
            name,
            tuple(job.order for job in jobs),
            ledger([each for job in jobs for each in job.blocks(told=job.order.node != name)]),
            self._contacts(name),
            self._stops(name),
            self._consents(),
            self._orders(name),
            tuple(replace(policy, received_at=policy.received_at + (name != HQ) * 30) for policy in self.policies),
            tuple(logs),
            tuple(cursors),
            self._grants() if name == HQ else (),
            incarnation=2 if name in self.fenced else 1,
            fenced_at=self.fenced.get(name, 0),
            waiting={"local_request": 0} if name != HQ else {},
        )

    def _contacts(self, node: str) -> Contacts:
        mine = [sent for sent in self.sent if sent.job.order.node == node]
        lines = list(dict.fromkeys((sent.job.order.channel, sent.job.order.name) for sent in mine))
        rows = [
            (
                lines.index((sent.job.order.channel, sent.job.order.name)),
                sent.job.number(sent.row),
                sent.job.tasks[sent.row].key,
                sent.accepted_at,
                sent.job.order.end_at,
                int(self.people[sent.job.tasks[sent.row].key]),
            )
            for sent in mine
        ]
        return Contacts(tuple(lines), *_columns(rows, 6))

    def _stops(self, node: str) -> Stops:
        rows = [(key, scope, at, lifted, heard[node]) for key, scope, at, lifted, heard in self.stops]
        return Stops(*_columns(rows, 5), history=True)

    def _consents(self) -> Consents:
        purposes = (PURPOSE, "call")
        rows = [(key, purposes.index(purpose), *rest, rest[0] + 5) for key, purpose, *rest in self.consents]
        return Consents(purposes, *_columns(rows, 6), history=True)

    def _orders(self, node: str) -> Orders:
        mine = [(n, each) for n, each in enumerate(self.ordered) if node in (HQ, self.people[each[0]])]
        rows = [(key, 1, at, at + 10, int(self.people[key])) for _, (key, _, at) in mine]
        identities = tuple((f"bss-{self.people[key]}", f"N{n}", 1) for n, (key, _, _) in mine)
        return Orders(identities, tuple(offer for _, (_, offer, _) in mine), *_columns(rows, 5))

    def _grants(self) -> tuple[Grant, ...]:
        granted = [job.order for job in self.jobs if job.order.leased and job.order.node != HQ]
        return tuple(Grant(order.node, f"r{n}", order.name) for n, order in enumerate(granted) if n % 2)

    def _logs(self) -> tuple[dict[str, list[Log]], dict[str, list[Cursor]]]:
        logs: dict[str, list[Log]] = defaultdict(list)
        cursors: dict[str, list[Cursor]] = defaultdict(list)
        for province in self.provinces:
            ways = [(HQ, province, topic) for topic in ("control", "work_orders")]
            ways += [(province, HQ, stream) for stream in ("control", "results")]
            for writer, reader, stream in ways:
                log = self._log(reader, stream)
                logs[writer].append(log)
                cursors[reader].append(self._cursor(writer, log))
        return logs, cursors

    def _log(self, peer: str, stream: str) -> Log:
        random = self.random
        head = random.randint(0, 12)
        committed = head if self.settled else random.randint(0, head)
        oldest = random.randint(1, committed + 1)
        sequences = np.arange(oldest, head + 1)
        chains = np.array([random.getrandbits(60) for _ in sequences], dtype=np.int64)
        base = 0 if oldest == 1 else random.getrandbits(60)
        sound = np.ones(len(sequences), dtype=np.bool_)
        return Log(peer, stream, random.randint(1, 3), oldest, head, committed, base, sequences, chains, sound)

    def _cursor(self, writer: str, log: Log) -> Cursor:
        sequence = self.random.randint(log.committed, log.head)
        chain = log.base_chain if sequence < log.oldest else int(log.chains[sequence - log.oldest])
        return Cursor(writer, log.stream, log.epoch, sequence, chain)


def _covers(cap: Cap, order: WorkOrder) -> bool:
    return cap.value == {"channel_class": CLASSES[order.channel], "product_line": order.product_line}.get(cap.scope, "")


def _columns(rows: list[tuple[Any, ...]], width: int) -> list[Any]:
    return list(np.array(rows, dtype=np.int64).reshape(-1, width).T)


def history(seed: int, settled: bool | None = None) -> World:
    random = Random(seed)  # noqa: S311 - keeps no secret
    return Story(random, random.random() < 0.5 if settled is None else settled).tell()
