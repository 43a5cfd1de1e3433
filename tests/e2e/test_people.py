"""One person at a time, by the commands, on real nodes: consent, stop, export, erase."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from adapters.channels.journal import read_journal
from common.kernel.subscriber import subscriber_keys
from common.runtime.clock import write_offset
from deploy.local import motion
from deploy.local.federation import HQ, NODES, PROVINCES, Local, World, fill, lay_out, layout
from hq.campaign_file import load

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
PEOPLE, SEED = 240, 5
NUMBERS = 8613000000000 + np.arange(PEOPLE, dtype=np.int64)
AGREED, WITHDREW, GONE = NUMBERS[:60], NUMBERS[50:60], int(NUMBERS[7])
CAMPAIGN = """\
name: nearby
title: {zh: 附近, en: Nearby}
purpose: location
offer: {code: nearby, title: {zh: 附近, en: Nearby}, price_fen: 100}
audience: band >= 0
holdout: 0%
schedule: {start: 2027-03-01T09:00:00+08:00, end: 2027-03-03T21:00:00+08:00}
respond_hours: 24
attribution_days: 1
parameters:
  band: {column: band, fallback: "0", kind: integer}
content:
  app_push: {zh: "您附近有${band}家营业厅"}
  local_sms: {zh: "您附近有${band}家营业厅，回复TD退订。"}
waves:
  - name: only
    after: 0d
    channels: [{channel: app_push, when: band < 3}, {channel: local_sms}]
"""
ODDS = dict.fromkeys(("refuse", "undeliverable", "expire", "silence", "throttle", "stop", "refused"), 0.0)
ODDS |= {"receipt_ms": [5, 50], "reply_ms": [5, 50]}
TEXT = "您附近有7家营业厅，回复TD退订。"


class Hands:
    """An operator's terminal beside a running federation."""

    def __init__(self, local: Local) -> None:
        self.local = local

    def tried(self, *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
        own = {
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'proto' / 'gen'}",
            "LIANDONG_OPERATOR": str(self.local.home(HQ) / "operator" / "operator.toml"),
        }
        command = [sys.executable, "-m", "deploy.cli.root", *arguments]
        return subprocess.run(
            command, cwd=self.local.root, env=os.environ | own, input=answer, capture_output=True, text=True,
            check=False, timeout=60,
        )  # fmt: skip

    def run(self, *arguments: str, answer: str = "") -> str:
        ran = self.tried(*arguments, answer=answer)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def rows(self, node: str, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        return motion.query(self.local.database(node), statement, *parameters)

    def until(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < end, "it never came"
            time.sleep(0.1)

    def key(self, number: int) -> int:
        federation_key = (self.local.home(HQ) / "federation.key").read_bytes()
        return int(subscriber_keys(federation_key, [number])[0])


@contextmanager
def _running(root: Path) -> Iterator[Hands]:
    local, start = layout(root / "nodes"), load(CAMPAIGN).schedule.start
    homes = np.where(np.arange(PEOPLE) % 2 == 0, 45, 13).astype(np.int16)
    people = pa.table({"msisdn": NUMBERS, "province": homes, "band": np.arange(PEOPLE, dtype=np.int64) % 10})
    world = World(SEED, start - 9 * 3600, 14, None, {"local_sms": ODDS, "app_push": ODDS})
    lay_out(local, world, people, datetime.now(UTC))
    for node in NODES:
        fill(local, node)
    write_offset(local.clock_file, start - 3600 - int(time.time()))
    processes = []
    try:
        for name, arguments in local.processes().items():
            with (local.logs / f"{name}.log").open("wb") as log:
                processes.append(subprocess.Popen([sys.executable, *arguments], stdout=log, stderr=log, cwd=ROOT))
        yield Hands(local)
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


@pytest.fixture
def hands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hands]:
    (tmp_path / "nodes").mkdir()
    monkeypatch.setattr(Local, "address", _straight)
    with _running(tmp_path) as made:
        made.until(lambda: made.local.database(HQ).exists() and _sessions(made) == len(PROVINCES))
        yield made


def _straight(self: Local, name: str) -> str:
    """No relay between the nodes here."""
    return f"127.0.0.1:{self.ports[HQ if name.startswith('link-') else name]}"


def _sessions(hands: Hands) -> int:
    try:
        return len(hands.rows(HQ, "SELECT 1 FROM session"))
    except sqlite3.OperationalError:
        return 0


def test_one_person_from_consent_to_erasure(hands: Hands) -> None:
    start = load(CAMPAIGN).schedule.start
    _consent(hands, start)
    _contact(hands, start)
    _stop(hands)
    _erase(hands)


def _write(path: Path, rows: list[list[Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["msisdn", "purpose", "evidence", "given_at", "expires_at", "change"])
        writer.writerows(rows)
    return path


def _consent(hands: Hands, start: int) -> None:
    """A file with a wrong row records nothing; the right one reaches every node."""
    rows = [[n, "location", f"表单 {n % 100}", start - 9000, start + 86_400, "given"] for n in AGREED.tolist()]
    over = [AGREED[3], "location", "表单", start - 9000, "2027-03-01T07:00:00+08:00", "given"]
    expired = [*rows[:3], over, *rows[4:]]
    refused = hands.tried("people", "consent", str(_write(hands.local.root / "wrong.csv", expired)))
    assert (refused.returncode, "row 4: expires_at is over" in refused.stderr) == (2, True), refused.stderr
    assert hands.rows(HQ, "SELECT * FROM consent") == []
    told = hands.run("people", "consent", str(_write(hands.local.root / "right.csv", rows)), "--lang", "zh")
    assert "60 条已记录" in told
    withdrawn = [[n, "location", "", "", "", "withdrawn"] for n in WITHDREW.tolist()]
    config = hands.local.home("45") / "province.toml"
    mine = withdrawn[::2]
    told = hands.run("people", "consent", str(_write(hands.local.root / "w.csv", mine)), "--config", str(config))
    assert "5 recorded here" in told
    hands.run("people", "consent", str(_write(hands.local.root / "w2.csv", withdrawn[1::2])))
    counted = "SELECT count(*), sum(withdrawn) FROM consent"
    hands.until(lambda: all(hands.rows(node, counted) == [(60, 10)] for node in NODES))


def _contact(hands: Hands, start: int) -> None:
    """Only those whose consent stands are contacted, at either level."""
    write_offset(hands.local.clock_file, start + 60 - int(time.time()))
    file = hands.local.root / "campaign.yaml"
    file.write_text(CAMPAIGN, encoding="utf-8")
    hands.run("campaign", "apply", "-f", str(file))
    hands.run("campaign", "approve", "nearby", "--version", "1")
    hands.until(lambda: _settled(_report(hands)["total"]) == PEOPLE)
    sent = [batch.msisdns for node in NODES for batch in read_journal(hands.local.journal(node))]
    assert sorted(np.concatenate(sent).tolist()) == AGREED[:50].tolist()
    assert _report(hands)["total"]["suppressed_by"] == {"NO_CONSENT": PEOPLE - 50}


def _settled(total: dict[str, int]) -> int:
    return total["issued"] - total["open"] - total["in_flight"]


def _report(hands: Hands) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(hands.run("report", "nearby", "--json"))
    return {name: document[name] for name in ("people", "total", "orders", "provinces", "checks")}


def _stop(hands: Hands) -> None:
    number, standing = str(NUMBERS[9]), "SELECT scope FROM stop WHERE subscriber_key = ? AND NOT lifted"
    key = hands.key(int(number))
    at_13, at_45 = (["--config", str(hands.local.home(code) / "province.toml")] for code in ("13", "45"))
    hands.run("people", "stop", number, "--scope", "call")
    hands.run("people", "stop", number, "--scope", "blacklist", *at_13)
    hands.until(lambda: all(sorted(hands.rows(node, standing, key)) == [(2,), (18,)] for node in NODES))
    wrong = hands.tried("people", "stop", number, "--scope", "mondays")
    assert (wrong.returncode, "use one of all, refused, blacklist" in wrong.stderr) == (2, True)
    away = hands.tried("people", "allow", number, *at_45)
    assert (away.returncode, "not at home in this province" in away.stderr) == (2, True)
    hands.run("people", "allow", number, "--scope", "call")
    hands.until(lambda: all(hands.rows(node, standing, key) == [(2,)] for node in NODES))


def _erase(hands: Hands) -> None:
    """What an export shows before is gone after, at every node; and the report says what it said."""
    number, key, before = str(GONE), hands.key(GONE), _report(hands)
    exported = json.loads(hands.run("people", "export", number, "--json"))
    assert (exported["vault"]["number"], exported["tags"]["values"]["band"]) == (f"+{GONE}", 7)
    assert [each["evidence"] for each in exported["consents"]] == ["表单 7"]
    (contact,) = exported["contacts"]
    assert (contact["state"], contact["node"], contact["text"]) == ("delivered", "13", TEXT)
    assert exported["told_by"] == {"home": "13", "connected": True}
    for language, word in (("zh", "归属省"), ("en", "home")):
        assert word in hands.run("people", "export", number, "--lang", language)
    asked = hands.tried("people", "erase", number, answer="n\n")
    assert asked.returncode == 1
    told = hands.run("people", "erase", number, answer="y\n")
    assert "13, 45" in told
    for node in (HQ, "13"):
        hands.until(lambda node=node: hands.rows(node, "SELECT 1 FROM erasure WHERE subscriber_key = ?", key) == [(1,)])
        assert hands.rows(node, "SELECT 1 FROM vault WHERE subscriber_key = ?", key) == []
        assert hands.rows(node, "SELECT 1 FROM consent WHERE subscriber_key = ?", key) == []
    left = json.loads(hands.run("people", "export", number, "--json"))
    assert (left["vault"], left["tags"], left["consents"]) == (None, None, [])
    assert [(each["state"], each["text"]) for each in left["contacts"]] == [("delivered", "")]
    assert _report(hands) == before
    file = hands.local.home("people") / "subscribers-hq.parquet"
    told = hands.run("import", "subscribers", str(file), "--config", str(hands.local.home(HQ) / "hq.toml"))
    assert f"{PEOPLE - 1:,} accepted (0 new), 1 rejected" in told
    assert "this person's data was erased" in told
    assert hands.rows(HQ, "SELECT count(*) FROM vault") == [(PEOPLE - 1,)]
