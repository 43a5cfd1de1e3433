"""Which trigger rules a province goes by: HQ's as far as it can read them, and its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from common.courier import log
from common.delivery import host_lists
from common.delivery import tables as delivery_tables
from common.delivery import triggers as kept
from common.kernel.host_list import parts_of
from common.kernel.refusal import Refusal
from common.kernel.tag import Catalogue, Sensitivity, Tag, TagType
from common.kernel.trigger_version import TriggerVersion
from common.runtime.database import Database
from common.wire.streams import HQ
from province import local_triggers, trigger_documents, uplink
from province.store import tables, tags, triggers
from province.triggers.node import StoredRules
from province.triggers.pruning import HOST_LIST_DAYS, prune
from tests.courier.world import NOW
from tests.triggers.documents import NEWER_KEY, document, listed_document

Do = Callable[..., Any]


@pytest.fixture
def do(database: Database) -> Do:
    database.create(tables.metadata)

    def run(work: Callable[..., Any], *arguments: Any) -> Any:
        with database.transaction() as connection:
            return work(connection, *arguments)

    return run


def take(do: Do, version: int, name: str, text: str, paused: tuple[str, ...] = (), withdrawn: bool = False) -> None:
    do(trigger_documents.take, TriggerVersion(version, name, text, paused, withdrawn), NOW)


def rules(do: Do) -> dict[str, tuple[int, bool]]:
    """Version and pause of each rule in force, by name; in force twice it would be there twice."""
    found = [rule for each in do(triggers.in_force).documents for rule in each.rules]
    assert len({rule.name for rule in found}) == len(found)
    return {rule.name: (rule.version, rule.paused) for rule in found}


def control_entries(connection: Connection) -> int:
    return log.position(connection, HQ, "control").head


def test_the_newest_of_each_document_is_in_force(do: Do) -> None:
    take(do, 1, "scenes", document("data-80", "data-90"))
    take(do, 2, "national", document("roaming"))
    take(do, 4, "scenes", document("data-80"))
    take(do, 3, "scenes", document("data-70"))
    assert rules(do) == {"data-80": (4, False), "roaming": (2, False)}


def test_the_last_that_can_be_read_stays_in_force_and_hq_is_told(do: Do) -> None:
    take(do, 1, "scenes", document("data-80"))
    take(do, 2, "scenes", document("data-90") + NEWER_KEY)
    assert rules(do) == {"data-80": (1, False)}
    assert do(control_entries) == 2


def test_a_pause_holds_also_where_the_document_cannot_be_read(do: Do) -> None:
    take(do, 1, "scenes", document("data-80"))
    take(do, 2, "scenes", document("data-80") + NEWER_KEY)
    take(do, 3, "scenes", document("data-80") + NEWER_KEY, paused=("data-80",))
    assert rules(do) == {"data-80": (1, True)}


def test_what_was_withdrawn_is_not_taken_up_again_for_want_of_better(do: Do) -> None:
    take(do, 1, "scenes", document("data-80"))
    take(do, 2, "scenes", "", withdrawn=True)
    assert rules(do) == {}
    take(do, 3, "scenes", document("data-90") + NEWER_KEY)
    assert rules(do) == {}


def test_a_rule_that_moved_to_another_document_is_in_force_once(do: Do) -> None:
    take(do, 1, "scenes", document("data-80", "data-90"))
    take(do, 2, "scenes", document("data-80") + NEWER_KEY)
    take(do, 3, "national", document("data-90"))
    assert rules(do) == {"data-80": (1, False), "data-90": (3, False)}


def test_a_version_with_another_content_changes_nothing_and_hq_is_told(do: Do) -> None:
    take(do, 5, "scenes", document("data-80"))
    take(do, 5, "scenes", document("data-80"))
    assert do(control_entries) == 1
    for name, text, paused in (
        ("scenes", document("data-90"), ()),
        ("other", document("data-80"), ()),
        ("scenes", document("data-80"), ("data-80",)),
    ):
        take(do, 5, name, text, paused)
    assert rules(do) == {"data-80": (5, False)}
    assert do(control_entries) == 4


def test_another_build_judges_again_and_tells_only_what_is_new(do: Do, monkeypatch: pytest.MonkeyPatch) -> None:
    take(do, 1, "scenes", document("data-80"))
    take(do, 2, "national", document("roaming") + NEWER_KEY)
    do(trigger_documents.judge_again, NOW)
    assert do(control_entries) == 2
    understood = kept.understood
    monkeypatch.setattr(
        kept, "understood", lambda text, version, tags: understood(text.replace(NEWER_KEY, ""), version, tags)
    )
    do(trigger_documents.judge_again, NOW)
    assert do(control_entries) == 3
    assert rules(do) == {"data-80": (1, False), "roaming": (2, False)}


def test_all_is_told_again_to_an_hq_that_forgot(do: Do) -> None:
    take(do, 1, "scenes", document("data-80"))
    take(do, 2, "scenes", document("data-80") + NEWER_KEY)
    do(local_triggers.apply, "own", document("local-surge"), NOW)
    do(uplink.append_everything, "control", NOW)
    assert do(control_entries) == 4


def test_own_rules_stand_beside_those_of_hq_and_are_told_to_nobody(do: Do) -> None:
    take(do, 7, "scenes", document("data-80"))
    said, changed = do(local_triggers.apply, "own", document("local-surge"), NOW)
    assert (said.version, changed) == (1, True)
    assert rules(do) == {"data-80": (7, False), "local-surge": (1, False)}
    assert do(local_triggers.apply, "own", document("local-surge"), NOW)[1] is False
    assert do(local_triggers.apply, "own", document("local-surge", limit=6000), NOW)[0].version == 2
    assert do(local_triggers.withdraw, "own", NOW)[0].version == 3
    assert do(local_triggers.withdraw, "own", NOW)[1] is False
    assert rules(do) == {"data-80": (7, False)}
    assert do(local_triggers.apply, "own", document("local-surge"), NOW)[0].version == 4
    assert do(control_entries) == 1


def test_own_rules_have_names_hq_never_gives(do: Do) -> None:
    with pytest.raises(Refusal, match=r"data-80: a province's own rules are named local-…\. Write local-data-80") as no:
        do(local_triggers.apply, "own", document("local-surge", "data-80"), NOW)
    assert no.value.reason == "TRIGGER_INVALID"
    do(local_triggers.apply, "own", document("local-surge"), NOW)
    with pytest.raises(Refusal, match="local-surge: document own has it, too"):
        do(local_triggers.apply, "more", document("local-surge"), NOW)
    with pytest.raises(Refusal, match="no trigger document more of its own; it has: own"):
        do(local_triggers.withdraw, "more", NOW)
    assert rules(do) == {"local-surge": (1, False)}


PLAN, AGE = Tag("plan", TagType.TEXT), Tag("age", TagType.INTEGER)
ASKS_PLAN = "tags: {plan: text}\n"


def test_what_asks_for_a_tag_is_not_in_force_without_it_and_hq_is_told(do: Do) -> None:
    do(tags.put, Catalogue((AGE,)))
    take(do, 1, "scenes", document("data-80"))
    take(do, 2, "scenes", document("data-90") + ASKS_PLAN)
    take(do, 3, "national", document("roaming") + ASKS_PLAN.replace("plan", "age").replace("text", "number"))
    assert rules(do) == {"data-80": (1, False), "roaming": (3, False)}
    assert objections(do) == {2: "there is no tag plan here. Import it, or leave it out"}
    edition, told = do(triggers.edition), do(control_entries)
    assert do(tags.put, Catalogue((AGE, PLAN)))
    do(trigger_documents.judge_again, NOW)
    assert rules(do) == {"data-90": (2, False), "roaming": (3, False)}
    assert (objections(do), do(control_entries)) == ({}, told + 1)
    changed = do(triggers.edition)
    assert changed != edition
    assert not do(tags.put, Catalogue((AGE, PLAN)))
    assert do(triggers.edition) == changed


def objections(do: Do) -> dict[int, str]:
    of = delivery_tables.trigger_document.c
    return {row.version: row.objection for row in do(lambda c: c.execute(select(of.version, of.objection)).all())
            if row.objection}  # fmt: skip


def test_own_rules_ask_only_for_tags_that_are_here(do: Do) -> None:
    with pytest.raises(Refusal, match="there is no tag plan here") as no:
        do(local_triggers.apply, "own", document("local-surge") + ASKS_PLAN, NOW)
    assert no.value.reason == "TRIGGER_INVALID"
    do(tags.put, Catalogue((replace(PLAN, sensitivity=Sensitivity.LOCATION),)))
    with pytest.raises(Refusal, match="tag plan needs consent to location here"):
        do(local_triggers.apply, "own", document("local-surge") + ASKS_PLAN, NOW)
    told = ASKS_PLAN.replace("text", "{type: text, consent: location}")
    assert do(local_triggers.apply, "own", document("local-surge") + told, NOW)[1]
    assert rules(do) == {"local-surge": (1, False)}
    do(tags.put, Catalogue((replace(PLAN, type=TagType.DATE),)))
    assert rules(do) == {}


def test_own_rules_that_were_withdrawn_do_not_come_back_for_want_of_better(do: Do) -> None:
    do(local_triggers.apply, "own", document("local-surge"), NOW)
    newer = document("local-surge") + NEWER_KEY
    do(triggers.put_local, "own", newer, False, NOW)
    assert rules(do) == {"local-surge": (1, False)}
    do(local_triggers.withdraw, "own", NOW)
    do(triggers.put_local, "own", newer, False, NOW)
    assert rules(do) == {}


def test_the_edition_is_another_after_each_change_and_only_then(do: Do) -> None:
    changes: list[Callable[[], Any]] = [
        lambda: take(do, 1, "scenes", document("data-80")),
        lambda: take(do, 2, "scenes", document("data-80"), ("data-80",)),
        lambda: do(local_triggers.apply, "own", document("local-surge"), NOW),
        lambda: take(do, 3, "scenes", "", withdrawn=True),
        lambda: do(local_triggers.withdraw, "own", NOW),
    ]
    editions = [do(triggers.edition)]
    for change in changes:
        change()
        editions.append(do(triggers.edition))
        change()
        assert do(triggers.edition) == editions[-1] == do(triggers.in_force).edition
    assert len(set(editions)) == len(changes) + 1


def test_a_list_goes_when_no_document_here_names_it(do: Do) -> None:
    def here() -> set[str]:
        return {digest for digest, _ in do(host_lists.every)}

    by_hq, text = listed_document("films", ["a.example.com"])
    own, local = listed_document("local-films", ["b.example.com"])
    later = NOW + HOST_LIST_DAYS * 86_400 + 10
    do(host_lists.keep, by_hq, NOW)
    take(do, 1, "films", text)
    do(local_triggers.apply, "mine", local, NOW, [own])
    take(do, 2, "films", document("films") + NEWER_KEY)
    do(prune, later)
    assert here() == {by_hq.digest, own.digest}
    take(do, 3, "films", "", withdrawn=True)
    do(prune, NOW + 10)
    assert here() == {by_hq.digest, own.digest}
    do(prune, later)
    assert here() == {own.digest}
    do(local_triggers.withdraw, "mine", later)
    do(prune, later)
    assert here() == set()


def test_no_edition_comes_twice_whatever_is_dropped(do: Do) -> None:
    by_hq, text = listed_document("films", ["a.example.com"])
    editions = [do(triggers.edition)]

    def step(work: Callable[..., Any], *arguments: Any) -> None:
        do(work, *arguments)
        editions.append(do(triggers.edition))

    later = NOW + HOST_LIST_DAYS * 86_400 + 10
    step(host_lists.keep, by_hq, NOW)
    step(host_lists.keep, by_hq, NOW)
    step(trigger_documents.take, TriggerVersion(1, "films", text), NOW)
    step(trigger_documents.take, TriggerVersion(2, "films", "", withdrawn=True), NOW)
    do(prune, later)
    step(host_lists.keep, by_hq, later)
    assert len(set(editions)) == len(editions)


def test_a_list_stays_while_a_newer_document_asks_for_a_tag_that_is_not_here(do: Do) -> None:
    old, text = listed_document("films", ["a.example.com"])
    new, newer = listed_document("films", ["b.example.com"])
    for part in (old, new):
        do(host_lists.keep, part, NOW)
    take(do, 1, "films", text)
    take(do, 2, "films", newer + ASKS_PLAN)
    later = NOW + HOST_LIST_DAYS * 86_400 + 10
    do(prune, later)
    assert {digest for digest, _ in do(host_lists.every)} == {old.digest, new.digest}
    do(tags.put, Catalogue((PLAN,)))
    do(prune, later)
    assert {digest for digest, _ in do(host_lists.every)} == {new.digest}


def test_a_list_that_is_damaged_keeps_no_other_rules_from_serving(do: Do, database: Database, tmp_path: Path) -> None:
    """Its parts are each in order and do not belong together."""
    part, films = listed_document("films", ["youku.com"])
    do(host_lists.keep, replace(part, content=parts_of(["iqiyi.com"])[0].content), NOW)
    take(do, 1, "films", films)
    take(do, 2, "scenes", document("data-80"))
    assert set(rules(do)) == {"films", "data-80"}
    assert [rule.name for rule in StoredRules(database, 45, tmp_path).rules().rules] == ["data-80"]
