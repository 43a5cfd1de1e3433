"""A province that reports on another's work order, as one that was broken into would."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import Connection

from common.delivery import ledger
from common.kernel.refusal import Refusal
from common.kernel.result import results_of
from common.kernel.task import Response
from common.kernel.work_order import HQ_NODE
from deploy.simulation.violation import Violation
from hq.store import uplink

if TYPE_CHECKING:
    from deploy.simulation.world import World

LIES_MAX = 3
OTHERS = "SELECT work_order, number FROM task_block JOIN work_order ON name = work_order WHERE node NOT IN (?, ?)"


def plan(world: World, seconds: float) -> None:
    random = Random(f"lies {world.seed}")  # noqa: S311 - drawn apart, so that lies that change nothing change nothing
    for _ in range(random.randint(0, LIES_MAX)):
        liar = random.choice(world.nodes[1:]).name
        world.timeline.after(seconds * random.random(), _lie, world, liar)


def _lie(world: World, liar: str) -> None:
    for name, number in world.hq.rows(OTHERS, HQ_NODE, liar):
        try:
            world.hq.set_up(_report, liar, name, number, world.hq.clock.now())
        except Refusal:
            continue


def _report(connection: Connection, liar: str, name: str, number: int, now: int) -> None:
    """That everybody opted out. It is refused, or passed over by an HQ that waits to be told everything again."""
    block = ledger.load_block(connection, name, number)
    if block is None:
        return
    told = results_of(block, np.arange(len(block)))
    lie = replace(told, responses=np.full(len(block), Response.OPTED_OUT, dtype=np.uint8))
    uplink.apply(connection, liar, [lie], now)
    heard = ledger.load_block(connection, name, number)
    if heard is None or (heard.responses != block.responses).any():
        raise Violation("isolation", f"{liar} reported on {name}/{number}, and was heard")
