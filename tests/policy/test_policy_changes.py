"""However policies change, however late a province hears of it: some policy in use allowed every contact."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from common.courier import tables as courier_tables
from common.delivery import ledger
from common.delivery import policies as kept
from common.delivery import tables as delivery_tables
from common.kernel.policy import CapRule, Policy, PolicyEvent
from common.kernel.refusal import Refusal
from common.kernel.work_order import WorkOrder
from common.runtime.database import Database
from hq.policy_file import check
from hq.store import policies, provinces
from hq.store import tables as hq_tables
from tests.courier.world import NOW
from tests.delivery.conftest import undone

WINDOWS = (1_000, 2_000)
STEP_SECONDS = 180


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('changes') / 'hq.db'}")
    database.create(courier_tables.metadata, delivery_tables.metadata, hq_tables.metadata)
    yield database
    database.close()


def written(*caps: tuple[int, int, int]) -> str:
    rules = [{"scope": "all", "contacts": k, "province_share": p, "per": f"{window}s"} for k, p, window in caps]
    return yaml.safe_dump({"mode": "shared", "caps": rules})


SHORT, LONG = WINDOWS
POOL = [written((k, p, SHORT)) for k in (1, 2, 3) for p in range(k + 1)]
POOL += [written((k, p, SHORT), (4, 2, LONG)) for k, p in ((2, 1), (3, 1), (3, 2))]
POOL += [written((2, 1, LONG)), written((3, 2, SHORT), (3, 1, LONG)), written((2, 1, SHORT), (5, 3, LONG))]


@cache
def document(text: str) -> str:
    return check(text)


@dataclass
class Level:
    """Contacts one person as often as its own tokens allow, by the policy it has."""

    province: bool
    policy: Policy
    contacts: list[int] = field(default_factory=list)
    used: list[tuple[int, Policy]] = field(default_factory=list)

    def contact(self, now: int) -> None:
        while all(
            self._own(rule) > sum(t > now - rule.window_seconds for t in self.contacts) for rule in self.policy.caps
        ):
            self.contacts.append(now)

    def _own(self, rule: CapRule) -> int:
        return self.policy.own_contacts(rule, province=self.province)


def allowed(hq: Level, province: Level, now: int) -> bool:
    """Whether some policy in use within the window has no cap that the contact at `now` exceeds."""
    contacts = hq.contacts + province.contacts
    in_use = [policy for moment, policy in hq.used + province.used if now - max(WINDOWS) < moment <= now]
    return any(
        all(sum(now - rule.window_seconds < t <= now for t in contacts) <= rule.contacts for rule in policy.caps)
        for policy in in_use
    )


texts = st.sampled_from(POOL)
letters = st.sampled_from("hpbd.")
turns = st.lists(st.one_of(letters, letters, texts), min_size=4, max_size=40)
"""A text: HQ applies it. d: the province takes the newest over, and HQ hears so. h, p, b: HQ, the province or both
contact all they may."""


@pytest.mark.slow
@given(texts, turns)
@settings(max_examples=800, deadline=None)
def test_no_change_lets_both_levels_exceed_every_policy_in_use(store: Database, first: str, turns: list[str]) -> None:
    with undone(store) as connection:
        _begin(connection, first)
        hq, province = (Level(each, kept.in_force(connection)) for each in (False, True))
        for number, turn in enumerate(turns):
            now = NOW + 1 + number * STEP_SECONDS
            if turn == "d":
                province.policy = kept.in_force(connection)
                policies.heard(connection, "45", PolicyEvent(province.policy.version, ""), now)
            elif len(turn) > 1:
                with suppress(Refusal):
                    policies.apply(connection, turn, document(turn), now)
                hq.policy = kept.in_force(connection)
            for level, letter in ((hq, "h"), (province, "p")):
                level.used.append((now, level.policy))
                if turn in (letter, "b"):
                    level.contact(now)
            assert allowed(hq, province, now)


def _begin(connection: Connection, text: str) -> None:
    provinces.enroll(connection, "45", NOW)
    provinces.seen(connection, "45", "test", NOW)
    policies.apply(connection, text, document(text), NOW)
    policies.heard(connection, "45", PolicyEvent(1, ""), NOW)
    ledger.put_work_order(connection, WorkOrder("c/1/sms/hq", "c", 1, "sms", "hq", "offer", NOW, NOW, 1, 0))
