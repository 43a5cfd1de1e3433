from __future__ import annotations

import pytest

from common.kernel.refusal import Refusal
from common.runtime.database import Database
from hq.store import sessions
from hq.store.sessions import Session, opened

NOW = 1_790_000_000
HELD = Session("45", "first", NOW + 5, NOW + 10, 1)


def ask(instance: str) -> Session:
    return Session("45", instance, 0, NOW + 20, 1)


def test_another_instance_is_refused_while_the_lease_runs() -> None:
    with pytest.raises(Refusal) as refused:
        opened(HELD, ask("second"), takeover=False, now=NOW, leap=0)
    assert refused.value.reason == "SESSION_HELD"
    assert refused.value.metadata == {"seconds": "10"}


@pytest.mark.parametrize(("instance", "takeover", "now"), [("first", False, NOW), ("second", True, NOW),
                                                           ("second", False, NOW + 10)])  # fmt: skip
def test_a_session_given_fences_the_one_before(instance: str, takeover: bool, now: int) -> None:
    assert opened(HELD, ask(instance), takeover=takeover, now=now, leap=0).fence > HELD.fence


def test_a_lost_session_table_does_not_bring_old_fences_back() -> None:
    assert opened(None, ask("first"), takeover=False, now=NOW + 60, leap=0).fence > HELD.fence


def test_a_store_put_back_gives_no_fence_of_the_time_it_lost_though_the_clock_went_back_too() -> None:
    draws = (sessions.LEAP_MAX // 3, sessions.LEAP_MAX // 2)
    lost, again = (opened(HELD, ask("first"), takeover=False, now=NOW - 9_999, leap=draw) for draw in draws)
    assert lost.fence != again.fence


def test_only_the_current_fence_is_heard(database: Database) -> None:
    with database.transaction() as connection:
        sessions.put(connection, HELD)
        sessions.renew(connection, "45", HELD.fence, NOW + 99)
        assert sessions.check(connection, "45", HELD.fence).expires_at == NOW + 99
        for fence in (HELD.fence - 1, HELD.fence + 1):
            with pytest.raises(Refusal, match="superseded"):
                sessions.check(connection, "45", fence)


def test_a_closed_session_lets_anyone_in_and_its_fence_is_dead(database: Database) -> None:
    with database.transaction() as connection:
        sessions.put(connection, HELD)
        sessions.close(connection, "45", HELD.fence)
        with pytest.raises(Refusal, match="superseded"):
            sessions.check(connection, "45", HELD.fence)
        closed = sessions.load(connection, "45")
    assert opened(closed, ask("second"), takeover=False, now=NOW, leap=0).fence > HELD.fence + 1
