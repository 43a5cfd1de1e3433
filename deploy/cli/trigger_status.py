"""`liandong triggers status`: how a province's trigger rules and engines do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from sqlalchemy import Connection

from common.kernel.trigger_rule import TriggerRule
from common.runtime.clock import clock_of, milliseconds
from common.runtime.database import Database
from common.runtime.migrate import check_schema
from common.runtime.settings import load
from deploy.cli.ask import Language
from deploy.trigger_status_view import show
from province.__main__ import MIGRATIONS
from province.settings import ProvinceSettings
from province.store import trigger_status, triggers
from province.triggers.forecast import status as forecast_status

Document = dict[str, Any]


def status(
    config: Annotated[
        Path, typer.Option("--config", help="The province's settings file.", envvar="LIANDONG_PROVINCE_CONFIG")
    ] = Path("province.toml"),
    hours: Annotated[float, typer.Option(min=0.01, help="Of fires handed over so lately.")] = 1.0,
    lang: Language = "en",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """What rules did at a province: fires, contacts, each stage's time, and how far the engines are behind."""
    settings = load(ProvinceSettings, config)
    check_schema(settings.url("province"), MIGRATIONS, f"liandong province migrate --config {config}")
    database = Database(settings.url("province"))
    now = milliseconds(clock_of(settings.clock_file))
    with database.snapshot() as connection:
        told = _told(connection, settings.trigger_directory, now, now - int(hours * 3_600_000))
    told["forecast"] = forecast_status.standing(settings.forecast_directory, now)
    database.close()
    if as_json:
        typer.echo(json.dumps(told, ensure_ascii=False))
    else:
        show(told, lang, Console(highlight=False))


def _told(connection: Connection, directory: Path, now: int, since: int) -> Document:
    # Not at the top: every command would wait for it.
    from province.triggers.engine import status as engine_status

    in_force = triggers.in_force(connection)
    engines = engine_status.engines(directory, now, in_force.edition)
    ledger = trigger_status.status(connection, since)
    rules = [rule for document in in_force.documents for rule in document.rules]
    return {
        **ledger,
        "rules": _rules(ledger["rules"], rules, engine_status.by_rule(engines)),
        "engines": engines,
        "totals": engine_status.totals(engines),
        "engine_latency": {
            "bounds_ms": next((each["latency"]["bounds_ms"] for each in engines), []),
            "scenes": engine_status.by_scene(engines),
        },
    }


def _rules(ledger: Sequence[Document], in_force: Sequence[TriggerRule], counted: Any) -> list[Document]:
    """Those in force, whether they ever fired or not, and those that fired and are not in force any more."""
    known = {each["rule"]: each for each in ledger}
    current = {rule.name: rule for rule in in_force}
    new = {name: _new(rule) for name, rule in current.items() if name not in known}
    return [
        {
            **each,
            "in_force": name in current,
            "paused": name in current and current[name].paused,
            "counted": dict(counted[name]) if name in counted else None,
        }
        for name, each in (known | new).items()
    ]


def _new(rule: TriggerRule) -> Document:
    return {"rule": rule.name, "scene": rule.scene, "fires": {}, "contacts": {}, "latency_ms": {}}
