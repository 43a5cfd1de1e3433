"""`liandong policy …` as an operator uses it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from common.delivery.tables import policy
from common.kernel.policy import PolicyDocument
from common.runtime.database import Database
from common.runtime.yaml_source import SOURCE_BYTES_MAX
from deploy.cli.root import main
from deploy.local.processes import free_ports
from hq.policy_file import check
from hq.store import feed

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 40.0


@pytest.fixture
def liandong(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs the command in this process: (exit code, what it printed)."""

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["liandong", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        return code, "".join(capfd.readouterr())

    return run


def test_check_needs_no_hq(liandong: Callable[..., Any], tmp_path: Path, text: str) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(text, encoding="utf-8")
    code, told = liandong("policy", "check", file)
    assert code == 0
    assert "2026: 19 weekdays off, 6 weekend days worked" in told
    assert f"next: liandong policy apply {file}" in told


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            b"mode: shared\ncaps: [{scope: all, contacts: 0, per: 1d}]\n",
            "line 2, column 31: caps[0].contacts: 0 is out",
        ),
        (b"\xff\xfe", "byte 0 is not UTF-8"),
        (b"#" * (SOURCE_BYTES_MAX + 1), "65,536 are taken. Shorten it"),
        (b"a: &a [1]\nb: *a\n", "aliases (*name) are not supported"),
        (None, "No such file"),
    ],
)
def test_a_wrong_file_is_refused_in_few_words(
    liandong: Callable[..., Any], tmp_path: Path, content: bytes | None, says: str
) -> None:
    file = tmp_path / "policy.yaml"
    if content is not None:
        file.write_bytes(content)
    code, told = liandong("policy", "check", file)
    assert code == 2
    assert says in told
    assert "Traceback" not in told
    assert told.count("\n") <= 3


class Federation:
    """HQ and province 45 as processes in one directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        hq, province = (f"127.0.0.1:{port}" for port in free_ports(2))
        self.run("hq", "init", "hq", "--listen", hq)
        self.run("hq", "migrate", "--config", "hq/hq.toml")
        self.run("province", "init", "45", "gx", "--hq", hq, "--listen", province)
        self.run("province", "enroll", "gx/province.csr", "--hq", "hq/hq.toml", "--out", "gx")
        self.run("province", "migrate", "--config", "gx/province.toml")
        self._processes = [self._start("hq", "hq/hq.toml"), self._start("province", "gx/province.toml")]

    def run(self, *arguments: str, code: int = 0, **environment: str) -> str:
        ran = subprocess.run(
            [sys.executable, "-m", "deploy.cli.root", *arguments], cwd=self.root, env=self._environment() | environment,
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert ran.returncode == code, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    def until(self, told: str) -> str:
        """What `policy show` prints once it says so."""
        end = time.monotonic() + WAIT_SECONDS
        while told not in (shown := self.run("policy", "show")):
            assert time.monotonic() < end, f"{told!r} never came: {shown}\n{self.log('hq')}\n{self.log('province')}"
            time.sleep(0.3)
        return shown

    def log(self, node: str) -> str:
        return (self.root / f"{node}.log").read_text(encoding="utf-8")[-3000:]

    def wait_for_hq(self) -> None:
        end = time.monotonic() + WAIT_SECONDS
        while "HQ serves" not in self.log("hq"):
            assert time.monotonic() < end, self.log("hq")
            time.sleep(0.1)

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def _start(self, node: str, config: str) -> subprocess.Popen[bytes]:
        with (self.root / f"{node}.log").open("wb") as log:
            command = [sys.executable, "-m", node, "serve", "--config", config]
            return subprocess.Popen(command, cwd=self.root, env=self._environment(), stdout=log, stderr=log)

    def _environment(self) -> dict[str, str]:
        paths = f"{ROOT}{os.pathsep}{ROOT / 'proto' / 'gen'}"
        return os.environ | {"PYTHONPATH": paths, "LIANDONG_OPERATOR": "hq/operator/operator.toml", "COLUMNS": "200"}


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    made = Federation(tmp_path)
    yield made
    made.end()


def send_unreadable(store: Path, version: int, text: str) -> None:
    """What an HQ of a later release might have written into its store."""

    def put(connection: Connection) -> None:
        document = check(text) + "hours_of_love: 3\n"
        row = {"version": version, "document": document, "received_at": 1, "objection": ""}
        connection.execute(insert(policy), row)
        feed.put(connection, "45", [PolicyDocument(version, document)], 1)

    database = Database(f"sqlite:///{store}")
    with database.transaction() as connection:
        put(connection)
    database.close()


@pytest.mark.slow
def test_a_policy_is_applied_and_watched_by_hand(federation: Federation, text: str) -> None:
    federation.wait_for_hq()
    assert "no policy was applied yet" in federation.run("policy", "show")
    (federation.root / "policy.yaml").write_text(text, encoding="utf-8")
    (federation.root / "wrong.yaml").write_text(text.replace("contacts: 3", "contacts: 0"), encoding="utf-8")

    assert "version 1 is in force at HQ" in federation.run("policy", "apply", "policy.yaml")
    assert "version 1 says the same; nothing was changed" in federation.run("policy", "apply", "policy.yaml")
    shown = federation.until("✓ in force")
    assert "contact policy, version 1" in shown
    assert "45 Guangxi" in shown

    told = federation.run("policy", "apply", "wrong.yaml", code=2)
    assert "POLICY_INVALID" in told
    assert "line 3, column 28: caps[0].contacts: 0 is out of range. Give 1 to 200" in told
    assert "Traceback" not in told
    refused = next(line for line in federation.log("hq").splitlines() if "policy of operator" in line)
    assert "caps[0].contacts" in refused
    assert "contact policy, version 1" in federation.run("policy", "show")

    send_unreadable(federation.root / "hq" / "data" / "hq.db", 2, text)
    shown = federation.until("cannot apply, keeps the one before: 2:")
    assert "hours_of_love: unknown key" in shown
    assert "\x1b[1;31m" in federation.run("policy", "show", FORCE_COLOR="1")
    assert "无法执行, 沿用旧版本: 2:" in federation.run("policy", "show", "--lang", "zh")
    assert "policy 2 stays out of force" in federation.log("province")
    document = json.loads(federation.run("policy", "show", "--json"))
    (province,) = document["provinces"]
    assert (document["version"], province["province"], province["version"]) == (2, "45", 1)

    assert "version 3 is in force" in federation.run("policy", "apply", "policy.yaml")
    assert "45 Guangxi  3  ✓ in force" in federation.until("✓ in force")
