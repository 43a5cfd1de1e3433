"""The scenes that ship: each is right as it stands, and tells whom it should and nobody else."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from adapters.channels.journal import read_journal
from common.delivery import consents
from common.kernel.channel import CHANNELS, Level
from common.kernel.consent import INTERNET, LOCATION, Consents
from common.rules.trigger_document import parsed
from deploy.cli.root import app
from tests.triggers.engine_world import event
from tests.triggers.living import Day, Province, keys_of, noon

SCENES = Path(__file__).parents[2] / "deploy" / "scenes"
FILES = sorted(SCENES.glob("*.yaml"))
DAY = date(2026, 3, 2)
NUMBER = 8_613_900_000_000
GIB, MIB = 1 << 30, 1 << 20
HOME = {"longitude": 108.3669, "latitude": 22.8170, "coordinate_system": "WGS-84", "cell_id": "460-01-1-1"}
WUXU = {"longitude": 108.1730, "latitude": 22.6090, "coordinate_system": "WGS-84", "cell_id": "460-01-1-2"}

Told = tuple[str, str, dict[str, Any]]
"""A type, the time of day, and what the event says."""


def used(time: str, of: int, amount: int) -> Told:
    return "data_used", time, {"used_bytes": amount, "allowance_bytes": of}


LITTLE_BY_LITTLE = [
    used(f"{hour:02}:{minute:02}", 10 * GIB, 900 * MIB) for hour in (9, 10) for minute in (0, 15, 30, 45)
]
LIVES: dict[str, tuple[list[Told], list[Told]]] = {
    "data-80": ([*LITTLE_BY_LITTLE, used("11:45", 10 * GIB, 1_000 * MIB)], LITTLE_BY_LITTLE),
    "data-all": ([used("11:50", 10 * GIB, 10 * GIB)], [used("11:50", 100 * GIB, 900 * MIB)]),
    "data-low": ([("allowance_low", "11:50", {"used_bytes": 9, "allowance_bytes": 10})], []),
    "data-surge": (
        [used("11:52", 100 * GIB, 600 * MIB), used("11:57", 100 * GIB, 600 * MIB)],
        [used("11:30", 100 * GIB, 600 * MIB), used("11:57", 100 * GIB, 600 * MIB)],
    ),
    "out-of-province": (
        [("out_of_province", "11:50", {"mcc": "460", "mnc": "01", "visited_province": 44})],
        [("out_of_province", "11:50", {"mcc": "454", "mnc": "12"})],
    ),
    "enters-airport": (
        [("residential_area", "09:00", HOME), ("transport_hub", "11:50", WUXU | {"place": "吴圩机场"})],
        [("transport_hub", "09:00", WUXU), ("transport_hub", "11:50", WUXU), ("residential_area", "11:55", HOME)],
    ),
    "in-the-subway": ([("subway", "11:50", HOME)], [("residential_area", "11:50", HOME)]),
    "at-school": ([("school", "11:50", HOME)], [("medical_area", "11:50", HOME)]),
    "watches-videos": (
        [("url_visit", "11:50", {"host": "m.iqiyi.com"})],
        [("url_visit", "11:50", {"host": "notiqiyi.com"})],
    ),
    "watches-our-videos": ([("own_video", "11:50", {"content_id": "v-1"})], []),
    "listens-to-music": (
        [("content_visit", "11:50", {"host": "music.163.com"})],
        [("content_visit", "11:50", {"host": "163.com"})],
    ),
    "opens-app": (
        [("third_party_app", "11:50", {"app": "a", "app_kind": "game"})],
        [("third_party_app", "11:50", {"app": "a", "app_kind": "news"})],
    ),
    "will-run-out": (
        [("model_hit", "11:50", {"model": "usage_forecast", "score": 0.85})],
        [("model_hit", "11:50", {"model": "usage_forecast", "score": 0.7}),
         ("model_hit", "11:51", {"model": "churn", "score": 0.9})],
    ),
}  # fmt: skip
"""By rule: what somebody does who is to be told, and what somebody does who is not."""
RULES = {rule.name: rule for file in FILES for rule in parsed(file.read_text(encoding="utf-8"), 1).rules}


def right(rule: str) -> int:
    return NUMBER + 10 * list(LIVES).index(rule)


def lived(rule: str, number: int, told: list[Told]) -> list[bytes]:
    (key,) = keys_of([number]).tolist()
    return [
        event(name, f"{rule}-{number}-{place}", key, f"{DAY}T{time}:00+08:00", **said)
        for place, (name, time, said) in enumerate(told)
    ]


def agreed(province: Province, numbers: list[int]) -> None:
    for purpose in (LOCATION, INTERNET):
        count, at = len(numbers), noon(DAY)
        columns = np.full(count, at - 9, np.uint32), np.full(count, at + 86_400, np.uint32), np.zeros(count, np.bool_)
        with province.store.transaction() as connection:
            said = Consents(keys_of(numbers), [purpose] * count, ["form"] * count, *columns)
            consents.put_consents(connection, said, at)


def test_every_rule_has_its_lives() -> None:
    assert set(LIVES) == set(RULES)
    assert {rule.scene for rule in RULES.values()} == {"data_use", "location", "content", "model"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_scene_is_right_as_it_stands(file: Path) -> None:
    told = CliRunner().invoke(app, ["triggers", "check", str(file)])
    assert told.exit_code == 0, told.output
    assert "the file is right" in told.stdout


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
def test_a_scene_has_both_channels_and_asks_for_the_consent_it_needs(rule: Any) -> None:
    assert set(rule.offer.channels) == {"local_sms", "toolbar"}
    assert {CHANNELS[name].level for name in rule.offer.channels} == {Level.TWO}
    assert rule.offer.purpose == {"location": LOCATION, "content": INTERNET}.get(rule.scene, "")


def test_whom_the_scenes_tell(tmp_path: Path) -> None:
    """Of two who do the same thing only the one who agreed to it; the others do nearly the same."""
    agreeing = [right(rule) for rule in LIVES]
    others, unasked = [number + 1 for number in agreeing], [number + 2 for number in agreeing]
    documents = {file.stem: file.read_text(encoding="utf-8") for file in FILES}
    province = Province(tmp_path, [*agreeing, *others, *unasked], documents, ("local_sms", "toolbar"))
    agreed(province, agreeing + others)
    events = [
        each
        for rule, (does, nearly) in LIVES.items()
        for number, told in ((right(rule), does), (right(rule) + 1, nearly), (right(rule) + 2, does))
        if RULES[rule].offer.purpose or number != right(rule) + 2
        for each in lived(rule, number, told)
    ]
    asyncio.run(province.live([Day(DAY, sorted(events, key=_time))]))
    assert province.contacts() == {(rule, right(rule), DAY): 1 for rule in LIVES}
    channels = {batch.work_order.split("/")[2]: batch.channel for batch in read_journal(tmp_path / "accepted.journal")}
    assert channels == {name: rule.offer.channels[0] for name, rule in RULES.items()}


def _time(event: bytes) -> bytes:
    return event[event.index(b'"time"') :][:40]
