"""The demo: a whole campaign on a local federation, from the first subscriber to a report that closes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import grpc.aio
import pyarrow as pa
from liandong.campaign.v1 import campaign_pb2 as pb

from common.kernel.bss import SourceUnavailable
from common.runtime.clock import write_offset
from common.runtime.settings import load as load_settings
from deploy.demo import checks, scene
from deploy.demo.checks import Check
from deploy.demo.scene import Scene
from deploy.local import motion, topics
from deploy.local.federation import HQ, NODES, PROVINCES, Local, Offer, World, fill, lay_out, layout
from deploy.local.kafka import Broker
from deploy.local.link import Link
from deploy.local.processes import Supervisor
from deploy.operator_client import OperatorClient, connect
from hq.campaign_file import load
from hq.campaigns import Campaign
from province.settings import ProvinceSettings

DAY = 86_400
HOUR = 3_600
ZONE = ZoneInfo("Asia/Shanghai")
POLL_SECONDS = 0.25
START_SECONDS_MAX = 60.0
SETTLE_SECONDS_MAX = 180.0
CUT_SECONDS = 10.0
KAFKA_PARTITIONS = 2
CAUSED = {"sms": 0.022, "app_push": 0.018, "local_sms": 0.026, "outbound_call": 0.06}
ORGANIC_SHARE = 0.012
REPLIES: dict[str, dict[str, Any]] = {
    "sms": {},
    "app_push": {"interested": 0.07, "refused": 0.01, "stop": 0.002, "undeliverable": 0.08},
    "local_sms": {},
    # Of a scene only: nobody answers it, so that the campaign's numbers are the same with and without.
    "toolbar": {"refuse": 0.0, "interested": 0.0, "refused": 0.0, "stop": 0.0, "other": 0.0},
    "outbound_call": {
        "interested": 0.12,
        "refused": 0.10,
        "stop": 0.01,
        "undeliverable": 0.22,
        "receipt_ms": (100, 1500),
    },
}


class DemoFailedError(Exception):
    """Something the demo waits for did not come; the message says what, and where to look."""


class Teller(Protocol):
    """Shows what happens while it happens."""

    def step(self, name: str, **facts: object) -> None: ...

    def progress(self, name: str, done: int, total: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Plan:
    root: Path
    seed: int
    yaml: str
    people: pa.Table
    chaos: bool = False
    broker: Broker | None = None
    """Where events go through Kafka; not yet started. None: into the province's journal."""


@dataclass(slots=True)
class Outcome:
    report: dict[str, Any]
    checks: list[Check]
    restarts: dict[str, int]
    orders: int
    scene: Scene
    wall_seconds: float
    first_order_seconds: float


async def play(plan: Plan, tell: Teller) -> Outcome:
    """Raises DemoFailedError or Refusal; everything that was started is ended in any case."""
    return await Story(plan, tell).play()


@dataclass
class Story:
    plan: Plan
    tell: Teller
    local: Local = field(init=False)
    world: World = field(init=False)
    campaign: Campaign = field(init=False)
    begun: float = field(default_factory=time.monotonic)
    first_order_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.local = layout(self.plan.root)
        self.campaign = load(self.plan.yaml)
        self.world = _world(self.campaign, self.plan.seed)

    async def play(self) -> Outcome:
        await self._prepare()
        async with self._running() as (processes, links), connect(self._operator) as hq:
            await self._start(processes, hq)
            await self._approve(hq)
            trouble = asyncio.create_task(self._trouble(processes, links)) if self.plan.chaos else None
            await self._wave(hq, 1)
            if trouble:
                await trouble
            told = await self._scene()
            await self._days((1, 2, 3))
            await self._second_wave(hq)
            await self._days((4, 6, 8, 10, 13))
            self._step_to(self.campaign.attribution_over_at + HOUR)
            await self._until("wave 2 to end", SETTLE_SECONDS_MAX, lambda: self._ended(hq, 2))
            await self._quiet()
            report = await hq.report(self.campaign.name)
            restarts = dict(processes.restarts)
        found = [*await asyncio.to_thread(checks.all_checks, self.local, report), checks.offered_once(told)]
        wall = time.monotonic() - self.begun
        return Outcome(report, found, restarts, report["orders"]["taken"], told, wall, self.first_order_seconds)

    @property
    def _operator(self) -> Path:
        return self.local.home(HQ) / "operator" / "operator.toml"

    async def _prepare(self) -> None:
        brokers = self.plan.broker.address if self.plan.broker else ""
        await asyncio.to_thread(lay_out, self.local, self.world, self.plan.people, datetime.now(UTC), brokers)
        self.tell.step("laid_out", directory=self.local.root)
        counts = [await asyncio.to_thread(fill, self.local, node) for node in NODES]
        self.tell.step("imported", people=counts[0], **dict(zip(("first", "second"), counts[1:], strict=True)))

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[tuple[Supervisor, dict[str, Link]]]:
        processes = Supervisor(self.local.logs)
        links = {code: Link(self.local.ports[f"link-{code}"], self.local.ports[HQ]) for code in PROVINCES}
        try:
            for link in links.values():
                await link.restore()
            if self.plan.broker:
                await asyncio.to_thread(self._start_broker, self.plan.broker)
            yield processes, links
        finally:
            await processes.stop()
            if self.plan.broker:
                await asyncio.to_thread(self.plan.broker.stop)
            for link in links.values():
                await link.cut()

    def _start_broker(self, broker: Broker) -> None:
        begun = time.monotonic()
        broker.start()
        named = load_settings(ProvinceSettings, self.local.home(scene.CODE) / "province.toml").topics()
        topics.create(broker.address, named, KAFKA_PARTITIONS)
        self.tell.step("broker", address=broker.address, topics=len(named), seconds=f"{time.monotonic() - begun:.1f}")

    async def _start(self, processes: Supervisor, hq: OperatorClient) -> None:
        self._step_to(self.campaign.schedule.start + 60)
        for name, arguments in self.local.processes().items():
            await processes.start(name, arguments)
        await processes.start(f"engine-{scene.CODE}", scene.engine(self.local))
        await self._until("the nodes to start", START_SECONDS_MAX, lambda: self._all_connected(hq))
        self.tell.step("started", processes=len(processes.names()))

    async def _all_connected(self, hq: OperatorClient) -> bool:
        await hq.campaigns()
        return len(motion.query(self.local.database(HQ), "SELECT 1 FROM session")) == len(PROVINCES)

    async def _approve(self, hq: OperatorClient) -> None:
        applied = await hq.apply(self.plan.yaml)
        await hq.approve(self.campaign.name, applied.campaign.version)
        self.tell.step("approved", target=applied.audience.target, held_out=applied.audience.held_out)
        await hq.apply_triggers("scene", scene.document())

    async def _wave(self, hq: OperatorClient, number: int) -> None:
        """Until everybody of the wave has an end, save those of whom vendors will never say another word."""

        async def settled() -> bool:
            wave = (await hq.status(self.campaign.name)).waves[number - 1]
            self._show(number, wave)
            silent = motion.silent_messages(self.local, self.world, number)
            return _cut(wave) and wave.open + wave.in_flight <= silent and await self._still()

        await self._until(f"wave {number} to settle", SETTLE_SECONDS_MAX, settled)
        self.tell.step("wave_done", number=number)

    def _show(self, number: int, wave: pb.Wave) -> None:
        checks.assert_sums_close(self.local)
        self.tell.progress(f"wave {number}", wave.issued - wave.open - wave.in_flight, wave.issued)

    async def _scene(self) -> Scene:
        """People of one province use up their data, and are offered more."""
        source = "kafka" if self.plan.broker else "journal"
        keys = scene.people(self.local)
        await self._until("the rule to be in force", SETTLE_SECONDS_MAX, self._rule_in_force)
        values = scene.events(self.local, keys)
        if self.plan.broker:
            many = keys * (len(values) // len(keys))
            await asyncio.to_thread(topics.produce, self.plan.broker.address, scene.TOPIC, values, many)
        else:
            await self._until("the province to take events", SETTLE_SECONDS_MAX, lambda: self._pushed(values))
        self.tell.step("scene_events", events=len(values), source=source)

        async def ended() -> bool:
            return await asyncio.to_thread(scene.ended, self.local) == len(keys)

        await self._until("the offers to be made", SETTLE_SECONDS_MAX, ended)
        found = await asyncio.to_thread(scene.outcome, self.local, source, len(keys), len(values))
        facts = {"fires": found.fires, "contacts": found.contacts, "milliseconds": found.milliseconds}
        self.tell.step("scene_contacts", **facts)
        return found

    async def _rule_in_force(self) -> bool:
        return await asyncio.to_thread(scene.in_force, self.local)

    async def _pushed(self, values: Sequence[bytes]) -> bool:
        await scene.push(self.local, values)
        return True

    async def _second_wave(self, hq: OperatorClient) -> None:
        """Selected at night; what is ordered before the morning suppresses those tasks at both levels."""
        await self._until("wave 1 to end", SETTLE_SECONDS_MAX, lambda: self._ended(hq, 1))
        selected_at = self.campaign.select_at(2)
        self._step_to(selected_at + 60)

        async def cut() -> bool:
            wave = (await hq.status(self.campaign.name)).waves[1]
            return _cut(wave) and await self._still()

        await self._until("wave 2 to be cut", SETTLE_SECONDS_MAX, cut)
        self._step_to(self.world.midnight + 4 * DAY + HOUR)
        await self._quiet()
        self._step_to(self.world.midnight + 4 * DAY + 9 * HOUR + 60)
        await self._wave(hq, 2)

    async def _days(self, days: tuple[int, ...]) -> None:
        for day in days:
            self._step_to(self.world.midnight + day * DAY + 20 * HOUR + 1800)
            await self._quiet()
            self.tell.step("day", day=day + 1, orders=self._orders())

    def _orders(self) -> int:
        statement = "SELECT count(DISTINCT source_system || order_number) FROM order_record"
        (taken,) = motion.query(self.local.database(HQ), statement)[0]
        if taken and not self.first_order_seconds:
            self.first_order_seconds = time.monotonic() - self.begun
        return int(str(taken))

    async def _ended(self, hq: OperatorClient, number: int) -> bool:
        """Messages of which nothing is heard end as unknown when their time for receipts is over."""
        wave = (await hq.status(self.campaign.name)).waves[number - 1]
        self._show(number, wave)
        return wave.open + wave.in_flight == 0

    async def _quiet(self) -> None:
        """Everything that this moment brings has arrived everywhere."""
        await self._until("orders and results to arrive", SETTLE_SECONDS_MAX, self._still)

    async def _still(self) -> bool:
        if motion.reports_to_come(self.local, self.world) or motion.log_entries_to_come(self.local):
            return False
        return await motion.sources_read(self.local) and not motion.log_entries_to_come(self.local)

    async def _trouble(self, processes: Supervisor, links: dict[str, Link]) -> None:
        """Kill one province in the middle of its work, and cut the other's link for a while."""
        killed, cut_off = PROVINCES

        async def midway() -> bool:
            return motion.submitted_tasks(self.local, killed) > 0

        await self._until("work to begin", SETTLE_SECONDS_MAX, midway)
        processes.kill(killed)
        self.tell.step("killed", node=killed)
        await links[cut_off].cut()
        self.tell.step("cut", node=cut_off, seconds=CUT_SECONDS)
        await asyncio.sleep(CUT_SECONDS)
        await links[cut_off].restore()
        self.tell.step("restored", node=cut_off)

    def _step_to(self, moment: int) -> None:
        write_offset(self.local.clock_file, moment - int(time.time()))

    async def _until(self, what: str, seconds: float, done: Callable[[], Awaitable[bool]]) -> None:
        """A process that is down just now only takes longer."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(grpc.aio.AioRpcError, SourceUnavailable):
                if await done():
                    return
            await asyncio.sleep(POLL_SECONDS)
        raise DemoFailedError(f"waited {seconds:.0f} s for {what}; the logs are in {self.local.logs}")


def _cut(wave: pb.Wave) -> bool:
    """Whether everybody chosen has a task: HQ may have to wait with a province whose clock it has yet to hear."""
    return wave.work_orders > 0 and wave.issued + wave.unreachable == wave.selected


def _world(campaign: Campaign, seed: int) -> World:
    start = datetime.fromtimestamp(campaign.schedule.start, ZONE)
    midnight = int(start.replace(hour=0, minute=0, second=0).timestamp())
    offer = Offer(campaign.offer.code, campaign.offer.price_fen, campaign.name, ORGANIC_SHARE, CAUSED)
    return World(seed, midnight, 14, offer, REPLIES)
