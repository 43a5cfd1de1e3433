"""The operators' question what a wave would do: parse, call, answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from liandong.campaign.v1 import coordination_pb2 as pb

from common.kernel.refusal import invalid
from common.runtime.clock import Clock
from common.runtime.database import Database
from hq.audience import Warehouse
from hq.campaign_file import check, load
from hq.campaigns import CampaignState
from hq.rehearsal import Rehearsal
from hq.store import campaigns


class DryRunCalls:
    def __init__(
        self,
        database: Database,
        warehouse: Callable[[], Warehouse],
        clock: Clock,
        rehearsal: Rehearsal,
    ) -> None:
        self._database = database
        self._warehouse = warehouse
        self._clock = clock
        self._rehearsal = rehearsal

    async def dry_run(self, request: pb.DryRunRequest) -> pb.DryRunResponse:
        subject = request.WhichOneof("subject")
        if subject is None:
            raise invalid("subject: give the name of a campaign, or the file of one")
        # A thread of its own: a large audience takes long, and the store's readers have other callers.
        told = await asyncio.to_thread(self._by_name if subject == "campaign" else self._of_file, request)
        return pb.DryRunResponse(document_json=json.dumps(told, ensure_ascii=False))

    def _by_name(self, request: pb.DryRunRequest) -> dict[str, Any]:
        with self._database.snapshot() as connection:
            stored = campaigns.get(connection, request.campaign)
            draft = stored.state is CampaignState.DRAFT
            campaign = check(stored.yaml, self._warehouse().catalogue) if draft else load(stored.yaml)
            return self._rehearsal.dry_run(connection, campaign, stored, self._clock.now())

    def _of_file(self, request: pb.DryRunRequest) -> dict[str, Any]:
        campaign = check(request.yaml, self._warehouse().catalogue)
        with self._database.snapshot() as connection:
            return self._rehearsal.dry_run(connection, campaign, None, self._clock.now())
