"""Backups of nodes' stores, made and put back while the node is down, as an operator would."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

from common.runtime.clock import ANCHOR, write_offset
from tests.faults.world import Federation


async def back_up(of: Federation, node: str) -> None:
    """The node's store as it is; another backup of it is overwritten."""
    await of.processes.stop([node])
    if node in of.stores:
        _copy_database(of.stores[node], _backup(of.stores[node]), of.stores[node])
    else:
        _copy_files(of.local.database(node), of.root / "backups" / node)
    await of.start(node)


async def put_back(of: Federation, points: Mapping[str, tuple[str, ...]], wall_off_seconds: int | None = None) -> None:
    """The stores of these nodes are those of the backups again; what stands beside a store is not part of it.

    None of them runs before all are put back, so none tells another what that forgot. Each dies at each of its
    `points` as it finds out. `wall_off_seconds`: their machines were restarted meanwhile, with clocks so far off.
    """
    await of.processes.stop(list(points))
    for node in points:
        if node in of.stores:
            _copy_database(_backup(of.stores[node]), of.stores[node], of.stores[node])
        else:
            database = of.local.database(node)
            _copy_files(of.root / "backups" / node / database.name, database.parent)
        if wall_off_seconds is not None:
            _restart_machine(of, node, wall_off_seconds)
    for node in points:
        await of.start(node, points[node])


def _restart_machine(of: Federation, node: str, wall_off_seconds: int) -> None:
    anchor = of.local.database(node).parent / ANCHOR
    anchor.write_text(json.dumps({**json.loads(anchor.read_text()), "boot_id": "before"}), encoding="utf-8")
    write_offset(of.wall(node), wall_off_seconds)


def _backup(url: str) -> str:
    name = make_url(url).database
    return make_url(url).set(database=f"{name}_backup").render_as_string(hide_password=False)


def _copy_database(source: str, target: str, server: str) -> None:
    engine = create_engine(make_url(server).set(database="postgres"), isolation_level="AUTOCOMMIT")
    old, new = make_url(source).database, make_url(target).database
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {new} WITH (FORCE)"))
        connection.execute(text(f"CREATE DATABASE {new} TEMPLATE {old}"))
    engine.dispose()


def _copy_files(database: Path, directory: Path) -> None:
    """The file and what SQLite keeps beside it; whatever was there before is gone."""
    directory.mkdir(parents=True, exist_ok=True)
    for suffix in ("", "-wal", "-shm"):
        (directory / (database.name + suffix)).unlink(missing_ok=True)
        if (part := database.with_name(database.name + suffix)).exists():
            shutil.copyfile(part, directory / part.name)
