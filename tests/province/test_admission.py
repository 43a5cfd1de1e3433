"""A province's own contacts: decided exactly, spent with the tasks they become, and told to HQ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import Connection, delete

from common.courier.tables import log_entry
from common.delivery import decisions, facts, ledger, policies, replay, spends, sweep, vault
from common.delivery.facts import terms_of
from common.kernel.budget import spent
from common.kernel.channel import CHANNELS
from common.kernel.contact_rules import AT_CLAIM, Considered, reasons
from common.kernel.decision import remade
from common.kernel.order import PoolChange
from common.kernel.pool import PoolChanges
from common.kernel.task import TaskReason, TaskState
from common.kernel.work_order import WorkOrderState
from common.runtime.database import Database
from hq.store import grants
from province import admission, bss_sync, link, uplink
from province.coordination import Books
from province.local_request import LocalRequest, Outcome
from province.store import coordination, local_requests
from province.uplink import HqOutlet

NOW = 1_800_000_000
CODE = "45"
DAY = 86_400
RequestFor = Callable[..., LocalRequest]
ONE_A_DAY = "scope: all, contacts: 2, per: 1d, province_share: 1"


class Node:
    """A province that admits what waits, each time by books opened anew unless they are given."""

    def __init__(self, store: Database, outlet: HqOutlet) -> None:
        self.store = store
        self.outlet = outlet

    def ask(self, *requests: LocalRequest) -> None:
        with self.store.transaction() as connection:
            for request in requests:
                local_requests.put(connection, request)

    def admit(self, now: int = NOW, books: Books | None = None) -> Books:
        with self.store.transaction() as connection:
            known = admission.admit(connection, books or coordination.books(connection, now), CODE, self.outlet, now)
        assert known is not None
        return known

    def outcome(self, name: str) -> Outcome:
        with self.store.snapshot() as connection:
            found = local_requests.outcome(connection, name)
        assert found is not None
        return found

    def claimed(self, work_order: str, now: int, *, leased: bool = False) -> list[int]:
        """What the rules at claim say of its first block. `leased`: as though HQ had issued it."""
        with self.store.snapshot() as connection:
            order, block = ledger.load_work_order(connection, work_order), ledger.load_block(connection, work_order, 0)
            assert order is not None
            assert block is not None
            order, policy = replace(order, leased=leased), policies.in_force(connection)
            _, known = facts.at_claim(connection, order, block.keys, policy, now)
        return reasons(AT_CLAIM, Considered(len(block), facts.terms_of(order), policy, known, now)).tolist()

    def reasons(self, name: str) -> list[int]:
        with self.store.snapshot() as connection:
            work_order = f"local/{name}/1/local_sms/{CODE}"
            return [int(why) for block in ledger.blocks(connection, work_order) for why in block.reasons]


@pytest.fixture
def node(province: Database, outlet: HqOutlet) -> Node:
    return Node(province, outlet)


def test_what_is_granted_becomes_open_tasks_of_the_provinces_own(node: Node, request_for: RequestFor) -> None:
    node.ask(request_for("a", [3, 5, 8]))
    node.admit()
    assert node.outcome("a") == Outcome("local/a/1/local_sms/45", 3, {})
    with node.store.snapshot() as connection:
        kept = local_requests.load(connection, "a")
        assert kept is not None
        assert (len(kept), kept.texts) == (0, ())  # they are in the work order now
        order = ledger.load_work_order(connection, "local/a/1/local_sms/45")
        assert order is not None
        assert (order.leased, order.node, order.state) == (False, CODE, WorkOrderState.ACCEPTED)
        assert ledger.counts(connection, order.name)[TaskState.OPEN] == 3


def test_who_was_granted_is_not_granted_again_until_the_window_has_passed(node: Node, request_for: RequestFor) -> None:
    node.ask(request_for("a", [3, 5]))
    books = node.admit()
    node.ask(request_for("b", [5, 8]))
    node.admit(books=books)
    assert node.reasons("b") == [TaskReason.CONTACT_CAP, TaskReason.NONE]
    # Tasks that are still open may be sent until their work order ends, and count for a window from then.
    ends = NOW + DAY + DAY + 90
    for moment, granted in ((ends - 1, 0), (ends, 1)):
        node.ask(request_for(f"c{moment}", [3], end_at=ends + 1))
        node.admit(moment)
        assert node.outcome(f"c{moment}").granted == granted


def test_of_those_who_ask_at_once_the_higher_priority_has_it_and_the_other_is_told_whose(
    node: Node, request_for: RequestFor
) -> None:
    node.ask(request_for("a", [3, 5]), request_for("b", [5, 8], priority=90))
    node.admit()
    assert node.reasons("a") == [TaskReason.NONE, TaskReason.OUTRANKED]
    assert node.reasons("b") == [TaskReason.NONE, TaskReason.NONE]
    with node.store.snapshot() as connection:
        (decided,) = decisions.of_block(connection, "local/a/1/local_sms/45", 0)
    rival = decided.facts["outranked_by"]
    assert (rival.places.tolist(), decided.rivals[rival.values[0]]) == ([1], "local/b/1/local_sms/45")


def test_the_better_score_goes_first_where_places_are_few(
    node: Node, request_for: RequestFor, install: Callable[..., None]
) -> None:
    with node.store.transaction() as connection:
        install(connection, 1, ONE_A_DAY, rest="mode: shared\ncapacities: {local_sms: 2}")
    node.ask(request_for("a", [3, 5, 8], scores=np.array([0.1, 0.9, 0.5])))
    node.admit()
    assert node.reasons("a") == [TaskReason.CAPACITY, TaskReason.NONE, TaskReason.NONE]
    node.ask(request_for("b", [11]))
    node.admit()
    assert node.reasons("b") == [TaskReason.CAPACITY]


def test_two_who_ask_at_once_share_the_places(
    node: Node, request_for: RequestFor, install: Callable[..., None]
) -> None:
    with node.store.transaction() as connection:
        install(connection, 1, ONE_A_DAY, rest="mode: shared\ncapacities: {local_sms: 10}")
    node.ask(request_for("a", list(range(100))), request_for("b", list(range(200, 300))))
    node.admit()
    assert (node.outcome("a").granted, node.outcome("b").granted) == (5, 5)


@pytest.mark.parametrize(("mode", "granted"), [("hq_controlled", 0), ("shared", 1), ("province_local", 2)])
def test_the_mode_says_how_many_contacts_are_the_provinces(
    node: Node, request_for: RequestFor, install: Callable[..., None], mode: str, granted: int
) -> None:
    with node.store.transaction() as connection:
        install(connection, 1, ONE_A_DAY, rest=f"mode: {mode}")
    node.ask(*(request_for(name, [3]) for name in "abc"))
    node.admit()
    assert sum(node.outcome(name).granted for name in "abc") == granted


def test_a_product_lines_cap_leaves_other_lines_alone(
    node: Node, request_for: RequestFor, install: Callable[..., None]
) -> None:
    with node.store.transaction() as connection:
        install(
            connection, 1,
            "scope: all, contacts: 9, per: 1d, province_share: 9",
            "scope: product_line, value: tv, contacts: 1, per: 1d, province_share: 1",
        )  # fmt: skip
    for name, line in (("a", "tv"), ("b", "tv"), ("c", "5g")):
        node.ask(request_for(name, [3], product_line=line))
        node.admit()
    assert [node.outcome(name).granted for name in "abc"] == [1, 0, 1]
    with node.store.snapshot() as connection:
        (decided,) = decisions.of_block(connection, "local/c/1/local_sms/45", 0)
    assert {name: fact.values.tolist() for name, fact in decided.facts.items()} == {"spent.0": [1]}


def test_who_moved_here_comes_with_nothing_to_spend_until_the_window_has_passed(
    node: Node, request_for: RequestFor
) -> None:
    keys = np.array([3, 5], dtype=np.int64)
    with node.store.transaction() as connection:
        vault.put_subscribers(connection, keys, keys + 8_613_800_000_000, int(CODE))
        vault.set_home_since(connection, keys[1:], np.array([NOW - DAY], dtype=np.uint32))
    node.ask(request_for("a", [3, 5]))
    node.admit()
    assert node.reasons("a") == [TaskReason.NONE, TaskReason.CONTACT_CAP]
    free = NOW + 6 * DAY + 90  # the longest window of the default policy is a week
    for name, moment, granted in (("b", free - 1, 0), ("c", free, 1)):
        node.ask(request_for(name, [5], end_at=free + DAY))
        node.admit(moment)
        assert node.outcome(name).granted == granted


def test_who_has_nothing_to_spend_takes_no_place_from_others(
    node: Node, request_for: RequestFor, install: Callable[..., None]
) -> None:
    keys = np.array([3, 5], dtype=np.int64)
    with node.store.transaction() as connection:
        install(connection, 1, ONE_A_DAY, rest="mode: shared\ncapacities: {local_sms: 1}")
        vault.put_subscribers(connection, keys, keys + 8_613_800_000_000, int(CODE))
        vault.set_home_since(connection, keys[:1], np.array([NOW - 60], dtype=np.uint32))
    node.ask(request_for("a", keys, scores=np.array([0.9, 0.1])))
    node.admit()
    assert node.reasons("a") == [TaskReason.CONTACT_CAP, TaskReason.NONE]


def test_bss_says_who_came(node: Node, request_for: RequestFor) -> None:
    """Somebody new, somebody back, and one who was here all along and is told of again."""
    new, back, here = 3, 5, 8
    known = np.array([back, here], dtype=np.int64)
    said = PoolChanges(
        np.array([back, new, here], dtype=np.int64),
        np.full(3, PoolChange.JOINED, dtype=np.uint8),
        np.full(3, NOW - 60, dtype=np.uint32),
    )
    with node.store.transaction() as connection:
        vault.put_subscribers(connection, known, known + 8_613_800_000_000, int(CODE))
        vault.set_active(connection, known[:1], np.array([False]))
        bss_sync.take_pool_changes(connection, said, said.keys + 8_613_800_000_000, int(CODE), NOW)
    node.ask(request_for("a", [new, back, here]))
    node.admit()
    assert node.reasons("a") == [TaskReason.CONTACT_CAP, TaskReason.CONTACT_CAP, TaskReason.NONE]


def test_who_comes_between_decision_and_claim_is_not_contacted_on_what_was_decided_before(
    node: Node, request_for: RequestFor
) -> None:
    """The province they left may have spent its own contacts meanwhile."""
    here, comes = 3, 5
    with node.store.transaction() as connection:
        vault.put_subscribers(connection, np.array([here]), np.array([here]) + 8_613_800_000_000, int(CODE))
    node.ask(request_for("a", [here, comes], end_at=NOW + 30 * DAY))
    node.admit()
    assert node.reasons("a") == [TaskReason.NONE, TaskReason.NONE]
    came = PoolChanges(np.array([comes]), np.array([PoolChange.JOINED], np.uint8), np.array([NOW - 60], np.uint32))
    free = NOW - 60 + 7 * DAY + 90  # the longest window of the default policy is a week
    with node.store.transaction() as connection:
        bss_sync.take_pool_changes(connection, came, came.keys + 8_613_800_000_000, int(CODE), NOW + 1)
    assert node.claimed("local/a/1/local_sms/45", NOW + 2) == [TaskReason.NONE, TaskReason.CONTACT_CAP]
    assert node.claimed("local/a/1/local_sms/45", free - 1) == [TaskReason.NONE, TaskReason.CONTACT_CAP]
    assert node.claimed("local/a/1/local_sms/45", free) == [TaskReason.NONE, TaskReason.NONE]
    assert node.claimed("local/a/1/local_sms/45", free - 1, leased=True) == [TaskReason.NONE, TaskReason.NONE]


def test_after_a_restore_nothing_is_spent_until_the_window_has_passed(
    node: Node, request_for: RequestFor, fence: Callable[[Connection, int], None]
) -> None:
    with node.store.transaction() as connection:
        fence(connection, NOW - DAY)
    free = NOW + 6 * DAY + 90
    for name, moment, granted in (("a", NOW, 0), ("b", free - 1, 0), ("c", free, 1)):
        node.ask(request_for(name, [3], end_at=free + DAY))
        node.admit(moment)
        assert node.outcome(name).granted == granted


def test_books_of_another_policy_decide_nothing(
    node: Node, request_for: RequestFor, install: Callable[..., None]
) -> None:
    with node.store.snapshot() as connection:
        books = coordination.books(connection, NOW)
    node.ask(request_for("a", [3]))
    with node.store.transaction() as connection:
        install(connection, 1, "scope: all, contacts: 1, per: 1d")
        assert admission.admit(connection, books, CODE, node.outlet, NOW) is None
        assert local_requests.outcome(connection, "a") is None
        assert not ledger.work_orders(connection)


def test_who_is_asked_for_too_late_takes_no_contact_from_others(node: Node, request_for: RequestFor) -> None:
    node.ask(request_for("a", [3, 5], priority=90, end_at=NOW), request_for("b", [3, 5]))
    node.admit()
    assert (node.outcome("a").denied, node.outcome("b").granted) == ({"validity_over": 2}, 2)
    with node.store.transaction() as connection:
        channels = {"local_sms": CHANNELS["local_sms"]}
        for order, number in sweep.due(connection, CODE, channels, NOW):
            sweep.sweep_block(connection, order, number, NOW, channels["local_sms"], (), node.outlet)
        told = replay.replay_all(connection, CODE, ledger.work_orders(connection), at_issue=False)
    assert (node.reasons("a"), told["differences"]) == ([TaskReason.VALIDITY_OVER] * 2, 0)


def test_what_waits_in_a_backup_is_not_decided_once_more(node: Node, request_for: RequestFor) -> None:
    node.ask(request_for("a", [3]))
    node.admit()
    node.ask(request_for("b", [3]))
    with node.store.transaction() as connection:
        link.begin_incarnation(connection)
    assert node.outcome("a").granted == 1
    assert "came back from a backup" in node.outcome("b").refusals[0]
    with node.store.snapshot() as connection:
        assert not local_requests.waiting(connection, 1)


def test_a_request_over_many_blocks_is_one_work_order(node: Node, request_for: RequestFor) -> None:
    node.ask(request_for("a", np.arange(0, 50_000, 2)))
    node.ask(request_for("b", np.arange(0, 50_000)))
    node.admit()
    assert (node.outcome("a").granted, node.outcome("b").granted) == (25_000, 25_000)
    assert node.outcome("b").denied == {"outranked": 25_000}
    with node.store.snapshot() as connection:
        assert ledger.block_numbers(connection, "local/b/1/local_sms/45") == [0, 1, 2, 3, 4]


def test_hq_holds_the_same_as_the_province_and_hearing_it_again_changes_nothing(
    node: Node, request_for: RequestFor, hq: Database, hear: Callable[[], None]
) -> None:
    node.ask(request_for("a", [3, 5]), request_for("b", [5, 8]), request_for("c", [5]))
    node.admit()
    for _ in range(2):
        hear()
        with node.store.snapshot() as here, hq.snapshot() as there:
            for order in ledger.work_orders(here):
                assert ledger.load_work_order(there, order.name) == order
                mine, theirs = ledger.load_block(here, order.name, 0), ledger.load_block(there, order.name, 0)
                assert repr(mine) == repr(theirs)
    with hq.snapshot() as connection:
        ended = ledger.load_work_order(connection, "local/c/1/local_sms/45")
        assert ended is not None
        assert ended.state is WorkOrderState.COMPLETED


def test_an_hq_that_lost_everything_is_told_all_of_it(
    node: Node, request_for: RequestFor, hq: Database, hear: Callable[[], None]
) -> None:
    node.ask(request_for("a", [3, 5]), request_for("b", [5, 8]))
    node.admit()
    with node.store.transaction() as connection:
        connection.execute(delete(log_entry))
        uplink.append_everything(connection, "results", NOW)
    hear()
    with node.store.snapshot() as here, hq.snapshot() as there:
        for order in ledger.work_orders(here):
            assert repr(ledger.load_block(here, order.name, 0)) == repr(ledger.load_block(there, order.name, 0))


def test_each_decision_made_again_is_what_the_ledger_holds(node: Node, request_for: RequestFor) -> None:
    dice = np.random.default_rng(7)
    for step in range(6):
        asked = (np.unique(dice.integers(0, 60, 40)) for _ in range(3))
        priorities = dice.integers(0, 3, 3).tolist()
        now = NOW + step * 7 * 3600
        terms = [{"priority": priority, "end_at": now + DAY} for priority in priorities]
        node.ask(*(request_for(f"r{step}-{n}", keys, **terms[n]) for n, keys in enumerate(asked)))
        node.admit(now)
    with node.store.snapshot() as connection:
        policy = policies.in_force(connection)
        for order in ledger.work_orders(connection):
            block = ledger.load_block(connection, order.name, 0)
            (decided,) = decisions.of_block(connection, order.name, 0)
            codes, sound = remade(decided, terms_of(order), policy)
            assert block is not None
            assert sound
            assert codes.tolist() == block.reasons[decided.rows].tolist()


def test_both_levels_can_make_every_decision_again(
    node: Node, request_for: RequestFor, hq: Database, hear: Callable[[], None]
) -> None:
    node.ask(request_for("a", [3, 5]), request_for("b", [5, 8], priority=90), request_for("c", [5]))
    node.admit()
    hear()
    for store, name, at_issue in ((node.store, CODE, False), (hq, "hq", True)):
        with store.snapshot() as connection:
            found = replay.replay_all(connection, name, ledger.work_orders(connection), at_issue)
        assert (found["decisions"], found["suppressed"], found["allowed"], found["differences"]) == (3, 2, 3, 0)


def test_no_persons_own_contacts_are_ever_overspent(
    node: Node, request_for: RequestFor, install: Callable[..., None]
) -> None:
    """Books that are carried on come to the same as books opened anew, and neither spends more than there is."""
    with node.store.transaction() as connection:
        install(connection, 1, "scope: all, contacts: 3, per: 2d, province_share: 2")
        install(connection, 2, "scope: all, contacts: 3, per: 2d, province_share: 2",
                "scope: channel_class, value: message, contacts: 1, per: 1d, province_share: 1")  # fmt: skip
    dice, everybody = np.random.default_rng(3), np.arange(40)
    with node.store.snapshot() as connection:
        books = coordination.books(connection, NOW)
    for step in range(8):
        now = NOW + step * 11 * 3600
        people = [np.unique(dice.integers(0, 40, 25)) for _ in range(3)]
        channels = ["local_sms", "local_sms", "outbound_call"]
        node.ask(*(
            request_for(f"r{step}-{n}", keys, channel=channels[n], end_at=now + 3600) for n, keys in enumerate(people)
        ))  # fmt: skip
        books = node.admit(now, books)
        with node.store.snapshot() as connection:
            fresh = coordination.books(connection, now)
            known = spends.between(connection, 0, 1 << 62, books.policy, now, leased=False)
        for rule, counted in zip(books.policy.caps, fresh.ledger.spent(everybody, books.caps, now), strict=True):
            assert counted.tolist() == spent(everybody, known, rule, now).tolist()
            assert counted.max() <= books.policy.own_contacts(rule, province=True)
        carried, anew = (each.ledger.spent(everybody, books.caps, now) for each in (books, fresh))
        assert carried.tolist() == anew.tolist()


def test_what_is_lacking_is_asked_of_hq_and_asked_again_it_is_the_same(
    node: Node, request_for: RequestFor, hq: Database
) -> None:
    node.ask(request_for("a", [3, 5]))
    node.admit()
    node.ask(request_for("b", [3, 5, 8], ask_hq=True))
    node.admit()
    assert node.outcome("b").unanswered == (0,)
    with node.store.snapshot() as connection:
        (lacking,), (again,) = (list(admission.ungranted(connection)) for _ in range(2))
    assert repr(lacking) == repr(again)
    assert (lacking.asked.request_id, lacking.asked.tasks.keys.tolist()) == ("b.0", [3, 5])
    with hq.transaction() as connection:
        vault.put_subscribers(connection, np.array([3]), np.array([8_613_800_000_003]), int(CODE))
        name, answer = grants.acquire(connection, CODE, lacking.asked, NOW)
    assert name == "grant/b.0/1/local_sms/45"
    for _ in range(2):
        with node.store.transaction() as connection:
            admission.answered(connection, lacking, answer)
            assert not list(admission.ungranted(connection))
    assert node.outcome("b") == Outcome(
        "local/b/1/local_sms/45", 1, {"contact_cap": 2}, granted_by_hq=1, denied_by_hq={"no_number": 1}
    )


def test_a_refusal_of_hq_ends_the_asking(node: Node, request_for: RequestFor) -> None:
    node.ask(request_for("a", [3]))
    node.admit()
    node.ask(request_for("b", [3], ask_hq=True))
    node.admit()
    with node.store.transaction() as connection:
        (lacking,) = admission.ungranted(connection)
        admission.answered(connection, lacking, "no such channel")
    assert node.outcome("b").refusals == ("no such channel",)
    assert node.outcome("b").unanswered == ()
