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
class Measured:
    """The reference and the kernel decide the same requests on the same ledger, in one run."""

    sizes: Sizes
    kernel_seconds: float
    """The median of ROUNDS, each of `sizes.requests` decisions."""
    pooled_seconds: float
    """The same where half of the requests ask for one of a few scarce places."""
    reference_seconds: float
    decisions_differ: int
    """Of all that kernel and reference both decided."""
    granted: float
    """Of the kernel's decisions."""
    admission_seconds: float
    admitted: int
    admission_granted: float

    @property
    def kernel_decisions_per_second(self) -> float:
        return self.sizes.requests / self.kernel_seconds

    @property
    def pooled_decisions_per_second(self) -> float:
        return self.sizes.requests / self.pooled_seconds

    @property
    def reference_decisions_per_second(self) -> float:
        return self.sizes.requests / self.reference_seconds

    @property
    def kernel_vs_reference(self) -> float:
        return self.reference_seconds / self.kernel_seconds

    @property
    def durable_admissions_per_second(self) -> float:
        return self.admitted / self.admission_seconds


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
    drawn = [_requests(dice, people, sizes.requests, policy) for _ in range(ROUNDS)]
    kernel, decided = _timed(drawn, books, [], lambda done: tell("kernel", done, ROUNDS))
    crowded = [_crowded(dice, requests) for requests in drawn]
    pooled, shared = _timed(crowded, books, _pools(sizes), lambda done: tell("kernel, pools", done, ROUNDS))
    tell("reference", 0, 2)
    seconds, differ = _reference(drawn[0], books, [], decided[0])
    tell("reference", 1, 2)
    differ += _reference(crowded[0], books, _pools(sizes), shared[0])[1]
    tell("reference", 2, 2)
    granted = float(np.mean([np.mean(each.verdicts == Verdict.GRANTED) for each in decided]))
    asked = [_local_request(dice, people, number) for number in range(sizes.blocks)]
    admission_seconds, open_tasks = _admissions(root, asked, books, tell)
    admitted = sum(len(request) for request in asked)
    return Measured(
        sizes=sizes,
        kernel_seconds=kernel,
        pooled_seconds=pooled,
        reference_seconds=seconds,
        decisions_differ=differ,
        granted=granted,
        admission_seconds=admission_seconds,
        admitted=admitted,
        admission_granted=open_tasks / admitted,
    )


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
    """The same, half of them for a place in one of five pools."""
    count = len(requests)
    pools = np.where(dice.random(count) < 0.5, dice.integers(0, 5, count), NO_POOL).astype(np.int32)
    columns = (requests.keys, requests.priorities, requests.scores, requests.ids, requests.kinds)
    return Requests(*columns, pools, requests.campaigns)


def _pools(sizes: Sizes) -> list[Pool]:
    return [Pool(sizes.requests // 50)] * 5


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


def _admissions(root: Path, asked: list[LocalRequest], books: Books, tell: Tell) -> tuple[float, int]:
    """Seconds, and the tasks made: each request is decided, booked, stored and told in a transaction of its own."""
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
    return seconds, made


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
