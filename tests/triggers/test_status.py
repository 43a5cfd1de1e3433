"""What the status tells is what the ledger holds."""

from __future__ import annotations

import numpy as np

from common.delivery import claim, ledger, record, vault
from common.kernel.channel import SendOutcome
from province.store import trigger_status
from tests.triggers.fires import HERE, Node, firing, rule


def _send(node: Node, at: int) -> None:
    """The vendor takes all that is open, `at` milliseconds."""
    with node.store.transaction() as connection:
        for order in ledger.work_orders(connection):
            claimed = claim.claim(connection, order, 0, at // 1000, HERE["local_sms"], 100, node.outlet)
            taken = np.full(len(claimed.rows), SendOutcome.ACCEPTED, dtype=np.uint8)
            if len(taken):
                record.record(connection, [record.Sent(claimed, taken, at)], True, at // 1000, node.outlet)


def test_each_stage_is_timed_for_those_who_came_to_it(node: Node, noon: int) -> None:
    node.home([3, 5, 8])
    node.hand(firing(rule(), [3, 5, 8, 9], at=[noon - 3, noon - 2, noon - 1, noon]), now=noon)
    node.hand(firing(rule("slow", priority=9), [5], at=noon), now=noon)
    node.admit(noon + 1)
    with node.store.transaction() as connection:
        vault.set_active(connection, np.array([8]), np.array([False]))
    _send(node, noon * 1000 + 1_250)
    with node.store.snapshot() as connection:
        told = trigger_status.status(connection, noon * 1000)
    one, slow = told["rules"]
    assert one["fires"] == {"asked": 3, "unknown": 1}
    assert one["contacts"] == {"submitted": 2, "suppressed:inactive": 1}
    assert one["latency_ms"] == {
        "match": {"count": 3, "p50": 2_000, "p99": 3_000},
        "decide": {"count": 3, "p50": 1_000, "p99": 1_000},
        "send": {"count": 2, "p50": 250, "p99": 250},
        "total": {"count": 2, "p50": 4_250, "p99": 4_250},
    }
    assert (slow["contacts"], set(slow["latency_ms"])) == ({"suppressed:outranked": 1}, {"match", "decide"})
    assert [scene["scene"] for scene in told["scenes"]] == ["data"]
    with node.store.snapshot() as connection:
        assert trigger_status.status(connection, noon * 1000 + 1)["rules"][0]["fires"] == {}


def test_the_wait_an_offer_asks_for_is_no_latency(node: Node, noon: int) -> None:
    node.home([3])
    node.hand(firing(rule(delay_seconds=60), [3], at=noon - 1), now=noon)
    node.admit(noon)
    _send(node, (noon + 60) * 1000 + 100)
    with node.store.snapshot() as connection:
        latencies = trigger_status.status(connection, 0)["rules"][0]["latency_ms"]
    assert (latencies["send"]["p50"], latencies["total"]["p50"]) == (100, 1_100)
