"""The operators' calls about single people: parse, call, answer. No number and no name of theirs goes into a log."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

from liandong.campaign.v1 import coordination_pb2 as pb

from common.courier.bell import Bell
from common.kernel.columns import Keys
from common.kernel.refusal import invalid
from common.kernel.statement import STATEMENTS_MAX, Change, Statement
from common.kernel.subscriber import normalise_msisdn, subscriber_keys
from common.runtime.clock import Clock
from common.runtime.database import Database
from hq.audience import Warehouse
from hq.erasing import Eraser
from hq.store import feed, people

_log = logging.getLogger(__name__)


class PeopleCalls:
    """`warehouse` answers the current one."""

    def __init__(
        self,
        database: Database,
        warehouse: Callable[[], Warehouse],
        clock: Clock,
        federation_key: bytes,
        bell: Bell,
        eraser: Eraser,
    ) -> None:
        self._database = database
        self._warehouse = warehouse
        self._clock = clock
        self._federation_key = federation_key
        self._bell = bell
        self._eraser = eraser

    async def record(self, request: pb.RecordConsentsRequest, operator: str) -> pb.RecordConsentsResponse:
        if not 0 < len(request.records) <= STATEMENTS_MAX:
            raise invalid(f"{len(request.records)} records; 1 to {STATEMENTS_MAX} are taken at a time: split the file")
        said = [_statement(row, each) for row, each in enumerate(request.records, 1)]
        keys = self._keys([each.msisdn for each in said])
        for province in await self._database.write(people.record, said, keys, self._clock.now()):
            self._bell.ring(province, feed.CONTROL)
        _log.info("operator %s recorded %d statements", operator, len(said))
        return pb.RecordConsentsResponse(recorded=len(said))

    async def export(self, request: pb.ExportSubscriberRequest, operator: str) -> pb.ExportSubscriberResponse:
        key = self._key(request.msisdn)
        document = await self._database.read(people.export, self._warehouse, key, self._clock.now())
        _log.info("operator %s exported subscriber %016x", operator, key)
        return pb.ExportSubscriberResponse(document_json=_json(document))

    async def erase(self, request: pb.EraseSubscriberRequest, operator: str) -> pb.EraseSubscriberResponse:
        key = self._key(request.msisdn)
        at, waits = await self._eraser.erase(key)
        _log.info("operator %s erased subscriber %016x", operator, key)
        document = await self._database.read(people.remains, key, at)
        return pb.EraseSubscriberResponse(document_json=_json(document | {"waits_for_a_wave": waits}))

    def _key(self, msisdn: int) -> int:
        if normalise_msisdn(str(msisdn)) != msisdn:
            raise invalid(f"{len(str(msisdn))} digits that are no mainland mobile number; write it as 8613800000001")
        return int(self._keys([msisdn])[0])

    def _keys(self, msisdns: Sequence[int]) -> Keys:
        return subscriber_keys(self._federation_key, msisdns)


def _statement(row: int, record: pb.ConsentRecord) -> Statement:
    try:
        change = Change(record.change)
    except ValueError:
        raise invalid(f"row {row}: no change is named; say given, withdrawn, stopped or lifted") from None
    return Statement(
        msisdn=record.msisdn,
        purpose=record.purpose,
        evidence=record.evidence,
        given_at=record.given_at,
        expires_at=record.expires_at,
        change=change,
    )


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, default=str)
