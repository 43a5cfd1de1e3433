"""A fire handed over asks for a contact once, whoever hands it over and how often, or says why it does not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from common.delivery import forgetting, ledger, vault
from common.kernel.erasure import erasures_of
from common.kernel.task import TaskReason
from common.kernel.trigger_rule import Period
from province.fire import Firing
from province.local_request import LocalRequest
from province.store import fires, local_requests
from province.store.tables import fire, local_request, trigger_wave
from tests.triggers.fires import CODE, DAY, HOUR, NOW, Node, firing, rule


def requests(node: Node) -> list[LocalRequest]:
    with node.store.snapshot() as connection:
        found = [local_requests.load(connection, name) for name in local_requests.waiting(connection, 1 << 40)]
    return sorted((each for each in found if each is not None), key=lambda each: each.name)


def test_fires_ask_for_contacts_under_one_campaign_a_rule(node: Node) -> None:
    node.home([3, 5, 8])
    assert node.hand(firing(rule(), [8, 3])) == {"r": {"asked": 2}}
    assert node.hand(firing(rule(), [5])) == {"r": {"asked": 1}}
    node.admit()
    assert node.reasons() == {f"local/trigger/r/1/local_sms/{CODE}": [0, 0], f"local/trigger/r/2/local_sms/{CODE}": [0]}
    with node.store.snapshot() as connection:
        assert len(ledger.work_orders(connection, campaign="local/trigger/r")) == 2


def test_the_first_channel_that_runs_here_is_taken(node: Node) -> None:
    node.home([3])
    node.hand(firing(rule(), [3]))
    (asked,) = requests(node)
    assert (asked.channel, asked.rule, asked.wave, asked.name) == ("local_sms", "r", 1, "r.1")


def test_each_reads_its_own_text(node: Node) -> None:
    node.home([3, 5, 8])
    node.hand(firing(rule(), [8, 5, 3], texts=("甲", "乙", "丙"), refs=[2, 0, 2]))
    (asked,) = requests(node)
    assert [asked.texts[ref] for ref in asked.text_refs] == ["丙", "甲", "丙"]
    assert len(asked.texts) == 2


def test_a_known_fire_changes_nothing(node: Node) -> None:
    node.home([3, 5])
    node.hand(firing(rule(), [3]))
    assert node.hand(firing(rule(), [3, 5, 3])) == {"r": {"known": 1, "asked": 1}}
    assert [each.keys.tolist() for each in requests(node)] == [[3], [5]]
    assert node.hand(firing(rule(), [3], periods=8), firing(rule("other"), [3])) == {
        "r": {"asked": 1},
        "other": {"asked": 1},
    }


@pytest.mark.parametrize(
    ("fired", "fate"),
    [
        (firing(rule(), [3], at=NOW - HOUR), "late"),
        (firing(rule(), [3], at=NOW - HOUR + 1), "asked"),
        (firing(rule(), [4]), "unknown"),
        (firing(rule(), [9]), "unknown"),
        (firing(rule(), [5]), "inactive"),
        (firing(rule(paused=True), [3]), "paused"),
        (firing(rule(channels=("toolbar",)), [3]), "no_channel"),
        (firing(rule(), [3], texts=(" ",)), "bad_text"),
        (firing(rule(), [3], texts=("字" * 336,)), "bad_text"),
    ],
)
def test_what_is_dropped_says_why_and_stays_dropped(node: Node, fired: Firing, fate: str) -> None:
    node.home([3, 5])
    node.home([9], province=13)
    with node.store.transaction() as connection:
        vault.set_active(connection, np.array([5]), np.array([False]))
    assert node.hand(fired) == {"r": {fate: 1}}
    assert len(requests(node)) == (fate == "asked")
    assert node.hand(fired) == {"r": {"known": 1}}


def test_what_somebody_did_who_had_the_number_before_is_not_the_new_ones(node: Node) -> None:
    node.home([3])
    with node.store.transaction() as connection:
        moved = np.array([NOW - 60], dtype=np.uint32)
        forgetting.take(connection, erasures_of(np.array([3]), moved, lifted=True))
    assert node.hand(firing(rule(), [3], at=NOW - 61)) == {"r": {"unknown": 1}}
    assert node.hand(firing(rule(), [3], periods=8)) == {"r": {"asked": 1}}


def test_of_two_periods_at_once_the_newer_asks(node: Node) -> None:
    node.home([3])
    assert node.hand(firing(rule(), [3, 3], periods=[8, 7])) == {"r": {"superseded": 1, "asked": 1}}
    with node.store.snapshot() as connection:
        waves = {row.period: row.wave for row in connection.execute(select(fire.c.period, fire.c.wave))}
    assert waves == {7: 0, 8: 1}


def test_validity_is_each_events_own_to_a_sixteenth(node: Node) -> None:
    node.home([3, 5, 8])
    node.hand(firing(rule(), [3, 5, 8], at=[NOW - 1, NOW - 2, NOW - HOUR // 2]))
    ends = {key: each.end_at for each in requests(node) for key in each.keys.tolist()}
    for key, at in ((3, NOW - 1), (5, NOW - 2), (8, NOW - HOUR // 2)):
        assert at + HOUR - HOUR // 16 <= ends[key] <= at + HOUR
    assert len(requests(node)) == 2


def test_a_delayed_offer_waits_from_the_event(node: Node) -> None:
    node.home([3])
    node.hand(firing(rule(delay_seconds=600), [3], at=NOW - 100))
    node.admit()
    with node.store.snapshot() as connection:
        (order,) = ledger.work_orders(connection)
    assert order.start_at - (NOW - 100 + 600) in (0, 1)


@pytest.mark.parametrize("delay", [HOUR - 60, HOUR - 2, 0])
def test_whoever_is_made_a_delayed_offer_can_be_sent_it(node: Node, delay: int) -> None:
    """However far apart the events are that fire together."""
    node.home(range(1, 200))
    node.hand(firing(rule(delay_seconds=delay), range(1, 200), at=range(NOW - 199, NOW)))
    for each in requests(node):
        assert max(each.start_at, each.asked_at) < each.end_at
    assert sum(map(len, requests(node))) == 199


def test_who_is_erased_while_it_waits_is_told_nothing(node: Node) -> None:
    node.home([3, 5])
    node.hand(firing(rule(), [3, 5], texts=("甲", "乙"), refs=[0, 1]))
    with node.store.transaction() as connection:
        forgetting.take(connection, erasures_of(np.array([3]), np.array([NOW], dtype=np.uint32)))
    node.admit()
    with node.store.snapshot() as connection:
        (order,) = ledger.work_orders(connection)
        block = ledger.load_block(connection, order.name, 0)
        kept = connection.execute(select(local_request.c.texts)).scalar_one()
    assert block is not None
    assert ("甲" in block.texts, "乙" in block.texts, kept) == (False, True, "[]")


def test_of_two_rules_under_a_cap_of_one_the_higher_priority_contacts(node: Node) -> None:
    node.home([3])
    node.hand(firing(rule("low"), [3]), firing(rule("high", priority=80), [3]))
    node.admit()
    assert node.reasons() == {
        f"local/trigger/high/1/local_sms/{CODE}": [TaskReason.NONE],
        f"local/trigger/low/1/local_sms/{CODE}": [TaskReason.OUTRANKED],
    }


@pytest.mark.parametrize("period", Period)
def test_a_fire_is_forgotten_once_it_could_only_come_late(node: Node, period: Period) -> None:
    node.home([3])
    lasting = rule(period=period, valid_seconds=7 * DAY)
    node.hand(firing(lasting, [3]))
    longest = {Period.HOUR: HOUR, Period.DAY: DAY, Period.EVER: 0}.get(period, 31 * DAY)
    soon, later = NOW + longest + 7 * DAY, NOW + 60 * DAY
    with node.store.transaction() as connection:
        assert fires.prune(connection, soon) == 0
        assert fires.prune(connection, later) == (period is not Period.EVER)


_FIRES = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.integers(1, 12), st.integers(0, 2)), min_size=1, max_size=40
)


def _firings(chosen: list[tuple[str, int, int]]) -> list[Firing]:
    by_rule = {name: [(key, period) for rule, key, period in chosen if rule == name] for name in ("a", "b")}
    return [firing(rule(name), *zip(*them, strict=True)) for name, them in by_rule.items() if them]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shares=st.lists(_FIRES, min_size=2, max_size=4))
def test_however_many_engines_hand_over_at_once_each_fire_asks_once(
    node: Node, shares: list[list[tuple[str, int, int]]]
) -> None:
    with node.store.transaction() as connection:
        for table in (fire, local_request, trigger_wave):
            connection.execute(delete(table))
    node.home(range(1, 13))
    with ThreadPoolExecutor(len(shares)) as engines:
        told = list(engines.map(lambda share: node.hand(*_firings(share)), shares))
    assert node.fires() == sorted({each for share in shares for each in share})
    counted = [counts for each in told for counts in each.values()]
    assert sum(sum(counts.values()) - counts.get("known", 0) for counts in counted) == len(node.fires())
    asked = [(each.rule, key, period) for each in requests(node) for key, period in _identities(node, each)]
    assert len(asked) == len(set(asked)) == sum(counts.get("asked", 0) for counts in counted)


def _identities(node: Node, request: LocalRequest) -> list[tuple[int, int]]:
    with node.store.snapshot() as connection:
        found = connection.execute(
            select(fire.c.subscriber_key, fire.c.period).where(fire.c.rule == request.rule, fire.c.wave == request.wave)
        )
        rows = [(key, period) for key, period in found]
    assert sorted(key for key, _ in rows) == request.keys.tolist()
    return rows
