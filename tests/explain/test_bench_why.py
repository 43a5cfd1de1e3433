"""The measurement of `why`, at a small size: real HQ, real command."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from deploy.cli.root import app


@pytest.mark.slow
def test_why_is_measured_on_a_real_hq() -> None:
    ran = CliRunner().invoke(app, ["bench", "why", "--subscribers", "20000", "--asked", "20", "--json"])
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    assert told["subscribers"] == 20_000
    assert told["tasks"] > 2 * told["subscribers"]
    assert 0 < told["p50_ms"] <= told["p95_ms"] <= told["max_ms"]
    assert told["p95_ms"] < 1_000
    assert told["command_ms"] > told["p50_ms"]
    assert 0 < told["suppressed_share"] < 1
    assert told["decision_bytes"] < 2
