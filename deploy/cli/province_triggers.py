"""`liandong province triggers show`: the rules in force at a province."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.kernel.trigger_rule import TriggerRule
from common.kernel.trigger_version import LOCAL_PREFIX
from common.runtime.database import Database
from common.runtime.migrate import check_schema
from common.runtime.settings import load
from deploy.cli.ask import Language
from deploy.trigger_words import form_words, period_words
from deploy.words import word
from province.settings import ProvinceSettings
from province.store import triggers
from province.trigger_commands import MIGRATIONS, Config


def show(
    config: Config = Path("province.toml"),
    lang: Language = "en",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Every rule in force here, HQ's and the province's own."""
    settings = load(ProvinceSettings, config)
    check_schema(settings.url("province"), MIGRATIONS, f"liandong province migrate --config {config}")
    database = Database(settings.url("province"))
    with database.snapshot() as connection:
        documents = triggers.in_force(connection).documents
    database.close()
    rules = [rule for document in documents for rule in document.rules]
    if as_json:
        typer.echo(json.dumps([_document(rule) for rule in rules], ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 0, 0, 2))
    for rule in rules:
        table.add_row(*_row(rule, lang))
    Console().print(table if rules else word("no_triggers", lang))
    typer.echo("next: liandong province triggers apply FILE, or at HQ: liandong triggers show")


def _row(rule: TriggerRule, lang: str) -> tuple[str | Text, ...]:
    whose = word("own_rule" if rule.name.startswith(LOCAL_PREFIX) else "hq", lang)
    mark = Text(word("trigger_paused", lang), style="yellow") if rule.paused else Text()
    version = f"{word('version', lang)} {rule.version}"
    return rule.name, version, rule.scene, whose, form_words(rule.form, lang), period_words(rule, lang), mark


def _document(rule: TriggerRule) -> dict[str, Any]:
    return {"rule": rule.name, "version": rule.version, "scene": rule.scene, "paused": rule.paused,
            "own": rule.name.startswith(LOCAL_PREFIX)}  # fmt: skip
