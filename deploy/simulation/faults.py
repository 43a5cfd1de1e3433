"""What goes wrong beside the messages: cuts, pauses, kills, backups put back, clocks set wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from deploy.simulation import story
from deploy.simulation.headquarters import Headquarters
from deploy.simulation.node import Node, Restored

if TYPE_CHECKING:
    from deploy.simulation.world import World

DAY = 86_400.0
CUT_SECONDS = (5.0, 40_000.0)
PAUSE_SECONDS = (1.0, 4_000.0)


def plan(world: World, seconds: float) -> None:
    """Plan the faults of the next `seconds`."""
    weather = world.weather
    for node in world.nodes:
        for rate, strike in (
            (weather.pauses_a_day, _pause),
            (weather.kills_a_day, _kill),
            (weather.restores_a_day, _restore),
            (weather.clock_steps_a_day, _step_clock),
            (0 if isinstance(node, Headquarters) else weather.cuts_a_day, _cut),
        ):
            _scatter(world, rate, seconds, strike, node)
        if weather.restores_a_day:
            _scatter(world, 3 * DAY / seconds, seconds, _back_up, node)


def _scatter(world: World, a_day: float, seconds: float, strike: Callable[[World, Node], None], node: Node) -> None:
    at = 0.0
    while a_day and (at := at + world.random.expovariate(a_day / DAY)) < seconds:
        world.timeline.after(at, strike, world, node)


def _pause(world: World, node: Node) -> None:
    if node.up:
        world.kinds["pause"] += 1
        node.pause(world.spread(*PAUSE_SECONDS))


def _kill(world: World, node: Node) -> None:
    if node.up:
        world.kinds["kill"] += 1
        node.die()


def _back_up(_world: World, node: Node) -> None:
    node.back_up()


def _restore(world: World, node: Node) -> None:
    """Now and then the other side as well."""
    if node.has_backup:
        _put_back(world, node)
        if world.random.random() < 0.2:
            others = [each for each in world.nodes if each is not node and each.has_backup]
            others = [each for each in others if world.random.random() < 0.5]
            for other in others:
                _put_back(world, other)
            world.kinds["restore of both sides"] += any((node is world.hq) != (other is world.hq) for other in others)


def _put_back(world: World, node: Node) -> None:
    how = world.random.choice(tuple(Restored))
    world.kinds[f"restore of {'HQ' if node is world.hq else 'a province'}, {how.value}"] += 1
    node.restore(how)


def _step_clock(world: World, node: Node) -> None:
    """To notice, a process or its machine must start again."""
    node.machine.off_seconds += world.random.choice((-1, 1)) * world.spread(20, 900_000)
    world.kinds["clock step"] += 1
    world.tell(node.name, "its wall clock is %.0f s off", node.machine.off_seconds)
    if node.up and world.random.random() < 0.5:
        node.die()


def _cut(world: World, node: Node) -> None:
    """Half of the cuts are one way only."""
    ways = [(node.name, world.hq.name), (world.hq.name, node.name)]
    if world.random.random() < 0.5:
        ways = [world.random.choice(ways)]
    world.kinds["partition" if len(ways) == 2 else "one-way partition"] += 1
    world.tell(node.name, "is cut off: %s", ways)
    for way in ways:
        world.network.cut(*way)
    story.while_cut_off(world, node.name)
    world.suspect(node.name)
    world.timeline.after(world.spread(*CUT_SECONDS), _mend, world, ways)


def _mend(world: World, ways: list[tuple[str, str]]) -> None:
    world.tell("network", "mends %s", ways)
    for way in ways:
        world.network.mend(*way)
    world.wake_links()
