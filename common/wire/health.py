"""grpc.health.v1 on a node's port: whether to send it calls, for load balancers and process supervisors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import grpc.aio
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer, add_HealthServicer_to_server

from common.kernel.refusal import missing
from common.wire.server import Context
from common.wire.tls import KINDS

ACCESS = {"/grpc.health.v1.Health/": frozenset(KINDS)}
"""Whoever has a certificate may ask."""
LOOK_SECONDS = 0.5


class Health(HealthServicer):  # type: ignore[misc]
    """Tells of the whole node, which is the service named ""; it knows no others.

    `well` answers whether the node can work: it cannot while its store is away.
    """

    def __init__(self, server: grpc.aio.Server, well: Callable[[], bool] = lambda: True) -> None:
        self._stopping = asyncio.Event()
        self._well = well
        add_HealthServicer_to_server(self, server)

    def stop(self) -> None:
        """From now on NOT_SERVING; who watches is told before the connection goes."""
        self._stopping.set()

    async def Check(self, request: HealthCheckRequest, context: Context) -> HealthCheckResponse:
        del context
        if request.service:
            raise missing(f"there is no service {request.service!r} here; ask for the node, which has the empty name")
        return self._answer()

    async def Watch(self, request: HealthCheckRequest, context: Context) -> AsyncIterator[HealthCheckResponse]:
        del context
        if request.service:
            yield HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN)
            await self._stopping.wait()
        told = None
        while not self._stopping.is_set():
            if (answer := self._answer()) != told:
                yield (told := answer)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._stopping.wait()
        yield self._answer()

    def _answer(self) -> HealthCheckResponse:
        serving = self._well() and not self._stopping.is_set()
        return HealthCheckResponse(status=HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING)
