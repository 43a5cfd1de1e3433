"""Many seeds on several processes, and what came of them."""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections import Counter
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice

from deploy.simulation.leaving_out import left_out
from deploy.simulation.world import Ended, World

SEEDS_A_TASK = 20
TWICE_EVERY = 100
"""Of so many seeds one is run twice, and must end alike."""
PROVINCES = ("11", "31", "44", "51", "65", "32", "33", "35", "37", "42")


@dataclass(frozen=True, slots=True)
class Asked:
    first: int
    seeds: int
    provinces: int
    without: tuple[str, ...] = ()
    """Guards left out."""

    def command(self, seed: int) -> str:
        without = "".join(f" --without {name}" for name in self.without)
        return f"liandong simulate --seeds 1 --first-seed {seed} --provinces {self.provinces}{without}"


@dataclass(slots=True)
class Summary:
    """What the seeds that were run came to."""

    seeds: int = 0
    contacts: int = 0
    events: int = 0
    faults: int = 0
    twice: int = 0
    violations: Counter[str] = field(default_factory=Counter)
    failed: list[Ended] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    steps: set[str] = field(default_factory=set)

    def add(self, ended: Ended) -> None:
        self.seeds += 1
        self.contacts += ended.contacts
        self.events += ended.events
        self.faults += ended.faults
        self.twice += ended.twice
        self.kinds.update(ended.kinds)
        self.steps |= ended.steps
        if ended.rule:
            self.violations[ended.rule] += 1
            self.failed.append(ended)

    def never_died_at(self) -> list[str]:
        """Commits before or after which no process ever died."""
        points = [f"crash {side} {step}" for step in sorted(self.steps) for side in ("before", "after")]
        return [point for point in points if point not in self.kinds]


def run_seed(seed: int, asked: Asked) -> Ended:
    ended = World(seed, PROVINCES[: asked.provinces]).run()
    if seed % TWICE_EVERY or ended.rule:
        return ended
    again = World(seed, PROVINCES[: asked.provinces]).run()
    if again.digest == ended.digest:
        return replace(ended, twice=True)
    return replace(ended, rule="determinism", message=f"determinism: {ended.digest}, and then {again.digest}")


def run_seeds(seeds: Sequence[int], asked: Asked) -> list[Ended]:
    """In this process."""
    with left_out(asked.without), _silence():
        return [run_seed(seed, asked) for seed in seeds]


@contextmanager
def _silence() -> Generator[None, None, None]:
    """What nodes log as alarming is every seed's daily bread."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def run(asked: Asked, jobs: int) -> Generator[Ended, None, None]:
    """All seeds, in about their order; closing the iterator ends the work."""
    seeds = range(asked.first, asked.first + asked.seeds)
    tasks = (seeds[start : start + SEEDS_A_TASK] for start in range(0, len(seeds), SEEDS_A_TASK))
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_leave_interrupts_to_parent)
    try:
        running: set[Future[list[Ended]]] = {pool.submit(run_seeds, task, asked) for task in islice(tasks, 2 * jobs)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            running |= {pool.submit(run_seeds, task, asked) for task in islice(tasks, len(done))}
            for future in done:
                yield from future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
