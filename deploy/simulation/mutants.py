"""Which seed finds out that a guard is missing."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from common.kernel.guard import GUARDS
from deploy.simulation.run import Asked, run


@dataclass(frozen=True, slots=True)
class Caught:
    """`seed` is -1 where no seed found out."""

    guard: str
    seed: int
    rule: str
    seeds: int
    """How many were run."""


def hunt(guards: Iterable[str], asked: Asked, jobs: int) -> Iterator[Caught]:
    """Run each mutant until a seed breaks a rule."""
    for guard in guards:
        yield _hunt(guard, Asked(asked.first, asked.seeds, asked.provinces, (guard,)), jobs)


def _hunt(guard: str, asked: Asked, jobs: int) -> Caught:
    seeds = 0
    for ended in run(asked, jobs):
        seeds += 1
        if ended.rule:
            return Caught(guard, ended.seed, ended.rule, seeds)
    return Caught(guard, -1, "", seeds)


def kept(table: Path) -> dict[str, Caught]:
    """The seeds found before, by guard."""
    found = tomllib.loads(table.read_text(encoding="utf-8"))
    return {guard: Caught(guard, row["seed"], row["rule"], row["seeds"]) for guard, row in found.items()}


def keep(table: Path, caught: Iterable[Caught]) -> None:
    """Write the table anew, in the order of the catalogue."""
    rows = {each.guard: each for each in caught}
    lines = [
        f'[{name}]\nseed = {rows[name].seed}\nrule = "{rows[name].rule}"\nseeds = {rows[name].seeds}\n'
        for name in GUARDS
        if name in rows
    ]
    table.write_text("\n".join(lines), encoding="utf-8")
