"""The simulated BSS: the same people order at the same moments, whatever the process or the clock goes through."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest
from liandong.bss.v1 import bss_pb2, bss_pb2_grpc

from adapters.bss.order_script import DAY_SECONDS, Hits, caused, lines, national, organic
from adapters.bss.simulator import load
from adapters.channels.script import Odds, fates
from common.kernel.bss import BssOrder
from common.kernel.channel import ReceiptStage
from common.kernel.order import OrderChange
from common.kernel.refusal import Refusal
from tests.orders.bss_world import DAY, FAULTS, OFFER, PEOPLE, POOL, SCRIPT, START, World, without_faults

ROOT = Path(__file__).parents[2]
LAST_DAY = 30


def _shown(world: World) -> list[BssOrder]:
    return [shown.order for shown in world.log.shown] if world.log else []


def _lived(
    directory: Path, days: range, contacts: dict[int, np.ndarray], restart_on: int | None = None
) -> list[BssOrder]:
    """A life in day steps, the contacts of a day told before it ends."""
    directory.mkdir()
    world = World(directory)
    bss = world.bss()
    for day in days:
        if day in contacts:
            world.contact(contacts[day], day, wave=day, second=day * 7)
        world.clock.at = START + day * DAY + 9 * 3600 + 120
        bss.advance()
        if day == restart_on:
            bss = world.bss()
    return _shown(world)


CONTACTS = {0: PEOPLE[:1500], 3: PEOPLE[500:1800]}


def test_two_runs_of_one_seed_take_the_same_orders(tmp_path: Path) -> None:
    slow = _lived(tmp_path / "slow", range(LAST_DAY), CONTACTS)
    leaps = _lived(tmp_path / "leaps", range(0, LAST_DAY, 3), CONTACTS)
    assert slow == leaps
    assert len({order.order_number for order in slow}) > 300


def test_a_restart_shows_nothing_twice_and_forgets_nothing(tmp_path: Path) -> None:
    undisturbed = _lived(tmp_path / "one", range(LAST_DAY), CONTACTS)
    for day in range(1, 12):
        assert _lived(tmp_path / f"{day}", range(LAST_DAY), CONTACTS, restart_on=day) == undisturbed


def test_a_full_disk_shows_nothing_and_forgets_nothing(tmp_path: Path) -> None:
    undisturbed = _lived(tmp_path / "calm", range(LAST_DAY), CONTACTS)
    (tmp_path / "full").mkdir()
    world = World(tmp_path / "full")
    bss, refusals = world.bss(), 0
    for day in range(LAST_DAY):
        if day in CONTACTS:
            world.contact(CONTACTS[day], day, wave=day, second=day * 7)
        world.clock.at = START + day * DAY + 9 * 3600 + 120
        try:
            with _disk_full(tmp_path / "full" / "orders.jsonl"):
                bss.advance()
        except OSError:
            refusals += 1
        bss.advance()
    assert refusals > 5
    assert _shown(world) == undisturbed
    world.bss()
    assert _shown(world) == undisturbed


@contextmanager
def _disk_full(path: Path) -> Iterator[None]:
    """Room for a few bytes more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 9, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_the_moment_of_a_contact_within_its_day_changes_no_order(tmp_path: Path) -> None:
    runs = []
    for second in (0, 12 * 3600):
        (tmp_path / str(second)).mkdir()
        world = World(tmp_path / str(second))
        world.contact(PEOPLE, 2, second=second)
        world.clock.at = START + LAST_DAY * DAY
        world.bss().advance()
        runs.append(sorted(map(str, _shown(world))))
    assert runs[0] == runs[1]


def test_nobody_orders_on_the_first_day_nor_outside_the_shops_hours(world: World) -> None:
    world.contact(PEOPLE, 0)
    world.clock.at = START + LAST_DAY * DAY
    world.bss().advance()
    moments = [order.accepted_at - START for order in _shown(world)]
    assert min(moments) >= DAY + 10 * 3600
    assert all(10 * 3600 <= moment % DAY < 20 * 3600 for moment in moments)


def test_only_people_the_vendor_reached_are_moved_and_one_to_five_days_later(world: World) -> None:
    world.contact(PEOPLE, 3)
    world.clock.at = START + LAST_DAY * DAY
    world.bss().advance()
    stages = fates(Odds(), 9, "sms", "spring/1/sms/hq", PEOPLE).stages
    reached = set(PEOPLE[stages == ReceiptStage.DELIVERED].tolist())
    unmoved = set(organic(SCRIPT, OFFER, PEOPLE).msisdns.tolist())
    moved = {order.msisdn for order in _shown(world)} - unmoved
    assert moved < reached
    assert 0.15 < len(moved) / len(reached - unmoved - set(POOL.msisdns.tolist())) < 0.25
    days = {
        (order.accepted_at - START) // DAY for order in _shown(world) if order.msisdn in moved and order.revision == 1
    }
    assert days == {4, 5, 6, 7, 8}


def test_a_person_orders_an_offer_once_however_often_contacted(world: World) -> None:
    for wave, channel in enumerate(("sms", "outbound_call", "sms"), 1):
        world.contact(PEOPLE, 2 * wave, wave=wave, channel=channel)
    world.clock.at = START + LAST_DAY * DAY
    world.bss().advance()
    numbers = {(order.msisdn, order.order_number) for order in _shown(world)}
    assert len(numbers) == len({msisdn for msisdn, _ in numbers}) > 500


def test_the_contacts_of_another_campaign_move_nobody(world: World) -> None:
    world.contact(PEOPLE, 2)
    bss = world.bss()
    world.clock.at = START + LAST_DAY * DAY
    other = replace(OFFER, campaigns=("autumn",))
    for shelf in bss._shelves:
        shelf.offer = other
    bss.advance()
    expected = np.setdiff1d(organic(SCRIPT, OFFER, PEOPLE).msisdns, POOL.msisdns)
    assert {order.msisdn for order in _shown(world)} == set(expected.tolist())


def test_faults_come_in_their_shares_and_a_late_reversal_comes_first() -> None:
    people = np.arange(8613900000000, 8613900020000, dtype=np.int64)
    taken = Hits(people, np.full(len(people), START + 2 * DAY, dtype=np.int64))
    told = lines(SCRIPT, OFFER, taken)
    late = (told.revisions == 1) & (told.copies == 0) & (told.visible_at > told.accepted_at)
    count = Counter(told.changes[told.copies == 0].tolist())
    for share in (late.sum(), (told.copies == 1).sum(), count[OrderChange.REVERSED], count[OrderChange.UNSUBSCRIBED]):
        assert 0.09 < share / len(people) < 0.11
    first = told.take(np.lexsort((told.visible_at, told.msisdns)))
    starts = np.append(True, first.msisdns[1:] != first.msisdns[:-1])
    assert (first.changes[starts] == OrderChange.REVERSED).any()
    assert len(lines(without_faults(), OFFER, taken)) == len(people)


def test_cbss_and_the_provinces_share_people_out_and_miss_none() -> None:
    theirs = national(3, PEOPLE, 0.25)
    assert 0.2 < theirs.mean() < 0.3
    assert (national(3, PEOPLE, 0.25) == theirs).all()


def test_two_writers_of_one_log_are_refused(world: World) -> None:
    world.bss()
    with pytest.raises(Refusal, match="another process writes this order log"):
        World(world.directory).bss()


def test_a_torn_line_at_the_end_is_dropped(world: World) -> None:
    world.clock.at = START + 9 * DAY
    world.bss().advance()
    whole = _shown(world)
    world.log.close()
    path = world.directory / "orders.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    world.log = None
    world.bss()
    assert _shown(world) == whole[:-1]
    world.bss().advance()
    world.bss()
    assert sorted(map(str, _shown(world))) == sorted(map(str, whole))


def test_two_hundred_thousand_people_and_half_as_many_contacts_take_well_under_a_second() -> None:
    people = np.arange(8613900000000, 8613900200000, dtype=np.int64)
    begun = time.perf_counter()
    organic(SCRIPT, OFFER, people)
    caused(SCRIPT, OFFER, "sms", "spring/1/sms/hq", people[:100_000], np.full(100_000, START + DAY_SECONDS))
    assert time.perf_counter() - begun < 0.5
    assert FAULTS.late


SETTINGS = """
source_system = "bss-45"
listen = "127.0.0.1:0"
data_dir = "bss"
subscribers = "people.csv"
province = 45
national_share = 0.25
seed = 3
start_at = {start}
days = 10
[[offers]]
code = "5g"
price_fen = 5900
organic_share = 0.2
[faults]
duplicate = 0.1
"""


def _serve(directory: Path) -> tuple[subprocess.Popen[str], str]:
    env = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto' / 'gen'}"}
    process = subprocess.Popen(
        [sys.executable, "-m", "adapters.bss.simulator", str(directory / "bss.toml")],
        stdout=subprocess.PIPE, text=True, env=env, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout is not None
    return process, process.stdout.readline().removeprefix("listening on ").strip()


def _pages(address: str, token: str = "") -> list[bss_pb2.ListOrderRecordsResponse]:
    pages = []
    with grpc.insecure_channel(address) as channel:
        stub = bss_pb2_grpc.OrderRecordServiceStub(channel)
        while not pages or not pages[-1].caught_up:
            request = bss_pb2.ListOrderRecordsRequest(page_token=token, page_size=50)
            pages.append(stub.ListOrderRecords(request, timeout=10, wait_for_ready=True))
            token = pages[-1].next_page_token
    return pages


@pytest.mark.slow
def test_the_log_survives_sigkill_and_goes_on(tmp_path: Path) -> None:
    # Of these days about half lie in the past.
    (tmp_path / "bss.toml").write_text(SETTINGS.format(start=int(time.time()) - 5 * DAY))
    rows = "".join(f"{msisdn},{45 if msisdn % 2 else 13}\n" for msisdn in PEOPLE.tolist())
    (tmp_path / "people.csv").write_text("msisdn,province\n" + rows)
    process, address = _serve(tmp_path)
    try:
        before = _pages(address)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process, address = _serve(tmp_path)
        again = _pages(address)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]
    told = [record.order_number for page in before for record in page.order_records]
    assert len(told) > 50
    assert [record.order_number for page in again for record in page.order_records][: len(told)] == told
    assert all(record.msisdn % 2 for page in again for record in page.order_records)


def test_settings_that_are_wrong_are_named(tmp_path: Path) -> None:
    (tmp_path / "bss.toml").write_text(SETTINGS.format(start=0) + "\n[pool]\nleavers = 1\n")
    with pytest.raises(Refusal, match=r"bss\.toml.*\n.*pool.leavers"):
        load(tmp_path / "bss.toml")
