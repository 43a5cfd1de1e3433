"""`liandong bench …`: what this machine carries."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from deploy.bench.coordination import Measured as MeasuredDecisions
    from deploy.bench.loop import Measured

app = typer.Typer(help="Measure this machine.", no_args_is_help=True)
TASKS_MAX = 10_000_000
PEOPLE_MAX = 100_000_000
SPENDS_MAX = 500_000_000


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each thing told of: its name, how much is done, and of how much."""
    bars: dict[str, Any] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:

        def tell(name: str, done: int, total: int) -> None:
            if name not in bars:
                bars[name] = progress.add_task(name, total=total)
            progress.update(bars[name], completed=done, total=total)

        yield tell


@app.callback()
def bench() -> None:
    """Measure this machine."""


@app.command()
def loop(
    tasks: Annotated[int, typer.Option(min=1_000, max=TASKS_MAX, help="Contacts to carry.")] = 500_000,
    kills: Annotated[int, typer.Option(min=0, max=100, help="SIGKILL processes in turn, so many times.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line on stdout.")] = False,
) -> None:
    """Contacts a second from HQ to a province, a vendor and back, every step durable, on this machine."""
    # Not at the top: every command would wait for it.
    from deploy.bench.loop import loop as measure_loop

    with tempfile.TemporaryDirectory(prefix="liandong-bench-") as root, _progress() as tell:
        measured = asyncio.run(measure_loop(Path(root), tasks, kills, tell))
    if as_json:
        typer.echo(json.dumps(_document(measured)))
    else:
        _show(measured)
    raise typer.Exit(1 if measured.unsettled or measured.doubled else 0)


@app.command()
def coordination(
    people: Annotated[int, typer.Option(min=1_000, max=PEOPLE_MAX, help="Subscribers in the ledger.")] = 10_000_000,
    spends: Annotated[int, typer.Option(min=1_000, max=SPENDS_MAX, help="Contacts in it.")] = 50_000_000,
    requests: Annotated[int, typer.Option(min=100, max=TASKS_MAX, help="Decided at once.")] = 100_000,
    blocks: Annotated[int, typer.Option(min=1, max=10_000, help="Blocks of 10,000 people to admit.")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line on stdout.")] = False,
) -> None:
    """Decisions a second on who may be contacted, against a plain reference; and admissions a second made durable."""
    from deploy.bench.coordination import Sizes
    from deploy.bench.coordination import coordination as measure_coordination

    with tempfile.TemporaryDirectory(prefix="liandong-bench-") as root, _progress() as tell:
        measured = measure_coordination(Path(root), Sizes(people, spends, requests, blocks), tell)
    if as_json:
        typer.echo(json.dumps(_decisions_document(measured)))
    else:
        _show_decisions(measured)
    raise typer.Exit(1 if measured.decided.differ else 0)


@app.command()
def triggers(
    seconds: Annotated[float, typer.Option(min=1, max=86_400, help="How long events come at the rate.")] = 60,
    rate: Annotated[int, typer.Option(min=100, max=1_000_000, help="Events a second.")] = 20_000,
    quick: Annotated[bool, typer.Option("--quick", help="Few of everything: that it works, not how fast.")] = False,
    engines: Annotated[
        int | None, typer.Option(min=1, max=2, help="To share what comes as fast as it can; else 2 for JSON, 1 packed.")
    ] = None,
    spark: Annotated[bool, typer.Option("--spark", help="Spark too, against a state by person in Python.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line on stdout.")] = False,
) -> None:
    """How soon an event makes its offer, through real processes; and how many events a second trigger rules carry."""
    from deploy.bench import trigger_kernel as kernel
    from deploy.bench import triggers as bench
    from deploy.bench import triggers_view as view
    from deploy.bench.trigger_paced import Pace
    from deploy.bench.trigger_spark import check_packages, compared

    if spark:
        check_packages()
    sizes = bench.QUICK if quick else bench.FULL
    with tempfile.TemporaryDirectory(prefix="liandong-bench-") as root, _progress() as tell:
        found = asyncio.run(bench.streamed(Path(root), Pace(seconds, rate), sizes, engines, tell))
        counted = kernel.counting(sizes.kernel, tell)
        on_spark = compared(Path(root) / "spark", *sizes.spark, tell) if spark else None
    if as_json:
        told = bench.document(found) | kernel.document(counted)
        typer.echo(json.dumps(told | (bench.spark_document(on_spark) if on_spark else {})))
    else:
        for each in (view.streamed(found), view.counted(counted), view.spark(on_spark) if on_spark else ""):
            Console().print(each, highlight=False)
    differ = sum(each.differ for each in counted.values()) + (on_spark.differ if on_spark else 0)
    raise typer.Exit(1 if found.wrong or differ else 0)


@app.command()
def why(
    subscribers: Annotated[int, typer.Option(min=1_000, max=PEOPLE_MAX, help="Made-up people.")] = 10_000_000,
    asked: Annotated[int, typer.Option(min=5, max=10_000, help="How many of them to ask about.")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line on stdout.")] = False,
) -> None:
    """How long `liandong why` takes with so many subscribers and several campaigns behind them."""
    from deploy.bench.why import why as measure_why

    with tempfile.TemporaryDirectory(prefix="liandong-bench-") as root, _progress() as tell:
        told = asyncio.run(measure_why(Path(root), subscribers, asked, tell)).document()
    if as_json:
        typer.echo(json.dumps(told))
        return
    typer.echo(
        f"{told['p95_ms']:,} ms p95 ({told['p50_ms']:,} p50, {told['max_ms']:,} max) for all campaigns of one of "
        f"{told['subscribers']:,} people, {told['one_campaign_p95_ms']:,} for one campaign; the whole command "
        f"{told['command_ms']:,} ms\n{told['tasks']:,} tasks in {told['blocks']:,} blocks; deciding about a person "
        f"costs {told['decision_bytes']} bytes, {told['suppressed_share']:.0%} were suppressed"
    )


def _document(measured: Measured) -> dict[str, Any]:
    return {
        "contacts_per_second": round(measured.contacts_per_second),
        "tasks": measured.tasks,
        "wall_seconds": round(measured.seconds, 2),
        "peak_rss_mib": round(max(measured.peak_rss_mib.values())),
        "peak_rss_mib_by_process": {name: round(size) for name, size in measured.peak_rss_mib.items()},
        "stage_shares": {stage: round(share, 3) for stage, share in measured.stage_shares.items()},
        "cpu_shares": {name: round(share, 3) for name, share in measured.cpu_shares.items()},
        "cpu_seconds": round(measured.cpu_seconds, 1),
        "unsettled_tasks": measured.unsettled,
        "doubled_messages": measured.doubled,
        "kills": measured.kills,
    }


def _show(measured: Measured) -> None:
    console = Console()
    console.print(
        f"[bold]{measured.contacts_per_second:,.0f} contacts/s[/bold]  {measured.tasks:,} contacts in "
        f"{measured.seconds:.1f} s, {measured.cpu_seconds:.1f} processor seconds, "
        f"largest process {max(measured.peak_rss_mib.values()):,.0f} MiB\n"
        f"{measured.kills} kills, {measured.unsettled:,} people unsettled, {measured.doubled:,} messages doubled",
        highlight=False,
    )
    table = Table("share of store time", "", "share of processor time", "", box=None)
    stages, processes = list(measured.stage_shares.items()), list(measured.cpu_shares.items())
    for row in range(max(len(stages), len(processes))):
        table.add_row(*_cells(stages, row), *_cells(processes, row))
    console.print(table)


def _cells(shares: list[tuple[str, float]], row: int) -> tuple[str, str]:
    return (shares[row][0], f"{shares[row][1]:.0%}") if row < len(shares) else ("", "")


def _decisions_document(measured: MeasuredDecisions) -> dict[str, Any]:
    return {
        "kernel_decisions_per_second": round(measured.kernel_decisions_per_second),
        "kernel_pooled_decisions_per_second": round(measured.pooled_decisions_per_second),
        "reference_decisions_per_second": round(measured.reference_decisions_per_second),
        "kernel_vs_reference": round(measured.kernel_vs_reference, 2),
        "durable_admissions_per_second": round(measured.durable_admissions_per_second),
        "decisions_differ": measured.decided.differ,
        "granted_share": round(measured.decided.granted_share, 3),
        "admission_granted_share": round(measured.admitted.tasks / measured.admitted.people, 3),
        "people": measured.sizes.people,
        "spends": measured.sizes.spends,
        "requests": measured.sizes.requests,
        "admitted": measured.admitted.people,
    }


def _show_decisions(measured: MeasuredDecisions) -> None:
    sizes, admitted, console = measured.sizes, measured.admitted, Console()
    console.print(
        f"[bold]{measured.kernel_decisions_per_second:,.0f} decisions/s[/bold]  {sizes.requests:,} requests at once "
        f"over {sizes.spends:,} contacts of {sizes.people:,} people, {measured.decided.granted_share:.0%} granted\n"
        f"[bold]{measured.durable_admissions_per_second:,.0f} durable admissions/s[/bold]  {admitted.people:,} people "
        f"in {sizes.blocks:,} transactions: decided, booked, tasks made, told to HQ; "
        f"{admitted.tasks / admitted.people:.0%} granted",
        highlight=False,
    )
    table = Table("decisions", "a second", "against the reference", box=None)
    reference = measured.reference_decisions_per_second
    for name, rate in (
        ("kernel", measured.kernel_decisions_per_second),
        ("kernel, half of them for scarce places", measured.pooled_decisions_per_second),
        ("plain Python reference", reference),
    ):
        table.add_row(name, f"{rate:,.0f}", f"{rate / reference:.1f}×")
    console.print(table)
    console.print(f"{measured.decided.differ:,} decisions differ from the reference", highlight=False)
