"""What a person sees of the demo: steps and bars while it runs, one screen at the end, or one JSON document."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from adapters.warehouse.population import make_population, read_customers
from common.kernel.refusal import invalid, missing
from deploy.demo.scene import RULE
from deploy.demo.story import DemoFailedError, Outcome, Plan, play
from deploy.demo.words import CHECKS, NEXT, say
from deploy.local import java as javas
from deploy.local.artifacts import KAFKA, fetch
from deploy.local.kafka import Broker
from deploy.report_view import show

HERE = Path(__file__).parent
FAILED = 1


def run(
    subscribers: int,
    seed: int,
    data: Path | None,
    id_column: str,
    where: str,
    *,
    chaos: bool,
    kafka: bool,
    keep: Path | None,
    as_json: bool,
    lang: str,
) -> int:
    """The exit code: 0 only where every check held. What did not hold is kept to be looked at."""
    root = _room(keep)
    screen = Screen(Console(stderr=True), lang)
    try:
        plan = _plan(root, subscribers, seed, data, id_column, where, chaos, screen)
        with screen.progress_bars:
            if kafka:
                plan = replace(plan, broker=_broker(root, screen))
            outcome = asyncio.run(play(plan, screen))
    except DemoFailedError as error:
        Console(stderr=True).print(f"[red]✗[/red] {error}", highlight=False)
        return FAILED
    holds = all(check.holds for check in outcome.checks)
    kept = root if keep or not holds else None
    if as_json:
        typer.echo(json.dumps(summary(outcome, subscribers if data is None else None), ensure_ascii=False))
    else:
        _show(outcome, lang, kept)
    if kept is None:
        shutil.rmtree(root)
    return 0 if holds else FAILED


def _broker(root: Path, screen: Screen) -> Broker:
    """Not started yet; what it needs is fetched where it is not there."""
    if find_spec("confluent_kafka") is None:
        raise missing("the package confluent-kafka is not installed here; install the extra kafka")
    java, begun = javas.find(), time.monotonic()
    new = fetch(KAFKA, java, lambda done, total: screen.progress(f"{KAFKA.name} ({KAFKA.megabytes} MB)", done, total))
    facts: dict[str, object] = {"jars": len(KAFKA.listed), "directory": KAFKA.place}
    if new:
        seconds = f"{time.monotonic() - begun:.0f}"
        screen.step("fetched", megabytes=KAFKA.megabytes, seconds=seconds, **facts)
    else:
        screen.step("jars_there", **facts)
    return Broker(root / "kafka", java)


class Screen:
    """Steps as lines and counts as bars, on stderr so that stdout stays a program's."""

    def __init__(self, console: Console, lang: str) -> None:
        self._lang = lang
        self.progress_bars = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            console=console,
        )  # fmt: skip
        self._bars: dict[str, Any] = {}

    def step(self, name: str, **facts: object) -> None:
        shown = {key: f"{fact:,}" if isinstance(fact, int) else fact for key, fact in facts.items()}
        self.progress_bars.console.print(f"[green]✓[/green] {say(name, self._lang, **shown)}", highlight=False)

    def progress(self, name: str, done: int, total: int) -> None:
        if name not in self._bars:
            self._bars[name] = self.progress_bars.add_task(name, total=total)
        self.progress_bars.update(self._bars[name], completed=done, total=total)


def summary(outcome: Outcome, subscribers: int | None) -> dict[str, Any]:
    """One flat document for programs; the counts are people or tasks, money is in fen."""
    report = outcome.report
    people, total, orders = report["people"], report["total"], report["orders"]
    doubled = next(check.broken for check in outcome.checks if check.name == "no_message_twice")
    return {
        "campaign": report["campaign"],
        "subscribers": subscribers,
        "target": people["target"],
        "held_out": people["held_out"],
        "issued": total["issued"],
        "suppressed": total["suppressed_by"],
        **{name: total[name] for name in ("delivered", "expired", "failed", "unknown", "open", "in_flight")},
        **{name: total[name] for name in ("contacted", "responded", "interested", "refused", "opted_out")},
        "orders": orders["taken"],
        "attributed": orders["attributed"],
        "organic": orders["organic"],
        "reversed": orders["reversed"],
        "scene": {
            "rule": RULE,
            "source": outcome.scene.source,
            "events": outcome.scene.events,
            "fires": outcome.scene.fires,
            "contacts": outcome.scene.contacts,
        },
        "unaccounted": people["unaccounted"],
        "duplicates": doubled,
        "restarts": outcome.restarts,
        "checks": {check.name: check.holds for check in outcome.checks},
        "first_order_seconds": round(outcome.first_order_seconds, 1),
        "scene_milliseconds": outcome.scene.milliseconds,
        "wall_seconds": round(outcome.wall_seconds, 1),
    }


def _room(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="liandong-demo-"))
    if keep.exists() and any(keep.iterdir()):
        raise invalid(f"{keep} is not empty; give --keep a folder that is empty or not there yet")
    keep.mkdir(parents=True, exist_ok=True)
    return keep.resolve()


def _plan(
    root: Path, subscribers: int, seed: int, data: Path | None, id_column: str, where: str, chaos: bool, screen: Screen
) -> Plan:
    if data is None and (where or id_column):
        raise invalid("--id and --where speak of a customer file; give --data too")
    if data is None:
        yaml = (HERE / "campaign.yaml").read_text(encoding="utf-8")
        return Plan(root, seed, yaml, make_population(subscribers, seed), chaos)
    if not id_column:
        raise invalid("--data needs --id with the name of the file's id column")
    if not data.is_file():
        raise invalid(f"{data}: no such file")
    customers = read_customers(data, id_column, seed)
    for note in customers.notes:
        screen.step("note", text=note)
    screen.step("customers", people=customers.people.num_rows, rejected=len(customers.rejects))
    return Plan(root, seed, _customers_campaign(where), customers.people, chaos)


def _customers_campaign(where: str) -> str:
    """The churn campaign, whose columns a file may have; or, with a rule, one that asks for no others."""
    if not where:
        return (HERE / "churn.yaml").read_text(encoding="utf-8")
    # A JSON string is a YAML string too.
    return (
        (HERE / "customers.yaml")
        .read_text(encoding="utf-8")
        .replace('audience: "true"', f"audience: {json.dumps(where)}")
    )


def _show(outcome: Outcome, lang: str, keep: Path | None) -> None:
    console = Console()
    show(outcome.report, lang, console)
    table = Table(box=None, show_header=False, padding=(0, 1))
    for check in outcome.checks:
        mark = "[green]✓[/green]" if check.holds else f"[red]✗ {check.broken:,}[/red]"
        table.add_row(mark, CHECKS[check.name][lang], f"{check.seen:,}")
    console.print(table)
    for check in outcome.checks:
        if check.first:
            console.print(f"[red]✗[/red] {check.first}", highlight=False)
    killed = ", ".join(f"{name} ×{count}" for name, count in outcome.restarts.items())
    console.print(say("finished", lang, seconds=f"{outcome.wall_seconds:.0f}", restarts=killed or "-"))
    for line in NEXT[lang]:
        console.print(f"  {line}", highlight=False)
    if keep is not None:
        console.print(say("kept", lang, directory=keep))
