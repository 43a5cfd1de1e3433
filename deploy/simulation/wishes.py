"""What people say beside their replies, to HQ or at home: stops, their liftings, consents and withdrawals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from common.kernel.consent import LOCATION
from common.kernel.refusal import Refusal
from common.kernel.statement import Change, Statement
from common.kernel.work_order import HQ_NODE
from deploy.simulation import story
from deploy.simulation.people import Person
from hq.store import people as at_hq
from province import people as at_home

if TYPE_CHECKING:
    from deploy.simulation.node import Node
    from deploy.simulation.world import World

HOUR = 3_600
SCOPES = ("all", "all", "call", "blacklist")
LATE_HOURS = (0, 0, 1, 6)
"""How long what was said lies before somebody writes it down."""


def plan(world: World, seconds: float) -> None:
    """Of half of the seeds; there some agree to begin with that their whereabouts be used."""
    random = world.random
    if not world.has_wishes:
        return
    for person in world.people:
        if random.random() < 0.6:
            world.timeline.after(0, _say, world, person, Change.GIVEN)
    for _ in range(random.randint(2, 8)):
        said = random.choice((Change.STOPPED, Change.STOPPED, Change.LIFTED, Change.LIFTED, Change.WITHDRAWN))
        world.timeline.after(seconds * random.random(), _say, world, random.choice(world.people[:3]), said)


def meanwhile(world: World, home: str) -> None:
    """While a province is cut off, somebody at home there says stop to HQ, and hours later it asks for its people."""
    people = [person for person in world.people if person.home == home]
    if people and world.has_wishes:
        who, name = world.random.choice(people), f"m{int(world.timeline.now)}"
        world.timeline.after(0, world.hq.receive, _write_down, world.hq, who, Change.STOPPED, "all", 0, HOUR)
        world.timeline.after(world.random.randint(1, 4) * HOUR, story.local_request, world, name, home)


def _say(world: World, person: Person, change: Change) -> None:
    random = world.random
    agreed = change in (Change.GIVEN, Change.WITHDRAWN)
    purpose = LOCATION if agreed else random.choice(SCOPES)
    lies, lasts = random.choice(LATE_HOURS) * HOUR, random.randint(1, 60) * HOUR
    node = world.hq if random.random() < 0.5 else world.province(person.home)
    node.receive(_write_down, node, person, change, purpose, lies, lasts)


def _write_down(node: Node, person: Person, change: Change, purpose: str, lies: int, lasts: int) -> None:
    now = node.clock.now()
    said = [Statement(person.msisdn, purpose, "on paper", now - lies, now - lies + lasts, change)]
    keys = np.array([person.key])
    node.world.tell(node.name, "writes down %s of %d", said, person.key)
    try:
        if node.name == HQ_NODE:
            node.write(at_hq.record, said, keys, now)
        else:
            node.write(at_home.record, said, keys, now, int(node.name))
        node.world.said.append((person.key, said[0]))
    except Refusal as refusal:
        node.world.tell(node.name, "does not: %s", refusal.message)
