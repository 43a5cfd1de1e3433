"""A node says whether to send it calls, to everybody it knows, until it stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from common.wire import health, tls
from common.wire.server import build_channel, build_server

SECONDS = 5.0
WHO = [tls.Identity(kind, "" if kind == "hq" else "a1") for kind in tls.KINDS]


@asynccontextmanager
async def asking(who: tls.Identity = tls.HQ) -> AsyncIterator[tuple[Any, health.Health]]:
    authority = tls.new_authority(datetime.now(UTC))
    own, theirs = (tls.issue(authority, each, datetime.now(UTC)) for each in (tls.HQ, who))
    server, port = build_server("127.0.0.1:0", tls.server_credentials(authority.certificate, own), health.ACCESS)
    node = health.Health(server)
    await server.start()
    async with build_channel(f"127.0.0.1:{port}", tls.channel_credentials(authority.certificate, theirs)) as channel:
        yield HealthStub(channel), node
    await server.stop(None)


@pytest.mark.parametrize("who", WHO, ids=str)
def test_whoever_has_a_certificate_may_ask(who: tls.Identity) -> None:
    async def ask() -> int:
        async with asking(who) as (stub, _):
            return int((await stub.Check(HealthCheckRequest(), timeout=SECONDS)).status)

    assert asyncio.run(ask()) == HealthCheckResponse.SERVING


def test_a_node_that_stops_says_so_to_who_asks_and_to_who_watches() -> None:
    async def ask() -> tuple[int, list[int]]:
        async with asking() as (stub, node):
            watching = stub.Watch(HealthCheckRequest(), timeout=SECONDS)
            heard = [(await watching.read()).status]
            node.stop()
            heard.append((await watching.read()).status)
            assert await watching.read() is grpc.aio.EOF
            return (await stub.Check(HealthCheckRequest(), timeout=SECONDS)).status, heard

    serving, stopping = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
    assert asyncio.run(ask()) == (stopping, [serving, stopping])


def test_a_service_nobody_knows_is_unknown() -> None:
    async def ask() -> int:
        async with asking() as (stub, _):
            request = HealthCheckRequest(service="liandong.campaign.v1.CampaignService")
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.Check(request, timeout=SECONDS)
            assert refused.value.code() is grpc.StatusCode.NOT_FOUND
            return int((await stub.Watch(request, timeout=SECONDS).read()).status)

    assert asyncio.run(ask()) == HealthCheckResponse.SERVICE_UNKNOWN


def test_a_call_without_a_deadline_is_refused() -> None:
    async def ask() -> grpc.StatusCode:
        async with asking() as (stub, _):
            with pytest.raises(grpc.aio.AioRpcError, match="without a deadline") as refused:
                await stub.Check(HealthCheckRequest())
            return refused.value.code()

    assert asyncio.run(ask()) is grpc.StatusCode.INVALID_ARGUMENT
