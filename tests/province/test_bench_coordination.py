"""`liandong bench coordination` on a small world."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from deploy.cli.root import app

SMALL = ["--people", "200000", "--spends", "1000000", "--requests", "20000", "--blocks", "5"]


@pytest.mark.slow
def test_the_kernel_decides_as_the_reference_and_several_times_as_fast() -> None:
    ran = CliRunner().invoke(app, ["bench", "coordination", "--json", *SMALL], catch_exceptions=False)
    told = json.loads(ran.stdout)
    assert ran.exit_code == 0
    assert told["decisions_differ"] == 0
    assert told["kernel_vs_reference"] >= 2
    assert told["durable_admissions_per_second"] > 0
    assert 0 < told["granted_share"] < 1
    assert 0 < told["admission_granted_share"] < 1


@pytest.mark.slow
def test_the_screen_says_how_many_and_how_they_compare() -> None:
    ran = CliRunner().invoke(app, ["bench", "coordination", *SMALL], catch_exceptions=False)
    assert "decisions/s" in ran.stdout
    assert "durable admissions/s" in ran.stdout
    assert "0 decisions differ from the reference" in ran.stdout
