"""A real Spark reads a real broker, on the system's Java and on the packaged one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.local.kafka import Broker
from tests.streams.records import RECORDS, produce
from tests.streams.spark_reading import read_available

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # the first run fetches


def test_spark_sees_every_record_of_the_topic(
    kafka: Broker, spark: SparkSession, new_topic: Callable[[Broker, int], str], tmp_path: Path
) -> None:
    topic = new_topic(kafka, 2)
    produce(kafka.address, topic)
    assert sorted(read_available(spark, kafka.address, topic, tmp_path)) == list(range(RECORDS))
    assert read_available(spark, kafka.address, topic, tmp_path) == []


def test_broker_and_spark_run_on_the_packaged_java(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.streams.packaged_java", str(tmp_path)],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'proto' / 'gen'}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-4000:]
    told = json.loads(ran.stdout.splitlines()[-1])
    assert told["java"].startswith("25.")
    assert told["records"] == RECORDS
