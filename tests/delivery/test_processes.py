"""A node and a vendor as processes over mTLS, and SIGKILL for either at any moment."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.channels.journal import read_journal
from common.delivery import ledger, stops, tables
from common.kernel.task import TERMINAL, Response, TaskReason, TaskState
from common.kernel.work_order import WorkOrderState
from common.runtime.database import Database
from common.wire import tls
from deploy.local.processes import free_ports

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
NAMES = ("c/1/sms/hq", "d/1/app_push/hq")
PEOPLE = 30_000


class Federation:
    """One node process, one vendor process, and their files."""

    def __init__(self, home: Path, node_program: Path, **channel: Any) -> None:
        self.home = home
        self.ports = free_ports(2)
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.database = Database(f"sqlite:///{home / 'node.db'}")
        self.database.create(tables.metadata)
        self._certificates(home / "certificates")
        listen, vendor = (f"127.0.0.1:{port}" for port in self.ports)
        spec = {
            "database_url": self.database.url,
            "listen": listen,
            "vendor": vendor,
            "certificates": str(home / "certificates"),
            "channels": ["sms", "app_push"],
        }
        (home / "node.json").write_text(json.dumps(spec))
        (home / "vendor.toml").write_text(_vendor_settings(vendor, listen, channel))
        self.commands = {
            "node": [str(node_program), str(home / "node.json")],
            "vendor": ["-m", "adapters.channels.simulator", str(home / "vendor.toml")],
        }

    def _certificates(self, directory: Path) -> None:
        now = datetime.now(UTC)
        authority = tls.new_authority(now)
        tls.write(directory, "authority", authority)
        for who in (tls.HQ, tls.Identity("vendor", "simulator")):
            tls.write(directory, who.kind, tls.issue(authority, who, now))

    def start(self, name: str) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "proto" / "gen")])}
        with (self.home / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, *self.commands[name]], cwd=ROOT, env=environment, stdout=log, stderr=log
            )

    def kill(self, name: str) -> None:
        self.running[name].kill()
        self.running[name].wait()

    def counts(self) -> list[dict[TaskState, int]]:
        with self.database.snapshot() as connection:
            return [ledger.counts(connection, name) for name in NAMES]

    def strike(self, victim: str, chance: random.Random) -> None:
        """Kill it in the middle of its work, a little after the next messages were taken, and start it again."""
        taken = self.taken_bytes()
        self.wait(lambda: self.taken_bytes() > taken)
        time.sleep(chance.uniform(0, 0.1))
        self.kill(victim)
        assert sum(self.journal().values()) < 0.98 * PEOPLE, "everything was taken before the last kill"
        self.start(victim)

    def taken_bytes(self) -> int:
        path = self.home / "vendor" / "accepted.journal"
        return path.stat().st_size if path.exists() else 0

    def settled(self) -> bool:
        with self.database.snapshot() as connection:
            orders = [ledger.load_work_order(connection, name) for name in NAMES]
        return all(order is not None and order.state is WorkOrderState.COMPLETED for order in orders)

    def wait(self, done: Callable[[], bool], seconds: float = 40) -> None:
        until = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < until, (self.counts(), self.logs())
            for name, process in self.running.items():
                assert process.poll() is None, (name, self.logs())
            time.sleep(0.05)

    def logs(self) -> str:
        return "".join((self.home / f"{name}.log").read_text()[-3000:] for name in self.running)

    def journal(self) -> Counter[tuple[str, int]]:
        path = self.home / "vendor" / "accepted.journal"
        return Counter((batch.work_order, task) for batch in read_journal(path) for task in batch.tasks.tolist())

    def end(self) -> None:
        for name in self.running:
            self.kill(name)
        self.database.close()


def _vendor_settings(listen: str, callback: str, channel: dict[str, Any]) -> str:
    odds = channel.pop("odds", "silence = 0.0")
    lines = [f"listen = {listen!r}", f"callback = {callback!r}", "data_dir = 'vendor'", "seed = 5", "[tls]"]
    lines += [
        f"{name} = 'certificates/{file}'"
        for name, file in (("authority", "authority.crt"), ("certificate", "vendor.crt"), ("key", "vendor.key"))
    ]
    for name in ("sms", "app_push"):
        lines += [
            f"[channels.{name}]",
            "batch_max = 500",
            "messages_per_second_max = 8000",
            *(f"{key} = {value}" for key, value in channel.items()),
        ]
        lines += [f"[channels.{name}.odds]", "receipt_ms = [20, 400]", "reply_ms = [50, 400]", odds]
    return "\n".join(lines)


@pytest.fixture
def federation(tmp_path: Path, node_program: Path, people: Any, issue: Any) -> Iterator[Callable[..., Federation]]:
    made: list[Federation] = []

    def make(**channel: Any) -> Federation:
        home = tmp_path / str(len(made))
        home.mkdir()
        made.append(Federation(home, node_program, **channel))
        everyone, now = people(PEOPLE), int(time.time())
        half = np.arange(PEOPLE) % 2 == 0
        with made[-1].database.transaction() as connection:
            for name, mine in zip(NAMES, (half, ~half), strict=True):
                audience = type(everyone)(everyone.keys[mine], everyone.msisdns[mine])
                issue(connection, audience, name=name, start_at=now - 60, end_at=now + 3600)
        return made[-1]

    yield make
    for each in made:
        each.end()


def _end_state(federation: Federation) -> dict[tuple[str, int], Any]:
    """Everything a report counts, person by person; no times."""
    with federation.database.snapshot() as connection:
        stopped = set(stops.all_stops(connection).keys.tolist())
        return {
            (name, key): (TaskState(state).name, TaskReason(reason).name, Response(response).name, key in stopped)
            for name in NAMES
            for block in ledger.blocks(connection, name)
            for key, state, reason, response in zip(
                *(column.tolist() for column in (block.keys, block.states, block.reasons, block.responses)), strict=True
            )
        }


def _check(federation: Federation) -> None:
    for counted in federation.counts():
        assert sum(counted.values()) == PEOPLE // 2
        assert sum(counted[state] for state in TERMINAL) == PEOPLE // 2
    assert set(federation.journal().values()) == {1}


def test_killing_either_process_again_and_again_changes_no_outcome(federation: Callable[..., Federation]) -> None:
    calm = federation()
    for name in calm.commands:
        calm.start(name)
    calm.wait(calm.settled)
    # Replies may be the last to come.
    time.sleep(1.0)
    _check(calm)
    stormy, chance = federation(), random.Random(3)  # noqa: S311
    for name in stormy.commands:
        stormy.start(name)
    for victim in ("vendor", "node", "node", "vendor", "node", "vendor"):
        stormy.strike(victim, chance)
    stormy.wait(stormy.settled)
    time.sleep(1.0)
    _check(stormy)
    assert stormy.journal() == calm.journal()
    found, expected = _end_state(stormy), _end_state(calm)
    assert {key: (found[key], expected[key]) for key in expected if found[key] != expected[key]} == {}


def test_a_vendor_that_knows_no_repeats_gets_nothing_twice_whatever_dies(federation: Callable[..., Federation]) -> None:
    made, chance = federation(dedupe_seconds=0, odds="silence = 0.0\nlost_answers = 0.1"), random.Random(4)  # noqa: S311
    for name in made.commands:
        made.start(name)
    for victim in ("node", "vendor", "node", "vendor"):
        made.strike(victim, chance)
    made.wait(made.settled)
    _check(made)
    assert sum(counted[TaskState.UNKNOWN] for counted in made.counts()) > 0
    sent = made.journal()
    with made.database.snapshot() as connection:
        for name in NAMES:
            for block in ledger.blocks(connection, name):
                # Only who was contacted, or may have been, is in the vendor's journal.
                contacted = np.isin(
                    block.states, (TaskState.DELIVERED, TaskState.UNKNOWN, TaskState.EXPIRED, TaskState.FAILED)
                )
                taken = np.array([(name, block.first_task + row) in sent for row in range(len(block))])
                assert contacted[taken].all()
                assert (taken | (block.states != TaskState.DELIVERED)).all()
