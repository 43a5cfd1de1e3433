"""`liandong check`: look for anything that contradicts what the nodes promise, in their stores and journals."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from common.kernel.refusal import invalid, missing

if TYPE_CHECKING:
    from deploy.checker.finding import Finding
    from deploy.checker.sources import Sources

HQ = "hq"


def check(
    hq: Annotated[str, typer.Option(help="HQ's store: an SQLAlchemy URL or the path of an SQLite file.")],
    province: Annotated[list[str], typer.Option(help="A province's store, as 45=URL. Repeat for each.")] = [],  # noqa: B006
    journal: Annotated[list[str], typer.Option(help="A vendor's journal by the node it serves, as hq=PATH.")] = [],  # noqa: B006
    key: Annotated[Path | None, typer.Option(help="The federation key: hold-outs are checked too.")] = None,
    settled: Annotated[bool, typer.Option("--settled", help="All had time to arrive: queues must be empty.")] = False,
    live: Annotated[bool, typer.Option("--live", help="Nodes are running: skip what needs one instant.")] = False,
    connected: Annotated[bool, typer.Option("--connected", help="No link was ever down.")] = False,
    watch: Annotated[
        float, typer.Option(min=0, help="Look again after so many seconds: nothing may have gone back.")
    ] = 0.0,
    margin: Annotated[int, typer.Option(min=0, help="Seconds by which vendors' and nodes' clocks may differ.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Check every promise against the stores and the vendors' journals; exit 1 where one is broken."""
    # Not at the top: every command would wait for it.
    from deploy.checker.sources import Sources

    stores = {HQ: hq} | dict(_named("--province", each) for each in province)
    journals: defaultdict[str, list[Path]] = defaultdict(list)
    for name, path in (_named("--journal", each) for each in journal):
        if name not in stores:
            raise invalid(f"--journal {name}={path}: no store of {name} is given; add --province {name}=URL")
        journals[name].append(_file(Path(path)))
    federation_key = _file(key).read_bytes() if key else b""
    sources = Sources(stores, journals, federation_key, settled, live, connected, margin)
    found = _look(sources, watch)
    broken = sum(not finding.holds for finding in found)
    typer.echo(json.dumps(_document(found), ensure_ascii=False)) if as_json else _show(found)
    raise typer.Exit(1 if broken else 0)


def _look(sources: Sources, watch_seconds: float) -> list[Finding]:
    from deploy.checker.check import examine
    from deploy.checker.progress import compare
    from deploy.checker.sources import UnreadableError, read

    try:
        world = read(sources)
        if not watch_seconds:
            return examine(world)
        time.sleep(watch_seconds)
        later = read(sources)
    except UnreadableError as error:
        raise missing(str(error)) from error
    return examine(later) + compare(world, later)


def _named(option: str, text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not value or not (name == HQ or (len(name) == 2 and name.isdigit())):
        raise invalid(f"{option} {text}: name the node first, as 45={text or 'URL'}")
    return name, value


def _file(path: Path) -> Path:
    if not path.is_file():
        raise missing(f"{path} is not there; give the path of the file")
    return path


def _document(found: list[Finding]) -> dict[str, object]:
    return {
        "holds": all(finding.holds for finding in found),
        "rules": [
            {"invariant": f.invariant, "rule": f.rule, "seen": f.seen, "broken": f.broken, "first": f.first}
            for f in found
        ],
    }


def _show(found: list[Finding]) -> None:
    console = Console()
    table = Table("", "rule", "seen", "broken", box=None)
    for finding in found:
        mark = "[green]✓[/green]" if finding.holds else "[red]✗[/red]"
        rule = finding.rule.replace("_", " ")
        table.add_row(mark, f"{finding.invariant:<3} {rule}", f"{finding.seen:,}", f"{finding.broken:,}")
    console.print(table)
    for finding in found:
        if not finding.holds:
            console.print(f"[red]{finding.invariant} {finding.rule}[/red]: {finding.first}", highlight=False)
