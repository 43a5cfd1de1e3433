"""What the status says of engines is what they do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from adapters.streams.journal import Block, Form, Writer
from province.triggers.engine.status import SILENT_MS, engines
from tests.triggers.one_province import CODE, NOON, PEOPLE, Province, history, made

WAIT_SECONDS = 60.0


@pytest.fixture
def province(tmp_path: Path) -> Province:
    return made(tmp_path / "f")


@contextmanager
def serving(province: Province) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "deploy.cli.root", "triggers", "serve", "--config", str(province.config)]
    with (province.root / "engine.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def _told(province: Province) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(province.run("triggers", "status", "--json"))
    return found


def _until(province: Province, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    end = time.monotonic() + WAIT_SECONDS
    while not holds(told := _told(province)):
        assert time.monotonic() < end, (told, (province.root / "engine.log").read_text(encoding="utf-8"))
        time.sleep(0.2)
    return told


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_it_tells_of_a_running_engine_and_that_none_runs(province: Province) -> None:
    """Events, dead letters, late ones and the lag beside what the ledger has."""
    assert "no engine runs here" in province.run("triggers", "status")
    writer = Writer(province.root / CODE / "data" / "events", 2)
    late = history(province.keys[:1], NOON - 86_400)[:3]
    writer.append([Block(1, Form.JSON, history(province.keys, NOON + 3590)), Block(1, Form.JSON, late)])
    with serving(province) as process:
        told = _until(province, lambda told: bool(told["engines"]) and told["totals"]["in"] == 3 * PEOPLE + 5)
        (engine,), (rule,) = told["engines"], told["rules"]
        assert (engine["process"], engine["silent"], engine["rules_behind"]) == (process.pid, False, False)
        assert told["totals"] == {"partitions": 2, "lag": 0, "in": 3 * PEOPLE + 5, "events": 3 * PEOPLE + 4, "dead": 1,
                                  "missed": 0}  # fmt: skip
        counted = rule["counted"]
        assert counted["late"] + counted["counted"] + counted["duplicates"] == 3 * PEOPLE + 3
        assert counted["fired"] == sum(rule["fires"].values())
        assert sum(map(sum, told["engine_latency"]["scenes"]["data_use"].values())) >= counted["fired"]
        for lang, says in (("zh", "✓ 运行中"), ("en", "✓ runs")):
            screen = province.run("triggers", "status", "--lang", lang)
            assert says in screen
            assert "journal:1" in screen
            assert len(screen.splitlines()) < 24
            assert "data-80" in screen
        process.kill()
        process.wait()
    writer.close()


@pytest.mark.slow
def test_it_tells_of_the_forecast(province: Province) -> None:
    assert _told(province)["forecast"] is None
    writer = Writer(province.root / CODE / "data" / "events", 2)
    writer.append([Block(1, Form.JSON, history(province.keys, NOON + 3590))])
    writer.close()
    province.run("triggers", "forecast", "--once")
    told = _told(province)["forecast"]
    assert (told["runs"], told["silent"], told["refreshed"]["hits"]) == (False, False, 0)
    assert [each["lag"] for each in told["partitions"]] == [0, 0]
    assert sum(each["people"] for each in told["partitions"]) == PEOPLE
    for lang, says in (("zh", "已结束; 上次评分"), ("en", "has ended; last scored")):
        screen = province.run("triggers", "status", "--lang", lang)
        assert says in screen
        assert "lag 0" in screen or "积压 0" in screen


def test_an_engine_that_is_not_heard_is_told(tmp_path: Path) -> None:
    said = {"partitions": {}, "lag": {}, "latency": {"bounds_ms": [], "scenes": {}}, "rules": 3, "at": NOON}
    (tmp_path / f"status-{os.getpid()}.json").write_text(json.dumps(said), encoding="utf-8")
    (tmp_path / "status-1.json").write_text("{", encoding="utf-8")
    (found,) = engines(tmp_path, NOON + SILENT_MS + 1, 4)
    assert (found["silent"], found["rules_behind"]) == (True, True)
    (found,) = engines(tmp_path, NOON + SILENT_MS, 3)
    assert (found["silent"], found["rules_behind"]) == (False, False)
