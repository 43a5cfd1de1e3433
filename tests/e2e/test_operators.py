"""A federation set up and run by hand, command by command, as README says: real processes, each kind of store."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from sqlalchemy import create_engine, make_url, text

from adapters.warehouse.population import make_population
from common.runtime.clock import write_offset
from common.wire import tls
from common.wire.server import build_channel
from deploy.local.processes import free_ports
from hq.campaign_file import load

ROOT = Path(__file__).parents[2]
PEOPLE, GUANGXI = 3_000, 45
WAIT_SECONDS = 60.0
HOUR = 3_600
ORDERED_BEFORE, ORDERED_AT_HQ = 5, 3
NAMES = count()

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CAMPAIGN = """\
name: by_hand
title: {zh: 手工, en: By hand}
offer: {code: data_30g, title: {zh: 流量包, en: Data}, price_fen: 3000}
audience: age >= 20 AND region_score >= 0
holdout: 10%
schedule: {start: 2027-03-01T09:00:00+08:00, end: 2027-03-05T21:00:00+08:00}
respond_hours: 24
attribution_days: 2
content:
  app_push: {zh: 流量包}
  sms: {zh: 流量包，回复TD退订}
  local_sms: {zh: 本地流量包，回复TD退订}
waves:
  - name: only
    after: 0d
    channels:
      - {channel: local_sms, when: tenure_months >= 24}
      - {channel: app_push, when: app_active}
      - {channel: sms}
"""

NODE_EXTRAS = """
[[vendors]]
channel = "{channel}"
address = "{vendor}"
name = "{name}"
"""

VENDOR = """\
listen = "{listen}"
callback = "{callback}"
node = "{node}"
data_dir = "data"
clock_file = "{clock}"
[tls]
authority = "authority.crt"
certificate = "vendor.crt"
key = "vendor.key"
"""

BSS = """\
source_system = "{source}"
listen = "{listen}"
data_dir = "data"
subscribers = "{people}"
{province}
start_at = {start_at}
days = 6
clock_file = "{clock}"
offers = [{{code = "data_30g", price_fen = 3000, organic_share = 0.01}}]
[tls]
authority = "authority.crt"
certificate = "bss.crt"
key = "bss.key"
"""


class Hands:
    """Runs commands and processes in one directory, with what each node's environment says."""

    def __init__(self, root: Path, stores: dict[str, str], stack: ExitStack) -> None:
        self.root, self._stores, self._stack = root, stores, stack
        names = ("hq", "gx", "vendor-hq", "vendor-gx", "cbss", "bss-45")
        self._ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.clock = root / "clock"

    def address(self, name: str) -> str:
        return f"127.0.0.1:{self._ports[name]}"

    def run(self, *arguments: str, node: str = "") -> str:
        """What the command printed; it must succeed."""
        ran = self.tried(*arguments, node=node)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def tried(self, *arguments: str, node: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "deploy.cli.root", *arguments],
            cwd=self.root, env=self._environment(node), capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def start(self, name: str, *arguments: str, node: str = "") -> subprocess.Popen[bytes]:
        log = self._stack.enter_context((self.root / f"{name}.log").open("wb"))
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments], cwd=self.root, env=self._environment(node), stdout=log, stderr=log
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process

    def _environment(self, node: str) -> dict[str, str]:
        own = {
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'proto' / 'gen'}",
            "LIANDONG_OPERATOR": "hq/operator/operator.toml",
        }
        return os.environ | own | ({"LIANDONG_DATABASE_URL": self._stores[node]} if node in self._stores else {})

    def step_to(self, moment: int) -> None:
        write_offset(self.clock, moment - int(time.time()))

    def report(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.run("report", "by_hand", "--json"))
        return document

    def until(self, what: str, done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        end = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end:
            report = self.report()
            if done(report):
                return report
            time.sleep(0.2)
        logs = "".join(f"\n--- {log.name}\n{log.read_text()[-2000:]}" for log in self.root.glob("*.log"))
        pytest.fail(f"{what} never came; the last report: {json.dumps(report)[:3000]}{logs}")


@pytest.fixture(params=["sqlite", "postgresql"])
def hands(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hands]:
    stores = {}
    if request.param == "postgresql":
        server = request.getfixturevalue("postgresql")
        stores = {node: _new_database(server, f"{node}_{next(NAMES)}") for node in ("hq", "gx")}
    with ExitStack() as stack:
        yield Hands(tmp_path, stores, stack)


def _new_database(server: str, name: str) -> str:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def test_a_campaign_runs_by_hand(hands: Hands) -> None:
    people = make_population(PEOPLE, 5)
    buyers = _write_files(hands.root, people)
    start = load(CAMPAIGN).schedule.start
    hands.step_to(start - HOUR)
    _make_nodes(hands, start)
    _bring_in_people(hands)
    nodes = _serve(hands)
    _wait_for_hq(hands)
    _count_an_audience(hands)

    assert "the file is right" in hands.run("campaign", "validate", "-f", "campaign.yaml")
    assert "by_hand version 1 is stored" in hands.run("campaign", "apply", "-f", "campaign.yaml")
    assert "by_hand version 1: draft" in hands.run("campaign", "status", "by_hand")
    assert "by_hand version 1: approved" in hands.run("campaign", "approve", "by_hand")
    assert f"{ORDERED_BEFORE} new order records, 1 lines not taken" in _orders(hands, "gx", buyers[:ORDERED_BEFORE])
    assert "0 new order records" in _orders(hands, "gx", buyers[:ORDERED_BEFORE])

    assert "paused" in hands.run("campaign", "pause", "by_hand")
    hands.step_to(start + 60)
    time.sleep(1)
    report = hands.report()
    assert (report["state"], report["total"]["issued"]) == ("paused", 0)
    assert "approved" in hands.run("campaign", "resume", "by_hand")

    # Nobody tells of the silent ones until their time for receipts is over.
    wave = hands.until("the wave", lambda report: report["total"]["delivered"] > 0 and _silent(report) < 100)
    assert _not_holding(wave) == []
    assert {row["node"] for row in wave["rows"]} == {"hq", "45"}
    nobody_new = {"STATE_CONFLICT", "in use by a running node"}
    for node, config in (("hq", "hq/hq.toml"), ("province", "gx/province.toml")):
        second = hands.tried(node, "serve", "--config", config, node="gx" if node == "province" else "hq")
        assert second.returncode == 2
        assert all(part in second.stderr for part in nobody_new)
        assert second.stderr.count("\n") == 1

    national = buyers[ORDERED_BEFORE : ORDERED_BEFORE + ORDERED_AT_HQ]
    assert f"{ORDERED_AT_HQ} new order records" in _orders(hands, "hq", national)
    hands.step_to(load(CAMPAIGN).attribution_over_at + HOUR)
    ended = hands.until("the end", lambda report: report["state"] == "finished" and report["total"]["in_flight"] == 0)
    _check_the_end(hands, ended)
    _check_orders_went_both_ways(hands)
    _cancel_another(hands)
    for process in nodes:
        process.terminate()
    assert [process.wait(20) for process in nodes] == [0, 0]


def _write_files(root: Path, people: pa.Table) -> list[int]:
    """People, one tag of them apart, the province's share; answers some of the province's numbers."""
    numbers = people.column("msisdn").to_pylist()
    arrow_csv.write_csv(people, root / "people.csv")
    tags = pa.table({"msisdn": numbers, "region_score": [number % 7 for number in numbers]})
    arrow_csv.write_csv(tags, root / "tags.csv")
    home = people.column("province").to_pylist()
    theirs = [number for number, province in zip(numbers, home, strict=True) if province == GUANGXI]
    arrow_csv.write_csv(pa.table({"msisdn": theirs, "province": [GUANGXI] * len(theirs)}), root / "people-45.csv")
    (root / "campaign.yaml").write_text(CAMPAIGN, encoding="utf-8")
    return theirs


def _make_nodes(hands: Hands, start: int) -> None:
    hands.run("hq", "init", "hq", "--listen", hands.address("hq"))
    hands.run("province", "init", "45", "gx", "--hq", hands.address("hq"), "--listen", hands.address("gx"))
    levels = {"hq": ("hq.toml", ("sms", "app_push"), "cbss"), "gx": ("province.toml", ("local_sms",), "bss")}
    for node, (settings, channels, section) in levels.items():
        vendor, source = f"vendor-{node}", "cbss" if node == "hq" else "bss-45"
        hands.run("hq", "certify", "vendor", vendor, vendor, "--config", "hq/hq.toml")
        hands.run("hq", "certify", "bss", source, source, "--config", "hq/hq.toml")
        extras = "".join(NODE_EXTRAS.format(channel=c, vendor=hands.address(vendor), name=vendor) for c in channels)
        extras += f'\n[{section}]\nsource_system = "{source}"\naddress = "{hands.address(source)}"\nname = "{source}"\n'
        path = hands.root / node / settings
        path.write_text(f'clock_file = "{hands.clock}"\n{path.read_text()}\n{extras}', encoding="utf-8")
        _write_outside(hands, node, vendor, source, channels, start)
    assert "schema at 0001" in hands.run("hq", "migrate", "--config", "hq/hq.toml", node="hq")
    enrolled = hands.run("province", "enroll", "gx/province.csr", "--hq", "hq/hq.toml", "--out", "gx", node="hq")
    assert "province 45 is enrolled" in enrolled
    assert "schema at 0001" in hands.run("province", "migrate", "--config", "gx/province.toml", node="gx")


def _write_outside(hands: Hands, node: str, vendor: str, source: str, channels: tuple[str, ...], start: int) -> None:
    for name in (vendor, source):
        (hands.root / name / "data").mkdir()
    told = VENDOR.format(
        listen=hands.address(vendor), callback=hands.address(node), clock=hands.clock,
        node="hq" if node == "hq" else "province/45",
    )  # fmt: skip
    odds = "".join(f"[channels.{channel}.odds]\nsilence = 0.01\n" for channel in channels)
    (hands.root / vendor / "vendor.toml").write_text(told + odds, encoding="utf-8")
    (hands.root / source / "bss.toml").write_text(
        BSS.format(
            source=source, listen=hands.address(source), people=hands.root / "people.csv", clock=hands.clock,
            province="" if node == "hq" else "province = 45", start_at=start - 9 * HOUR,
        ),
        encoding="utf-8",
    )  # fmt: skip


def _bring_in_people(hands: Hands) -> None:
    told = hands.run("import", "subscribers", "people.csv", "--config", "hq/hq.toml", node="hq")
    assert f"{PEOPLE:,} accepted ({PEOPLE:,} new), 0 rejected" in told
    again = hands.run("import", "subscribers", "people.csv", "--config", "hq/hq.toml", node="hq")
    assert f"{PEOPLE:,} accepted (0 new), 0 rejected" in again
    assert f"{PEOPLE:,} accepted" in hands.run("import", "tags", "tags.csv", "--config", "hq/hq.toml")
    told = hands.run("import", "subscribers", "people.csv", "--config", "gx/province.toml", node="gx")
    assert "belongs to another province than 45" in told


def _serve(hands: Hands) -> list[subprocess.Popen[bytes]]:
    for name in ("vendor-hq", "vendor-gx"):
        hands.start(name, "adapters.channels.simulator", f"{name}/vendor.toml")
    for name in ("cbss", "bss-45"):
        hands.start(name, "adapters.bss.simulator", f"{name}/bss.toml")
    return [
        hands.start("hq", "deploy.cli.root", "hq", "serve", "--config", "hq/hq.toml", node="hq"),
        hands.start("gx", "deploy.cli.root", "province", "serve", "--config", "gx/province.toml", node="gx"),
    ]


def _wait_for_hq(hands: Hands) -> None:
    """Both nodes say that they serve, to an operator too."""
    home = hands.root / "hq" / "operator"
    own = tls.read(home / "operator.crt", home / "operator.key")
    credentials = tls.channel_credentials((home / "authority.crt").read_bytes(), own)

    async def asked(name: str, who: tls.Identity) -> int:
        async with build_channel(hands.address(name), credentials, who) as channel:
            answer = await HealthStub(channel).Check(HealthCheckRequest(), timeout=30, wait_for_ready=True)
            return int(answer.status)

    for name, who in (("hq", tls.HQ), ("gx", tls.Identity("province", "45"))):
        assert asyncio.run(asked(name, who)) == HealthCheckResponse.SERVING


def _count_an_audience(hands: Hands) -> None:
    with (hands.root / "people.csv").open(encoding="utf-8") as lines:
        wanted = sum(int(row["age"]) >= 20 for row in csv.DictReader(lines))
    rule = ("--where", "age >= 20 AND region_score >= 0", "--config", "hq/hq.toml")
    counted = json.loads(hands.run("audience", "count", *rule, "--holdout", "0.1", "--json"))
    assert counted["target"] == wanted == sum(counted["provinces"].values()) > counted["held_out"] > 0


def _orders(hands: Hands, node: str, numbers: list[int]) -> str:
    header = "order_number,revision,msisdn,offer,change,amount_fen,accepted_at\n"
    at = load(CAMPAIGN).schedule.start + (2 * HOUR if node == "hq" else -HOUR)
    lines = [f"{node}-{number},1,{number},data_30g,subscribed,3000,{at}\n" for number in numbers]
    path = hands.root / f"orders-{node}.csv"
    path.write_text(header + "".join(lines) + ("ragged,1\n" if node == "gx" else ""), encoding="utf-8")
    config = "hq/hq.toml" if node == "hq" else "gx/province.toml"
    return hands.run("import", "orders", path.name, "--config", config, node=node)


def _silent(report: dict[str, Any]) -> int:
    return int(report["total"]["open"] + report["total"]["in_flight"])


def _not_holding(report: dict[str, Any]) -> list[str]:
    return [name for name, holds in report["checks"].items() if not holds]


def _check_the_end(hands: Hands, report: dict[str, Any]) -> None:
    people, total = report["people"], report["total"]
    assert _not_holding(report) == []
    assert people["unaccounted"] == total["open"] == total["in_flight"] == 0
    assert total["unknown"] == len(report["unknown_contacts"]) > 0
    assert report["orders"]["taken"] >= ORDERED_AT_HQ
    printed = hands.run("report", "by_hand")
    assert "✓ the parts add up to the target · unaccounted for 0" in printed
    assert "liandong report by_hand --unknown" in printed
    assert "✓ 分项合计等于目标用户" in hands.run("report", "by_hand", "--lang", "zh")
    listed = hands.run("report", "by_hand", "--unknown")
    assert sum("by_hand/1/" in line for line in listed.splitlines()) == total["unknown"]


def _check_orders_went_both_ways(hands: Hands) -> None:
    wanted = ORDERED_BEFORE + ORDERED_AT_HQ
    for node, file in (("hq", "hq.db"), ("gx", "province.db")):
        url = hands._stores.get(node) or f"sqlite:///{hands.root / node / 'data' / file}"
        engine = create_engine(url)
        with engine.connect() as connection:
            query = text("SELECT count(*) FROM order_record WHERE source_system IN ('file-hq', 'file-45')")
            assert connection.execute(query).scalar() == wanted, node
        engine.dispose()


def _cancel_another(hands: Hands) -> None:
    other = CAMPAIGN.replace("by_hand", "another").replace("2027-", "2028-")
    (hands.root / "other.yaml").write_text(other, encoding="utf-8")
    hands.run("campaign", "apply", "-f", "other.yaml")
    hands.run("campaign", "approve", "another", "--version", "1")
    assert "another version 1: cancelled" in hands.run("campaign", "cancel", "another")
    everything = hands.run("campaign", "status")
    assert "another version 1: cancelled" in everything
    assert "by_hand version 1: finished" in everything
