"""`liandong triggers …` and `liandong province triggers …` as operators use them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from common.delivery import triggers as kept
from common.kernel.trigger_rule import Crosses, Each, Form, Period, Stays, Sum, Surge
from common.kernel.trigger_version import TriggerVersion
from common.rules.trigger_document import parsed
from common.runtime.database import Database
from common.runtime.yaml_source import SOURCE_BYTES_MAX
from deploy.cli.root import main
from deploy.local.processes import free_ports
from deploy.trigger_words import form_words, period_words
from hq.store import feed
from tests.triggers.documents import NEWER_KEY, document

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 60.0


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


def test_check_needs_no_hq(liandong: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "scenes.yaml"
    file.write_text(document("data-80", "data-90"), encoding="utf-8")
    code, told = liandong("triggers", "check", file)
    assert code == 0
    assert "data-90" in told
    assert f"the file is right, 2 rules\nnext: liandong triggers apply {file}" in told


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ((document("data-80") + NEWER_KEY).encode(), "hours_of_love: unknown key. Known here: rules"),
        (b"\xff\xfe", "byte 0 is not UTF-8"),
        (b"#" * (SOURCE_BYTES_MAX + 1), "65,536 are taken. Shorten it"),
        (None, "No such file"),
    ],
)
def test_a_wrong_file_is_refused_in_few_words(
    liandong: Callable[..., Any], tmp_path: Path, content: bytes | None, says: str
) -> None:
    file = tmp_path / "scenes.yaml"
    if content is not None:
        file.write_bytes(content)
    code, told = liandong("triggers", "check", file)
    assert code == 2
    assert says in told
    assert "Traceback" not in told
    assert told.count("\n") <= 3


@pytest.mark.parametrize(
    ("form", "zh", "en"),
    [
        (Each(), "每个事件", "each event"),
        (Sum(None, 3.0), "本期事件数累计达到 3", "events of the period reach 3"),
        (
            Sum("used_bytes", None, 0.8, "allowance_bytes"),
            "本期used_bytes累计达到 allowance_bytes 的 80 %",
            "used_bytes of the period reach 80 % of allowance_bytes",
        ),
        (Surge("used_bytes", 600, 2.0**30), "10m内used_bytes达到 1,073,741,824",
         "used_bytes within 10m reach 1,073,741,824"),
        (Crosses("port", inwards=True), "进入 port", "enters port"),
        (Crosses("port", inwards=False), "离开 port", "leaves port"),
        (Stays(5400, "port"), "在 port 内停留 1h 30m", "stays in port for 1h 30m"),
        (Stays(7200, None, "event = 'on'"), "持续 2h, 未遇 event = 'on'", "lasts 2h without event = 'on'"),
    ],
)  # fmt: skip
def test_a_form_is_told_in_words(form: Form, zh: str, en: str) -> None:
    assert (form_words(form, "zh"), form_words(form, "en")) == (zh, en)


def test_every_period_has_words() -> None:
    (rule,) = parsed(document("data-80"), 1).rules
    assert period_words(rule, "en") == "once a month"
    for language in ("zh", "en"):
        assert len({period_words(replace(rule, period=period), language) for period in Period}) == len(Period)


class Federation:
    """HQ and two provinces as processes in one directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        hq, *provinces = (f"127.0.0.1:{port}" for port in free_ports(3))
        self.run("hq", "init", "hq", "--listen", hq)
        self.run("hq", "migrate", "--config", "hq/hq.toml")
        for code, listen in zip(("13", "45"), provinces, strict=True):
            self.run("province", "init", code, code, "--hq", hq, "--listen", listen)
            self.run("province", "enroll", f"{code}/province.csr", "--hq", "hq/hq.toml", "--out", code)
            self.run("province", "migrate", "--config", f"{code}/province.toml")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("hq", "13", "45"):
            self.start(name)

    def run(self, *arguments: str, code: int = 0, **environment: str) -> str:
        ran = subprocess.run(
            [sys.executable, "-m", "deploy.cli.root", *arguments], cwd=self.root, env=self._environment() | environment,
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert ran.returncode == code, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    def until(self, done: Callable[[str], bool], *command: str) -> str:
        """What the command prints once it is `done`."""
        end = time.monotonic() + WAIT_SECONDS
        while not done(shown := self.run(*command)):
            assert time.monotonic() < end, "\n".join([shown, *map(self.log, self._processes)])
            time.sleep(0.3)
        return shown

    def write(self, name: str, text: str) -> str:
        (self.root / name).write_text(text, encoding="utf-8")
        return name

    def log(self, name: str) -> str:
        return (self.root / f"{name}.log").read_text(encoding="utf-8")[-3000:]

    def start(self, name: str) -> None:
        module, config = ("hq", "hq/hq.toml") if name == "hq" else ("province", f"{name}/province.toml")
        with (self.root / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-m", module, "serve", "--config", config]
            process = subprocess.Popen(command, cwd=self.root, env=self._environment(), stdout=log, stderr=log)
        self._processes[name] = process

    def stop(self, name: str) -> None:
        self._processes[name].kill()
        self._processes.pop(name).wait()

    def end(self) -> None:
        for name in list(self._processes):
            self.stop(name)

    def _environment(self) -> dict[str, str]:
        paths = f"{ROOT}{os.pathsep}{ROOT / 'proto' / 'gen'}"
        return os.environ | {"PYTHONPATH": paths, "LIANDONG_OPERATOR": "hq/operator/operator.toml", "COLUMNS": "200"}


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    made = Federation(tmp_path)
    yield made
    made.end()


def in_force(federation: Federation, code: str) -> str:
    return federation.run("province", "triggers", "show", "--config", f"{code}/province.toml")


def line(told: str, name: str) -> str:
    return next(each.rstrip() for each in told.splitlines() if each.startswith(name))


def send_unreadable(store: Path, version: int, text: str) -> None:
    """What an HQ of a later release might have written into its store, for one of its provinces."""

    def put(connection: Connection) -> None:
        said = TriggerVersion(version, "scenes", text + NEWER_KEY)
        kept.keep(connection, said, "", 1)
        feed.put(connection, "45", [said], 1)

    database = Database(f"sqlite:///{store}")
    with database.transaction() as connection:
        put(connection)
    database.close()


@pytest.mark.slow
def test_rules_are_published_paused_and_watched_by_hand(federation: Federation) -> None:
    def shown(count: int, told: str) -> str:
        return federation.until(lambda said: said.count(told) == count, "triggers", "show")

    federation.until(lambda _: "HQ serves" in federation.log("hq"), "triggers", "--help")
    assert "no trigger rules were applied yet" in federation.run("triggers", "show")
    scenes = federation.write("scenes.yaml", document("data-80", "data-90"))

    assert "scenes: version 1 goes to every province" in federation.run("triggers", "apply", scenes)
    assert "version 1 says the same; nothing was changed" in federation.run("triggers", "apply", scenes)
    told = shown(2, "✓ has it")
    assert "scenes  version 1" in told
    assert "used_bytes of the period reach 5,000" in told
    assert "once a month" in told
    assert "45 Guangxi" in told

    federation.stop("13")
    assert "data-90 pauses, by version 2 of scenes" in federation.run("triggers", "pause", "data-90")
    told = shown(1, "✓ has it")
    assert "has not taken the newest over yet" in told
    assert "paused" in told
    assert line(in_force(federation, "45"), "data-90").endswith("paused")
    assert "data-90  version 1  data_use" in line(in_force(federation, "13"), "data-90")
    assert "paused" not in line(in_force(federation, "13"), "data-90")
    federation.start("13")
    shown(2, "✓ has it")
    assert "data-90  version 2  data_use" in line(in_force(federation, "13"), "data-90")

    told = federation.run("triggers", "apply", federation.write("wrong.yaml", document("data-80")), code=2)
    assert "TRIGGER_INVALID" in told
    assert "data-80: document scenes has a rule of this name" in told
    assert "Traceback" not in told
    assert any("trigger document 'wrong' of operator" in line for line in federation.log("hq").splitlines())

    send_unreadable(federation.root / "hq" / "data" / "hq.db", 3, document("data-70"))
    told = shown(1, "cannot read it, keeps the one before: 3:")
    assert "hours_of_love: unknown key" in told
    assert "data-90  version 2" in in_force(federation, "45")
    assert "\x1b[1;31m" in federation.run("triggers", "show", FORCE_COLOR="1")
    assert "无法读取, 沿用旧版本: 3:" in federation.run("triggers", "show", "--lang", "zh")
    (known,) = json.loads(federation.run("triggers", "show", "--json"))["documents"]
    (at,) = (each for each in known["provinces"] if each["province"] == "45")
    assert (known["version"], at["version"], at["objection"][:2]) == (3, 2, "3:")

    newer = federation.write("scenes.yaml", document("data-80", "data-90", limit=6000))
    assert "version 4 goes to every province" in federation.run("triggers", "apply", newer)
    shown(2, "✓ has it")
    assert "no rule data-9 in force; there are: data-80, data-90" in federation.run(
        "triggers", "resume", "data-9", code=2
    )
    own = federation.write("own.yaml", document("local-surge"))
    settings = ("--config", "45/province.toml")
    assert "own: version 1 is in force" in federation.run("province", "triggers", "apply", own, *settings)
    assert "local-surge  version 1" in in_force(federation, "45")
    told = federation.run("province", "triggers", "show", *settings, "--lang", "zh")
    assert line(told, "local-surge").split("  ")[1:4] == ["版本 1", "data_use", "本省"]
    assert "每月一次" in line(told, "data-90")
    assert "local-surge" not in federation.run("triggers", "show", "--json") + in_force(federation, "13")
    told = federation.run("province", "triggers", "apply", scenes, *settings, code=2)
    assert "data-80: a province's own rules are named local-…. Write local-data-80" in told
    assert "own is withdrawn" in federation.run("province", "triggers", "withdraw", "own", *settings)

    assert "scenes withdrawn by version 5" in federation.run("triggers", "withdraw", "scenes")
    federation.until(lambda said: "no trigger rules were applied yet" in said, "triggers", "show")
    assert "data-80" not in in_force(federation, "45") + in_force(federation, "13")
