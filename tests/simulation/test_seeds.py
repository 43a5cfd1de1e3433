"""HQ and provinces in bad weather, seed by seed."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Generator
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.cli.root import app
from deploy.simulation import run as simulation
from deploy.simulation.connection import FastConnection
from deploy.simulation.run import Asked, run_seeds
from deploy.simulation.world import Ended
from hq.store.uplink import Mirrors

ROOT = Path(__file__).parents[2]
SEEDS = 400
"""What two processors do in some four minutes."""
NETWORK = ["loss", "repeat", "late", "stream break", "partition", "one-way partition"]
NODES = [
    "pause",
    "kill",
    "reboot",
    "clock step",
    "restore of both sides",
    *(
        f"restore of {node}, {how}"
        for node in ("HQ", "a province")
        for how in ("the store alone", "on a new disk", "the whole disk")
    ),
]
VENDORS = [
    *("vendor_refuses", "vendor_throttles", "vendor_away", "question_lost", "answer_lost"),
    *("report_lost", "report_repeated", "report_late"),
]
STORY = [
    *("policy", "move", "grant", "given", "withdrawn", "stopped", "lifted", "subscribed", "reversed"),
    *("contact of c", "contact of grant", "contact of local", "hold-out", "full day"),
]


def test_one_seed_is_one_history() -> None:
    asked = Asked(5, 1, 2)
    (once,), (again,) = run_seeds([5], asked), run_seeds([5], asked)
    assert once == again


def test_a_history_is_the_same_where_sqlalchemy_runs_every_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(5, 1, 2)
    (quick,) = run_seeds([5], asked)
    monkeypatch.setattr(FastConnection, "_prepared", lambda *_: None)
    assert run_seeds([5], asked) == [quick]


def test_a_failing_seed_prints_the_command_that_replays_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def here(asked: Asked, jobs: int) -> Generator[Ended, None, None]:
        del jobs
        yield from run_seeds(range(asked.first, asked.first + asked.seeds), asked)

    monkeypatch.setattr(simulation, "run", here)
    monkeypatch.setattr(Mirrors, "take", lambda *_: None)
    shown = CliRunner().invoke(app, ["simulate", "--seeds", "3", "--first-seed", "20", "--provinces", "2"])
    assert shown.exit_code == 1
    found, command = _failures(shown.output)[-1]
    replayed = CliRunner().invoke(app, shlex.split(command)[1:])
    assert replayed.exit_code == 1
    assert _failures(replayed.output) == [(found, command)]
    assert "liveness: hq: tasks" in found


def _failures(shown: str) -> list[tuple[str, str]]:
    """Each seed with what it broke, and the command for it."""
    lines = shown.splitlines()
    return [(before, line.removeprefix("again: ")) for before, line in pairwise(lines) if line.startswith("again: ")]


@pytest.mark.slow
@pytest.mark.timeout(2_400)
def test_no_seed_breaks_a_promise_and_every_fault_happens() -> None:
    command = [
        sys.executable,
        "-m",
        "deploy.cli.root",
        "simulate",
        "--seeds",
        str(SEEDS),
        "--provinces",
        "5",
        "--jobs",
        "1",
        "--json",
    ]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    told = json.loads(ended.stdout)
    assert (told["violations"], told["replay"], ended.returncode) == (0, [], 0)
    assert (told["seeds"], told["run_twice"]) == (SEEDS, SEEDS // 100)
    happened = told["happened"]
    assert [kind for kind in NETWORK + NODES + VENDORS if kind not in happened] == []
    assert [kind for kind in STORY if f"story: {kind}" not in happened] == []
    assert told["never_died_at"] == []
