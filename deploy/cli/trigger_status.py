"""`liandong triggers status`: how a province's trigger rules do, from its own store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from common.runtime.clock import clock_of, milliseconds
from common.runtime.database import Database
from common.runtime.migrate import check_schema
from common.runtime.settings import load
from deploy.cli.ask import Language
from deploy.words import word
from province.__main__ import MIGRATIONS
from province.settings import ProvinceSettings
from province.store import trigger_status

Document = dict[str, Any]


def status(
    config: Annotated[Path, typer.Option(help="The province's settings file.")] = Path("province.toml"),
    hours: Annotated[float, typer.Option(min=0.01, help="Of fires handed over so lately.")] = 1.0,
    lang: Language = "en",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """What rules did at a province: fires, contacts, and how long each stage from event to vendor took."""
    settings = load(ProvinceSettings, config)
    check_schema(settings.url("province"), MIGRATIONS, f"liandong province migrate --config {config}")
    database = Database(settings.url("province"))
    since = milliseconds(clock_of(settings.clock_file)) - int(hours * 3_600_000)
    with database.snapshot() as connection:
        told = trigger_status.status(connection, since)
    database.close()
    if as_json:
        typer.echo(json.dumps(told, ensure_ascii=False))
    else:
        for table in _tables(told, lang):
            Console().print(table)


def _tables(told: Document, lang: str) -> Iterator[Table]:
    columns = ("scene", "rule", "fires", "contacts", *(f"stage_{stage}" for stage in trigger_status.STAGES))
    table = Table(*(word(column, lang) for column in columns), box=None, caption=word("latency_caption", lang))
    for rule in told["rules"]:
        latencies = (_latency(rule["latency_ms"].get(stage)) for stage in trigger_status.STAGES)
        table.add_row(rule["scene"], rule["rule"], _counts(rule["fires"]), _counts(rule["contacts"]), *latencies)
    yield table
    if told["jobs"]:
        jobs = Table(*(word(column, lang) for column in ("job", "partition", "counters")), box=None)
        for job in told["jobs"]:
            jobs.add_row(job["name"], job["partition"], _counts(job["counters"]))
        yield jobs


def _counts(counts: Document) -> str:
    return "\n".join(f"{name} {count}" for name, count in counts.items())


def _latency(of: Document | None) -> str:
    return f"{of['p50']:,} / {of['p99']:,}" if of else "-"
