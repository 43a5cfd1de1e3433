"""A dry run says beforehand what a run then does: to the person, by reason, channel and node."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.delivery import facts, ledger, policies, spends, tables
from common.kernel.budget import spent
from common.kernel.refusal import Refusal
from common.kernel.stop import StopScope
from common.kernel.task import TaskReason, TaskState
from hq import planner, rehearsal
from hq.campaign_file import load
from hq.rehearsal import Rehearsal
from hq.store import campaigns
from tests.explain.one_hq import DAY, FEDERATION_KEY, HOUR, KEYS, START, Hq, file_of

POLICIES = (
    "",
    "mode: shared\ncaps:\n  - {scope: all, contacts: 1, per: 2d}\ncooling: 3d\n",
    """\
mode: shared
caps:
  - {scope: all, contacts: 3, per: 1d, province_share: 1}
  - {scope: channel_class, value: message, contacts: 1, per: 3d}
after_order: 1d
""",
    "mode: shared\ncaps:\n  - {scope: all, contacts: 2, per: 1d}\ncapacities: {sms: 2, local_sms: 1}\n",
    "mode: hq_controlled\ncaps:\n  - {scope: all, contacts: 2, per: 7d}\nconsent: [message]\n",
)
EXAMPLES = 25
SOME = st.lists(st.sampled_from(KEYS.tolist()), max_size=60, unique=True)


@dataclass(frozen=True)
class Scene:
    """What was there before the campaign, and the campaign."""

    policy: str
    rivals: list[tuple[int, int]]
    """(youngest age, priority) of campaigns that ran before or run now."""
    sent: bool
    stopped: list[int]
    refused: list[int]
    owners: list[int]
    audience: str
    holdout: str
    priority: int
    late: bool
    """It is the second wave that is looked at."""


SCENES = st.builds(
    Scene,
    policy=st.sampled_from(POLICIES),
    rivals=st.lists(st.tuples(st.integers(16, 80), st.integers(0, 100)), max_size=2),
    sent=st.booleans(),
    stopped=SOME,
    refused=SOME,
    owners=st.lists(st.sampled_from(KEYS.tolist()), max_size=20, unique=True),
    audience=st.sampled_from(["age >= 0", "age >= 20", "age BETWEEN 30 AND 60 OR app", "NOT app AND age < 75"]),
    holdout=st.sampled_from(["0%", "10%", "30%"]),
    priority=st.integers(0, 100),
    late=st.booleans(),
)


def prepared(hq: Hq, scene: Scene) -> None:
    if scene.policy:
        hq.apply_policy(1, scene.policy)
    for number, (age, priority) in enumerate(scene.rivals):
        rival = file_of(f"rival{number}", audience=f"age >= {age}", priority=priority, offer=f"other{number}")
        hq.approve(rival.replace("after: 3d", "after: 2d"))
    hq.plan(START)
    if scene.sent:
        hq.send(START + 60)
        hq.receive(START + 90)
    hq.stop(scene.stopped, START + 100)
    hq.stop(scene.refused, START + 100, StopScope.REFUSED)
    for number, key in enumerate(scene.owners):
        hq.order(key, START - HOUR, number=f"O{number}")
    hq.approve(file_of(audience=scene.audience, holdout=scene.holdout, priority=scene.priority))
    hq.clock.at = START + HOUR
    if scene.late:
        hq.plan(START + HOUR)
        hq.send(START + HOUR + 60)
        hq.receive(START + HOUR + 90)
        hq.plan(START + 2 * DAY)
        hq.clock.at = START + 3 * DAY


def rehearsed(hq: Hq, name: str = "spring") -> dict[str, Any]:
    with hq.database.snapshot() as connection:
        stored = campaigns.get(connection, name)
        rehearsal = Rehearsal(hq.warehouse, hq.directory, FEDERATION_KEY)
        return rehearsal.dry_run(connection, load(stored.yaml), stored, hq.clock.at)


def run(hq: Hq, wave: int) -> dict[str, Any]:
    """The same for real, time standing still; read from the ledger."""
    hq.plan(hq.clock.at)
    with hq.database.snapshot() as connection:
        issued = [order for order in ledger.work_orders(connection, campaign="spring") if order.wave == wave]
        left = _left(hq, connection, issued)
    hq.send(hq.clock.at)
    loads = {}
    with hq.database.snapshot() as connection:
        for order in issued:
            reasons, contacts = Counter[str](), 0
            for block in ledger.blocks(connection, order.name):
                suppressed = block.states == TaskState.SUPPRESSED
                reasons.update(TaskReason(code).name for code in block.reasons[suppressed].tolist())
                contacts += int(np.count_nonzero(block.states == TaskState.SUBMITTED))
            loads[order.channel, order.node] = (order.task_count, contacts, dict(reasons))
    return {"loads": loads, "left": left}


def _left(hq: Hq, connection: Any, orders: list[Any]) -> dict[int, list[int]]:
    """How many contacts HQ has left of each cap, counted from the ledger as it then is."""
    policy = policies.in_force(connection)
    found: dict[int, Counter[int]] = {}
    for order in orders:
        terms = facts.terms_of(order)
        for place, rule in enumerate(policy.caps):
            if rule.covers(terms.channel_class, terms.product_line):
                own = policy.own_contacts(rule, province=False)
                for block in ledger.blocks(connection, order.name):
                    first, last = int(block.keys[0]), int(block.keys[-1])
                    known = spends.between(connection, first, last, policy, hq.clock.at, leased=True)
                    used = spent(block.keys, known, rule, hq.clock.at)
                    found.setdefault(place, Counter()).update(np.maximum(own - used, 0).tolist())
    return {place: [counted[n] for n in range(max(counted) + 1)] for place, counted in found.items()}


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scene=SCENES)
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_is_said_beforehand_is_what_is_done(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, scene: Scene
) -> None:
    monkeypatch.setattr(planner, "CHUNK_PEOPLE", 90)
    directory = tmp_path_factory.mktemp("scene")
    hq = Hq(directory)
    try:
        prepared(hq, scene)
        said = rehearsed(hq)
        done = run(hq, said["wave"])
        loads = {(e["channel"], e["node"]): (e["tasks"], e["contacts"], e["reasons"]) for e in said["loads"]}
        assert loads == done["loads"]
        assert said["closes"]
        assert said["contacts"] == sum(contacts for _, contacts, _ in loads.values())
        left = [cap["people_by_contacts_left"] for cap in said["caps"]]
        assert [_trimmed(each) for each in left] == [each for _, each in sorted(done["left"].items())]
    finally:
        hq.database.close()
        shutil.rmtree(directory)


def _trimmed(counts: list[int]) -> list[int]:
    return counts[: max((n + 1 for n, people in enumerate(counts) if people), default=0)]


def everything(hq: Hq) -> list[Any]:
    every = [*tables.metadata.sorted_tables]
    with hq.database.snapshot() as connection:
        return [connection.execute(table.select()).all() for table in every]


def files(directory: Path) -> dict[str, int]:
    return {
        str(path): path.stat().st_mtime_ns for path in directory.rglob("*") if path.suffix not in (".db-shm", ".db-wal")
    }


def test_nothing_is_written(hq: Hq) -> None:
    hq.approve(file_of(holdout="10%"))
    before, there = everything(hq), files(hq.directory)
    rehearsed(hq)
    assert everything(hq) == before
    assert files(hq.directory) == there


def test_a_draft_and_its_approval_come_to_the_same(hq: Hq) -> None:
    text = file_of(holdout="10%", audience="age >= 20")
    with hq.database.snapshot() as connection:
        draft = Rehearsal(hq.warehouse, hq.directory, FEDERATION_KEY).dry_run(connection, load(text), None, START)
    hq.approve(text)
    hq.clock.at = START
    approved = rehearsed(hq)
    assert draft["state"] == "file"
    assert draft | {"state": ""} == approved | {"state": ""}


def test_the_funnel_goes_from_the_audience_to_the_contacts(hq: Hq) -> None:
    hq.apply_policy(1, POLICIES[1])
    hq.approve(file_of("rival", priority=90, offer="other", audience="age >= 50"))
    hq.plan(START)
    hq.approve(file_of(holdout="10%"))
    hq.stop(KEYS[:100].tolist(), START)
    told = rehearsed(hq)
    steps = {each["step"]: each["people"] for each in told["funnel"]}
    assert list(steps)[:3] == ["held_out", "not_chosen", "unreachable"]
    assert list(steps)[-1] == "contacts"
    assert sum(steps.values()) == told["matched"] > 0
    assert min(steps[name] for name in ("held_out", "unreachable", "CONTACT_CAP", "STOPPED", "contacts")) > 0
    assert told["conflicts"] == [{"campaign": "rival", "people": steps["CONTACT_CAP"]}]
    assert told["cost_fen"] == sum(
        {"sms": 5, "app_push": 1, "local_sms": 4}[e["channel"]] * e["contacts"] for e in told["loads"]
    )
    assert sum(each["tasks"] for each in told["provinces"]) == sum(each["tasks"] for each in told["loads"])
    assert sum(each["contacts"] for each in told["provinces"]) == steps["contacts"]


def test_a_wave_still_to_come_is_looked_at_as_it_will_be_then(hq: Hq) -> None:
    hq.apply_policy(1, POLICIES[1])
    hq.approve(file_of("rival", priority=90, offer="other"))
    hq.plan(START)
    hq.send(START + 60)
    hq.receive(START + 90)
    hq.approve(file_of().replace("2026-03-01T09:00:00", "2026-03-04T09:00:00"))
    told = rehearsed(hq)
    assert told["at"] == START + 3 * DAY
    assert "CONTACT_CAP" not in {each["step"] for each in told["funnel"]}


def test_a_campaign_with_no_wave_to_come_is_refused(hq: Hq) -> None:
    hq.approve(file_of())
    hq.plan(START)
    hq.plan(START + 3 * DAY)
    with pytest.raises(Refusal, match="No wave of spring is to come"):
        rehearsed(hq)


def test_waves_that_go_first_are_named(hq: Hq) -> None:
    hq.approve(file_of("first", priority=90, offer="other"))
    hq.approve(file_of("equal", offer="third"))
    hq.approve(file_of("last", priority=10, offer="fourth"))
    hq.approve(file_of())
    assert [(each["campaign"], each["wave"]) for each in rehearsed(hq)["ahead"]] == [("first", 1), ("equal", 1)]


def test_writers_are_not_held_up_and_change_nothing_halfway(hq: Hq, monkeypatch: pytest.MonkeyPatch) -> None:
    hq.approve(file_of())
    undisturbed = rehearsed(hq)
    divided = rehearsal.divided

    def with_a_stop_in_between(*arguments: Any) -> Any:
        for chunk in divided(*arguments):
            hq.stop(KEYS.tolist(), START - HOUR)
            yield chunk

    monkeypatch.setattr(rehearsal, "divided", with_a_stop_in_between)
    assert rehearsed(hq) == undisturbed
    assert {each["step"] for each in rehearsed(hq)["funnel"]} >= {"STOPPED"}
