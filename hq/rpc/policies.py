"""The operators' calls about the contact policy: parse, call, answer."""

from __future__ import annotations

import asyncio
import logging

from liandong.campaign.v1 import coordination_pb2 as pb
from sqlalchemy import Connection

from common.courier.bell import Bell
from common.delivery import policies as kept
from common.kernel.refusal import Fault, Refusal
from common.runtime.clock import Clock, trusted
from common.runtime.database import Database
from hq.policy_file import check
from hq.store import feed, policies

RETRY_SECONDS = 5.0

_log = logging.getLogger(__name__)


class PolicyCalls:
    def __init__(self, database: Database, clock: Clock, bell: Bell) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell

    async def apply(self, request: pb.ApplyPolicyRequest, operator: str) -> pb.ApplyPolicyResponse:
        text = request.document_yaml
        try:
            document = await asyncio.to_thread(check, text)
            _refuse_undated(self._clock)
            applied = await self._database.write(policies.apply, text, document, self._clock.now())
        except Refusal as refusal:
            _log.warning("policy of operator %s refused: %s", operator, refusal.message.replace("\n", " | "))
            raise
        if applied.changed:
            _log.info("policy %s by operator %s is in force", applied.version, operator)
        for province in applied.told:
            self._bell.ring(province, feed.CONTROL)
        return pb.ApplyPolicyResponse(version=applied.version, changed=applied.changed)

    async def get(self) -> pb.GetPolicyResponse:
        return await self._database.read(_shown)


def _refuse_undated(clock: Clock) -> None:
    """Which policies still count is a matter of when they came."""
    if not trusted(clock):
        message = "HQ was restarted and no peer's clock agrees with its own yet; apply the policy when one does"
        raise Refusal(Fault.BUSY, "CLOCK_DISAGREES", message, retry_seconds=RETRY_SECONDS)


def _shown(connection: Connection) -> pb.GetPolicyResponse:
    newest = kept.newest(connection)
    return pb.GetPolicyResponse(
        version=newest.version if newest else 0,
        document_yaml=newest.document if newest else "",
        provinces=[
            pb.ProvincePolicy(province=each.province, version=each.version, objection=each.objection)
            for each in policies.at_provinces(connection)
        ],
    )
