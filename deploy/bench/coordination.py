"""`liandong bench coordination`: decisions a second on who may be contacted, and admissions a second made durable."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from common.courier import tables as courier_tables
from common.delivery import ledger
from common.delivery import tables as delivery_tables
from common.delivery.policy_document import parsed
from common.kernel import arbitration_reference
from common.kernel.arbitration import NO_POOL, Decisions, Pool, Requests, Verdict, decide
from common.kernel.columns import Codes, Keys
from common.kernel.policy import Policy, PolicyDocument
from common.kernel.spend_ledger import Ledger
from common.kernel.task import TaskState
from common.kernel.task_block import BLOCK_ROWS
from common.runtime.database import Database
from province import admission, policies
from province.coordination import Books, kind_of, own_caps
from province.local_request import LocalRequest
from province.store import local_requests
from province.store import tables as province_tables
from province.uplink import HqOutlet

NOW = 1_830_000_000
DAY_SECONDS = 86_400
LEDGER_DAYS = 30
SEED = 1
ROUNDS = 7
"""Each decides other requests, so that none finds its people in the processor's cache; the median counts."""
REFERENCE_ROUNDS = 3
POOLS = 5
PROVINCE = "45"
LINES = ("", "broadband", "5g", "roaming", "tv")
CLASSES = ("message", "call", "push")
POLICY = """\
mode: province_local
caps:
  - {scope: all, contacts: 3, per: 7d, province_share: 3}
  - {scope: channel_class, value: call, contacts: 1, per: 30d, province_share: 1}
  - {scope: product_line, value: broadband, contacts: 1, per: 30d, province_share: 1}
"""
TEXT = "您的流量已使用80%，回复Y办理加油包，回复TD退订。"

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    people: int
    spends: int
    requests: int
    blocks: int
    """Requests of a block's size each, admitted one after the other."""


@dataclass(frozen=True, slots=True)
class Decided:
    """Seconds to decide `Sizes.requests` at once: medians of ROUNDS, and of REFERENCE_ROUNDS on the same requests."""

    kernel_seconds: float
    pooled_seconds: float
    """Where half of the requests ask for one of a few scarce places."""
    reference_seconds: float
    differ: int
    """Decisions of the kernel that are not the reference's."""
    granted_share: float


@dataclass(frozen=True, slots=True)
class Admitted:
    seconds: float
    people: int
    tasks: int
    """Open tasks found in the store in the end: who was granted."""


@dataclass(frozen=True, slots=True)
class Measured:
    """All of one run, on one ledger."""

    sizes: Sizes
    decided: Decided
    admitted: Admitted

    @property
    def kernel_decisions_per_second(self) -> float:
        return self.sizes.requests / self.decided.kernel_seconds

    @property
    def pooled_decisions_per_second(self) -> float:
        return self.sizes.requests / self.decided.pooled_seconds

    @property
    def reference_decisions_per_second(self) -> float:
        return self.sizes.requests / self.decided.reference_seconds

    @property
    def kernel_vs_reference(self) -> float:
        return self.decided.reference_seconds / self.decided.kernel_seconds

    @property
    def durable_admissions_per_second(self) -> float:
        return self.admitted.people / self.admitted.seconds


class _StillClock:
    def now(self) -> int:
        return NOW

    def monotonic(self) -> float:
        return 0.0


def coordination(root: Path, sizes: Sizes, tell: Tell) -> Measured:
    """Decide and admit; `root` is where the store is made."""
    dice, policy = np.random.default_rng(SEED), parsed(POLICY, 1)
    tell("ledger", 0, sizes.spends)
    people = np.unique(dice.integers(0, 1 << 62, sizes.people))
    books = Books(policy, own_caps(policy), _ledger(dice, people, sizes.spends, policy), NOW)
    tell("ledger", sizes.spends, sizes.spends)
    decided = _decisions(dice, people, books, sizes, tell)
    asked = [_local_request(dice, people, number) for number in range(sizes.blocks)]
    return Measured(sizes, decided, _admissions(root, asked, books, tell))


def _decisions(dice: np.random.Generator, people: Keys, books: Books, sizes: Sizes, tell: Tell) -> Decided:
    drawn = [_requests(dice, people, sizes.requests, books.policy) for _ in range(ROUNDS)]
    crowded, pools = [_crowded(dice, requests) for requests in drawn], [Pool(sizes.requests // 50)] * POOLS
    kernel, free = _timed(drawn, books, [], lambda done: tell("kernel", done, ROUNDS))
    pooled, scarce = _timed(crowded, books, pools, lambda done: tell("kernel, scarce places", done, ROUNDS))
    seconds, differ = [], 0
    for place in range(REFERENCE_ROUNDS):
        taken, wrong = _reference(drawn[place], books, [], free[place])
        seconds.append(taken)
        differ += wrong + _reference(crowded[place], books, pools, scarce[place])[1]
        tell("reference", place + 1, REFERENCE_ROUNDS)
    granted = float(np.mean([np.mean(each.verdicts == Verdict.GRANTED) for each in free]))
    return Decided(kernel, pooled, median(seconds), differ, granted)


def _ledger(dice: np.random.Generator, people: Keys, spends: int, policy: Policy) -> Ledger:
    """Everybody's spends of the last LEDGER_DAYS, over all kinds of contact."""
    counts = np.bincount(dice.integers(0, len(people), spends), minlength=len(people))
    dates = (NOW - dice.integers(0, LEDGER_DAYS * DAY_SECONDS, spends)).astype(np.uint32)
    return Ledger().add(np.repeat(people, counts), dates, dice.choice(_kinds(policy), spends))


def _kinds(policy: Policy) -> Codes:
    return np.array([kind_of(policy, each, line) for each in CLASSES for line in LINES], dtype=np.uint8)


def _requests(dice: np.random.Generator, people: Keys, count: int, policy: Policy) -> Requests:
    """For three fifths as many people: some are asked for once, some several times."""
    asked = people[dice.integers(0, len(people), 1 + count * 3 // 5)]
    return Requests(
        keys=asked[dice.integers(0, len(asked), count)],
        priorities=dice.integers(0, 10, count),
        scores=dice.random(count),
        ids=dice.permutation(count).astype(np.int64),
        kinds=dice.choice(_kinds(policy), count),
        pools=np.full(count, NO_POOL, dtype=np.int32),
        campaigns=dice.integers(0, 20, count).astype(np.int32),
    )


def _crowded(dice: np.random.Generator, requests: Requests) -> Requests:
    """The same, half of them for a place in a pool."""
    count = len(requests)
    pools = np.where(dice.random(count) < 0.5, dice.integers(0, POOLS, count), NO_POOL).astype(np.int32)
    columns = (requests.keys, requests.priorities, requests.scores, requests.ids, requests.kinds)
    return Requests(*columns, pools, requests.campaigns)


def _timed(
    drawn: list[Requests], books: Books, pools: list[Pool], done: Callable[[int], None]
) -> tuple[float, list[Decisions]]:
    seconds, decided = [], []
    for requests in drawn:
        begun = time.perf_counter()
        decided.append(decide(requests, books.ledger, books.caps, pools, NOW))
        seconds.append(time.perf_counter() - begun)
        done(len(decided))
    return median(seconds), decided


def _reference(requests: Requests, books: Books, pools: list[Pool], fast: Decisions) -> tuple[float, int]:
    """Seconds, and how many decisions differ. Its spends are laid out as it likes them before the clock starts."""
    spent = books.ledger.by_person(np.unique(requests.keys))
    begun = time.perf_counter()
    plain = arbitration_reference.decide(requests, spent, books.caps, pools, NOW)
    seconds = time.perf_counter() - begun
    same = (fast.verdicts == plain.verdicts) & (fast.rivals == plain.rivals) & (fast.caps == plain.blocking)
    return seconds, int(np.count_nonzero(~same))


def _admissions(root: Path, asked: list[LocalRequest], books: Books, tell: Tell) -> Admitted:
    """Each request is decided, booked, stored and told in a transaction of its own."""
    database, outlet = Database(f"sqlite:///{root / 'province.db'}"), HqOutlet(_StillClock())
    database.create(courier_tables.metadata, delivery_tables.metadata, province_tables.metadata)
    with database.transaction("bench.policy") as connection:
        policies.take(connection, PolicyDocument(books.policy.version, POLICY), NOW)
    seconds = 0.0
    for done, request in enumerate(asked, start=1):
        with database.transaction("bench.ask") as connection:
            local_requests.put(connection, request)
        begun = time.perf_counter()
        with database.transaction("bench.admit") as connection:
            books = admission.admit(connection, books, PROVINCE, outlet, NOW) or books
        seconds += time.perf_counter() - begun
        tell("durable admissions", done, len(asked))
    with database.snapshot() as connection:
        orders = ledger.work_orders(connection)
        made = sum(ledger.counts(connection, order.name)[TaskState.OPEN] for order in orders)
    database.close()
    return Admitted(seconds, sum(len(request) for request in asked), made)


def _local_request(dice: np.random.Generator, people: Keys, number: int) -> LocalRequest:
    rows = np.unique(dice.integers(0, len(people), BLOCK_ROWS))
    return LocalRequest(
        name=f"bench-{number}",
        asked_at=NOW,
        channel="local_sms",
        offer="bench",
        product_line="5g",
        purpose="",
        priority=50,
        end_at=NOW + DAY_SECONDS,
        ask_hq=False,
        texts=(TEXT,),
        keys=people[rows],
        scores=dice.random(len(rows)),
        text_refs=np.zeros(len(rows), dtype=np.uint32),
    )
