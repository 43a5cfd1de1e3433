"""Where a process of the province puts events of its own: into the node's journal, or on Kafka."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import Any

import grpc
import grpc.aio
from liandong.event.v1 import event_pb2, event_pb2_grpc

from common.kernel.refusal import missing
from common.wire.server import build_channel
from common.wire.tls import Identity

ENTRIES = 2_000
"""In one call, far below the size of a message."""
CALL_SECONDS = 30.0

log = logging.getLogger(__name__)


class JournalSink:
    """The node writes them: nobody else may."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials, node: Identity) -> None:
        self._address, self._credentials, self._node = address, credentials, node

    def put(self, values: Sequence[bytes]) -> bool:
        """All of them are durable; False where that cannot be said, and they are to be put again."""
        return asyncio.run(self._put(values))

    async def _put(self, values: Sequence[bytes]) -> bool:
        channel = build_channel(self._address, self._credentials, self._node)
        stub: Any = event_pb2_grpc.EventServiceStub(channel)  # type: ignore[no-untyped-call]
        try:
            for first in range(0, len(values), ENTRIES):
                request = event_pb2.PushEventsRequest(structured=values[first : first + ENTRIES])
                await stub.PushEvents(request, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            log.warning("the node takes no events: %s %s", error.code().name, error.details())
            return False
        finally:
            await channel.close()
        return True


class KafkaSink:
    """With the subject as key, so that a person's are in one partition."""

    def __init__(self, brokers: str, topic: str) -> None:
        try:
            from confluent_kafka import Producer
        except ImportError as error:
            raise missing("the package confluent-kafka is not installed here; install the extra kafka") from error
        settings = {"bootstrap.servers": brokers, "enable.idempotence": True, "log_level": 3}
        self._producer, self._topic = Producer(settings), topic

    def put(self, values: Sequence[bytes]) -> bool:
        """All of them are durable; False where that cannot be said, and they are to be put again."""
        failed = list[object]()

        def heard(error: object, _message: object) -> None:
            if error is not None:
                failed.append(error)

        for value in values:
            key = json.loads(value)["subject"]
            self._producer.produce(self._topic, value, key=key, on_delivery=heard)
            self._producer.poll(0)
        left = self._producer.flush(CALL_SECONDS)
        if failed or left:
            log.warning("Kafka took no events: %s", failed[:1] or f"{left} without answer")
        return not failed and not left
