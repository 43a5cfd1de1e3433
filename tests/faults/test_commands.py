"""An operator's command that dies at any durable step is given again, and its effect is there once and wholly."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from adapters.warehouse.snapshots import Snapshots
from deploy.local import motion
from hq import provision as hq_provision
from province import provision as province_provision
from tests.faults.points import points
from tests.faults.processes import Nursery, Processes
from tests.triggers.documents import document

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PEOPLE = 500
ORDERS = """\
order_number,revision,msisdn,offer,change,amount_fen,accepted_at
a1,1,8613000000001,5g,subscribed,5900,2026-03-02T10:00:00+08:00
a2,1,8613000000002,5g,subscribed,5900,2026-03-02T10:00:00+08:00
"""


def test_commands_that_die_at_every_step_have_their_effect_once(tmp_path: Path) -> None:
    dying, calm = tmp_path / "dying", tmp_path / "calm"
    hit = asyncio.run(_commands(dying, points("command")))
    assert hit == set(points("command"))
    assert asyncio.run(_commands(calm, ())) == set()
    assert _kept(dying) == _kept(calm)


async def _commands(root: Path, armed: tuple[str, ...]) -> set[str]:
    """Make an HQ with one province, people and orders; answers where commands died."""
    _files(root)
    nursery = Nursery()
    await nursery.open()
    processes = Processes(nursery, root)
    hq, province = str(root / "hq" / "hq.toml"), str(root / "45" / "province.toml")
    liandong = ["-m", "deploy.cli.root"]
    try:
        for name, arguments in {
            "migrate": ["-m", "hq", "migrate", "--config", hq],
            "enroll": [*liandong, "province", "enroll", str(root / "45" / "province.csr"), "--hq", hq, "--out",
                       str(root / "45")],
            "ready": ["-m", "province", "migrate", "--config", province],
            "rules": ["-m", "province", "triggers", "apply", str(root / "own.yaml"), "--config", province],
            "people": [*liandong, "import", "subscribers", str(root / "people.parquet"), "--config", hq],
            "numbers": [*liandong, "import", "subscribers", str(root / "people.parquet"), "--config", province],
            "tags": [*liandong, "import", "tags", str(root / "tags.csv"), "--config", province],
            "orders": [*liandong, "import", "orders", str(root / "orders.csv"), "--config", hq],
        }.items():  # fmt: skip
            code = await processes.run(name, arguments, dict.fromkeys(armed, 1))
            assert code == 0, (root / f"{name}.log").read_text(encoding="utf-8")
    finally:
        await nursery.close()
    return {point for _, point in processes.killed}


def _files(root: Path) -> None:
    root.mkdir()
    hq_provision.new_hq(root / "hq", "127.0.0.1:7700", datetime.now(UTC), b"k" * 32)
    province_provision.new_province(root / "45", "45", "127.0.0.1:7700", "127.0.0.1:7710")
    numbers = 8613000000000 + np.arange(PEOPLE, dtype=np.int64)
    people = pa.table({"msisdn": numbers, "province": np.full(PEOPLE, 45, np.int16), "band": np.arange(PEOPLE) % 10})
    parquet.write_table(people, root / "people.parquet")
    (root / "orders.csv").write_text(ORDERS, encoding="utf-8")
    (root / "tags.csv").write_text("msisdn,plan\n8613000000001,gold\n8613000000002,silver\n", encoding="utf-8")
    (root / "own.yaml").write_text(document("local-surge"), encoding="utf-8")


def _kept(root: Path) -> dict[str, Any]:
    """All that the commands were given for."""
    store, here = root / "hq" / "data" / "hq.db", root / "45" / "data" / "province.db"
    return {
        "provinces": motion.query(store, "SELECT code FROM province"),
        "numbers": motion.query(store, "SELECT subscriber_key, msisdn FROM vault ORDER BY 1"),
        "orders": motion.query(store, "SELECT order_number, revision FROM order_record ORDER BY 1"),
        "told": motion.query(store, "SELECT peer, stream, head FROM log"),
        "rules": motion.query(here, "SELECT version, name FROM local_trigger"),
        "people": _people(root / "hq"),
        "tags": (_people(root / "45"), motion.query(here, "SELECT number, tags FROM tag_catalogue")),
    }


def _people(node: Path) -> tuple[list[int], str, int]:
    snapshots = Snapshots(node / "data" / "people")
    latest = snapshots.latest()
    assert latest is not None
    return snapshots.versions(), latest.sha256, latest.rows
