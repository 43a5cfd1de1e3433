"""Right up to the hand-off a fired offer goes only to those who may have it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sqlalchemy import Connection

from common.delivery import claim, consents, ledger, orders, stops, sweep, vault
from common.kernel.consent import Consents
from common.kernel.order import OrderChange, OrderRecords
from common.kernel.stop import StopScope, stops_of
from common.kernel.task import TaskReason, TaskState
from tests.triggers.fires import CODE, HERE, HOUR, Node, firing, rule

WHO, OTHER = 3, 5
SMS = HERE["local_sms"]


def leaves(connection: Connection, now: int) -> None:
    vault.set_active(connection, np.array([WHO]), np.array([False]))


def orders_it(connection: Connection, now: int) -> None:
    record = OrderRecords(
        ["bss-45"], ["1"], np.array([1]), np.array([WHO]), ["gb10"], np.array([OrderChange.SUBSCRIBED], np.uint8),
        np.array([0]), np.array([now - 5], np.uint32),
    )  # fmt: skip
    orders.put_orders(connection, record, now)


def says_stop(connection: Connection, now: int) -> None:
    said = stops_of(np.array([WHO]), np.array([now], np.uint32), np.array([False]), StopScope.ALL)
    stops.put_stops(connection, said, now)


def agrees(connection: Connection, key: int, now: int, until: int) -> None:
    columns = (np.array([now - 9], np.uint32), np.array([until], np.uint32), np.array([False]))
    consents.put_consents(connection, Consents(np.array([key]), ["location"], ["form"], *columns))


def consent_ends(connection: Connection, now: int) -> None:
    agrees(connection, OTHER, now, now + HOUR)
    agrees(connection, WHO, now, now)


def _claim(node: Node, now: int) -> list[int]:
    """Reasons of who was asked for, once the lane has looked."""
    with node.store.transaction() as connection:
        (order,) = ledger.work_orders(connection)
        claim.claim(connection, order, 0, now, SMS, 100, node.outlet)
        block = ledger.load_block(connection, order.name, 0)
    assert block is not None
    return [int(why) for why in block.reasons]


@pytest.mark.parametrize(
    ("happens", "purpose", "why"),
    [
        (leaves, "", TaskReason.INACTIVE),
        (orders_it, "", TaskReason.ORDERED),
        (says_stop, "", TaskReason.STOPPED),
        (consent_ends, "location", TaskReason.NO_CONSENT),
    ],
)
def test_what_happens_after_admission_still_keeps_it_from_being_sent(
    node: Node, noon: int, happens: Callable[[Connection, int], None], purpose: str, why: TaskReason
) -> None:
    node.home([WHO, OTHER])
    node.hand(firing(rule(purpose=purpose), [WHO, OTHER], at=noon), now=noon)
    node.admit(noon)
    with node.store.transaction() as connection:
        happens(connection, noon)
    assert _claim(node, noon + 1) == [why, TaskReason.NONE]


def test_in_quiet_hours_it_waits_and_past_its_validity_it_ends_untold(node: Node, noon: int) -> None:
    night = noon + 10 * HOUR
    node.home([WHO])
    node.hand(firing(rule(), [WHO], at=night), now=night)
    node.admit(night)
    assert _claim(node, night + 1) == [TaskReason.NONE]
    with node.store.transaction() as connection:
        (order,) = ledger.work_orders(connection)
        assert ledger.counts(connection, order.name)[TaskState.OPEN] == 1
        over = night + HOUR
        assert sweep.due(connection, CODE, HERE, over - HOUR // 16 - 1) == []
        for swept, number in sweep.due(connection, CODE, HERE, over):
            sweep.sweep_block(connection, swept, number, over, SMS, (), node.outlet)
        block = ledger.load_block(connection, order.name, 0)
    assert block is not None
    assert (block.states.tolist(), block.reasons.tolist()) == ([TaskState.EXPIRED], [TaskReason.VALIDITY_OVER])


def test_the_provinces_own_share_is_what_rules_spend(node: Node, noon: int) -> None:
    """The default policy leaves a province one of the two contacts a day."""
    node.home([WHO])
    for number, name in enumerate(("first", "second")):
        node.hand(firing(rule(name), [WHO], at=noon + number), now=noon + number)
        node.admit(noon + number)
    assert list(node.reasons().values()) == [[TaskReason.NONE], [TaskReason.CONTACT_CAP]]
