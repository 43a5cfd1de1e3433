"""`liandong province contact`: people in a file are asked for, and what came of it is told."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from common.delivery import vault
from common.kernel.channel import CHANNELS, Channel, Level
from common.kernel.columns import Keys, Rows
from common.kernel.reasons import TASK_REASONS
from common.kernel.refusal import Fault, Refusal, invalid
from common.kernel.subscriber import subscriber_keys
from common.kernel.task import TaskReason
from common.runtime.database import Database
from province.local_request import LocalRequest, Outcome, checked
from province.people_file import People, read_people, refuse_lines
from province.settings import ProvinceSettings
from province.store import local_requests

LOOK_SECONDS = 0.2
DAY_SECONDS = 86_400


def channels_of(settings: ProvinceSettings) -> dict[str, Channel]:
    """The channels this province runs."""
    vendors = {vendor.channel for vendor in settings.vendors}
    return {name: channel for name, channel in CHANNELS.items() if channel.level is Level.TWO and name in vendors}


def moment(text: str) -> int:
    """Unix seconds of a moment such as 2027-03-01T21:00:00+08:00."""
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        raise invalid(f"{text!r} is no moment; write one such as 2027-03-01T21:00:00+08:00") from None
    if told.tzinfo is None:
        raise invalid(f"{text} has no zone; write one such as 2027-03-01T21:00:00+08:00")
    return int(told.timestamp())


def ask(database: Database, settings: ProvinceSettings, path: Path, terms: LocalRequest) -> None:
    """Store the request for the people in `path`, unless it is there; `terms` is the request without people.

    Raises Refusal, and takes nothing, where the file or a term is wrong or somebody is not known here.
    """
    request = checked(_of_people(database, settings, path, terms), channels_of(settings), terms.asked_at)
    with database.transaction("contact.ask") as connection:
        known = local_requests.digest(connection, request.name)
        if known is None:
            local_requests.put(connection, request)
        elif known != request.digest():
            message = f"request {request.name} was made before with another content; choose a new name"
            raise Refusal(Fault.HELD, "REQUEST_MISMATCH", message)


def await_outcome(database: Database, name: str, seconds: float) -> Outcome | None:
    """What came of it, also where HQ has yet to answer; None where nothing did within `seconds`."""
    until = time.monotonic() + seconds
    while True:
        with database.snapshot() as connection:
            reached = local_requests.outcome(connection, name)
        if (reached and not reached.unanswered) or time.monotonic() >= until:
            return reached
        time.sleep(LOOK_SECONDS)


def told(reached: Outcome) -> list[str]:
    """Lines for a person to read."""
    lines = [f"{reached.work_order}: {_sums('granted', reached.granted, reached.denied)}"]
    if reached.granted_by_hq or reached.denied_by_hq:
        lines.append(f"asked of HQ: {_sums('granted', reached.granted_by_hq, reached.denied_by_hq)}")
    if reached.unanswered:
        lines.append(f"HQ has yet to answer (blocks left: {len(reached.unanswered)}); run this again to see")
    return lines + [f"refused: {why}" for why in reached.refusals]


def _sums(what: str, granted: int, denied: Mapping[str, int]) -> str:
    why = ", ".join(f"{count:,} {TASK_REASONS[TaskReason[name.upper()]].en}" for name, count in denied.items())
    return f"{granted:,} {what}, {sum(denied.values()):,} denied" + (f" ({why})" if why else "")


def _of_people(database: Database, settings: ProvinceSettings, path: Path, terms: LocalRequest) -> LocalRequest:
    people = read_people(path)
    keys = subscriber_keys(settings.federation_key(), people.msisdns.tolist())
    order = np.argsort(keys)
    _refuse_strangers(database, settings, path, people, keys[order], order)
    refs = np.zeros(len(keys), dtype=np.uint32)
    return replace(terms, keys=keys[order], scores=people.scores[order], text_refs=refs)


def _refuse_strangers(
    database: Database, settings: ProvinceSettings, path: Path, people: People, keys: Keys, order: Rows
) -> None:
    with database.snapshot() as connection:
        homes = vault.provinces_of(connection, keys)
    strangers = people.lines[order[homes != int(settings.code)]]
    remedy = "import who is new with `liandong import subscribers`, and take out who is not of this province"
    refuse_lines(path, np.sort(strangers), "a number that is not at home here", remedy)
