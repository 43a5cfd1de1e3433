"""The operators' API: parse, call, answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from liandong.campaign.v1 import campaign_pb2 as pb
from liandong.campaign.v1 import campaign_pb2_grpc
from sqlalchemy import Connection

from common.courier.bell import Bell
from common.kernel.task import TaskState
from common.rules.rule_language import check_rule
from common.runtime.clock import Clock
from common.runtime.database import Database
from common.wire.server import Context, caller
from hq.audience import HoldOut, ProvinceCount, Warehouse, build_audience, count_audience, save_audience
from hq.campaign_file import check, load, refused_at
from hq.campaigns import Campaign, Step
from hq.planner import AUDIENCES
from hq.selection import Selection
from hq.store import campaigns, feed, work_orders
from hq.store.campaigns import StoredCampaign, StoredWave, WaveCounts

PAGE_SIZE_MAX = 200

Report = Callable[[Connection, str], Mapping[str, Any]]


class CampaignApi(campaign_pb2_grpc.CampaignServiceServicer):
    """`warehouse` answers the current one; audiences are saved in a folder of `directory`."""

    def __init__(
        self,
        database: Database,
        warehouse: Callable[[], Warehouse],
        clock: Clock,
        directory: Path,
        federation_key: bytes,
        bell: Bell,
        report: Report,
        approving: asyncio.Lock | None = None,
    ) -> None:
        self._database = database
        self._warehouse = warehouse
        self._clock = clock
        self._audiences = directory / AUDIENCES
        self._federation_key = federation_key
        self._bell = bell
        self._report = report
        self._approving = approving or asyncio.Lock()

    async def ValidateCampaign(self, request: pb.ValidateCampaignRequest, _context: Context) -> Any:
        _, counts = await asyncio.to_thread(self._checked, request.yaml)
        return pb.ValidateCampaignResponse(audience=_audience(counts))

    async def ApplyCampaign(self, request: pb.ApplyCampaignRequest, _context: Context) -> Any:
        checked, counts = await asyncio.to_thread(self._checked, request.yaml)
        await self._database.write(campaigns.apply, checked, request.yaml, caller().name)
        return pb.ApplyCampaignResponse(campaign=await self._campaign(checked.name), audience=_audience(counts))

    async def ApproveCampaign(self, request: pb.ApproveCampaignRequest, _context: Context) -> Any:
        # One at a time: the audience saved must be the one recorded.
        async with self._approving:
            await self._approve(request.name, request.version, caller().name)
        return pb.ApproveCampaignResponse(campaign=await self._campaign(request.name))

    async def PauseCampaign(self, request: pb.PauseCampaignRequest, _context: Context) -> Any:
        return pb.PauseCampaignResponse(campaign=await self._step(request.name, Step.PAUSE))

    async def ResumeCampaign(self, request: pb.ResumeCampaignRequest, _context: Context) -> Any:
        return pb.ResumeCampaignResponse(campaign=await self._step(request.name, Step.RESUME))

    async def CancelCampaign(self, request: pb.CancelCampaignRequest, _context: Context) -> Any:
        return pb.CancelCampaignResponse(campaign=await self._step(request.name, Step.CANCEL))

    async def GetCampaign(self, request: pb.GetCampaignRequest, _context: Context) -> Any:
        return pb.GetCampaignResponse(campaign=await self._campaign(request.name))

    async def ListCampaigns(self, request: pb.ListCampaignsRequest, _context: Context) -> Any:
        size = min(request.page_size or PAGE_SIZE_MAX, PAGE_SIZE_MAX)
        found = await self._database.read(_page, request.page_token, size)
        return pb.ListCampaignsResponse(campaigns=found, next_page_token=found[-1].name if len(found) == size else "")

    async def GetReport(self, request: pb.GetReportRequest, _context: Context) -> Any:
        report = await self._database.read(self._report, request.name)
        return pb.GetReportResponse(report_json=json.dumps(report, ensure_ascii=False))

    def _checked(self, yaml: str) -> tuple[Campaign, tuple[ProvinceCount, ...]]:
        warehouse = self._warehouse()
        checked = check(yaml, warehouse.catalogue)
        rule = check_rule(checked.audience, warehouse.catalogue)
        counts = count_audience(warehouse, rule, self._holdout(checked))
        if not counts:
            what = f"the rule selects nobody of snapshot {warehouse.version}. Widen it, or import people"
            raise refused_at(yaml, ("audience",), what)
        return checked, counts

    async def _approve(self, name: str, version: int, operator: str) -> None:
        stored = await self._database.read(campaigns.get, name)
        if campaigns.approvable(stored, version) is stored.state:
            return
        checked, _ = await asyncio.to_thread(self._checked, stored.yaml)
        if checked.schedule.end <= self._clock.now():
            raise refused_at(stored.yaml, ("schedule", "end"), "is over already. Move it and apply the file again")
        manifest = await asyncio.to_thread(self._freeze_audience, checked)
        await self._database.write(campaigns.approve, checked, version, operator, manifest)

    def _freeze_audience(self, checked: Campaign) -> str:
        warehouse = self._warehouse()
        rule = check_rule(checked.audience, warehouse.catalogue)
        audience = build_audience(warehouse, rule, self._holdout(checked))
        save_audience(self._audiences, audience)
        return audience.manifest.to_json()

    def _holdout(self, checked: Campaign) -> HoldOut:
        return HoldOut(checked.holdout, checked.name, self._federation_key)

    async def _step(self, name: str, step: Step) -> pb.Campaign:
        _, told = await self._database.write(work_orders.step, name, step, self._clock.now())
        for province in told:
            self._bell.ring(province, feed.CONTROL)
        return await self._campaign(name)

    async def _campaign(self, name: str) -> pb.Campaign:
        return await self._database.read(_status, name)


def _page(connection: Connection, after: str, size: int) -> list[pb.Campaign]:
    found = [_status(connection, stored.name) for stored in campaigns.page(connection, after, size)]
    for each in found:
        each.ClearField("yaml")
    return found


def _status(connection: Connection, name: str) -> pb.Campaign:
    stored, waves = campaigns.get(connection, name), campaigns.waves(connection, name)
    counts = campaigns.wave_counts(connection, name)
    return pb.Campaign(
        name=stored.name,
        state=pb.CampaignState.Name(int(stored.state)),
        version=stored.version,
        yaml=stored.yaml,
        approved_by=stored.approved_by,
        waves=[_wave(wave, counts.get(wave.number)) for wave in waves] or _planned(stored),
    )


def _wave(wave: StoredWave, counts: WaveCounts | None) -> pb.Wave:
    frozen = Selection.from_json(wave.selection) if wave.selection else None
    message = pb.Wave(
        number=wave.number,
        name=wave.name,
        select_at=wave.select_at,
        selected=frozen.selected if frozen else 0,
        unreachable=frozen.unreachable if frozen else 0,
    )
    if counts is not None:
        message.work_orders, message.issued, message.in_flight = counts.work_orders, counts.issued, counts.in_flight
        for state in _SHOWN:
            setattr(message, state.name.lower(), counts.states[state])
    return message


_SHOWN = (
    TaskState.OPEN,
    TaskState.DELIVERED,
    TaskState.SUPPRESSED,
    TaskState.EXPIRED,
    TaskState.FAILED,
    TaskState.UNKNOWN,
)


def _planned(stored: StoredCampaign) -> list[pb.Wave]:
    draft = load(stored.yaml)
    return [
        pb.Wave(number=number, name=wave.name, select_at=draft.select_at(number))
        for number, wave in enumerate(draft.waves, 1)
    ]


def _audience(counts: tuple[ProvinceCount, ...]) -> pb.AudienceCount:
    return pb.AudienceCount(
        target=sum(count.target for count in counts),
        held_out=sum(count.held_out for count in counts),
        provinces=[pb.ProvinceCount(province=c.province, target=c.target, held_out=c.held_out) for c in counts],
    )
