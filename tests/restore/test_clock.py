"""A node's time goes on by what has elapsed; nothing a wall clock does moves it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from common.delivery import ledger, vault
from common.delivery.claim import Contacts, take
from common.kernel.channel import VendorTerms
from common.kernel.policy import CLOCK_MARGIN_SECONDS, SPEND_MARGIN_SECONDS
from common.kernel.refusal import Refusal
from common.kernel.task_block import open_block
from common.kernel.work_order import WorkOrder, WorkOrderState
from common.runtime.clock import ANCHOR, NANO, WALL_VARIABLE, GuardedClock, Machine, this_machine, write_offset
from hq.store import leases, provinces
from tests.restore.machine import NOON, Node
from tests.restore.test_fence import SMS

TERMS = VendorTerms(messages_per_second_max=1000, batch_max=100, dedupe_seconds=0)


@dataclass
class Computer:
    """What a machine's clocks show, in seconds."""

    wall: int = NOON
    elapsed: int = 100
    boots: int = 1

    def starts(self, directory: Path) -> GuardedClock:
        """A process reads the clock."""
        return GuardedClock(
            directory / ANCHOR,
            Machine(f"boot {self.boots}", lambda: self.elapsed * NANO, lambda: self.wall * NANO),
        )

    def passes(self, seconds: int, *, wall: int | None = None) -> None:
        self.elapsed += seconds
        self.wall += seconds if wall is None else wall

    def reboots(self, *, wall: int = 60) -> None:
        self.boots, self.elapsed = self.boots + 1, 0
        self.wall += wall


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(-(10**8), 10**8), st.booleans()), max_size=20))
def test_time_goes_on_by_what_elapsed_whatever_the_wall_clock_does(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, bool]]
) -> None:
    computer, directory = Computer(), tmp_path_factory.mktemp("node")
    clock, passed = computer.starts(directory), 0
    for seconds, wall, restarts in steps:
        computer.passes(seconds, wall=max(wall, 1 - computer.wall))
        passed += seconds
        clock = computer.starts(directory) if restarts else clock
        assert clock.now() == NOON + passed
        assert clock.trusted
        assert clock.stepped_seconds == computer.wall - clock.now()


@pytest.mark.parametrize("off", [-CLOCK_MARGIN_SECONDS - 1, -CLOCK_MARGIN_SECONDS, CLOCK_MARGIN_SECONDS,
                                 CLOCK_MARGIN_SECONDS + 1])  # fmt: skip
def test_after_a_reboot_nothing_is_done_until_a_peer_agrees(tmp_path: Path, off: int) -> None:
    computer = Computer()
    computer.starts(tmp_path)
    computer.reboots()
    done: list[int] = []

    async def run() -> None:
        clock = computer.starts(tmp_path)

        async def work() -> None:
            done.append(clock.now())

        waiting = asyncio.create_task(clock.confirmed(work))
        await asyncio.sleep(0)
        assert not clock.trusted
        assert not done
        clock.hear(computer.wall + off)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting.cancel()

    asyncio.run(run())
    agrees = abs(off) <= CLOCK_MARGIN_SECONDS
    assert done == ([computer.wall] if agrees else [])
    assert computer.starts(tmp_path).trusted == agrees


def test_what_a_peer_says_never_moves_a_clock_that_is_trusted(tmp_path: Path) -> None:
    computer = Computer()
    clock = computer.starts(tmp_path)
    computer.passes(10, wall=5_000)
    clock.hear(computer.wall)
    assert clock.now() == NOON + 10


@pytest.mark.parametrize("damage", [b"", b"{", b'{"wall": 1}', b"\xff"])
def test_a_damaged_anchor_is_no_first_start(tmp_path: Path, damage: bytes) -> None:
    computer = Computer()
    computer.starts(tmp_path)
    (tmp_path / ANCHOR).write_bytes(damage)
    assert not computer.starts(tmp_path).trusted


def test_a_wall_clock_is_stepped_in_tests_only(tmp_path: Path) -> None:
    write_offset(tmp_path / "off", 3_600)
    environment = {WALL_VARIABLE: str(tmp_path / "off")}
    with pytest.raises(Refusal):
        this_machine(environment)
    stepped = this_machine(environment | {"LIANDONG_TESTING": "1"})
    assert stepped.wall() - this_machine({}).wall() == pytest.approx(3_600 * NANO, abs=60 * NANO)


# Disagreement


@pytest.mark.parametrize(("off", "leased"), [(CLOCK_MARGIN_SECONDS, True), (CLOCK_MARGIN_SECONDS + 1, False),
                                             (-CLOCK_MARGIN_SECONDS - 1, False)])  # fmt: skip
def test_nothing_is_leased_to_a_node_whose_clock_disagrees(node: Node, off: int, leased: bool) -> None:
    node.do(provinces.enroll, "45", NOON)
    node.do(provinces.told_time, "45", off)
    if leased:
        node.do(leases.check, "45", NOON)
    else:
        with pytest.raises(Refusal) as refused:
            node.do(leases.check, "45", NOON)
        assert refused.value.reason == "CLOCK_DISAGREES"
    node.do(leases.check, "hq", NOON)


def test_a_clock_that_disagrees_stops_leases_and_not_own_contacts(node: Node) -> None:
    node.do(ask_at_both)
    busy: list[tuple[str, int]] = []
    for contacts, name in ((Contacts.OWN, "local/a"), (Contacts.OWN, None), (Contacts.ALL, "spring")):
        taken = node.do(take, "45", SMS, TERMS, NOON, 100, busy, node.fence()._outlet, contacts)
        assert [claimed.work_order.campaign for claimed in taken] == ([name] if name else [])
        busy += [(claimed.work_order.name, 0) for claimed in taken]


def test_the_margin_covers_two_clocks_that_just_agree() -> None:
    assert 2 * CLOCK_MARGIN_SECONDS <= SPEND_MARGIN_SECONDS


def ask_at_both(connection: Connection) -> None:
    """One contact HQ leased, with the higher priority, and one of the province's own."""
    for campaign, leased, priority, key in (("spring", True, 9, 1), ("local/a", False, 1, 2)):
        name, keys = f"{campaign}/1/local_sms/45", np.array([key])
        order = WorkOrder(
            name, campaign, 1, "local_sms", "45", "o", NOON - 60, NOON + 3600, priority, 1,
            WorkOrderState.ACCEPTED, leased=leased,
        )  # fmt: skip
        ledger.put_work_order(connection, order)
        ledger.insert_block(connection, open_block(name, 0, keys, ("您好",), np.zeros(1, dtype=np.uint32)))
        vault.put_subscribers(connection, keys, keys + 8_613_800_000_000, 45)
