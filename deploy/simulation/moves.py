"""Somebody moves: one province's BSS tells that they left, later another's that they came, and HQ learns of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from common.delivery import vault
from common.kernel.order import PoolChange
from common.kernel.pool import PoolChanges
from deploy.simulation.kinds import STORY
from deploy.simulation.people import Person

if TYPE_CHECKING:
    from deploy.simulation.province import Province
    from deploy.simulation.world import World

HOUR = 3_600.0
HOME = "SELECT province FROM vault WHERE subscriber_key = ?"


def plan(world: World, seconds: float) -> None:
    codes = [node.name for node in world.nodes if node is not world.hq]
    person = world.random.choice(world.people)
    if len(codes) > 1:
        to = world.random.choice([code for code in codes if code != person.home])
        world.timeline.after(seconds * world.random.random(), _leave, world, person, to)


def _leave(world: World, person: Person, to: str) -> None:
    world.tell("world", "%s leaves %s for %s", person, person.home, to)
    left = world.province(person.home)
    _tell(world, left, person, PoolChange.LEFT)
    world.timeline.after(HOUR * world.random.random(), _arrive, world, person, to)


def _arrive(world: World, person: Person, to: str) -> None:
    """Not before the province they left has taken it, and HQ: two BSS hand over like that, and operators try again."""
    left = world.province(person.home)
    if left.has_to_read(left.pool) or world.hq.rows(HOME, person.key) != [(int(to),)]:
        world.hq.receive(_import, world, person, to)
        world.timeline.after(HOUR * world.random.random(), _arrive, world, person, to)
        return
    person.home, person.moved = to, True
    world.kinds[f"{STORY}move"] += 1
    world.timeline.after(HOUR * world.random.random(), _tell, world, world.province(to), person, PoolChange.JOINED)


def _import(world: World, person: Person, to: str) -> None:
    """As the operator does, who has the files of all provinces."""
    world.hq.write(vault.put_subscribers, np.array([person.key]), np.array([person.msisdn], dtype=np.int64), int(to))


def _tell(world: World, province: Province, person: Person, change: PoolChange) -> None:
    changes = PoolChanges(
        np.array([person.key]),
        np.array([change], dtype=np.uint8),
        np.array([int(world.timeline.now)], dtype=np.uint32),
    )
    province.pool.records.append((changes, np.array([person.msisdn], dtype=np.int64)))
    province.receive(province.follow_sources)
