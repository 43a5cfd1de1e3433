"""`liandong simulate`: years of a federation in bad weather, every seed of which can be played again."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

if TYPE_CHECKING:
    from deploy.simulation.run import Asked, Summary
    from deploy.simulation.world import Ended

TRACE_LINES = 60
FAILURES_SHOWN = 3
PROVINCES_MAX = 10


def simulate(
    seeds: Annotated[int, typer.Option(min=1, help="How many runs.")] = 1_000,
    first_seed: Annotated[int, typer.Option(min=0, help="The first run's seed.")] = 1,
    provinces: Annotated[int, typer.Option(min=1, max=PROVINCES_MAX, help="Provinces in each run.")] = 5,
    jobs: Annotated[int, typer.Option(min=0, help="Processes; 0: one a processor.")] = 0,
    without: Annotated[list[str] | None, typer.Option(help="A guard of the protocol to leave out.")] = None,
    mutants: Annotated[bool, typer.Option(help="Does the seed kept for each guard find that it is left out?")] = False,
    write: Annotated[bool, typer.Option(help="With --mutants: search and keep the first such seeds.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line on stdout.")] = False,
) -> None:
    """Run HQ and provinces in one process under simulated faults, and check what must hold."""
    # Not at the top: every command would wait for it.
    from deploy.simulation.leaving_out import left_out
    from deploy.simulation.run import Asked

    jobs = jobs or os.cpu_count() or 1
    if mutants:
        _mutants(jobs, write)
    with left_out(without or []):
        _run(Asked(first_seed, seeds, provinces, tuple(without or [])), jobs, as_json)


def _mutants(jobs: int, write: bool) -> None:
    """One screen: each guard, the seed that finds its absence, and the rule it breaks."""
    from deploy.simulation.guards import GUARDS
    from deploy.simulation.mutants import SEEDS_MAX, Caught, check, hunt, keep

    found: list[Caught] = []
    table = Table("guard", "what it says", Column("seed", justify="right"), "breaks", box=None)
    with _progress() as progress:
        for caught in progress.track(hunt(SEEDS_MAX, jobs) if write else check(jobs), len(GUARDS)):
            found.append(caught)
            rule = caught.rule or "[red]nothing[/red]"
            table.add_row(caught.guard, GUARDS[caught.guard].says, f"{caught.seed:,}", rule)
    if write:
        keep(found)
    missed = len(GUARDS) - sum(bool(caught.rule) for caught in found)
    Console(highlight=False).print(table, f"{len(GUARDS)} guards, {missed} left out unseen", sep="\n")
    raise typer.Exit(1 if missed else 0)


def _run(asked: Asked, jobs: int, as_json: bool) -> None:
    from deploy.simulation.run import Summary, run

    summary, begun = Summary(), time.perf_counter()
    interrupted = False
    with _progress() as progress:
        bar = progress.add_task("seeds", total=asked.seeds)
        runs = run(asked, jobs)
        try:
            for ended in runs:
                summary.add(ended)
                progress.update(bar, advance=1, description=f"seeds, {sum(summary.violations.values())} violations")
        except KeyboardInterrupt:
            interrupted = True
        finally:
            runs.close()
    seconds = time.perf_counter() - begun
    if as_json:
        typer.echo(json.dumps(_document(summary, asked, seconds)))
    else:
        _show(summary, asked, seconds)
    raise typer.Exit(130 if interrupted else 1 if summary.failed else 0)


def _document(summary: Summary, asked: Asked, seconds: float) -> dict[str, Any]:
    return {
        "seeds": summary.seeds,
        "provinces": asked.provinces,
        "violations": sum(summary.violations.values()),
        "violations_by_rule": dict(sorted(summary.violations.items())),
        "contacts": summary.contacts,
        "faults": summary.faults,
        "events": summary.events,
        "run_twice": summary.twice,
        "happened": dict(sorted(summary.kinds.items())),
        "never_died_at": summary.never_died_at(),
        "wall_seconds": round(seconds, 1),
        "seeds_per_second": round(summary.seeds / seconds, 2),
        "replay": [asked.command(ended.seed) for ended in summary.failed[:FAILURES_SHOWN]],
    }


def _show(summary: Summary, asked: Asked, seconds: float) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for ended in summary.failed[:FAILURES_SHOWN]:
        _show_failure(console, ended, asked)
    violations = sum(summary.violations.values())
    console.print(
        f"[bold]{summary.seeds:,} seeds[/bold] with {asked.provinces} provinces in {seconds:,.1f} s "
        f"({summary.seeds / seconds:.1f} a second): {summary.contacts:,} contacts, {summary.faults:,} faults, "
        f"{summary.twice:,} seeds run twice\n"
        f"{'[red]' if violations else '[green]'}{violations:,} violations[/] {dict(summary.violations) or ''}"
    )


def _show_failure(console: Console, ended: Ended, asked: Asked) -> None:
    for line in ended.trace[-TRACE_LINES:]:
        console.print(line, markup=False)
    console.print(f"\n[red]seed {ended.seed}[/red]", end=" ")
    console.print(ended.message, markup=False)
    console.print(f"again: {asked.command(ended.seed)}\n", markup=False)


def _progress() -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*columns, console=Console(stderr=True))
