"""`liandong bench …`: what this machine carries."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from deploy.bench import Measured

app = typer.Typer(help="Measure this machine.", no_args_is_help=True)
TASKS_MAX = 10_000_000


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
    from deploy.bench import loop as measure_loop

    bars: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="liandong-bench-") as root, Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=Console(stderr=True),
    ) as progress:  # fmt: skip

        def tell(name: str, done: int, total: int) -> None:
            if name not in bars:
                bars[name] = progress.add_task(name, total=total)
            progress.update(bars[name], completed=done, total=total)

        measured = asyncio.run(measure_loop(Path(root), tasks, kills, tell))
    if as_json:
        typer.echo(json.dumps(_document(measured)))
    else:
        _show(measured)
    raise typer.Exit(1 if measured.unsettled or measured.doubled else 0)


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
