"""The measurement of trigger rules, at a small size."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from deploy.cli.root import app

SCENES = {"data_use", "location", "content", "usage_model"}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_everything_is_measured_and_nothing_is_lost_or_doubled() -> None:
    ran = CliRunner().invoke(app, ["bench", "triggers", "--quick", "--seconds", "3", "--rate", "2000", "--json"])
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    assert (told["fires_lost"], told["fires_doubled"], told["events_miscounted"]) == (0, 0, 0)
    assert told["fires"] == 6 * 100 + 2 * 200
    assert set(told["p99_seconds"]) == SCENES
    assert all(0 < seconds < 60 for seconds in told["p99_seconds"].values())
    assert told["json_events_per_second"] > 0
    assert told["packed_events_per_second"] > 0
    assert told["fires_differ"] == 0
    assert told["kernel_fires"] > 20_000
    assert told["kernel_vs_reference"] > 3
    assert set(told["bytes_per_subscriber_and_rule"]) == {"each", "sum", "surge", "crosses", "stays"}
    assert told["bytes_per_subscriber_and_rule"]["sum"] < 200  # with room for a run beside so few
