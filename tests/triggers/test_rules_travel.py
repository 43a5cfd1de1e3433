"""Trigger rules go from HQ to provinces and their answer back, over real connections, whatever is cut on the way."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from common.courier import log
from common.delivery import host_lists
from common.delivery import triggers as kept
from common.kernel import host_list
from common.kernel.host_list import HostPart, parts_of
from common.kernel.refusal import Refusal
from common.kernel.trigger_version import TriggerEvent, TriggerVersion
from common.wire.streams import HQ
from hq.store import feed, triggers
from hq.store.triggers import AtProvince
from province import trigger_documents, uplink
from province.store import triggers as here
from tests.courier.world import NOW, Node, World, until
from tests.triggers.documents import NEWER_KEY, apply, document, names, ring, world


def rules(node: Node) -> dict[str, bool]:
    """Those in force, and whether each is paused."""
    return {rule.name: rule.paused for each in node.do(here.in_force).documents for rule in each.rules}


def known_at_hq(w: World, code: str, name: str = "scenes") -> AtProvince:
    told = w.hq.do(triggers.at_provinces).get(name, [])
    return next((each for each in told if each.province == code), AtProvince(code, 0, ""))


def pause(w: World, rule: str, paused: bool = True) -> int:
    return ring(w, w.hq.do(triggers.pause, rule, paused, NOW))


def send_unreadable(w: World, version: int) -> None:
    """As an HQ would whose build knows more than its provinces'."""

    def put(connection: Any) -> list[str]:
        said = TriggerVersion(version, "scenes", document("data-80") + NEWER_KEY)
        kept.keep(connection, said, "", NOW)
        for code in w.provinces:
            feed.put(connection, code, [said], NOW)
        return list(w.provinces)

    for code in w.hq.do(put):
        w.hq.bell.ring(code, feed.CONTROL)


def test_every_province_takes_them_over_and_hq_hears_so(tmp_path: Path) -> None:
    async def story() -> None:
        async with world(tmp_path) as w:
            for code in ("45", "13"):
                w.start_province(code)
            apply(w, "scenes", document("data-80", "data-90"))
            assert pause(w, "data-90") == 2
            await until(lambda: all(known_at_hq(w, code) == AtProvince(code, 2, "") for code in ("45", "13")))
            assert all(rules(node) == {"data-80": False, "data-90": True} for node in w.provinces.values())
            assert pause(w, "data-90", False) == 3
            await until(lambda: all(rules(node)["data-90"] is False for node in w.provinces.values()))
            ring(w, w.hq.do(triggers.withdraw, "scenes", NOW))
            await until(lambda: all(rules(node) == {} for node in w.provinces.values()))

    asyncio.run(story())


def test_a_province_cut_off_catches_up_with_everything(tmp_path: Path) -> None:
    async def story() -> None:
        async with world(tmp_path) as w:
            w.start_province("45")
            apply(w, "scenes", document("data-80"))
            await until(lambda: known_at_hq(w, "45").version == 1)
            await w.stop_province("45")
            apply(w, "national", document("roaming"))
            pause(w, "data-80")
            assert rules(w.provinces["45"]) == {"data-80": False}
            w.start_province("45")
            await until(lambda: known_at_hq(w, "45").version == 3)
            assert rules(w.provinces["45"]) == {"data-80": True, "roaming": False}

    asyncio.run(story())


def test_a_province_keeps_the_last_it_can_read_and_says_so(tmp_path: Path) -> None:
    async def story() -> None:
        async with world(tmp_path) as w:
            w.start_province("45")
            apply(w, "scenes", document("data-80"))
            await until(lambda: known_at_hq(w, "45").version == 1)
            send_unreadable(w, 2)
            await until(lambda: known_at_hq(w, "45").objection != "")
            assert rules(w.provinces["45"]) == {"data-80": False}
            told = known_at_hq(w, "45")
            assert (told.version, told.objection[:3]) == (1, "2: ")
            assert "hours_of_love: unknown key. Known here: rules" in told.objection
            pause(w, "data-80")
            await until(lambda: rules(w.provinces["45"]) == {"data-80": True})
            assert apply(w, "scenes", document("data-90")) == 4
            await until(lambda: known_at_hq(w, "45") == AtProvince("45", 4, ""))
            assert rules(w.provinces["45"]) == {"data-90": False}

    asyncio.run(story())


def test_a_province_that_comes_later_or_back_from_a_backup_gets_the_newest(tmp_path: Path) -> None:
    async def story() -> None:
        async with world(tmp_path) as w:
            apply(w, "scenes", document("data-80"))
            pause(w, "data-80")
            w.start_province("13")
            await until(lambda: known_at_hq(w, "13").version == 2)
            await w.stop_province("13")
            w.provinces["13"].do(log.raise_epoch, HQ, "control")
            w.hq.do(log.raise_epoch, "13", feed.CONTROL)
            apply(w, "national", document("roaming"))
            w.start_province("13")
            await until(lambda: known_at_hq(w, "13", "national").version == 3)
            assert rules(w.provinces["13"]) == {"data-80": True, "roaming": False}

    asyncio.run(story())


def test_an_hq_that_forgot_is_told_and_goes_on_above(tmp_path: Path) -> None:
    async def story() -> None:
        async with world(tmp_path) as w:
            province = w.provinces["45"]
            province.do(trigger_documents.take, TriggerVersion(7, "scenes", document("data-80")), NOW)
            province.do(trigger_documents.take, TriggerVersion(8, "scenes", document("data-80") + NEWER_KEY), NOW)
            province.do(uplink.append_everything, "control", NOW)
            w.start_province("45")
            await until(lambda: known_at_hq(w, "45").objection.startswith("8: "))
            assert known_at_hq(w, "45").version == 7
            assert w.hq.do(kept.in_force) == {}
            assert apply(w, "scenes", document("data-80")) == 9
            await until(lambda: known_at_hq(w, "45") == AtProvince("45", 9, ""))

    asyncio.run(story())


def test_hq_refuses_an_answer_to_what_cannot_be(tmp_path: Path) -> None:
    async def story() -> None:
        async with world(tmp_path) as w:
            w.tell(
                "45",
                "control",
                lambda connection, now: uplink.append_trigger_event(connection, TriggerEvent("scenes", 0, ""), now),
            )
            w.start_province("45")
            await asyncio.sleep(1.0)
            assert w.hq.do(triggers.at_provinces) == {}

    asyncio.run(story())


LISTED = """
rules:
  - name: films
    scene: content
    when: url_visit
    visits: films
    once_a: day
    offer: {offer: video_pack, channels: [local_sms], text: 看视频，选定向流量包, valid_for: 10m}
hosts:
  films: {digest: DIGEST}
"""


def apply_listed(w: World, parts: list[HostPart]) -> int:
    """As an operator's command line and HQ's call do it."""
    for part in parts:
        w.hq.do(triggers.put_part, part, NOW)
    text, digest = LISTED.replace("DIGEST", parts[0].digest), parts[0].digest
    for place in w.hq.do(triggers.fresh_parts, [digest]):
        w.hq.do(triggers.send_part, *place, NOW)
    return ring(w, w.hq.do(triggers.apply, "films", text, names(text), NOW, [digest]))


def listed(node: Node) -> int:
    """How many hosts the node's rule looks for."""

    def of(connection: Any) -> int:
        return sum(
            len(host_lists.of(connection, each).get("films", ())) for each in here.in_force(connection).documents
        )

    return int(node.do(of))


def test_long_lists_of_hosts_go_before_the_rules_that_name_them(tmp_path: Path, monkeypatch: Any) -> None:
    """To whom is connected, in the snapshot for whoever needs one, and once."""
    monkeypatch.setattr(host_list, "PART_BYTES_MAX", 2_000)
    parts = parts_of(f"site{number * 7919}.example.com" for number in range(3_000))
    assert len(parts) > 4

    async def story() -> None:
        async with world(tmp_path) as w:
            w.start_province("45")
            apply(w, "scenes", document("data-80"))
            await until(lambda: known_at_hq(w, "45").version == 1)
            assert apply_listed(w, parts) == 2
            await until(lambda: known_at_hq(w, "45", "films") == AtProvince("45", 2, ""))
            assert listed(w.provinces["45"]) == 3_000
            before = w.hq.do(log.position, "45", feed.CONTROL).head
            pause(w, "films")
            assert w.hq.do(log.position, "45", feed.CONTROL).head == before + 1
            w.hq.do(log.raise_epoch, "13", feed.CONTROL)
            w.start_province("13")
            await until(lambda: known_at_hq(w, "13", "films") == AtProvince("13", 3, ""))
            assert listed(w.provinces["13"]) == 3_000

    asyncio.run(story())


def test_a_province_that_asks_for_a_snapshot_between_a_list_and_its_document_gets_all_of_it(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(host_list, "PART_BYTES_MAX", 2_000)
    parts = parts_of(f"site{number * 7919}.example.com" for number in range(3_000))

    async def story() -> None:
        async with world(tmp_path) as w:
            for part in parts:
                w.hq.do(triggers.put_part, part, NOW)
            first, *others = w.hq.do(triggers.fresh_parts, [parts[0].digest])
            w.hq.do(triggers.send_part, *first, NOW)
            w.hq.do(log.raise_epoch, "45", feed.CONTROL)
            w.hq.do(log.compact, "45", feed.CONTROL)
            w.start_province("45")
            await until(lambda: len(w.provinces["45"].do(host_lists.every)) == len(parts))
            for place in others:
                w.hq.do(triggers.send_part, *place, NOW)
            text = LISTED.replace("DIGEST", parts[0].digest)
            ring(w, w.hq.do(triggers.apply, "films", text, names(text), NOW, [parts[0].digest]))
            await until(lambda: known_at_hq(w, "45", "films") == AtProvince("45", 1, ""))
            assert listed(w.provinces["45"]) == 3_000

    asyncio.run(story())


def test_a_list_that_is_not_there_whole_keeps_its_rules_out(tmp_path: Path) -> None:
    parts = [HostPart("ab" * 32, 1, 2, b"x")]

    async def story() -> None:
        async with world(tmp_path) as w:
            with pytest.raises(Refusal, match="not here whole"):
                apply_listed(w, parts)
            node = w.provinces["45"]
            node.do(trigger_documents.take, TriggerVersion(3, "films", LISTED.replace("DIGEST", "ab" * 32)), NOW)
            w.start_province("45")
            await until(lambda: "not here whole" in known_at_hq(w, "45", "films").objection)

    asyncio.run(story())
