"""Events pushed by a system of the province, into the node's journal."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import grpc.aio
from liandong.event.v1 import event_pb2, event_pb2_grpc

from adapters.streams import partitions
from adapters.streams.journal import Block, Form, Writer
from common.kernel.refusal import Fault, Refusal, invalid
from common.wire.server import caller
from common.wire.tls import Identity

ENTRIES_MAX = 10_000
SWEEP_SECONDS = 60.0
RETRY_SECONDS = 5.0


class EventPush(event_pb2_grpc.EventServiceServicer):
    """An answer means that the events are durable. `pushers` may push, as their certificates name them."""

    def __init__(self, writer: Writer, pushers: Collection[Identity]) -> None:
        self._writer, self._pushers = writer, pushers
        self._thread = ThreadPoolExecutor(1, "journal")

    async def PushEvents(
        self, request: event_pb2.PushEventsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> event_pb2.PushEventsResponse:
        del context
        if caller() not in self._pushers:
            message = (
                f"{caller()} may not push events to this province; [triggers] pushers in its settings says who may"
            )
            raise Refusal(Fault.FORBIDDEN, "NOT_YOURS", message)
        entries = len(request.structured) + len(request.packed)
        if entries > ENTRIES_MAX:
            raise invalid(f"{entries} entries, at most {ENTRIES_MAX} are taken; send fewer at a time",
                          "BLOCK_TOO_LARGE", limit=str(ENTRIES_MAX))  # fmt: skip
        await self._on_thread(partial(self._append, list(request.structured), list(request.packed)))
        return event_pb2.PushEventsResponse(taken=entries)

    async def sweep(self) -> None:
        """Let old events go, for ever."""
        while True:
            await self._on_thread(self._writer.sweep)
            await asyncio.sleep(SWEEP_SECONDS)

    def close(self) -> None:
        self._thread.shutdown()
        self._writer.close()

    async def _on_thread(self, work: Any) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _append(self, structured: Sequence[bytes], packed: Sequence[bytes]) -> None:
        count = self._writer.partitions
        blocks = [Block(number, Form.JSON, values) for number, values in partitions.split_json(structured, count)]
        for value in packed:
            blocks += [Block(number, Form.PACKED, [part]) for number, part in partitions.split_packed(value, count)]
        try:
            self._writer.append(blocks)
        except OSError as error:
            raise Refusal(
                Fault.DRAINING, "STORE_UNAVAILABLE",
                f"the journal cannot be written ({error.strerror}); send the same again", retry_seconds=RETRY_SECONDS,
            ) from error  # fmt: skip
