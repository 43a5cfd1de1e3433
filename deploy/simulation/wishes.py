"""What people wish, as operators of either level write it down: stops, liftings, consents, withdrawals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from common.kernel.consent import LOCATION
from common.kernel.refusal import Refusal
from common.kernel.statement import Change, Statement
from deploy.simulation.kinds import STORY
from deploy.simulation.people import Person, key_of
from hq.store import people as at_hq
from province import people as at_province

if TYPE_CHECKING:
    from deploy.simulation.node import Node
    from deploy.simulation.world import World

HOUR = 3_600
SCOPES = ("all", "all", "refused", "blacklist", "message", "call")
PURPOSES = (LOCATION, LOCATION, "call")


def plan(world: World, seconds: float) -> None:
    """At first many agree; later anyone may change their mind, and tell HQ or a province."""
    random = world.random
    world.hq.receive(write, world, world.hq, [_agrees(world, each) for each in world.people if random.random() < 0.7])
    for _ in range(random.randint(1, 6)):
        world.timeline.after(seconds * random.random(), _change, world)


def _agrees(world: World, person: Person) -> Statement:
    now = int(world.timeline.now)
    expires_at = now + world.random.randint(1, 60) * HOUR
    return Statement(person.msisdn, world.random.choice(PURPOSES), "signed", now, expires_at, Change.GIVEN)


def _change(world: World) -> None:
    random = world.random
    person, change = random.choice(world.people), random.choice(tuple(Change))
    if change is Change.GIVEN:
        said = _agrees(world, person)
    else:
        of = random.choice(PURPOSES if change is Change.WITHDRAWN else SCOPES)
        said = Statement(person.msisdn, of, "told us", 0, 0, change)
    node: Node = world.hq if random.random() < 0.5 else world.province(person.home)
    node.receive(write, world, node, [said])


def write(world: World, node: Node, said: list[Statement]) -> None:
    keys = np.array([key_of(each.msisdn) for each in said], dtype=np.int64)
    world.tell(node.name, "writes down %s", said)
    try:
        if node is world.hq:
            node.write(at_hq.record, said, keys, node.clock.now())
        else:
            node.write(at_province.record, said, keys, node.clock.now(), int(node.name))
    except Refusal as refusal:
        world.tell(node.name, "refuses to: %s", refusal)
        return
    for each in said:
        world.kinds[f"{STORY}{each.change.name.lower()}"] += 1
