"""The checker's rolling windows against a plain reading of what a cap means."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deploy.checker.check import examine
from deploy.checker.finding import Finding
from deploy.checker.world import Cap, Contacts, Node, Policy, WorkOrder, World

people, moments = st.integers(1, 3), st.integers(100, 160)
caps = st.builds(Cap, st.just("all"), st.just(""), st.integers(1, 3), st.integers(1, 40))
policies = st.lists(st.tuples(st.integers(0, 200), st.lists(caps, min_size=1, max_size=2)), min_size=1, max_size=3)
contacts = st.lists(st.tuples(people, moments, st.integers(0, 2)), max_size=25)


def world(messages: list[tuple[int, int, int]], versions: list[tuple[int, list[Cap]]]) -> World:
    """Contacts (person, moment, which work order) under policies (in force from, caps)."""
    lines = tuple(("sms", f"spring/{n}/sms/hq") for n in range(3))
    orders = tuple(
        WorkOrder(name, "hq", "sms", 0, 1_000, 0, 2, policy_version=n + 1) for n, (_, name) in enumerate(lines)
    )
    columns = np.array(messages, dtype=np.int64).reshape(-1, 3)
    count = len(columns)
    sent = Contacts(
        lines, columns[:, 2], np.arange(count), columns[:, 0], columns[:, 1], np.full(count, 1_000), np.zeros(count)
    )
    held = tuple(Policy(n + 1, since, tuple(rules)) for n, (since, rules) in enumerate(versions))
    return World((Node("hq", orders, contacts=sent, policies=held),))


def caps_hold(of: World) -> Finding:
    return next(finding for finding in examine(of) if finding.rule == "caps_hold")


def crowded(before: list[tuple[int, int]], at: int, rules: list[Cap]) -> bool:
    return any(sum(moment > at - rule.window_seconds for moment, _ in before) > rule.contacts for rule in rules)


def plainly(messages: list[tuple[int, int, int]], versions: list[tuple[int, list[Cap]]]) -> int:
    """Contacts that no version allows which can have decided anything in the window that ends with them."""
    spans = [
        (since, min([s for s, _ in versions[n + 1 :]], default=10_000), rules)
        for n, (since, rules) in enumerate(versions)
    ]
    longest = max(rule.window_seconds for since, until, rules in spans if since < until for rule in rules)
    found = 0
    for person in {person for person, _, _ in messages}:
        mine = sorted(((at, order) for who, at, order in messages if who == person), key=lambda sent: sent[0])
        for place, (at, _) in enumerate(mine):
            before = mine[: place + 1]
            verdicts = [
                crowded(before, at, rules)
                for n, (since, until, rules) in enumerate(spans)
                if since < until
                and ((since <= at and until >= at - longest) or any(o == n and t > at - longest for t, o in before))
            ]
            found += bool(verdicts) and all(verdicts)
    return found


@given(contacts, policies)
def test_what_a_cap_forbids_is_found_and_nothing_else(
    messages: list[tuple[int, int, int]], versions: list[tuple[int, list[Cap]]]
) -> None:
    assert caps_hold(world(messages, versions)).broken == plainly(messages, versions)


def test_a_window_is_exact_to_the_second() -> None:
    day = [(0, [Cap("all", "", 1, 10)])]
    assert caps_hold(world([(1, 100, 0), (1, 110, 0)], day)).holds
    assert caps_hold(world([(1, 100, 0), (1, 109, 0)], day)).broken == 1
    assert caps_hold(world([(1, 100, 0), (2, 109, 0)], day)).holds


def test_a_message_taken_twice_counts_twice() -> None:
    assert caps_hold(world([(1, 100, 0), (1, 100, 0)], [(0, [Cap("all", "", 1, 10)])])).broken == 1


def test_of_two_policies_over_the_window_the_looser_counts() -> None:
    messages = [(1, 100, 0), (1, 105, 0)]
    strict, loose = [Cap("all", "", 1, 10)], [Cap("all", "", 2, 10)]
    assert caps_hold(world(messages, [(0, loose), (104, strict)])).holds
    assert caps_hold(world(messages, [(0, loose), (50, strict)])).broken == 0  # the work order was issued by the first
    assert caps_hold(world([(1, 100, 1), (1, 105, 1)], [(0, loose), (50, strict)])).broken == 1


def test_both_levels_count_together() -> None:
    hq = world([(7, 100, 0)], [(0, [Cap("all", "", 1, 10)])]).nodes[0]
    province = Node("45", contacts=hq.contacts, policies=hq.policies)
    found = caps_hold(World((hq, province)))
    assert found.broken == 1
    assert "hq" in found.first
    assert "45" in found.first
