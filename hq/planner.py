"""What time does to approved campaigns: waves that are due are selected, frozen and cut, and campaigns end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from pyroaring import BitMap
from sqlalchemy import Connection

from common.courier.bell import Bell
from common.kernel.columns import Keys, in_sorted
from common.kernel.refusal import Fault, Refusal, conflict
from common.kernel.tag import KEY, ORDINAL
from common.kernel.task_block import TaskBlock
from common.kernel.work_order import WorkOrder
from common.rules.rule_language import check_rule, everyone
from common.runtime.clock import Clock
from common.runtime.database import Database
from common.runtime.outage import StoreUnavailable
from hq import selection as selections
from hq.audience import Audience, Manifest, Warehouse, load_audience
from hq.campaign_file import load
from hq.campaigns import Campaign, CampaignState
from hq.evaluation import People
from hq.selection import Selection
from hq.store import campaigns, erased, feed, leases, provinces, retelling, work_orders
from hq.store.campaigns import StoredCampaign, WaveState
from hq.work_orders import Share, blocks, choices, columns_read, planned, shares

T = TypeVar("T")

log = logging.getLogger(__name__)

TICK_SECONDS = 0.2
RETRY_SECONDS = 30.0
"""A campaign that failed is left alone this long."""
AUDIENCES, SELECTIONS = "audiences", "selections"
CHUNK_PEOPLE = 250_000
"""How many people of a wave are in memory at once."""
BLOCKS_A_TRANSACTION = 10


class Planner:
    """One for HQ. Audiences and selections are files in folders of `directory`; `warehouse` answers the current one.

    `check` is called in every transaction that issues tasks and raises Refusal where none may be issued.
    """

    def __init__(
        self,
        database: Database,
        warehouse: Callable[[], Warehouse],
        clock: Clock,
        directory: Path,
        bell: Bell,
        check: Callable[[Connection], object] = lambda _connection: None,
    ) -> None:
        self._database = database
        self._warehouse = warehouse
        self._clock = clock
        self._audiences = directory / AUDIENCES
        self._selections = directory / SELECTIONS
        self._bell = bell
        self._check = check
        self._retry_at: dict[str, float] = {}
        self._waits = ""

    async def run(self) -> None:
        while True:
            await self.tick()
            await asyncio.sleep(TICK_SECONDS)

    async def tick(self) -> None:
        """All that is due now. A campaign that fails is logged, holds up no other and is tried again later.

        While HQ may have forgotten contacts it waits with everything.
        """
        waits = await self._database.read(leases.fenced, self._clock.now())
        if waits != self._waits:
            log.error("%s", waits or "everything HQ may have forgotten is known or over; it goes on")
            self._waits = waits
        while not waits and await self._round():
            pass
        half_cut = [] if waits else await self._database.read(retelling.half_cut, self._clock.now())
        if half_cut:
            for province in await self._database.write(retelling.end_half_cut, self._clock.now()):
                self._bell.ring(province, feed.WORK_ORDERS)

    async def _round(self) -> bool:
        """The next wave of every campaign that is due. False where there is none.

        Whoever asks at the same time is served by priority, and begins together: what goes first takes the contacts
        the policy leaves, and equals share a channel's places.
        """
        active = [(stored, load(stored.yaml)) for stored in await self._database.read(campaigns.active)]
        active.sort(key=lambda each: (-each[1].priority, each[0].name))
        due = [wave for stored, each in active if (wave := await self._attempt(stored.name, self._begin, stored, each))]
        for campaign, number, frozen in due:
            await self._attempt(campaign.name, self._cut, campaign, number, frozen)
        return bool(due) and all(self._may_try(campaign.name) for campaign, *_ in due)

    async def _attempt(self, name: str, step: Callable[..., Awaitable[T]], *arguments: Any) -> T | None:
        """What the step answers; None where it failed, or did a short while ago."""
        if not self._may_try(name):
            return None
        try:
            return await step(*arguments)
        except StoreUnavailable:
            raise
        except Refusal as why:
            # Nothing is wrong with the campaign: a province's clock, or a fence that will pass.
            self._leave_alone(name, why.retry_seconds or RETRY_SECONDS)
            log.warning("campaign %s waits: %s", name, why.message)
        except Exception:
            self._leave_alone(name, RETRY_SECONDS)
            log.exception("campaign %s: a step failed; trying again in %g s", name, RETRY_SECONDS)
        return None

    def _leave_alone(self, name: str, seconds: float) -> None:
        self._retry_at[name] = self._clock.monotonic() + seconds

    def _may_try(self, name: str) -> bool:
        return self._retry_at.get(name, 0.0) <= self._clock.monotonic()

    async def _begin(self, stored: StoredCampaign, campaign: Campaign) -> tuple[Campaign, int, Selection] | None:
        """Select and begin the next wave, if one is due, going on where a crash left off; or finish the campaign."""
        uncut = [w for w in await self._database.read(campaigns.waves, stored.name) if w.state is not WaveState.CUT]
        if not uncut:
            if stored.state is CampaignState.APPROVED and campaign.attribution_over_at <= self._clock.now():
                await self._database.write(work_orders.finish, stored.name)
            return None
        wave = uncut[0]
        if wave.select_at > self._clock.now():
            return None
        if wave.state is WaveState.PLANNED and (
            stored.state is not CampaignState.APPROVED or not await self._select(stored, campaign, wave.number)
        ):
            return None
        waves = await self._database.read(campaigns.waves, campaign.name)
        frozen = Selection.from_json(waves[wave.number - 1].selection)
        await asyncio.to_thread(selections.verify, self._selections, frozen)
        orders = planned(campaign, wave.number, frozen.tasks)
        begun = await self._database.write(work_orders.begin_cut, campaign.name, wave.number, orders, self._clock.now())
        return (campaign, wave.number, frozen) if begun else None

    async def _select(self, stored: StoredCampaign, campaign: Campaign, number: int) -> bool:
        """Freeze whom the wave takes. False where the campaign was paused or cancelled meanwhile."""
        now = self._clock.now()
        if number == 1:
            # All of them before the first is divided: two queries at once would need twice the warehouse's memory.
            keys = await asyncio.to_thread(lambda: list(self._audience_keys(stored)))
            keys = with_erased(keys, await self._database.read(erased.members, stored.name))
        else:
            keys = [await self._database.read(work_orders.chosen_keys, campaign, number, now)]
        enrolled = await self._database.read(provinces.enrolled)
        frozen = await asyncio.to_thread(self._freeze, stored, campaign, number, keys, enrolled, now)
        log.info(
            "campaign %s wave %d: %d chosen, %d unreachable", stored.name, number, frozen.selected, frozen.unreachable
        )
        return await self._database.write(work_orders.record_selection, stored.name, number, frozen.to_json())

    async def _cut(self, campaign: Campaign, number: int, frozen: Selection) -> None:
        """Issue the wave from its frozen file, passing over what was issued before a crash."""
        held = [await self._cut_order(order, frozen) for order in planned(campaign, number, frozen.tasks)]
        for why in filter(None, held):
            raise why
        await self._database.write(work_orders.end_cut, campaign.name, number)

    async def _cut_order(self, order: WorkOrder, frozen: Selection) -> Refusal | None:
        """Answers why the rest has to wait, where it has to; the others go on."""
        pieces = selections.pieces(self._selections, frozen, order.channel, order.node)
        coming = blocks(order.name, pieces)
        try:
            while some := await asyncio.to_thread(lambda: list(islice(coming, BLOCKS_A_TRANSACTION))):
                await self._database.write(self._issue, order, some)
                self._bell.ring(order.node, feed.WORK_ORDERS)
        except Refusal as why:
            if why.fault is Fault.BUSY:
                return why
            raise
        return None

    def _issue(self, connection: Connection, order: WorkOrder, some: Sequence[TaskBlock]) -> None:
        self._check(connection)
        work_orders.cut(connection, order, some, self._clock.now())

    def _audience_keys(self, stored: StoredCampaign) -> Iterator[Keys]:
        """The people of the approved audience who are not held out, ascending, some at a time."""
        manifest, audience = Manifest.from_json(stored.manifest), load_audience(self._audiences, stored.name)
        if audience.manifest != manifest:
            raise conflict(f"The saved audience of {stored.name} is not the approved one; restore it from a backup.")
        yield from contactable_keys(self._at(manifest), audience)

    def _freeze(
        self,
        stored: StoredCampaign,
        campaign: Campaign,
        number: int,
        keys: Iterable[Keys],
        enrolled: Sequence[str],
        now: int,
    ) -> Selection:
        warehouse = self._at(Manifest.from_json(stored.manifest))
        people = divided(warehouse, campaign, number, keys, enrolled)
        return selections.freeze(self._selections, f"{stored.name}.{number}", warehouse.version, now, people)

    def _at(self, manifest: Manifest) -> Warehouse:
        warehouse = self._warehouse().at(manifest.snapshot_version)
        if warehouse.sha256 != manifest.snapshot_sha256:
            raise conflict(
                f"Snapshot {warehouse.version} is not the one {manifest.campaign} was approved on; restore it."
            )
        return warehouse


def contactable_keys(warehouse: Warehouse, audience: Audience) -> Iterator[Keys]:
    """The people of the audience who are not held out, ascending, some at a time."""
    contactable = audience.contactable
    for batch in warehouse.select(check_rule(audience.manifest.rule, warehouse.catalogue)):
        ordinals = batch.column(ORDINAL).to_numpy()
        here = np.array(contactable & BitMap(np.sort(ordinals)), dtype=np.int64)
        yield batch.column(KEY).to_numpy()[in_sorted(ordinals.astype(np.int64), here)]


def with_erased(keys: list[Keys], gone: People) -> list[Keys]:
    """Who was erased since the approval is chosen like anybody; no channel can take them."""
    meant = gone.keys[~gone.held_out]
    return [np.union1d(np.concatenate([*keys, meant[:0]]), meant)] if len(meant) else keys


def divided(
    warehouse: Warehouse, campaign: Campaign, number: int, keys: Iterable[Keys], enrolled: Sequence[str]
) -> Iterator[tuple[int, list[Share]]]:
    """In chunks of ascending keys: how many people, and their shares."""
    wave, catalogue = campaign.waves[number - 1], warehouse.catalogue
    rules, columns = choices(wave, enrolled, catalogue), columns_read(campaign, catalogue)
    for chunk in _chunks(keys):
        assigned = list(warehouse.assign(everyone(), rules, columns, chunk))
        people = pa.Table.from_batches(assigned) if assigned else None
        yield len(chunk), list(shares(campaign, wave, people, catalogue)) if people is not None else []


def _chunks(keys: Iterable[Keys]) -> Iterator[Keys]:
    """The same keys, CHUNK_PEOPLE at a time."""
    held = np.zeros(0, dtype=np.int64)
    for some in keys:
        held = np.concatenate([held, some])
        while len(held) >= CHUNK_PEOPLE:
            yield held[:CHUNK_PEOPLE]
            held = held[CHUNK_PEOPLE:]
    if len(held):
        yield held
