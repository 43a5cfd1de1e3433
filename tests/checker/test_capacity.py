"""The checker's count of a channel's day against a plain reading of what a capacity means."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.checker.check import examine
from deploy.checker.world import Contacts, Node, Policy, WorkOrder, World

HOUR, DAY = 3_600, 86_400
MIDNIGHT = 1_790_006_400
"""In Shanghai."""
hours = st.integers(-30, 60)
versions = st.lists(st.tuples(hours, st.sampled_from([None, 0, 1, 2, 3])), min_size=1, max_size=3)


def broken(sent: list[int], held: list[tuple[int, int | None]], margin: int = 0) -> int:
    """Contacts at these moments after midnight, under policies (in force from, capacity), that are too many."""
    count = len(sent)
    at = np.array(sent, dtype=np.int64) + MIDNIGHT
    contacts = Contacts(
        (("sms", "spring/1/sms/hq"),), np.zeros(count, dtype=np.int64), np.arange(count), np.arange(count), at,
        np.full(count, MIDNIGHT + 9 * DAY), np.zeros(count),
    )  # fmt: skip
    policies = tuple(
        Policy(number, MIDNIGHT + since, capacities={} if places is None else {"sms": places})
        for number, (since, places) in enumerate(held, 1)
    )
    order = WorkOrder("spring/1/sms/hq", "hq", "sms", 0, MIDNIGHT + 9 * DAY, 0, 2)
    world = World((Node("hq", (order,), contacts=contacts, policies=policies),), margin_seconds=margin)
    return next(finding.broken for finding in examine(world) if finding.rule == "capacity_kept")


def plainly(sent: list[int], held: list[tuple[int, int | None]]) -> int:
    found, days = 0, Counter[int]()
    for at in sorted(sent):
        days[at // DAY] += 1
        allowed = []
        for number, (since, places) in enumerate(held):
            until = min((later for later, _ in held[number + 1 :]), default=99 * DAY)
            if since < until and since <= at and until >= at - DAY:
                allowed.append(places)
        found += bool(allowed) and None not in allowed and days[at // DAY] > max(p for p in allowed if p is not None)
    return found


@given(st.lists(hours, max_size=12), versions)
def test_what_is_past_a_capacity_is_found_and_nothing_else(sent: list[int], held: list[tuple[int, int | None]]) -> None:
    moments, policies = [hour * HOUR for hour in sent], [(hour * HOUR, places) for hour, places in held]
    assert broken(moments, policies) == plainly(moments, policies)


@pytest.mark.parametrize(("margin", "expected"), [(0, 1), (15, 0)])
def test_near_midnight_a_node_may_call_it_the_next_day(margin: int, expected: int) -> None:
    assert broken([DAY - 99, DAY - 10], [(0, 1)], margin) == expected
