"""The operators' API over a real connection with real certificates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest
from liandong.campaign.v1 import campaign_pb2 as pb
from liandong.campaign.v1.campaign_pb2_grpc import add_CampaignServiceServicer_to_server
from sqlalchemy import select

from adapters.warehouse.duckdb_warehouse import DuckDbWarehouse
from common.courier.bell import Bell
from common.kernel.refusal import Refusal
from common.runtime.database import Database
from common.wire.server import build_server
from common.wire.tls import HQ, Identity, channel_credentials, issue, new_authority, server_credentials
from deploy.operator_client import OperatorClient
from hq.planner import Planner
from hq.rpc.campaign import CampaignApi
from hq.store.tables import campaign

OPERATOR = Identity("operator", "chen")
START = 1_772_326_800
ACCESS = {"/liandong.campaign.v1.CampaignService/": frozenset({"operator"})}

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
T = TypeVar("T")
Asking = Callable[..., Any]


@pytest.fixture
def warehouse(make_warehouse: Callable[[int], DuckDbWarehouse]) -> DuckDbWarehouse:
    return make_warehouse(600)


@pytest.fixture
def ask(database: Database, warehouse: DuckDbWarehouse, clock: Any, tmp_path: Path) -> Asking:
    """Runs one conversation of an operator with HQ."""

    @asynccontextmanager
    async def connected(who: Identity) -> AsyncIterator[OperatorClient]:
        authority = new_authority(datetime.now(UTC))
        own, theirs = issue(authority, HQ, datetime.now(UTC)), issue(authority, who, datetime.now(UTC))
        server, port = build_server("127.0.0.1:0", server_credentials(authority.certificate, own), ACCESS)
        key = b"a key for tests, 32 bytes long .."
        api = CampaignApi(database, lambda: warehouse, clock, tmp_path, key, Bell(), lambda _, name: {"campaign": name})
        add_CampaignServiceServicer_to_server(api, server)
        await server.start()
        async with OperatorClient(f"127.0.0.1:{port}", channel_credentials(authority.certificate, theirs)) as client:
            yield client
        await server.stop(None)

    def run(talk: Callable[[OperatorClient], Awaitable[T]], who: Identity = OPERATOR) -> T:
        async def within() -> T:
            async with connected(who) as client:
                return await talk(client)

        return asyncio.run(within())

    return run


def test_a_campaign_goes_from_file_to_running(
    ask: Asking, file: str, database: Database, warehouse: DuckDbWarehouse, clock: Any, tmp_path: Path
) -> None:
    async def talk(client: OperatorClient) -> None:
        counted = await client.validate(file)
        assert counted.target == sum(p.target for p in counted.provinces) > counted.held_out > 0
        assert await client.campaigns() == []
        applied = await client.apply(file)
        assert (applied.audience, applied.campaign.version) == (counted, 1)
        assert applied.campaign.state == pb.CAMPAIGN_STATE_DRAFT
        assert [w.name for w in applied.campaign.waves] == ["first", "second"]
        approved = await client.approve("spring", 1)
        assert (approved.state, approved.approved_by) == (pb.CAMPAIGN_STATE_APPROVED, "chen")
        assert await client.approve("spring", 1) == approved
        clock.at = START
        await Planner(database, lambda: warehouse, clock, tmp_path, Bell()).tick()
        first = (await client.status("spring")).waves[0]
        assert first.selected == counted.target - counted.held_out == first.issued + first.unreachable
        assert first.issued == first.open > 0
        assert (await client.pause("spring")).state == pb.CAMPAIGN_STATE_PAUSED
        assert (await client.resume("spring")).state == pb.CAMPAIGN_STATE_APPROVED
        assert (await client.cancel("spring")).state == pb.CAMPAIGN_STATE_CANCELLED
        with pytest.raises(Refusal, match="spring is CANCELLED"):
            await client.pause("spring")
        assert [(c.name, c.yaml) for c in await client.campaigns()] == [("spring", "")]
        assert (await client.status("spring")).yaml == file
        assert await client.report("spring") == {"campaign": "spring"}

    ask(talk)


def test_a_wrong_file_is_refused_with_its_place_and_stores_nothing(ask: Asking, file: str, database: Database) -> None:
    async def talk(client: OperatorClient) -> None:
        for call in (client.validate, client.apply):
            with pytest.raises(Refusal, match="line 5, column 10: holdout: ") as refused:
                await call(file.replace("10%", "ten"))
            assert refused.value.reason == "CAMPAIGN_INVALID"

    ask(talk)
    with database.snapshot() as connection:
        assert connection.execute(select(campaign)).all() == []


def test_an_empty_audience_is_refused_at_its_line(ask: Asking, file: str, database: Database) -> None:
    async def talk(client: OperatorClient) -> None:
        with pytest.raises(
            Refusal, match=r"line 4, column 11: audience: the rule selects nobody of snapshot 1\. Widen it"
        ):
            await client.apply(file.replace("age >= 20", "age >= 200"))

    ask(talk)
    with database.snapshot() as connection:
        assert connection.execute(select(campaign)).all() == []


def test_a_campaign_that_is_over_cannot_be_approved(ask: Asking, file: str, clock: Any) -> None:
    async def talk(client: OperatorClient) -> None:
        await client.apply(file)
        clock.at = START + 30 * 86_400
        with pytest.raises(Refusal, match=r"line 6, column .*: schedule.end: is over already. Move it"):
            await client.approve("spring", 1)
        assert (await client.status("spring")).state == pb.CAMPAIGN_STATE_DRAFT

    ask(talk)


def test_a_province_may_not_plan(ask: Asking, file: str) -> None:
    async def talk(client: OperatorClient) -> None:
        with pytest.raises(Refusal, match="province 45 may not call") as refused:
            await client.apply(file)
        assert refused.value.reason == "IDENTITY_NOT_ALLOWED"

    ask(talk, Identity("province", "45"))


def test_a_call_without_a_deadline_is_refused(ask: Asking) -> None:
    async def talk(client: OperatorClient) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await client._stub.GetCampaign(pb.GetCampaignRequest(name="spring"))
        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT

    ask(talk)


def test_long_lists_come_in_pages(ask: Asking, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.operator_client.PAGE_SIZE", 2)

    async def talk(client: OperatorClient) -> None:
        for name in ("a", "b", "c", "d"):
            await client.apply(file.replace("spring", name, 1))
        assert [c.name for c in await client.campaigns()] == ["a", "b", "c", "d"]

    ask(talk)
