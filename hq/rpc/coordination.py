"""The operators' API for coordination: parse, call, answer. Each concern's calls are in a module of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from liandong.campaign.v1 import coordination_pb2 as pb
from liandong.campaign.v1 import coordination_pb2_grpc

from common.courier.bell import Bell
from common.runtime.clock import Clock
from common.runtime.database import Database
from common.wire.server import Context, caller
from hq.audience import Warehouse
from hq.erasing import Eraser
from hq.rehearsal import Rehearsal
from hq.rpc.dry_run import DryRunCalls
from hq.rpc.explain import ExplainCalls
from hq.rpc.people import PeopleCalls
from hq.rpc.policies import PolicyCalls


class CoordinationApi(coordination_pb2_grpc.CoordinationServiceServicer):
    """`warehouse` answers the current one."""

    def __init__(
        self,
        database: Database,
        warehouse: Callable[[], Warehouse],
        clock: Clock,
        federation_key: bytes,
        bell: Bell,
        eraser: Eraser,
        rehearsal: Rehearsal,
    ) -> None:
        self._policies = PolicyCalls(database, clock, bell)
        self._people = PeopleCalls(database, warehouse, clock, federation_key, bell, eraser)
        self._explain = ExplainCalls(database, warehouse, clock, federation_key)
        self._dry_run = DryRunCalls(database, warehouse, clock, rehearsal)

    async def ApplyPolicy(self, request: pb.ApplyPolicyRequest, _context: Context) -> Any:
        return await self._policies.apply(request, caller().name)

    async def GetPolicy(self, _request: pb.GetPolicyRequest, _context: Context) -> Any:
        return await self._policies.get()

    async def DryRun(self, request: pb.DryRunRequest, _context: Context) -> Any:
        return await self._dry_run.dry_run(request)

    async def Explain(self, request: pb.ExplainRequest, _context: Context) -> Any:
        return await self._explain.explain(request)

    async def Replay(self, request: pb.ReplayRequest, _context: Context) -> Any:
        return await self._explain.replay(request)

    async def RecordConsents(self, request: pb.RecordConsentsRequest, _context: Context) -> Any:
        return await self._people.record(request, caller().name)

    async def ExportSubscriber(self, request: pb.ExportSubscriberRequest, _context: Context) -> Any:
        return await self._people.export(request, caller().name)

    async def EraseSubscriber(self, request: pb.EraseSubscriberRequest, _context: Context) -> Any:
        return await self._people.erase(request, caller().name)
