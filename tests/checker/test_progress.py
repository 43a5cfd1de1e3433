"""Two looks at one world: what may not go back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from deploy.checker.progress import compare
from deploy.checker.world import State, World
from tests.checker import corruptions
from tests.checker.corruptions import a_log, a_task, rewritten, some, with_block, with_cursor, with_log, with_order
from tests.checker.histories import history

Spoil = Callable[[Random, World], World | None]


def an_end_changed(random: Random, world: World) -> World | None:
    chosen = a_task(random, world, State.DELIVERED, own=False)
    if chosen is None:
        return None
    node, old, row = chosen
    return with_block(world, node, old, rewritten(old, row, states=State.FAILED, reasons=21))


def a_task_was_opened_again(random: Random, world: World) -> World | None:
    chosen = a_task(random, world, State.SUPPRESSED, State.EXPIRED, own=False)
    if chosen is None:
        return None
    node, old, row = chosen
    return with_block(world, node, old, rewritten(old, row, states=State.OPEN, reasons=0, settled_at=0))


def a_block_vanished(random: Random, world: World) -> World | None:
    chosen = some(random, ((node, each) for node in world.nodes for each in node.ledger.blocks))
    return None if chosen is None else with_block(world, *chosen, None)


def a_version_fell(random: Random, world: World) -> World | None:
    chosen = some(random, ((node, order) for node in world.nodes for order in node.work_orders))
    return None if chosen is None else with_order(world, *chosen, version=chosen[1].version - 1)


def a_reader_went_back(random: Random, world: World) -> World | None:
    chosen = some(random, ((n, c) for n in world.nodes for c in n.cursors if c.sequence > 0))
    return None if chosen is None else with_cursor(world, *chosen, replace(chosen[1], sequence=chosen[1].sequence - 1))


def an_acknowledgement_was_forgotten(random: Random, world: World) -> World | None:
    chosen = a_log(random, world)
    if chosen is None or chosen[1].committed == 0:
        return None
    return with_log(world, *chosen, replace(chosen[1], committed=chosen[1].committed - 1))


SPOILT: dict[Spoil, str] = {
    an_end_changed: "ends_stay",
    a_task_was_opened_again: "ends_stay",
    a_block_vanished: "blocks_stay",
    a_version_fell: "versions_stay",
    corruptions.a_policy_did_not_arrive: "versions_stay",
    a_reader_went_back: "places_stay",
    an_acknowledgement_was_forgotten: "places_stay",
}


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__)
def test_what_goes_back_is_found(spoil: Spoil) -> None:
    done = 0
    for seed in range(400):
        earlier = history(seed)
        later = spoil(Random(seed), earlier)  # noqa: S311 - keeps no secret
        if later is not None:
            done += 1
            broken = {finding.rule for finding in compare(earlier, later) if not finding.holds}
            assert broken == {SPOILT[spoil]}, seed
    assert done > 40


def test_going_on_is_no_going_back() -> None:
    for seed in range(100):
        world = history(seed)
        assert all(finding.holds for finding in compare(world, world))


def test_a_node_that_came_back_from_a_backup_may_have_forgotten() -> None:
    for seed in range(100):
        earlier = history(seed)
        later = a_block_vanished(Random(seed), earlier)  # noqa: S311 - keeps no secret
        if later is not None:
            nodes = tuple(replace(node, fenced_at=node.fenced_at + 1) for node in later.nodes)
            assert all(finding.holds for finding in compare(earlier, replace(later, nodes=nodes)))
