"""`liandong bench coordination` on a small world."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from common.kernel.arbitration import Decisions, Requests, Verdict, decide
from deploy.bench import coordination
from deploy.cli.root import app

SMALL = ["--people", "200000", "--spends", "1000000", "--requests", "20000", "--blocks", "5"]


@pytest.mark.slow
def test_the_kernel_decides_as_the_reference() -> None:
    ran = CliRunner().invoke(app, ["bench", "coordination", "--json", *SMALL], catch_exceptions=False)
    told = json.loads(ran.stdout)
    assert ran.exit_code == 0
    assert told["decisions_differ"] == 0
    assert told["kernel_vs_reference"] > 0
    assert told["durable_admissions_per_second"] > 0
    assert 0 < told["granted_share"] < 1
    assert 0 < told["admission_granted_share"] < 1


@pytest.mark.slow
def test_one_wrong_decision_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that grants what a cap forbids, once a run."""

    def careless(requests: Requests, *rest: Any) -> Decisions:
        found = decide(requests, *rest)
        verdicts = found.verdicts.copy()
        verdicts[np.flatnonzero(verdicts == Verdict.CONTACT_CAP)[:1]] = Verdict.GRANTED
        return replace(found, verdicts=verdicts)

    monkeypatch.setattr(coordination, "decide", careless)
    ran = CliRunner().invoke(app, ["bench", "coordination", "--json", *SMALL], catch_exceptions=False)
    assert ran.exit_code == 1
    assert json.loads(ran.stdout)["decisions_differ"] == 2 * coordination.REFERENCE_ROUNDS


@pytest.mark.slow
def test_the_screen_says_how_many_and_how_they_compare() -> None:
    ran = CliRunner().invoke(app, ["bench", "coordination", *SMALL], catch_exceptions=False)
    assert "decisions/s" in ran.stdout
    assert "durable admissions/s" in ran.stdout
    assert "0 decisions differ from the reference" in ran.stdout
