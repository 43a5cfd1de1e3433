"""Which seed finds out that a guard is missing."""

from __future__ import annotations

import multiprocessing
import tomllib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from deploy.simulation.guards import GUARDS
from deploy.simulation.run import Asked, run_seeds

T = TypeVar("T")

TABLE = Path(__file__).with_suffix(".toml")
PROVINCES = 5
SEEDS_MAX = 1_000
"""Run for each guard, at most, before it is given up."""
AGAIN = "liandong simulate --mutants --write"


@dataclass(frozen=True, slots=True)
class Caught:
    """`rule` is empty where no seed up to `seed` found out."""

    guard: str
    seed: int
    rule: str


def hunt(seeds: int, jobs: int) -> Iterator[Caught]:
    """For each guard the first seed, from 1, that finds out; in the order of the guards."""
    yield from _each(partial(first_found, seeds=seeds), GUARDS, jobs)


def check(jobs: int) -> Iterator[Caught]:
    """What the seeds found before find now."""
    yield from _each(again, kept().values(), jobs)


def first_found(guard: str, seeds: int) -> Caught:
    for seed in range(1, seeds + 1):
        caught = run_one(guard, seed)
        if caught.rule and not run_one("", seed).rule:
            return caught
    return Caught(guard, seeds, "")


def again(before: Caught) -> Caught:
    return run_one(before.guard, before.seed)


def run_one(guard: str, seed: int) -> Caught:
    (ended,) = run_seeds([seed], Asked(seed, 1, PROVINCES, (guard,) if guard else ()))
    return Caught(guard, seed, ended.rule)


def kept() -> dict[str, Caught]:
    """The seeds found before, by guard."""
    rows = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return {guard: Caught(guard, row["seed"], row["rule"]) for guard, row in rows.items()}


def keep(caught: Iterable[Caught]) -> None:
    """Write the table anew, of what was caught."""
    rows = [f'{each.guard} = {{seed = {each.seed}, rule = "{each.rule}"}}\n' for each in caught if each.rule]
    TABLE.write_text("".join(rows), encoding="utf-8")


def _each(work: Callable[[T], Caught], items: Iterable[T], jobs: int) -> Iterator[Caught]:
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(work, items)
