"""Stops with their scopes, consents and erasures reach every node, whoever hears of them first; and late comers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, select

from common.courier.tables import log_entry
from common.delivery import consents, erasures, forgetting, ledger, orders, stops, vault
from common.kernel.consent import Consents
from common.kernel.erasure import Erasures, erasures_of
from common.kernel.order import PoolChange
from common.kernel.pool import PoolChanges
from common.kernel.stop import Stops, StopScope, stops_of
from common.kernel.task_block import open_block
from hq.store import feed, people
from province import bss_sync, uplink
from tests.courier.world import NOW, Begin, Node, World, until, work_order

AT_45 = 5
"""One of the people at home in province 45."""
EVERYWHERE = ("hq", "45", "13")


def node(w: World, name: str) -> Node:
    return w.hq if name == "hq" else w.provinces[name]


def stop_of(key: int, scope: StopScope, at: int = NOW, *, lifted: bool = False) -> Stops:
    return stops_of(np.array([key]), np.array([at], dtype=np.uint32), np.array([lifted]), scope)


def consent_of(key: int, purpose: str = "location", at: int = NOW, *, withdrawn: bool = False) -> Consents:
    times = np.array([at], dtype=np.uint32), np.array([at + 9_000], dtype=np.uint32)
    return Consents(np.array([key]), [purpose], ["表单 7"], *times, np.array([withdrawn]))


def standing(of: Node) -> list[tuple[int, int]]:
    keys, scopes, _ = of.do(stops.standing_between, 0, 1 << 62)
    return list(zip(keys.tolist(), scopes.tolist(), strict=True))


def agreed(of: Node) -> list[tuple[int, str, str, bool]]:
    known = of.do(consents.all_consents)
    return list(zip(known.keys.tolist(), known.purposes, known.evidences, known.withdrawn.tolist(), strict=True))


def erased(of: Node) -> list[int]:
    return of.do(erasures.erased_between, 0, 1 << 62)[0].tolist()


def at_hq(connection: Connection, *said: Any) -> None:
    """An operator writes it down."""
    take: dict[type, Any] = {Stops: stops.put_stops, Consents: consents.put_consents, Erasures: forgetting.take}
    for each in said:
        take[type(each)](connection, each)
        feed.tell(connection, each, NOW)


def at_province(connection: Connection, said: Sequence[Any], now: int) -> None:
    for each in said:
        if isinstance(each, Stops):
            stops.put_stops(connection, each)
            uplink.append_stops(connection, each, now)
        elif isinstance(each, Consents):
            consents.put_consents(connection, each)
            uplink.append_consents(connection, each, now)
        else:
            forgetting.take(connection, each)
            uplink.append_erasures(connection, each, now)


async def told_by_hq(w: World, *said: Any) -> None:
    w.hq.do(at_hq, *said)
    for code in w.provinces:
        w.hq.bell.ring(code, "control")


def test_every_scope_of_a_stop_and_every_consent_reaches_every_node(world: Begin) -> None:
    scopes = [StopScope.ALL, StopScope.REFUSED, StopScope.BLACKLIST, StopScope.CALL]

    async def story() -> None:
        async with world() as w:
            for code in w.provinces:
                w.start_province(code)
            w.tell("45", "control", at_province, [stop_of(AT_45, scope) for scope in scopes[:2]])
            w.tell("45", "control", at_province, [consent_of(AT_45)])
            await told_by_hq(w, *(stop_of(AT_45, scope) for scope in scopes[2:]), consent_of(AT_45, "call"))
            both = [(AT_45, "call", "表单 7", False), (AT_45, "location", "表单 7", False)]
            for name in EVERYWHERE:
                await until(lambda name=name: standing(node(w, name)) == [(AT_45, scope) for scope in scopes])
                await until(lambda name=name: agreed(node(w, name)) == both)
            w.tell("13", "control", at_province, [consent_of(AT_45, at=NOW + 5, withdrawn=True)])
            for name in EVERYWHERE:
                await until(lambda name=name: (AT_45, "location", "表单 7", True) in agreed(node(w, name)))

    asyncio.run(story())


def test_who_joins_late_is_told_all_of_it(world: Begin) -> None:
    async def story() -> None:
        async with world() as w:
            many, never = np.arange(1, 6_000), np.zeros(5_999, dtype=np.bool_)
            rows = [stops_of(many, np.full(5_999, NOW), never, scope) for scope in (StopScope.ALL, StopScope.CALL)]
            w.hq.do(at_hq, *rows, consent_of(7), erasures_of(np.array([9]), np.array([NOW + 1])))
            w.start_province("13")
            there = w.provinces["13"]
            await until(lambda: erased(there) == [9], 10)
            assert standing(there) == standing(w.hq)
            assert len(standing(there)) == 2 * (5_999 - 1)
            assert agreed(there) == [(7, "location", "表单 7", False)]

    asyncio.run(story())


@pytest.mark.parametrize("rows", [1, 2, 3, 7])
def test_rows_of_one_key_travel_in_one_entry(rows: int) -> None:
    keys = np.array([1, 1, 1, 2, 3, 3, 9, 9, 9, 9])
    ranges = list(feed.ranges(keys, rows))
    assert [first for first, _ in ranges[1:]] == [int(keys[keys > last][0]) for _, last in ranges[:-1]]
    assert (ranges[0][0], ranges[-1][1]) == (1, 9)
    assert list(feed.ranges(keys[:0], rows)) == []


def test_an_erasure_is_carried_out_at_every_node_and_its_stops_come_back_from_none(world: Begin) -> None:
    async def story() -> None:
        async with world() as w:
            order, keys = work_order("45", 10), np.arange(1, 11)
            block = open_block(order.name, 0, keys, tuple(f"给{key}" for key in keys), np.arange(10, dtype=np.uint32))
            w.provinces["45"].do(vault.put_subscribers, keys, keys + 8_613_800_000_000, 45)
            w.start_province("45")
            w.issue(order, block)
            await until(lambda: w.provinces["45"].do(ledger.received, order.name) == 10)
            w.tell("45", "control", at_province, [stop_of(AT_45, StopScope.ALL), consent_of(AT_45)])
            await until(lambda: agreed(w.hq) != [])
            await w.stop_province("45")
            at, told = w.hq.do(people.erase, AT_45, NOW + 50)
            assert (at, told) == (NOW + 50, ["13", "45"])
            assert w.hq.do(people.erase, AT_45, NOW + 60) == (NOW + 50, [])
            w.start_province("13")
            w.start_province("45")
            await until(lambda: all(erased(node(w, name)) == [AT_45] for name in EVERYWHERE))
            for name in ("hq", "45"):
                here = node(w, name)
                assert not here.do(vault.numbers, np.array([AT_45]))[1].any()
                stored = here.do(ledger.load_block, order.name, 0)
                assert f"给{AT_45}" not in stored.texts
                assert "给6" in stored.texts
                assert (agreed(here), standing(here)) == ([], [])

    asyncio.run(story())


def test_what_was_on_its_way_when_somebody_was_erased_arrives_without_them(world: Begin) -> None:
    async def story() -> None:
        async with world() as w:
            order, keys = work_order("45", 10), np.arange(1, 11)
            texts = tuple(f"给{key}" for key in keys)
            w.issue(order, open_block(order.name, 0, keys, texts, np.arange(10, dtype=np.uint32)))
            w.hq.do(people.erase, AT_45, NOW)
            there = w.provinces["45"]
            there.do(forgetting.take, erasures_of(np.array([AT_45]), np.array([NOW])))
            w.start_province("45")
            await until(lambda: there.do(ledger.received, order.name) == 10)
            stored = there.do(ledger.load_block, order.name, 0)
            assert set(texts) - set(stored.texts) == {f"给{AT_45}"}

    asyncio.run(story())


def test_what_is_issued_to_somebody_erased_leaves_hq_without_a_text(world: Begin) -> None:
    async def story() -> None:
        async with world() as w:
            order, keys = work_order("45", 10), np.arange(1, 11)
            w.hq.do(people.erase, AT_45, NOW)
            texts = tuple(f"给{key}" for key in keys)
            w.issue(order, open_block(order.name, 0, keys, texts, np.arange(10, dtype=np.uint32)))
            sent = b"".join(w.hq.do(lambda connection: connection.execute(select(log_entry.c.payload)).scalars().all()))
            assert [text for text in texts if text.encode() not in sent] == [f"给{AT_45}"]

    asyncio.run(story())


def test_a_number_given_to_somebody_new_starts_afresh_at_every_node(world: Begin) -> None:
    async def story() -> None:
        async with world() as w:
            for code in w.provinces:
                w.start_province(code)
            await told_by_hq(w, stop_of(AT_45, StopScope.ALL), stop_of(AT_45, StopScope.BLACKLIST), consent_of(AT_45))
            await until(lambda: all(len(standing(node(w, name))) == 2 for name in EVERYWHERE))
            w.hq.do(people.erase, AT_45, NOW + 10)
            for code in w.provinces:
                w.hq.bell.ring(code, "control")
            await until(lambda: all(erased(node(w, name)) == [AT_45] for name in EVERYWHERE))
            changes = PoolChanges(np.array([AT_45]), np.array([PoolChange.REASSIGNED], np.uint8), np.array([NOW + 20]))
            numbers = np.array([8_613_800_000_005])
            w.provinces["45"].do(bss_sync.take_pool_changes, changes, numbers, 45, NOW + 20)
            w.provinces["45"].bell.ring("hq", "pool")
            for name in EVERYWHERE:
                await until(lambda name=name: erased(node(w, name)) == [])
                assert standing(node(w, name)) == [(AT_45, StopScope.BLACKLIST)]
                assert agreed(node(w, name)) == []
            assert w.provinces["45"].do(vault.numbers, np.array([AT_45]))[0].tolist() == numbers.tolist()
            assert w.hq.do(vault.put_subscribers, np.array([AT_45]), numbers, 45)[0] == 1

    asyncio.run(story())


def test_a_province_can_erase_allow_or_speak_for_nobody_elsewhere(world: Begin) -> None:
    async def story() -> None:
        async with world() as w:
            w.start_province("13")
            w.hq.do(at_hq, stop_of(AT_45, StopScope.CALL))
            w.tell("13", "control", at_province, [
                erasures_of(np.array([AT_45]), np.array([NOW])),
                erasures_of(np.array([AT_45]), np.array([NOW + 1]), lifted=True),
                stop_of(AT_45, StopScope.CALL, NOW + 1, lifted=True),
                consent_of(AT_45),
                stop_of(77, StopScope.ALL),
            ])  # fmt: skip
            await until(lambda: (77, StopScope.ALL) in standing(w.hq))
            assert standing(w.hq) == [(AT_45, StopScope.CALL), (77, StopScope.ALL)]
            assert (erased(w.hq), agreed(w.hq)) == ([], [])
            assert len(w.hq.do(orders.orders_of_offer, "offer")) == 0
            assert w.hq.do(vault.numbers, np.array([AT_45]))[1].all()

    asyncio.run(story())
