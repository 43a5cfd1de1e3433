"""The demo, as a person runs it: real processes, kills, a cut link, a real customer file."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
TIMING = ("wall_seconds", "first_order_seconds", "scene_milliseconds", "restarts")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def demo(*arguments: str) -> dict[str, Any]:
    """The summary of `liandong demo --json`, which must have succeeded."""
    ran = subprocess.run(
        [sys.executable, "-m", "deploy.cli.root", "demo", "--json", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr[-4000:]
    document: dict[str, Any] = json.loads(ran.stdout)
    return document


def told(summary: dict[str, Any]) -> dict[str, Any]:
    return {name: fact for name, fact in summary.items() if name not in TIMING}


@pytest.fixture(scope="module")
def calm() -> dict[str, Any]:
    return demo("--subscribers", "8000", "--seed", "3")


def test_every_person_is_accounted_for(calm: dict[str, Any]) -> None:
    assert calm["unaccounted"] == 0
    assert calm["duplicates"] == 0
    assert calm["open"] == calm["in_flight"] == 0
    ended = sum(calm[name] for name in ("delivered", "expired", "failed", "unknown"))
    assert calm["issued"] == ended + sum(calm["suppressed"].values())
    assert calm["orders"] == calm["attributed"] + calm["organic"] > 0
    assert all(calm["checks"].values())


def test_who_uses_up_data_is_offered_more_at_once(calm: dict[str, Any]) -> None:
    assert calm["scene"] == {"rule": "data-80", "source": "journal", "events": 800, "fires": 200, "contacts": 200}
    assert calm["scene_milliseconds"] < 10_000


def test_the_same_seed_tells_the_same_numbers(calm: dict[str, Any]) -> None:
    assert told(demo("--subscribers", "8000", "--seed", "3")) == told(calm)


def test_a_kill_and_a_cut_link_change_nothing_but_time(calm: dict[str, Any]) -> None:
    shaken = demo("--subscribers", "8000", "--seed", "3", "--chaos")
    assert shaken["restarts"], "a province was killed and started again"
    assert told(shaken) == told(calm)


def test_through_a_real_broker_the_numbers_are_the_same(calm: dict[str, Any]) -> None:
    through = demo("--subscribers", "8000", "--seed", "3", "--kafka")
    assert through["scene"] == calm["scene"] | {"source": "kafka"}
    assert {**told(through), "scene": calm["scene"]} == told(calm)


def test_a_real_customer_file_is_counted_to_the_person() -> None:
    file = DATA / "ibm_telco_churn.csv"
    if not file.is_file():
        pytest.skip(f"{file} is not on this machine")
    with file.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    wanted = sum(row["Contract"] == "Month-to-month" and int(row["tenure"]) <= 12 for row in rows)
    summary = demo("--data", str(file), "--id", "customerID")
    assert summary["target"] == wanted
    assert summary["unaccounted"] == summary["duplicates"] == 0
