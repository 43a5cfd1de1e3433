"""HQ numbers trigger documents, sends them, and hears what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from liandong.campaign.v1 import trigger_pb2 as pb
from sqlalchemy import Connection, insert

from adapters.warehouse.duckdb_warehouse import DuckDbWarehouse
from common.courier import log
from common.courier.bell import Bell
from common.delivery import host_lists
from common.delivery import triggers as kept
from common.delivery.tables import incarnation
from common.kernel.host_list import HostPart, parts_of
from common.kernel.refusal import Refusal
from common.kernel.trigger_version import TriggerEvent, TriggerVersion
from common.runtime.clock import SystemClock
from common.runtime.database import Database
from common.wire import tls
from hq.rpc.triggers import TriggerApi
from hq.store import feed, provinces, triggers
from hq.store.triggers import NAMES_MAX, UNNAMED_SECONDS, AtProvince, Changed
from tests.courier.world import NOW
from tests.triggers.documents import NEWER_KEY, document, listed_document, names

Do = Callable[..., Any]


@pytest.fixture
def do(database: Database) -> Do:
    def run(work: Callable[..., Any], *arguments: Any) -> Any:
        with database.transaction() as connection:
            return work(connection, *arguments)

    for code in ("13", "45"):
        run(provinces.enroll, code, NOW)
    return run


def apply(do: Do, name: str, text: str) -> Changed:
    done: Changed = do(triggers.apply, name, text, names(text), NOW)
    return done


def pause(do: Do, rule: str, paused: bool = True) -> Changed:
    done: Changed = do(triggers.pause, rule, paused, NOW)
    return done


def control_entries(connection: Connection, code: str) -> int:
    return log.position(connection, code, feed.CONTROL).head


def snapshot(connection: Connection) -> list[Any]:
    return [piece(connection) for piece in feed.snapshot(connection, "11", feed.CONTROL)]


def rules(do: Do) -> dict[str, bool]:
    """Names of those in force at HQ, and whether each is paused."""
    return {rule.name: rule.paused for each in do(kept.in_force).values() for rule in each.rules}


def test_the_first_goes_to_every_province(do: Do) -> None:
    text = document("data-80", "data-90")
    assert apply(do, "scenes", text) == Changed(TriggerVersion(1, "scenes", text), True, ["13", "45"])
    assert rules(do) == {"data-80": False, "data-90": False}
    assert [do(control_entries, code) for code in ("13", "45")] == [1, 1]


def test_the_same_text_again_changes_nothing(do: Do) -> None:
    text = document("data-80")
    apply(do, "scenes", text)
    assert apply(do, "scenes", text) == Changed(TriggerVersion(1, "scenes", text), False, [])
    assert do(control_entries, "45") == 1
    assert apply(do, "scenes", document("data-80", limit=6000)).now.version == 2


def test_one_number_counts_the_changes_of_all_documents(do: Do) -> None:
    assert apply(do, "scenes", document("data-80")).now.version == 1
    assert apply(do, "national", document("roaming")).now.version == 2
    assert apply(do, "scenes", document("data-90")).now.version == 3
    assert rules(do) == {"data-90": False, "roaming": False}


def test_a_paused_rule_stays_paused_until_it_is_resumed(do: Do) -> None:
    text = document("data-80", "data-90")
    apply(do, "scenes", text)
    assert pause(do, "data-90").now == TriggerVersion(2, "scenes", text, ("data-90",))
    assert not pause(do, "data-90").changed
    newer = document("data-80", "data-90", limit=6000)
    assert apply(do, "scenes", newer).now == TriggerVersion(3, "scenes", newer, ("data-90",))
    assert rules(do) == {"data-80": False, "data-90": True}
    assert pause(do, "data-90", False).now == TriggerVersion(4, "scenes", newer)
    assert not pause(do, "data-90", False).changed
    assert rules(do) == {"data-80": False, "data-90": False}


def test_a_pause_ends_with_its_rule(do: Do) -> None:
    apply(do, "scenes", document("data-80", "data-90"))
    pause(do, "data-90")
    apply(do, "scenes", document("data-80"))
    assert apply(do, "scenes", document("data-80", "data-90")).now.paused == ()


def test_what_the_document_itself_pauses_only_the_document_resumes(do: Do) -> None:
    apply(do, "scenes", document("data-80").replace("scene:", "paused: true\n    scene:"))
    assert rules(do) == {"data-80": True}
    with pytest.raises(Refusal, match="document scenes itself says that data-80 is paused; change it there"):
        pause(do, "data-80", False)


def test_a_rule_nobody_has_cannot_be_paused(do: Do) -> None:
    apply(do, "scenes", document("data-80", "data-90"))
    with pytest.raises(Refusal, match="no rule data-8 in force; there are: data-80, data-90") as no:
        pause(do, "data-8")
    assert no.value.reason == "NOT_FOUND"


def test_a_withdrawn_document_has_no_rule_in_force(do: Do) -> None:
    text = document("data-80")
    apply(do, "scenes", text)
    pause(do, "data-80")
    assert do(triggers.withdraw, "scenes", NOW).now == TriggerVersion(3, "scenes", "", (), True)
    assert not do(triggers.withdraw, "scenes", NOW).changed
    assert rules(do) == {}
    assert apply(do, "scenes", text).now == TriggerVersion(4, "scenes", text)
    with pytest.raises(Refusal, match="no trigger document scene; there are: scenes"):
        do(triggers.withdraw, "scene", NOW)


@pytest.mark.parametrize(
    ("name", "rule", "problem"),
    [
        ("national", "data-80", "data-80: document scenes has a rule of this name. Rename one of the two"),
        ("national", "local-surge", "local-surge: names that begin with local- are the provinces' own"),
    ],
)
def test_a_name_that_is_anothers_is_refused(do: Do, name: str, rule: str, problem: str) -> None:
    apply(do, "scenes", document("data-80"))
    with pytest.raises(Refusal, match=problem) as no:
        apply(do, name, document(rule))
    assert no.value.reason == "TRIGGER_INVALID"
    assert do(kept.received) == 1


@pytest.mark.parametrize("name", ["", "Scenes", "a b", "x" * 41, "../scenes"])
def test_a_document_has_a_plain_name(do: Do, name: str) -> None:
    with pytest.raises(Refusal, match="is no name of a trigger document"):
        apply(do, name, document("data-80"))


def test_a_rule_may_move_to_another_document(do: Do) -> None:
    apply(do, "scenes", document("data-80", "data-90"))
    apply(do, "scenes", document("data-80"))
    apply(do, "national", document("data-90"))
    assert rules(do) == {"data-80": False, "data-90": False}


def test_a_province_that_comes_later_gets_the_newest_of_each_in_its_snapshot(do: Do) -> None:
    apply(do, "gone", document("spring"))
    do(triggers.withdraw, "gone", NOW)
    apply(do, "scenes", document("data-80"))
    apply(do, "national", document("roaming"))
    pause(do, "data-80")
    assert do(snapshot) == [
        TriggerVersion(2, "gone", "", (), True),
        TriggerVersion(4, "national", document("roaming")),
        TriggerVersion(5, "scenes", document("data-80"), ("data-80",)),
    ]


def test_hq_knows_what_each_province_made_of_each_document(do: Do) -> None:
    apply(do, "scenes", document("data-80"))
    do(triggers.heard, "45", TriggerEvent("scenes", 1, ""))
    apply(do, "scenes", document("data-90"))
    do(triggers.heard, "45", TriggerEvent("scenes", 2, "line 9: unknown key"))
    standing = [AtProvince("13", 0, ""), AtProvince("45", 1, "2: line 9: unknown key")]
    assert do(triggers.at_provinces) == {"scenes": standing}
    for late in (TriggerEvent("scenes", 2, ""), TriggerEvent("scenes", 1, "an old story")):
        do(triggers.heard, "45", late)
    assert do(triggers.at_provinces)["scenes"][1] == AtProvince("45", 2, "")


def test_a_restored_hq_numbers_above_what_it_may_have_forgotten(do: Do) -> None:
    apply(do, "scenes", document("data-80"))
    do(lambda connection: connection.execute(insert(incarnation).values(number=2, mark=1, fenced_at=NOW)))
    do(triggers.heard, "45", TriggerEvent("scenes", 2, ""))
    assert apply(do, "scenes", document("data-80")).now.version == 10_001
    assert not apply(do, "scenes", document("data-80")).changed


def test_a_document_that_hq_forgot_is_seen_and_can_be_withdrawn(do: Do) -> None:
    do(triggers.heard, "45", TriggerEvent("spring", 7, ""))
    assert do(triggers.at_provinces) == {"spring": [AtProvince("13", 0, ""), AtProvince("45", 7, "")]}
    assert do(triggers.withdraw, "spring", NOW).now == TriggerVersion(8, "spring", "", (), True)


def test_a_liar_can_use_up_neither_numbers_nor_space(do: Do) -> None:
    for version, after in ((9, 10), (10**9, 10**9 + 1), ((1 << 31) - 1, 10**9 + 2)):
        do(triggers.heard, "45", TriggerEvent("scenes", version, ""))
        assert apply(do, "scenes", document("data-80", limit=1000 + version % 7)).now.version == after
    for number in range(NAMES_MAX + 5):
        do(triggers.heard, "45", TriggerEvent(f"made-up-{number}", 1, "x" * 1_000_000))
    told = do(triggers.at_provinces)
    assert len(told) == NAMES_MAX
    assert max(len(each.objection) for of in told.values() for each in of) < 1_010


@pytest.mark.parametrize(
    "event", [TriggerEvent("scenes", 0, ""), TriggerEvent("scenes", 1 << 31, ""), TriggerEvent("a/b", 1, "")]
)
def test_what_nobody_can_have_been_sent_is_refused(do: Do, event: TriggerEvent) -> None:
    with pytest.raises(Refusal, match="there is none"):
        do(triggers.heard, "45", event)


def test_an_hq_that_cannot_read_its_newest_can_still_pause_it(do: Do) -> None:
    apply(do, "scenes", document("data-80"))
    do(kept.keep, TriggerVersion(2, "scenes", document("data-80") + NEWER_KEY), "", NOW)
    assert pause(do, "data-80").now == TriggerVersion(3, "scenes", document("data-80") + NEWER_KEY, ("data-80",))
    assert rules(do) == {"data-80": True}


def lists_here(connection: Connection) -> set[str]:
    return {digest for digest, _ in host_lists.every(connection)}


def test_a_list_goes_when_no_document_that_may_be_in_force_names_it(do: Do) -> None:
    old, text = listed_document("films", ["a.example.com"])
    new, newer = listed_document("films", ["b.example.com"])
    later = NOW + UNNAMED_SECONDS + 10
    do(triggers.put_part, old, NOW)
    do(triggers.apply, "films", text, names(text), NOW, [old.digest])
    do(triggers.put_part, new, later)
    assert do(lists_here) == {old.digest, new.digest}
    unreadable = newer + NEWER_KEY
    do(kept.keep, TriggerVersion(2, "films", unreadable), "", later)
    do(triggers.put_part, HostPart("ab" * 32, 0, 1, b"x"), later + UNNAMED_SECONDS)
    assert do(lists_here) == {old.digest, new.digest, "ab" * 32}
    do(triggers.apply, "films", newer, names(newer), later + UNNAMED_SECONDS + 10, [new.digest])
    assert do(lists_here) == {new.digest, "ab" * 32}
    do(triggers.withdraw, "films", later + 2 * UNNAMED_SECONDS + 20)
    assert do(lists_here) == set()


def test_lists_that_nobody_names_are_bounded(do: Do, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triggers, "UNNAMED_PARTS_MAX", 3)
    named, text = listed_document("films", ["a.example.com"])
    do(triggers.put_part, named, NOW)
    do(triggers.apply, "films", text, names(text), NOW, [named.digest])
    parts = [HostPart("ab" * 32, number, 4, b"x") for number in range(4)]
    for part in parts[:3]:
        do(triggers.put_part, part, NOW)
    with pytest.raises(Refusal, match="3 parts of lists of hosts that no trigger document names wait here") as refused:
        do(triggers.put_part, parts[3], NOW)
    assert refused.value.reason == "STATE_CONFLICT"
    do(triggers.put_part, parts[0], NOW)
    do(triggers.put_part, parts[3], NOW + UNNAMED_SECONDS + 10)
    assert do(lists_here) == {named.digest, "ab" * 32}


def test_while_a_long_list_is_published_others_write(
    do: Do, database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("common.kernel.host_list.PART_BYTES_MAX", 2_000)
    monkeypatch.setattr("hq.rpc.triggers.caller", lambda: tls.Identity("operator", "ops"))
    parts = parts_of(f"site{number * 7919}.example.com" for number in range(3_000))
    text = f"{document('films')}hosts:\n  sites: {{digest: {parts[0].digest}}}\n"
    for part in parts:
        do(triggers.put_part, part, NOW)
    api = TriggerApi(database, lambda: DuckDbWarehouse.open(tmp_path), SystemClock(), Bell())

    async def story() -> set[int]:
        request = pb.ApplyTriggersRequest(name="films", document_yaml=text)
        applying = asyncio.ensure_future(api.ApplyTriggers(request, None))  # type: ignore[arg-type]
        seen = set()
        while not applying.done():
            seen.add(await database.write(control_entries, "45"))
        await applying
        return seen

    assert len(parts) > 4
    assert set(range(1, len(parts))) <= asyncio.run(story())
    assert do(control_entries, "45") == len(parts) + 1


def test_no_damaged_list_goes_to_provinces_and_its_parts_may_be_put_anew(do: Do) -> None:
    named, _ = listed_document("films", ["a.example.com"])
    other, _ = listed_document("films", ["b.example.com"])
    do(triggers.put_part, replace(named, content=other.content), NOW)
    with pytest.raises(Refusal, match="is damaged; withdraw its document"):
        do(triggers.fresh_parts, [named.digest])
    do(triggers.put_part, named, NOW)
    assert do(triggers.fresh_parts, [named.digest]) == [(named.digest, 0)]
