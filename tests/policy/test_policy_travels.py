"""A policy goes from HQ to provinces and their answer back, over real connections, whatever is cut on the way."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import insert, select

from common.courier import log
from common.delivery import policies as kept
from common.delivery.tables import policy
from common.kernel.policy import DEFAULT, PolicyDocument, PolicyEvent
from common.wire.streams import HQ
from hq.policy_file import check
from hq.store import feed, policies
from hq.store.policies import AtProvince
from province import policies as taken
from province import uplink
from tests.courier.world import NOW, Begin, Node, World, until

NEWER_KEY = "hours_of_love: 3\n"
"""What an HQ of a later release might write."""


def apply(w: World, text: str) -> int:
    applied = w.hq.do(policies.apply, text, check(text), NOW)
    for code in applied.told:
        w.hq.bell.ring(code, feed.CONTROL)
    return int(applied.version)


def send_unreadable(w: World, version: int, text: str) -> None:
    """As an HQ would whose build knows more than its provinces'."""

    def put(connection: object) -> None:
        document = check(text) + NEWER_KEY
        row = {"version": version, "document": document, "received_at": NOW, "objection": ""}
        connection.execute(insert(policy), row)  # type: ignore[attr-defined]
        for code in w.provinces:
            feed.put(connection, code, [PolicyDocument(version, document)], NOW)  # type: ignore[arg-type]

    w.hq.do(put)
    for code in w.provinces:
        w.hq.bell.ring(code, feed.CONTROL)


def version_at(node: Node) -> int:
    return int(node.do(kept.in_force).version)


def known_at_hq(w: World, code: str) -> AtProvince:
    return next(each for each in w.hq.do(policies.at_provinces) if each.province == code)


def test_every_province_takes_it_over_and_hq_hears_so(world: Begin, text: str) -> None:
    async def story() -> None:
        async with world() as w:
            for code in ("45", "13"):
                w.start_province(code)
            apply(w, text)
            await until(lambda: all(known_at_hq(w, code) == AtProvince(code, 1, "") for code in ("45", "13")))
            assert all(node.do(kept.in_force) == w.hq.do(kept.in_force) for node in w.provinces.values())

    asyncio.run(story())


def test_a_province_keeps_the_last_it_can_read_and_says_so(world: Begin, text: str) -> None:
    async def story() -> None:
        async with world() as w:
            w.start_province("45")
            apply(w, text)
            await until(lambda: known_at_hq(w, "45").version == 1)
            send_unreadable(w, 2, text)
            await until(lambda: known_at_hq(w, "45").objection != "")
            told = known_at_hq(w, "45")
            assert (told.version, version_at(w.provinces["45"])) == (1, 1)
            assert told.objection.startswith("2: ")
            assert "hours_of_love: unknown key. Known here: mode, caps" in told.objection
            assert apply(w, text.replace("cooling: 30d", "cooling: 9d")) == 3
            await until(lambda: known_at_hq(w, "45") == AtProvince("45", 3, ""))

    asyncio.run(story())


def test_after_an_upgrade_it_takes_over_what_it_objected_to(
    world: Begin, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with world() as w:
            w.start_province("45")
            apply(w, text)
            send_unreadable(w, 2, text)
            await until(lambda: known_at_hq(w, "45").objection != "")
            await w.stop_province("45")
            understood = kept.understood
            monkeypatch.setattr(
                kept, "understood", lambda document, version: understood(document.replace(NEWER_KEY, ""), version)
            )
            w.provinces["45"].do(taken.judge_again, NOW)
            w.start_province("45")
            await until(lambda: known_at_hq(w, "45") == AtProvince("45", 2, ""))
            assert version_at(w.provinces["45"]) == 2

    asyncio.run(story())


def test_a_province_that_comes_later_has_it_before_anything_else(world: Begin, text: str) -> None:
    async def story() -> None:
        async with world() as w:
            apply(w, text)
            apply(w, text.replace("cooling: 30d", "cooling: 9d"))
            w.start_province("13")
            await until(lambda: known_at_hq(w, "13").version == 2)
            assert version_at(w.provinces["13"]) == 2

    asyncio.run(story())


def test_a_restored_province_is_brought_up_to_date_and_never_back(world: Begin, text: str) -> None:
    async def story() -> None:
        async with world() as w:
            w.start_province("45")
            apply(w, text)
            apply(w, text.replace("cooling: 30d", "cooling: 9d"))
            await until(lambda: known_at_hq(w, "45").version == 2)
            await w.stop_province("45")
            w.provinces["45"].do(log.raise_epoch, HQ, "control")
            w.hq.do(log.raise_epoch, "45", feed.CONTROL)
            w.start_province("45")
            apply(w, text.replace("cooling: 30d", "cooling: 8d"))
            await until(lambda: known_at_hq(w, "45") == AtProvince("45", 3, ""))
            assert version_at(w.provinces["45"]) == 3

    asyncio.run(story())


def test_older_and_contradicting_versions_change_nothing(world: Begin, text: str) -> None:
    async def story() -> None:
        async with world() as w:
            province = w.provinces["45"]
            newer, older = check(text), check(text.replace("cooling: 30d", "cooling: 9d"))
            for said in (PolicyDocument(5, newer), PolicyDocument(4, older), PolicyDocument(5, newer)):
                province.do(taken.take, said, NOW)
            assert province.do(kept.in_force).version == 5
            province.do(taken.take, PolicyDocument(5, older), NOW)
            assert province.do(kept.in_force).cooling_seconds == 30 * 86_400
            w.start_province("45")
            await until(lambda: known_at_hq(w, "45").version == 5)
            await until(lambda: "another content. Apply the policy at HQ again" in known_at_hq(w, "45").objection)

    asyncio.run(story())


def test_what_came_while_the_clock_was_ahead_is_not_dated_after_what_came_later(world: Begin, text: str) -> None:
    async def story() -> None:
        async with world() as w:
            province = w.provinces["45"]
            for version, now in ((1, NOW), (2, NOW + 86_400), (3, NOW + 60), (4, NOW + 90_000)):
                province.do(taken.take, PolicyDocument(version, check(text)), now)
            dates = province.do(
                lambda c: c.execute(select(policy.c.received_at).order_by(policy.c.version)).scalars().all()
            )
            assert dates == [NOW, NOW + 86_400, NOW + 86_400, NOW + 90_000]

    asyncio.run(story())


def test_all_is_told_again_to_an_hq_that_forgot(world: Begin, text: str) -> None:
    async def story() -> None:
        async with world() as w:
            province = w.provinces["45"]
            province.do(taken.take, PolicyDocument(7, check(text)), NOW)
            province.do(taken.take, PolicyDocument(8, check(text) + NEWER_KEY), NOW)
            head = province.do(log.position, HQ, "control").head
            province.do(uplink.append_everything, "control", NOW)
            assert province.do(log.position, HQ, "control").head == head + 2
            w.start_province("45")
            await until(lambda: known_at_hq(w, "45").objection.startswith("8: "))
            assert known_at_hq(w, "45").version == 7
            assert w.hq.do(kept.in_force) == DEFAULT
            assert apply(w, text) == 8
            await until(lambda: "another content" in known_at_hq(w, "45").objection)
            assert apply(w, text.replace("cooling: 30d", "cooling: 9d")) == 9
            await until(lambda: known_at_hq(w, "45") == AtProvince("45", 9, ""))

    asyncio.run(story())


def test_hq_refuses_an_answer_to_what_cannot_be(world: Begin) -> None:
    async def story() -> None:
        async with world() as w:
            w.tell(
                "45", "control", lambda connection, now: uplink.append_policy_event(connection, PolicyEvent(0, ""), now)
            )
            w.start_province("45")
            await asyncio.sleep(1.0)
            assert known_at_hq(w, "45") == AtProvince("45", 0, "")

    asyncio.run(story())
