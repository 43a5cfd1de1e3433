"""The measurement of trigger rules, at a small size."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from deploy.cli.root import app


@pytest.mark.slow
def test_counting_is_measured_and_equals_the_reference() -> None:
    ran = CliRunner().invoke(app, ["bench", "triggers", "--people", "20000", "--events", "200000", "--json"])
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    assert told["fires_differ"] == 0
    assert told["kernel_fires"] > 20_000
    assert told["kernel_vs_reference"] > 3
    assert set(told["bytes_per_subscriber_and_rule"]) == {"each", "sum", "surge", "crosses", "stays"}
    assert told["bytes_per_subscriber_and_rule"]["sum"] < 200  # with room for a run beside so few
