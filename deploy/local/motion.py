"""What is still moving in a local federation, read from its files: nothing here asks the nodes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from adapters.bss.grpc_feed import GrpcBss
from adapters.channels.journal import AcceptedBatch, read_journal, read_records
from adapters.channels.script import NO_REPLY, SILENCE, Fates, Odds, fates
from common.kernel.work_order import LOCAL
from common.wire import tls
from common.wire.server import build_channel
from deploy.local.federation import HQ, NODES, Local, World


def silent_messages(local: Local, world: World, wave: int) -> int:
    """Messages of a campaign's wave that vendors took and will never say another word about."""
    batches = (batch for node in NODES for batch in read_journal(local.journal(node)))
    planned = (batch for batch in batches if not batch.work_order.startswith(LOCAL))
    mine = (batch for batch in planned if int(batch.work_order.split("/")[1]) == wave)
    return sum(int((_fates(world, batch).stages == SILENCE).sum()) for batch in mine)


def submitted_tasks(local: Local, node: str) -> int:
    """How many tasks the node has handed to vendors and heard nothing of yet."""
    return int(str(query(local.database(node), "SELECT coalesce(sum(submitted_tasks), 0) FROM task_block")[0][0]))


def reports_to_come(local: Local, world: World) -> int:
    """Receipts and replies vendors still owe the nodes."""
    return sum(_owed(local.journal(node), world) - _reported(local.journal(node)) for node in NODES)


def log_entries_to_come(local: Local) -> int:
    """Feed and outbox entries not yet durable at the other side."""
    return sum(int(query(local.database(node), "SELECT coalesce(sum(head - committed), 0) FROM log")[0][0])
               for node in NODES)  # fmt: skip


Places = Callable[[str], Mapping[str, Any]]


async def sources_read(local: Local, places: Places | None = None) -> bool:
    """Whether every node has read all that its BSS can tell by now.

    `places` answers a node's page tokens by feed, where its store is not the file in its directory.
    """
    own = tls.read(local.home(HQ) / "hq.crt", local.home(HQ) / "hq.key")
    credentials = tls.channel_credentials((local.home(HQ) / "authority.crt").read_bytes(), own)
    found = {node: places(node) if places else _places(local, node) for node in NODES}
    return all([await _source_read(local, node, found[node], credentials) for node in NODES])


def _places(local: Local, node: str) -> dict[str, Any]:
    return dict(query(local.database(node), "SELECT feed, page_token FROM source_place"))


async def _source_read(
    local: Local, node: str, places: Mapping[str, Any], credentials: grpc.ChannelCredentials
) -> bool:
    async with build_channel(local.address(f"bss-{node}"), credentials, tls.Identity("bss", f"bss-{node}")) as channel:
        bss = GrpcBss(channel)
        orders = await bss.list_orders(str(places.get("orders", "")))
        pool = None if node == HQ else await bss.list_pool_changes(str(places.get("pool", "")))
    return not orders.orders and not (pool and pool.changes)


def query(database: Path, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Rows of a node's store, read only."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)
    try:
        return connection.execute(statement, parameters).fetchall()
    finally:
        connection.close()


def _owed(journal: Path, world: World) -> int:
    owed = 0
    for batch in read_journal(journal):
        drawn = _fates(world, batch)
        owed += int((drawn.stages != SILENCE).sum()) + int((drawn.replies != NO_REPLY).sum())
    return owed


def _fates(world: World, batch: AcceptedBatch) -> Fates:
    return fates(_odds(world.odds, batch.channel), world.seed, batch.channel, batch.work_order, batch.msisdns)


def _odds(odds: Mapping[str, Mapping[str, Any]], channel: str) -> Odds:
    return Odds(**odds.get(channel, {}))


def _reported(journal: Path) -> int:
    """A report that was repeated counts once."""
    seen: dict[tuple[str, str], list[np.ndarray]] = {}
    for record in read_records(journal.with_name("reported.journal")):
        seen.setdefault((record.values["work_order"], record.values["kind"]), []).append(record.columns["tasks"])
    return sum(len(np.unique(np.concatenate(tasks))) for tasks in seen.values())
