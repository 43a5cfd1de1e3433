"""HQ numbers policies, sends them, and hears what became of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from common.courier import log
from common.delivery import fence, ledger
from common.delivery import policies as kept
from common.delivery.tables import policy
from common.kernel.incarnation import UNDATED, Incarnation
from common.kernel.policy import DEFAULT, SPEND_MARGIN_SECONDS, PolicyDocument, PolicyEvent
from common.kernel.refusal import Refusal
from common.kernel.work_order import WorkOrder
from common.runtime.database import Database
from hq.policy_file import check
from hq.store import feed, leases, policies, provinces
from hq.store.policies import Applied, AtProvince
from tests.courier.world import NOW

DAY = 86_400
WINDOW = 30 * DAY + SPEND_MARGIN_SECONDS
"""The longest window of the file, with its margin."""


@pytest.fixture
def do(database: Database) -> Callable[..., Any]:
    def run(work: Callable[..., Any], *arguments: Any) -> Any:
        with database.transaction() as connection:
            return work(connection, *arguments)

    for code in ("13", "45"):
        run(provinces.enroll, code, NOW)
    return run


def connect(connection: Connection, code: str) -> None:
    provinces.seen(connection, code, "test", NOW)


def issue(connection: Connection) -> None:
    """From now on somebody may have been contacted."""
    ledger.put_work_order(connection, WorkOrder("c/1/sms/hq", "c", 1, "sms", "hq", "offer", NOW, NOW + DAY, 1, 0))


def apply(do: Callable[..., Any], text: str, now: int = NOW) -> Applied:
    done: Applied = do(policies.apply, text, check(text), now)
    return done


def control_entries(connection: Connection, code: str) -> int:
    return log.position(connection, code, feed.CONTROL).head


def test_the_first_is_version_1_and_goes_to_every_province(do: Callable[..., Any], text: str) -> None:
    assert do(kept.in_force) == DEFAULT
    assert apply(do, text) == Applied(1, True, ["13", "45"])
    assert do(kept.in_force).version == do(kept.received) == 1
    assert [do(control_entries, code) for code in ("13", "45")] == [1, 1]


def test_the_same_again_changes_nothing_however_it_is_written(do: Callable[..., Any], text: str) -> None:
    apply(do, text)
    assert apply(do, text) == Applied(1, False, [])
    assert apply(do, f"# a remark\n{text.replace('24h', '1d')}") == Applied(1, False, [])
    assert do(control_entries, "45") == 1
    assert apply(do, text.replace("cooling: 30d", "cooling: 31d")) == Applied(2, True, ["13", "45"])
    assert apply(do, text) == Applied(3, True, ["13", "45"])


def test_every_version_stays_readable_for_whoever_decides_again(do: Callable[..., Any], text: str) -> None:
    for days in (30, 31, 32):
        apply(do, text.replace("cooling: 30d", f"cooling: {days}d"))
    assert [do(kept.of_version, n).cooling_seconds // DAY for n in (1, 2, 3)] == [30, 31, 32]
    assert do(kept.of_version, 0) == DEFAULT
    assert do(kept.of_version, 4) is None


def test_a_province_that_comes_later_gets_it_in_its_snapshot(do: Callable[..., Any], text: str) -> None:
    def told(connection: Connection) -> list[Any]:
        return [piece(connection) for piece in feed.snapshot(connection, "11", feed.CONTROL)]

    do(provinces.enroll, "11", NOW)
    assert do(told) == []
    apply(do, text)
    apply(do, text.replace("cooling: 30d", "cooling: 31d"))
    (newest,) = do(told)
    assert isinstance(newest, PolicyDocument)
    assert (newest.version, "cooling: 31d" in newest.document) == (2, True)


def test_hq_knows_what_each_province_made_of_it(do: Callable[..., Any], text: str) -> None:
    apply(do, text)
    do(policies.heard, "45", PolicyEvent(1, ""), NOW)
    apply(do, text.replace("cooling: 30d", "cooling: 31d"))
    do(policies.heard, "45", PolicyEvent(2, "line 9: unknown key"), NOW)
    assert do(policies.at_provinces) == [AtProvince("13", 0, ""), AtProvince("45", 1, "2: line 9: unknown key")]
    do(policies.heard, "45", PolicyEvent(2, ""), NOW)
    assert do(policies.at_provinces)[1] == AtProvince("45", 2, "")


def test_what_is_told_late_changes_nothing(do: Callable[..., Any], text: str) -> None:
    for days in (30, 31, 32):
        apply(do, text.replace("cooling: 30d", f"cooling: {days}d"))
    do(policies.heard, "45", PolicyEvent(3, ""), NOW)
    for event in (PolicyEvent(2, ""), PolicyEvent(1, "too old a story"), PolicyEvent(3, "")):
        do(policies.heard, "45", event, NOW + 5)
    assert do(policies.at_provinces)[1] == AtProvince("45", 3, "")


def test_a_liar_cannot_use_the_numbers_up(do: Callable[..., Any], text: str) -> None:
    for version, after in ((9, 10), (10**9, 10**9 + 1), ((1 << 31) - 1, 10**9 + 2)):
        do(policies.heard, "45", PolicyEvent(version, ""), NOW)
        assert apply(do, text.replace("cooling: 30d", f"cooling: {version % 100}h")).version == after


@pytest.mark.parametrize("version", [0, 1 << 31, (1 << 32) - 1])
def test_a_version_nobody_can_have_sent_is_refused(do: Callable[..., Any], version: int) -> None:
    with pytest.raises(Refusal, match="there is none"):
        do(policies.heard, "45", PolicyEvent(version, ""), NOW)


def test_a_long_objection_is_cut(do: Callable[..., Any], text: str) -> None:
    apply(do, text)
    do(policies.heard, "45", PolicyEvent(1, "x" * 1_000_000), NOW)
    assert len(do(policies.at_provinces)[1].objection) < 1_010


def test_a_restored_hq_numbers_above_what_it_may_have_forgotten(do: Callable[..., Any], text: str) -> None:
    apply(do, text)
    do(fence.put, Incarnation(2, 1, NOW))
    do(policies.heard, "45", PolicyEvent(2, ""), NOW)
    assert apply(do, text).version == 10_001
    assert apply(do, text) == Applied(10_001, False, [])


def test_in_force_is_the_newest_this_build_can_read(do: Callable[..., Any], text: str) -> None:
    apply(do, text)
    unread = {"version": 2, "document": f"{check(text)}hours: 9\n", "received_at": NOW, "objection": ""}
    do(lambda connection: connection.execute(insert(policy), unread))
    assert (do(kept.in_force).version, do(kept.received)) == (1, 2)


MOVED = ("contacts: 3, per: 24h, province_share: 1", "contacts: 3, per: 24h, province_share: 2")
FIRST_STEP = ("contacts: 3, per: 24h, province_share: 1", "contacts: 2, per: 24h, province_share: 1")


MOVES = r"line 3, column 5: caps\[0\]: gives contacts to one level that the other may"
FORGOT = r"line 3, column 3: caps: HQ came back from a backup and has forgotten"


def refuses(do: Callable[..., Any], text: str, now: int, why: str = MOVES) -> None:
    """Nothing is changed, and the operator is told where and why."""
    before = do(kept.received)
    with pytest.raises(Refusal, match=why) as no:
        apply(do, text, now)
    assert no.value.reason == "POLICY_INVALID"
    assert do(kept.received) == before


def test_before_anybody_was_contacted_anything_may_change(do: Callable[..., Any], text: str) -> None:
    do(connect, "45")
    apply(do, text)
    assert apply(do, text.replace(*MOVED), NOW).version == 2


def test_a_contact_moves_in_two_steps_each_known_everywhere(do: Callable[..., Any], text: str) -> None:
    for code in ("13", "45"):
        do(connect, code)
    apply(do, text)
    do(issue)
    refuses(do, text.replace(*MOVED), NOW)
    apply(do, text.replace(*FIRST_STEP), NOW + 1)
    refuses(do, text.replace(*MOVED), NOW + 2 * WINDOW)
    do(policies.heard, "45", PolicyEvent(2, ""), NOW + 5)
    refuses(do, text.replace(*MOVED), NOW + 2 * WINDOW)
    do(policies.heard, "13", PolicyEvent(2, ""), NOW + 9)
    refuses(do, text.replace(*MOVED), NOW + WINDOW + 8)
    assert apply(do, text.replace(*MOVED), NOW + WINDOW + 9).version == 3


def test_what_is_heard_while_nobody_knows_the_time_counts_from_when_somebody_does(
    do: Callable[..., Any], text: str
) -> None:
    for code in ("13", "45"):
        do(connect, code)
    apply(do, text)
    do(issue)
    apply(do, text.replace(*FIRST_STEP), NOW + 1)
    for code in ("13", "45"):
        do(policies.heard, code, PolicyEvent(2, ""), UNDATED)
    refuses(do, text.replace(*MOVED), NOW + 2 * WINDOW)
    do(policies.date, NOW + 9)
    refuses(do, text.replace(*MOVED), NOW + WINDOW + 8)
    do(policies.date, NOW + WINDOW)
    assert apply(do, text.replace(*MOVED), NOW + WINDOW + 9).version == 3


def test_other_changes_need_not_wait(do: Callable[..., Any], text: str) -> None:
    do(connect, "45")
    apply(do, text)
    do(issue)
    apply(do, text.replace(*FIRST_STEP), NOW + 1)
    assert apply(do, text.replace(*FIRST_STEP).replace("cooling: 30d", "cooling: 9d"), NOW + 2).version == 3


def test_a_province_that_joins_later_holds_back_only_moves(do: Callable[..., Any], text: str) -> None:
    apply(do, text.replace("mode: shared", "mode: hq_controlled"))
    do(issue)
    do(connect, "45")
    do(policies.heard, "45", PolicyEvent(1, ""), NOW + 3 * WINDOW)
    assert (
        apply(
            do, text.replace("mode: shared", "mode: hq_controlled").replace("[call]", "[]"), NOW + 3 * WINDOW + 1
        ).version
        == 2
    )


# Back from a backup


def hq_came_back(do: Callable[..., Any], at: int) -> None:
    """It has version 1, and so has all the world but province 45, which was told of version 2."""
    do(connect, "13")
    do(connect, "45")
    do(fence.put, Incarnation(2, 9, at))
    for code in ("13", "45"):
        do(policies.heard, code, PolicyEvent(1, ""), at)
        do(provinces.retold, code, 2)
    do(policies.heard, "45", PolicyEvent(2, ""), at + 1)


def leases_nothing(do: Callable[..., Any], now: int) -> None:
    with pytest.raises(Refusal, match="has forgotten the contact policy that provinces 45 have") as no:
        do(leases.check, "hq", now)
    assert no.value.reason == "RESTORE_FENCED"


def test_an_hq_that_forgot_a_policy_leases_nothing_until_all_had_a_newer_one_for_the_window(
    do: Callable[..., Any], text: str
) -> None:
    apply(do, text)
    hq_came_back(do, NOW)
    applied = NOW + WINDOW
    leases_nothing(do, applied)
    assert do(leases.fenced, applied) == ""
    newer = apply(do, text, applied).version
    assert newer > 2
    for heard_at, code in enumerate(("13", "45"), applied):
        do(policies.heard, code, PolicyEvent(newer, ""), heard_at)
    leases_nothing(do, applied + WINDOW)
    do(leases.check, "45", applied + 1 + WINDOW)


def test_one_that_forgot_a_policy_takes_no_other_while_what_it_spent_by_it_may_count(
    do: Callable[..., Any], text: str
) -> None:
    apply(do, text)
    hq_came_back(do, NOW)
    refuses(do, text, NOW + WINDOW - 1, FORGOT)
    order = WorkOrder("c/1/local_sms/45", "c", 1, "local_sms", "45", "offer", NOW, NOW + DAY, 1, 0, policy_version=2)
    do(ledger.put_work_order, order)
    refuses(do, text, NOW + DAY + WINDOW - 1, FORGOT)
    assert apply(do, text, NOW + DAY + WINDOW).changed


def test_before_hq_ever_came_back_a_version_it_never_gave_is_nothing(do: Callable[..., Any], text: str) -> None:
    apply(do, text)
    do(connect, "45")
    do(policies.heard, "45", PolicyEvent(2, ""), NOW)
    do(leases.check, "45", NOW)
    assert apply(do, text.replace("cooling: 30d", "cooling: 31d")).changed


def test_a_province_back_after_long_used_the_oldest_until_now(do: Callable[..., Any], text: str) -> None:
    do(connect, "45")
    apply(do, text)
    do(policies.heard, "45", PolicyEvent(1, ""), NOW)
    do(issue)
    first_step = text.replace(*FIRST_STEP)
    apply(do, first_step, NOW + 1)
    apply(do, first_step.replace("cooling: 30d", "cooling: 9d"), NOW + 2)
    back = NOW + 2 * WINDOW
    for version in (2, 3):
        do(policies.heard, "45", PolicyEvent(version, ""), back)
    refuses(do, text.replace(*MOVED), back + 1)
    assert apply(do, text.replace(*MOVED), back + WINDOW).version == 4


def test_what_hq_alone_has_spent_counts_against_a_province_to_come(do: Callable[..., Any], text: str) -> None:
    apply(do, text)
    do(issue)
    apply(do, text.replace(*FIRST_STEP), NOW + 1)
    refuses(do, text.replace(*MOVED), NOW + WINDOW)
    assert apply(do, text.replace(*MOVED), NOW + 1 + WINDOW).version == 3
