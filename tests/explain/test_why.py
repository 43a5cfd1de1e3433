"""For any person and moment: why, why not, and what would have changed it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.delivery import ledger
from common.delivery.replay import replay_all
from common.kernel.contact_rules import STAGES
from common.kernel.stop import StopScope
from common.kernel.task import Response
from common.kernel.work_order import WorkOrderState
from hq.campaign_file import load
from hq.rehearsal import Rehearsal
from hq.ruling import READS
from hq.store import explain as hq_explain
from tests.explain.one_hq import FEDERATION_KEY, Hq

START, HOUR, DAY = 1_772_326_800, 3_600, 86_400
TIGHT = "mode: shared\ncaps:\n  - {scope: all, contacts: 1, per: 2d}\ncooling: 3d\nafter_order: 1d\n"


def test_every_rule_says_what_it_looks_at() -> None:
    assert {rule.reason for rules in STAGES.values() for rule in rules} == set(READS)


def test_a_contact_is_told_from_audience_to_order(hq: Any, kinds: Any, file_of: Any) -> None:
    hq.approve(file_of(audience="age >= 20 AND NOT app"))
    hq.plan(START)
    hq.send(START + 60)
    hq.receive(START + 90, responses={kinds.texted: Response.INTERESTED})
    hq.order(kinds.texted, START + HOUR)
    hq.clock.at = START + DAY
    told = hq.spring(kinds.texted)
    assert (told["outcome"], told["reason"], told["would_change"]) == ("delivered", "", None)
    audience = told["audience"]
    assert audience["matched"]
    assert [(each["condition"], each["holds"]) for each in audience["conditions"]] == [
        ("age >= 20", True),
        ("NOT app", True),
    ]
    assert set(audience["columns"]) == {"age", "app"}
    first, second = told["waves"]
    assert [(each["channel"], each["takes"]) for each in first["channels"]] == [
        ("app_push", False),
        ("local_sms", False),
        ("sms", True),
    ]
    task = first["task"]
    assert (task["work_order"], task["state"], task["response"]) == ("spring/1/sms/hq", "delivered", "interested")
    assert (task["issued_at"], task["submitted_at"], task["settled_at"]) == (START, START + 60, START + 90)
    assert task["text"] == "回复Y办理，TD退订"
    assert [(each["stage"], each["node"], each["reason"]) for each in first["decisions"]] == [
        ("issue", "hq", "NONE"),
        ("claim", "hq", "NONE"),
    ]
    assert second["outcome"] == "planned"
    (order,) = told["orders"]
    assert (order["credited_to"], order["accepted_at"]) == ("spring/1/sms/hq", START + HOUR)


def test_whom_the_rule_does_not_select_learns_which_condition_failed(hq: Any, kinds: Any, file_of: Any) -> None:
    hq.approve(file_of(audience="age >= 20 AND age < 100"))
    hq.plan(START)
    told = hq.spring(kinds.too_young)
    assert told["outcome"] == "not_matched"
    assert told["would_change"] == {"conditions": ["age >= 20"]}
    assert told["waves"][0]["task"] is None


def test_the_hold_out_is_told(hq: Any, file_of: Any) -> None:
    hq.approve(file_of(holdout="40%"))
    hq.plan(START)
    outcomes = {key: hq.spring(key)["outcome"] for key in range(1_000, 60_000, 1_000)}
    with_task = _keys_with_task(hq)
    assert {key for key, outcome in outcomes.items() if outcome == "held_out"}.isdisjoint(with_task)
    assert {key for key, outcome in outcomes.items() if outcome == "open"} == with_task & set(outcomes)


def _keys_with_task(hq: Any) -> set[int]:
    with hq.database.snapshot() as connection:
        return {
            k
            for o in ledger.work_orders(connection)
            for b in ledger.blocks(connection, o.name)
            for k in b.keys.tolist()
        }


def test_whom_no_channel_takes_is_told_so(hq: Any, kinds: Any, file_of: Any) -> None:
    hq.approve(file_of())
    hq.plan(START)
    told = hq.spring(kinds.unreachable)
    assert told["outcome"] == "unreachable"
    assert told["would_change"] == {"channels": ["app_push", "local_sms", "sms"]}


def test_a_cap_names_who_spent_it_and_from_when_it_would_allow(hq: Any, kinds: Any, file_of: Any) -> None:
    hq.apply_policy(1, TIGHT)
    hq.approve(file_of("rival", priority=90, offer="other"))
    hq.approve(file_of())
    hq.plan(START)
    told = hq.spring(kinds.texted)
    assert (told["outcome"], told["reason"]) == ("suppressed", "CONTACT_CAP")
    (decision,) = told["waves"][0]["decisions"]
    assert (decision["policy"], decision["rival"]) == (1, "rival/1/sms/hq")
    (cap,) = next(rule["caps"] for rule in decision["rules"] if rule["rule"] == "CONTACT_CAP")
    assert (cap["spent"], cap["own"], cap["used_up"]) == (1, 1, True)
    (spender,) = cap["by"]
    end = START + 14 * DAY + 12 * HOUR
    assert (spender["work_order"], spender["at"], spender["sent"]) == ("rival/1/sms/hq", end, False)
    assert told["would_change"]["rules"] == ["CONTACT_CAP"]


def test_the_time_from_which_a_cap_allows_is_exact(hq: Any, kinds: Any, file_of: Any) -> None:
    hq.apply_policy(1, TIGHT)
    hq.approve(file_of("rival", priority=90, offer="other"))
    hq.plan(START)
    hq.send(START + 60)
    hq.receive(START + 90)
    hq.approve(file_of(audience="age >= 20"))
    hq.plan(START + HOUR)
    told = hq.spring(kinds.texted)
    moment = told["would_change"]["from"]
    assert moment == START + 60 + 2 * DAY + 90
    for at, reason in ((moment - 1, "CONTACT_CAP"), (moment, "")):
        hq.approve(file_of(f"later{at}", offer=f"offer{at}"))
        hq.plan(at)
        (later,) = hq.why(kinds.texted, f"later{at}")["campaigns"]
        assert later["reason"] == reason, at


def test_a_stop_before_sending_is_the_reason_and_all_that_forbade_is_told(hq: Any, kinds: Any, file_of: Any) -> None:
    hq.apply_policy(1, TIGHT)
    hq.approve(file_of())
    hq.plan(START)
    hq.stop([kinds.texted], START + 10)
    hq.stop([kinds.texted, kinds.local], START + 20, StopScope.REFUSED)
    hq.send(START + 60)
    told = hq.spring(kinds.texted)
    assert (told["outcome"], told["reason"]) == ("suppressed", "STOPPED")
    assert told["would_change"] == {"rules": ["STOPPED", "COOLING"], "from": None}
    rested = hq.spring(kinds.local)
    assert rested["reason"] == "COOLING"
    assert rested["would_change"] == {"rules": ["COOLING"], "from": START + 20 + 3 * DAY}


def test_a_later_wave_says_which_state_it_wanted(hq: Any, kinds: Any, file_of: Any) -> None:
    hq.approve(file_of())
    hq.plan(START)
    hq.send(START + 60)
    hq.receive(START + 90, responses={kinds.texted: Response.INTERESTED})
    hq.plan(START + 3 * DAY)
    second = hq.spring(kinds.texted)["waves"][1]
    assert second["outcome"] == "not_chosen"
    assert second["chosen"] == {"takes": ["no_response"], "at": START + 3 * DAY, "was": "interested", "holds": False}
    assert hq.spring(kinds.texted)["outcome"] == "delivered", "the first wave reached them"
    local = hq.spring(kinds.local)["waves"][1]
    assert local["chosen"]["was"] == "no_response"
    assert local["task"]["work_order"].startswith("spring/2/local_sms/")


def test_an_open_task_says_what_it_waits_for_and_what_would_forbid_it_now(hq: Any, kinds: Any, file_of: Any) -> None:
    hq.approve(file_of())
    hq.plan(START)
    assert hq.spring(kinds.texted)["waves"][0]["awaits"] == [{"for": "turn", "until": None}]
    assert hq.spring(kinds.local)["waves"][0]["awaits"] == [{"for": "acceptance", "until": None}]
    hq.stop([kinds.texted], START + 10)
    hq.clock.at = START + 13 * HOUR
    (wave, _) = hq.spring(kinds.texted)["waves"]
    assert wave["awaits"] == [{"for": "quiet_hours", "until": START + DAY}]
    assert [rule["rule"] for rule in wave["foreseen"] if rule["forbids"]] == ["STOPPED"]


MOMENTS = (START - 60, START, START + 30, START + 60, START + 90, START + HOUR, START + 3 * DAY, START + 3 * DAY + 60)


def test_asking_later_for_an_earlier_moment_tells_what_was_told_then(hq: Any, kinds: Any, file_of: Any) -> None:
    """But for what was foreseen, and the state of the work order, which are of the moment alone."""
    hq.approve(file_of(holdout="5%"))
    steps = {
        START: lambda: hq.plan(START),
        START + 30: lambda: hq.stop([kinds.pushed], START + 30),
        START + 60: lambda: hq.send(START + 60, limit=40),
        START + 90: lambda: hq.receive(START + 90),
        START + HOUR: lambda: (hq.order(kinds.texted, START + HOUR - 60), hq.send(START + HOUR)),
        START + 3 * DAY: lambda: hq.plan(START + 3 * DAY),
        START + 3 * DAY + 60: lambda: hq.send(START + 3 * DAY + 60),
    }
    people = [kinds.pushed, kinds.local, kinds.texted, kinds.unreachable, *range(200_000, 206_000, 1_000)]
    then = {}
    for at in MOMENTS:
        hq.clock.at = at
        steps.get(at, lambda: None)()
        then[at] = {key: _lasting(hq.spring(key)) for key in people}
    hq.clock.at += DAY
    for at in MOMENTS:
        for key in people:
            assert _lasting(hq.spring(key, at)) == then[at][key], (at - START, key)


def _lasting(told: dict[str, Any]) -> dict[str, Any]:
    for wave in told["waves"]:
        wave["foreseen"], wave["awaits"] = [], []
        if wave["task"]:
            wave["task"]["work_order_state"] = ""
    return told


def test_what_is_personal_is_not_shown(hq: Any, kinds: Any, file_of: Any) -> None:
    hq.approve(file_of(audience="card LIKE 'card%' AND age >= 20"))
    hq.plan(START)
    assert hq.spring(kinds.texted)["audience"]["columns"]["card"] == "…"


def test_someone_unknown_is_in_no_snapshot(hq: Any, file_of: Any) -> None:
    hq.approve(file_of())
    hq.plan(START)
    assert hq.spring(77)["outcome"] == "not_in_snapshot"
    assert not hq.why(77)["known"]


def test_without_a_campaign_all_are_told_those_with_a_task_first(
    hq: Any, kinds: Any, file_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hq_explain, "CAMPAIGNS_MAX", 2)
    hq.approve(file_of())
    for number in range(3):
        hq.approve(file_of(f"other{number:02}", audience="age < 20", offer=f"offer{number}"))
    hq.plan(START)
    told = hq.why(kinds.texted)
    assert told["campaigns"][0]["campaign"] == "spring"
    assert (len(told["campaigns"]), told["left_out"]) == (2, 2)


def test_a_snapshot_that_is_gone_does_not_silence_the_record(hq: Any, kinds: Any, file_of: Any) -> None:
    hq.approve(file_of())
    hq.plan(START)
    (hq.directory / "people" / "people-000001.json").rename(hq.directory / "people" / "people-000002.json")
    told = hq.spring(kinds.texted)
    assert (told["audience"], told["outcome"]) == (None, "open")


@pytest.mark.parametrize("state", [WorkOrderState.PAUSED, WorkOrderState.CANCELLED])
def test_a_command_is_told(hq: Any, kinds: Any, file_of: Any, state: WorkOrderState) -> None:
    hq.approve(file_of())
    hq.plan(START)
    with hq.database.transaction() as connection:
        ledger.set_state(connection, "spring/1/sms/hq", state)
    (awaited, *_) = hq.spring(kinds.texted)["waves"][0]["awaits"]
    assert awaited["for"] == {WorkOrderState.PAUSED: "resumption", WorkOrderState.CANCELLED: "ending"}[state]


def test_both_stores_answer_alike(database_url: str, tmp_path: Path, kinds: Any, file_of: Any) -> None:
    hq = Hq(tmp_path, database_url)
    hq.apply_policy(1, TIGHT)
    hq.approve(file_of("rival", priority=90, offer="other"))
    hq.approve(file_of())
    hq.plan(START)
    hq.send(START + 60)
    told = {each["campaign"]: each for each in hq.why(kinds.texted)["campaigns"]}
    assert (told["rival"]["outcome"], told["spring"]["reason"]) == ("submitted", "CONTACT_CAP")
    assert told["spring"]["waves"][0]["decisions"][0]["rival"] == "rival/1/sms/hq"
    with hq.database.snapshot() as connection:
        replayed = replay_all(connection, "hq", ledger.work_orders(connection), at_issue=True)
        dry = Rehearsal(hq.warehouse, tmp_path, FEDERATION_KEY).dry_run(
            connection, load(file_of("third", offer="third")), None, START + 90
        )
    assert (replayed["differences"], dry["closes"]) == (0, True)
    hq.database.close()


def test_silence_costs_less_than_two_bytes_a_person(hq: Any, file_of: Any) -> None:
    """A block of real size, half of it contacted lately."""
    draw = np.random.default_rng(3)
    assert _bytes_a_person(draw) < 2.0


def _bytes_a_person(draw: np.random.Generator) -> float:
    from common.kernel.contact_rules import RIVAL, Fact
    from common.kernel.decision import to_bytes

    people = 10_000
    day, week = draw.poisson(0.7, people).clip(0, 3), draw.poisson(2.2, people)
    rival = draw.integers(0, 8, people)

    def fact(values: Any, mask: Any) -> Fact:
        places = np.flatnonzero(mask)
        return Fact(places, np.asarray(values)[places].astype(np.int64))

    issued = {"spent.0": fact(day, day > 0), "spent.1": fact(week, week > 0), RIVAL: fact(rival, day > 0)}
    ones = np.ones(people)
    claimed = {name: fact(ones, draw.random(people) < share) for name, share in
               (("stopped_at", 0.03), ("owns_since", 0.02), ("left", 0.01), ("unnumbered", 0.001))}  # fmt: skip
    at_issue, at_claim = (len(to_bytes(np.arange(people), facts)) for facts in (issued, claimed))
    # A province keeps its decision and HQ a copy of it.
    return (at_issue + 2 * at_claim) / people
