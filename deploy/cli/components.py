"""`liandong components`: the servers and engines that are not Python: what is there, and getting what is not."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from deploy.cli.ask import Language
from deploy.words import word

if TYPE_CHECKING:
    from deploy.local.components import Component

app = typer.Typer(invoke_without_command=True)
FETCH = "liandong components fetch"


@app.callback()
def components(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    lang: Language = "en",
) -> None:
    """Java, Kafka and Spark on this machine: what is there and what is missing. Jars are verified."""
    if context.invoked_subcommand is not None:
        return
    # Not at the top: every command would wait for it.
    from deploy.local.components import components as found

    there = found()
    if as_json:
        typer.echo(json.dumps({"components": [asdict(each) for each in there]}, ensure_ascii=False))
    else:
        _show(there, lang)


@app.command()
def fetch(
    component: Annotated[Literal["kafka", "spark"], typer.Argument(help="A Kafka broker, or Spark's Kafka connector.")],
    lang: Language = "en",
) -> None:
    """Fetch its jars into the cache and verify each; in a checkout the packages they need are installed first."""
    from deploy.local import java
    from deploy.local.artifacts import fetch as fetch_jars
    from deploy.local.components import FETCHED

    jars, begun, console = FETCHED[component], time.perf_counter(), Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(f"{jars.name} ({jars.megabytes} MB)", total=None)
        new = fetch_jars(jars, java.find(), lambda done, total: progress.update(bar, completed=done, total=total))
    seconds = f", {time.perf_counter() - begun:.0f} s" if new else ""
    said = f"{jars.name}: {len(jars.listed)} {word('jars', lang)}, {jars.megabytes} MB{seconds}, {jars.place}"
    mark = f"[green]✓[/green] {word('fetched' if new else 'there', lang)}"
    Console(highlight=False).print(f"{mark}  {said}", soft_wrap=True)


def _show(found: list[Component], lang: Language) -> None:
    where = Column(word("where", lang), overflow="fold")
    table = Table("", word("component", lang), word("version", lang), where, box=None)
    for each in found:
        mark = "[green]✓[/green]" if each.state == "there" else "[red]✗[/red]"
        table.add_row(mark, word(each.name, lang), each.version, _where(each, lang))
    Console(highlight=False).print(table)


def _where(each: Component, lang: Language) -> str:
    if each.state == "there":
        return each.where
    flaw = f"{each.where}: " if each.where else ""
    return f"{flaw}{word(each.state, lang)} {FETCH} {each.fetch}"
