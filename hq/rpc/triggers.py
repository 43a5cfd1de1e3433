"""The operators' calls about trigger rules: parse, call, answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import Any

from liandong.campaign.v1 import trigger_pb2 as pb
from liandong.campaign.v1 import trigger_pb2_grpc
from sqlalchemy import Connection

from common.courier.bell import Bell
from common.delivery import triggers as kept
from common.kernel.refusal import Refusal, invalid
from common.kernel.trigger_version import TriggerVersion
from common.rules.trigger_document import TriggerDocument, parsed
from common.runtime.clock import Clock
from common.runtime.database import Database
from common.wire.coordination_codec import read_host_part
from common.wire.server import Context, caller
from hq.audience import Warehouse
from hq.store import feed, triggers
from hq.store.triggers import AtProvince, Changed

_log = logging.getLogger(__name__)


class TriggerApi(trigger_pb2_grpc.TriggerServiceServicer):
    """`warehouse` answers the current one."""

    def __init__(self, database: Database, warehouse: Callable[[], Warehouse], clock: Clock, bell: Bell) -> None:
        self._database = database
        self._warehouse = warehouse
        self._clock = clock
        self._bell = bell
        self._changing = asyncio.Lock()
        """From the first part of a list to the document that names it, no other document changes."""

    async def ApplyTriggers(self, request: pb.ApplyTriggersRequest, _context: Context) -> Any:
        try:
            text = request.document_yaml
            document = await asyncio.to_thread(parsed, text, 0)
            _refuse_files(document)
            await asyncio.to_thread(_refuse_other_tags, document, self._warehouse)
            rules, digests = frozenset(rule.name for rule in document.rules), tuple(document.digests.values())
            async with self._changing:
                await self._send_lists(digests)
                changed = await self._database.write(
                    triggers.apply, request.name, text, rules, self._clock.now(), digests
                )
        except Refusal as refusal:
            told = refusal.message.replace("\n", " | ")
            _log.warning("trigger document %r of operator %s refused: %s", request.name[:60], caller().name, told)
            raise
        return pb.ApplyTriggersResponse(change=self._told("applied", changed))

    async def PutHostPart(self, request: pb.PutHostPartRequest, _context: Context) -> Any:
        await self._database.write(triggers.put_part, read_host_part(request.part), self._clock.now())
        return pb.PutHostPartResponse()

    async def PauseTriggerRule(self, request: pb.PauseTriggerRuleRequest, _context: Context) -> Any:
        async with self._changing:
            changed = await self._database.write(triggers.pause, request.rule, True, self._clock.now())
        return pb.PauseTriggerRuleResponse(change=self._told(f"{request.rule} paused", changed))

    async def ResumeTriggerRule(self, request: pb.ResumeTriggerRuleRequest, _context: Context) -> Any:
        async with self._changing:
            changed = await self._database.write(triggers.pause, request.rule, False, self._clock.now())
        return pb.ResumeTriggerRuleResponse(change=self._told(f"{request.rule} resumed", changed))

    async def WithdrawTriggers(self, request: pb.WithdrawTriggersRequest, _context: Context) -> Any:
        async with self._changing:
            changed = await self._database.write(triggers.withdraw, request.name, self._clock.now())
        return pb.WithdrawTriggersResponse(change=self._told("withdrawn", changed))

    async def GetTriggers(self, _request: pb.GetTriggersRequest, _context: Context) -> Any:
        return await self._database.read(_shown)

    async def _send_lists(self, digests: Collection[str]) -> None:
        """A part a transaction: the writer has other things to do between them."""
        for digest, number in await self._database.read(triggers.fresh_parts, digests):
            told = await self._database.write(triggers.send_part, digest, number, self._clock.now())
            for province in told:
                self._bell.ring(province, feed.CONTROL)

    def _told(self, what: str, changed: Changed) -> pb.TriggersChange:
        now = changed.now
        if changed.changed:
            _log.info("trigger document %s %d: %s by operator %s", now.name, now.version, what, caller().name)
        for province in changed.told:
            self._bell.ring(province, feed.CONTROL)
        return pb.TriggersChange(name=now.name, version=now.version, changed=changed.changed, paused=now.paused)


def _refuse_files(document: TriggerDocument) -> None:
    """Whoever publishes reads them: here they are not."""
    for name, file in document.files.items():
        raise invalid(f"hosts.{name}: {file} is a file on the machine of whoever publishes. Apply the document by the "
                      "command line, which reads it", "TRIGGER_INVALID")  # fmt: skip


def _refuse_other_tags(document: TriggerDocument, warehouse: Callable[[], Warehouse]) -> None:
    """Those that HQ knows as something else. Of others each province says itself whether it has them."""
    if not document.tags:
        return
    try:
        catalogue = warehouse().catalogue
    except Refusal:  # nobody was imported yet
        return
    known = tuple(tag for tag in document.tags if catalogue.find(tag.name))
    if wrong := replace(document, tags=known).lacking(catalogue):
        raise invalid("\n".join(["The trigger document is wrong and nothing was changed.", *wrong]), "TRIGGER_INVALID")


def _shown(connection: Connection) -> pb.GetTriggersResponse:
    known = {each.name: each for each in kept.newest(connection)}
    standing = triggers.at_provinces(connection)
    return pb.GetTriggersResponse(documents=_documents(known.get, standing))


def _documents(
    known: Callable[[str], TriggerVersion | None], standing: dict[str, list[AtProvince]]
) -> Iterator[pb.TriggerDocument]:
    """Without those whose withdrawal has reached everybody."""
    for name, provinces in standing.items():
        said = known(name) or TriggerVersion(0, name, "")
        if not said.withdrawn or any(each.version != said.version for each in provinces):
            yield pb.TriggerDocument(
                name=name,
                version=said.version,
                document_yaml=said.document,
                paused=said.paused,
                withdrawn=said.withdrawn,
                provinces=[
                    pb.ProvinceTriggers(province=each.province, version=each.version, objection=each.objection)
                    for each in provinces
                ],
            )
