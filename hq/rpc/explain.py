"""The operators' questions about decisions: why, and whether they can be made again. Parse, call, answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from liandong.campaign.v1 import coordination_pb2 as pb
from sqlalchemy import Connection

from common.delivery import ledger
from common.delivery.replay import replay_all
from common.kernel.refusal import invalid
from common.kernel.subscriber import subscriber_keys
from common.kernel.work_order import HQ_NODE
from common.runtime.clock import Clock
from common.runtime.database import Database
from hq.audience import Warehouse
from hq.store import campaigns
from hq.store.explain import explain_subscriber


class ExplainCalls:
    def __init__(
        self, database: Database, warehouse: Callable[[], Warehouse], clock: Clock, federation_key: bytes
    ) -> None:
        self._database = database
        self._warehouse = warehouse
        self._clock = clock
        self._federation_key = federation_key

    async def explain(self, request: pb.ExplainRequest) -> pb.ExplainResponse:
        now = self._clock.now()
        if request.at > now:
            raise invalid(f"at {request.at} is ahead of HQ's clock, {now}; ask about a moment that has been")
        asked = (self._key(request), request.campaign, request.at or now, now)
        told = await self._database.read(self._explained, *asked)
        return pb.ExplainResponse(document_json=json.dumps(told, ensure_ascii=False))

    async def replay(self, request: pb.ReplayRequest) -> pb.ReplayResponse:
        told = await self._database.read(_replayed, request.campaign)
        return pb.ReplayResponse(document_json=json.dumps(told))

    def _key(self, request: pb.ExplainRequest) -> int:
        if request.WhichOneof("subscriber") == "msisdn":
            return int(subscriber_keys(self._federation_key, [request.msisdn])[0])
        if request.WhichOneof("subscriber") != "subscriber_key" or request.subscriber_key < 0:
            raise invalid("subscriber: give a number in E.164 without the plus sign, or a subscriber key of 0 or more")
        return request.subscriber_key

    def _explained(self, connection: Connection, key: int, campaign: str, at: int, now: int) -> dict[str, Any]:
        return explain_subscriber(connection, self._warehouse(), self._federation_key, key, campaign, at, now)


def _replayed(connection: Connection, campaign: str) -> dict[str, Any]:
    if campaign:
        campaigns.get(connection, campaign)
    orders = ledger.work_orders(connection, campaign=campaign or None)
    return {"campaign": campaign} | replay_all(connection, HQ_NODE, orders, at_issue=True)
