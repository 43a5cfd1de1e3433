"""Events pushed to a province's node, or on Kafka, become messages at the vendor: node and engine as they ship."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from liandong.event.v1 import event_pb2, event_pb2_grpc
from typer.testing import CliRunner

from adapters.streams.journal import Form
from common.kernel.dead_letter import DeadReason
from common.runtime.clock import SteppedClock
from common.runtime.database import Database
from common.wire import tls
from common.wire.server import build_channel
from deploy.cli.root import app
from deploy.local.federation import Local
from deploy.local.kafka import Broker
from deploy.local.processes import Supervisor
from province.store import triggers
from tests.triggers.documents import document
from tests.triggers.engine_world import Record, event, produce
from tests.triggers.test_fires_reach_vendors import CODE, _federation, _people, _sent, _until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PUSHED = 300


def _open(local: Local, section: str) -> Database:
    """With a rule of the province's own, and its settings saying where events come from."""
    settings = local.home(CODE) / "province.toml"
    told = settings.read_text(encoding="utf-8")
    if section:
        settings.write_text(told.replace('[triggers]\nsource = "journal"', section), encoding="utf-8")
        assert section in settings.read_text(encoding="utf-8")
    store = Database(f"sqlite:///{local.database(CODE)}")
    with store.transaction() as connection:
        triggers.put_local(connection, "own", document("data-80"), False, 1)
    return store


def _events(local: Local, keys: list[int]) -> list[bytes]:
    """Each person comes to the limit in two steps; the second is told twice."""
    at = datetime.fromtimestamp(SteppedClock(local.clock_file).now() - 5, UTC).isoformat()
    steps = [event("data_used", f"{key}-{step}", key, at, used_bytes=3000) for key in keys for step in (1, 2, 2)]
    return [*steps, b"{", event("data_used", "x", 1, at, used_bytes=-1)]


async def _push(local: Local, values: list[bytes], who: str = f"bss-{CODE}") -> int:
    authority = tls.read_pem(local.home(f"bss-{CODE}") / "authority.crt")
    kind = who.partition("-")[0] if "-" in who else "province"
    own = tls.read(local.home(who) / f"{kind}.crt", local.home(who) / f"{kind}.key")
    channel = build_channel(
        local.address(CODE), tls.channel_credentials(authority, own), tls.Identity("province", CODE)
    )
    stub: Any = event_pb2_grpc.EventServiceStub(channel)  # type: ignore[no-untyped-call]
    answer = await stub.PushEvents(event_pb2.PushEventsRequest(structured=values), timeout=20)
    await channel.close()
    return int(answer.taken)


async def _serve(local: Local, processes: Supervisor) -> None:
    config = str(local.home(CODE) / "province.toml")
    await processes.start("engine", ["-m", "deploy.cli.root", "triggers", "serve", "--config", config])


def test_events_that_are_pushed_become_messages(tmp_path: Path) -> None:
    """Once each, though the engine and the node are killed meanwhile."""

    async def trial() -> None:
        async with _federation(tmp_path / "f") as (local, processes):
            store = _open(local, "")
            numbers, keys = _people(store, (local.home(CODE) / "federation.key").read_bytes())
            wanted, people = sorted(numbers[:PUSHED]), keys[:PUSHED].tolist()
            await _serve(local, processes)

            async def pushed(some: list[bytes]) -> None:
                await _until("the node to take events", lambda: _taken(local, some))

            await pushed(_events(local, people[:100]))
            processes.kill("engine")
            await pushed(_events(local, people[100:200]))
            processes.kill(CODE)
            await pushed(_events(local, people[200:]))

            async def all_sent() -> bool:
                return len(_sent(local)) >= PUSHED

            await _until("everybody to be told", all_sent)
            await asyncio.sleep(2)
            sent = _sent(local)
            assert (sorted(sent), set(sent.values())) == (wanted, {1})
            store.close()

    asyncio.run(trial())
    _looked_at(tmp_path / "f" / CODE / "province.toml")


async def _taken(local: Local, values: list[bytes]) -> bool:
    import grpc.aio

    try:
        return await _push(local, values) == len(values)
    except grpc.aio.AioRpcError:
        return False


def _looked_at(config: Path) -> None:
    """What a look at the events and the dead letters tells."""
    run = CliRunner()
    told = run.invoke(app, ["events", "dead-letters", "--config", str(config), "--json"])
    letters = json.loads(told.stdout)
    assert set(letters["reasons"]) == {"TRUNCATED", "OUT_OF_RANGE"}
    assert {each["reason"] for each in letters["newest"]} == set(letters["reasons"])
    text = run.invoke(app, ["events", "dead-letters", "--config", str(config)]).stdout
    assert DeadReason.OUT_OF_RANGE.name in text
    tail = run.invoke(app, ["events", "tail", "--config", str(config), "--last", "5"]).stdout.splitlines()
    assert len(tail) == 5
    assert "data_used" in tail[0]
    assert "used_bytes=3000" in tail[0]
    assert "OUT_OF_RANGE" in tail[-1]


@pytest.mark.parametrize("source", ["kafka", "spark"])
def test_events_on_kafka_become_messages(
    source: str, kafka: Broker, new_topic: Callable[[Broker, int], str], tmp_path: Path
) -> None:
    topic = new_topic(kafka, 1)
    section = f'[triggers]\nsource = "{source}"\nbrokers = "{kafka.address}"\ntopics = ["{topic}"]'
    _become_messages(tmp_path / "f", section, lambda local, _, keys: _on(kafka, topic, _events(local, keys)))


def test_records_of_another_form_become_messages_by_a_mapping(
    kafka: Broker, new_topic: Callable[[Broker, int], str], tmp_path: Path
) -> None:
    """Of people whom the source knows by number; beside a topic of events as they should be, which is empty."""
    topic, usual = new_topic(kafka, 1), new_topic(kafka, 1)
    section = (f'[triggers]\nsource = "kafka"\nbrokers = "{kafka.address}"\ntopics = ["{usual}"]\n'
               f'[triggers.mappings]\n"{topic}" = "old-billing.yaml"')  # fmt: skip

    def put(local: Local, numbers: list[int], _: list[int]) -> None:
        (local.home(CODE) / "old-billing.yaml").write_text(OLD_BILLING, encoding="utf-8")
        at = SteppedClock(local.clock_file).now() - 5
        steps = [(number, step) for number in numbers for step in (1, 2, 2)]
        rows = [{"PHONE": number % 10**11, "SERIAL": 10**17 + number * 10 + step, "AT": at,
                 "KB": 3 if step > 1 else "3"} for number, step in steps]  # fmt: skip
        _on(kafka, topic, [*(json.dumps(row).encode() for row in rows), b"{", b"{}"])

    config = _become_messages(tmp_path / "f", section, put)
    run = CliRunner()
    told = run.invoke(app, ["events", "dead-letters", "--config", str(config), "--json"])
    assert set(json.loads(told.stdout)["reasons"]) == {"TRUNCATED", "ID_INVALID"}
    tail = run.invoke(app, ["events", "tail", "--config", str(config), "--topic", topic, "--last", "3"]).stdout
    assert "used_bytes=3000" in tail.splitlines()[0]


OLD_BILLING = """
source: old-billing
format: jsonl
type: data_used
id: [SERIAL]
subject: {field: PHONE, as: msisdn}
time: {field: AT, format: unix_seconds}
fields:
  used_bytes: {from: KB, times: 1000}
"""


def _on(kafka: Broker, topic: str, values: list[bytes]) -> None:
    produce(kafka.address, topic, [[Record(value, Form.JSON) for value in values]])


def _become_messages(root: Path, section: str, put: Callable[[Local, list[int], list[int]], None]) -> Path:
    """`put` is given a hundred people's numbers and keys; answers the province's settings file."""

    async def trial() -> Path:
        async with _federation(root) as (local, processes):
            store = _open(local, section)
            numbers, keys = _people(store, (local.home(CODE) / "federation.key").read_bytes())
            put(local, numbers[:100], keys[:100].tolist())
            await _serve(local, processes)

            async def all_sent() -> bool:
                return len(_sent(local)) >= 100

            began = time.monotonic()
            await _until("everybody to be told", all_sent)
            print(f"{time.monotonic() - began:.1f} s from the start of the engine")
            assert sorted(_sent(local)) == sorted(numbers[:100])
            store.close()
            return local.home(CODE) / "province.toml"

    return asyncio.run(trial())
