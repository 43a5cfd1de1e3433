"""History once more through a rule of a province: what was asked for, read, run through and handed over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adapters.streams.mapping import load as load_mapping
from common.rules.trigger_document import parsed
from common.rules.trigger_file import to_publish
from common.runtime.clock import clock_of, milliseconds
from common.runtime.database import Database
from common.runtime.migrate import check_schema
from deploy import event_history
from deploy.replay_view import Told
from province.__main__ import MIGRATIONS
from province.fire import Firing, in_order
from province.settings import ProvinceSettings
from province.triggers import hand_over, node
from province.triggers.engine.partition import Rules
from province.triggers.engine.source import Stretch
from province.triggers.prospects import prospects
from province.triggers.replay import only, replay

PEOPLE = 20_000
"""Whose fires are handed over in one transaction."""


@dataclass(frozen=True, slots=True)
class Wanted:
    source: str
    """A file, a topic, or the province's journal."""
    rule: str
    dry_run: bool
    draft: Path | None
    """A document to take the rule from; None: those in force."""
    mapping: Path | None
    as_it_stands: bool


def run(settings: ProvinceSettings, wanted: Wanted, config: Path) -> Told:
    check_schema(settings.url("province"), MIGRATIONS, f"liandong province migrate --config {config}")
    database = Database(settings.url("province"))
    rules = node.StoredRules(database, int(settings.code), settings.people_directory)
    try:
        known = _of_file(wanted.draft, rules) if wanted.draft else rules.rules()
        found = replay(_history(settings, wanted), only(known, wanted.rule))
        return Told(wanted.source, wanted.dry_run, found, _prospects(database, settings, found.firing),
                    _handed_over(database, settings, found.firing, wanted.dry_run))  # fmt: skip
    finally:
        database.close()


def _of_file(draft: Path, rules: node.StoredRules) -> Rules:
    published = to_publish(draft)
    found = parsed(published.text, 0)
    lists = {**found.host_lists, **{name: published.lists[digest] for name, digest in found.digests.items()}}
    return rules.draft(found, lists)


def _history(settings: ProvinceSettings, wanted: Wanted) -> Iterator[Stretch]:
    if not Path(wanted.source).is_file():
        return event_history.of_stream(wanted.source, settings)
    form = load_mapping(wanted.mapping) if wanted.mapping else None
    return event_history.of_file(Path(wanted.source), settings, form, wanted.as_it_stands)


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
