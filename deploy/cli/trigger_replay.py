"""`liandong triggers replay`: history once more through a rule, and who would have been contacted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from adapters.streams.mapping import load as load_mapping
from common.kernel.refusal import invalid
from common.rules.trigger_document import parsed
from common.rules.trigger_file import to_publish
from common.runtime.clock import clock_of, milliseconds
from common.runtime.database import Database
from common.runtime.migrate import check_schema
from common.runtime.settings import load
from deploy import event_history
from deploy.cli.ask import Language
from deploy.replay_view import Told, document, show
from province.__main__ import MIGRATIONS
from province.fire import Firing, in_order
from province.settings import ProvinceSettings
from province.triggers import hand_over, node
from province.triggers.matcher import Matcher
from province.triggers.partition import Rules
from province.triggers.prospects import prospects
from province.triggers.replay import only
from province.triggers.replay import replay as run_through
from province.triggers.source import Stretch

PEOPLE = 20_000
"""Whose fires are handed over in one transaction."""


def replay(
    source: Annotated[
        str, typer.Argument(metavar="FILE|TOPIC", help="A file of events, a topic on Kafka, or: journal.")
    ],
    rule: Annotated[str, typer.Option(help="The rule's name, as `liandong province triggers show` tells.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say it: nothing is written anywhere.")] = False,
    draft: Annotated[
        Path | None, typer.Option("--document", help="Take the rule from this file, published or not.")
    ] = None,
    mapping: Annotated[Path | None, typer.Option(help="How a foreign file's columns are to be read.")] = None,
    as_it_stands: Annotated[
        bool, typer.Option("--as-it-stands", help="Take a file in the order of its lines, not of time.")
    ] = False,
    people: Annotated[int, typer.Option(min=0, max=1_000_000, help="How many of the first are named.")] = 10,
    config: Annotated[
        Path, typer.Option("--config", help="The province's settings file.", envvar="LIANDONG_PROVINCE_CONFIG")
    ] = Path("province.toml"),
    lang: Language = "en",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Run history through a rule once more: whom it fires for, who of them may be contacted, and why others may not.

    Without --dry-run the fires are handed over as the engine's are: once each, and those of the past are too late.
    """
    if draft is not None and not dry_run:
        raise invalid("the rules of --document are in force nowhere yet: add --dry-run, or apply the document first")
    settings = load(ProvinceSettings, config)
    check_schema(settings.url("province"), MIGRATIONS, f"liandong province migrate --config {config}")
    database = Database(settings.url("province"))
    try:
        rules = only(_of_file(draft) if draft else node.StoredRules(database).rules(), rule)
        history = _history(source, settings, mapping, as_it_stands)
        found = run_through(history, rules)
        told = Told(source, dry_run, found, _prospects(database, settings, found.firing),
                    _handed_over(database, settings, found.firing, dry_run))  # fmt: skip
    finally:
        database.close()
    if as_json:
        typer.echo(json.dumps(document(told, people), ensure_ascii=False))
    else:
        show(told, people, lang, Console(highlight=False))


def _of_file(draft: Path) -> Rules:
    found = parsed(to_publish(draft), 0)
    return Rules(0, found.rules, (Matcher(found.rules, found.areas, found.host_lists),))


def _history(source: str, settings: ProvinceSettings, mapping: Path | None, as_it_stands: bool) -> Iterator[Stretch]:
    if not Path(source).is_file():
        return event_history.of_stream(source, settings)
    form = load_mapping(mapping) if mapping else None
    return event_history.of_file(Path(source), settings, form, as_it_stands)


def _prospects(database: Database, settings: ProvinceSettings, firing: Firing) -> list[str]:
    now = clock_of(settings.clock_file).now()
    with database.snapshot() as connection:
        found: list[str] = prospects(connection, firing, node.channels_of(settings), settings.code, now).tolist()
    return found


def _handed_over(database: Database, settings: ProvinceSettings, firing: Firing, dry_run: bool) -> dict[str, int]:
    """What becomes of the fires now, or would."""
    channels, province = node.channels_of(settings), int(settings.code)
    now, counted = milliseconds(clock_of(settings.clock_file)), dict[str, int]()
    for part in _parts(firing):
        if dry_run:
            with database.snapshot() as connection:
                hand_over.judged(connection, in_order(part), channels, province, now, counted)
            continue
        with database.transaction("replay.hand_over") as connection:
            for fate, times in hand_over.hand_over(connection, [part], channels, province, now)[part.rule.name].items():
                counted[fate] = counted.get(fate, 0) + times
    return counted


def _parts(firing: Firing) -> Iterator[Firing]:
    """All of a person's together: only the newest of them is asked for."""
    keys, places = np.unique(firing.keys, return_inverse=True)
    order = np.argsort(places, kind="stable")
    begins = np.searchsorted(places[order], np.arange(0, len(keys), PEOPLE))
    for part in np.split(order, begins[1:]):
        if len(part):
            yield firing.take(part)
