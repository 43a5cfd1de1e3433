"""A scene of the demo: people of one province use up their data, and are offered more at that moment."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from liandong.event.v1 import event_pb2, event_pb2_grpc
from sqlalchemy import Connection

from adapters.channels.journal import read_journal
from common.kernel.event import EventClass, topic
from common.kernel.work_order import TRIGGER
from common.runtime.clock import SteppedClock
from common.runtime.database import Database
from common.runtime.settings import load
from common.wire import tls
from common.wire.server import build_channel
from deploy.local.federation import PROVINCES, Local
from deploy.local.motion import query
from province.settings import ProvinceSettings
from province.store import trigger_status, triggers
from province.triggers.engine import status as engine_status

HERE = Path(__file__).parent
CODE = PROVINCES[0]
RULE, CHANNEL = "data-80", "toolbar"
PEOPLE = 200
ALLOWANCE = 10 << 30
STEPS = (0.5, 0.2, 0.15, 0.05)
"""Of the allowance, one after another; the third takes it over 80 %."""
PUSH_SECONDS = 20
TOPIC = topic(CODE, EventClass.SERVICE_USE)


@dataclass(frozen=True, slots=True)
class Scene:
    """What came of it."""

    source: str
    people: int
    """Who used up their data."""
    events: int
    fires: int
    contacts: int
    """People whose message the vendor took."""
    twice: int
    """Of them, who were sent more than one."""
    milliseconds: int
    """From the event to the vendor, of the 99th of a hundred."""


def document() -> str:
    return (HERE / "scene.yaml").read_text(encoding="utf-8")


def engine(local: Local) -> list[str]:
    """`python` arguments."""
    return ["-m", "deploy.cli.root", "triggers", "serve", "--config", str(_settings(local))]


def people(local: Local) -> list[int]:
    """Subscriber keys."""
    wanted = "SELECT subscriber_key FROM vault WHERE active AND province = ? ORDER BY subscriber_key LIMIT ?"
    return [int(key) for (key,) in query(local.database(CODE), wanted, int(CODE), PEOPLE)]


def events(local: Local, keys: Sequence[int]) -> list[bytes]:
    """Just now, by the demo's clock: who uses how much, as structured CloudEvents."""
    now = SteppedClock(local.clock_file).milliseconds()
    told = []
    for step, share in enumerate(STEPS):
        at = datetime.fromtimestamp((now - len(STEPS) + step) / 1000, UTC).isoformat(timespec="milliseconds")
        data = {"used_bytes": int(share * ALLOWANCE), "allowance_bytes": ALLOWANCE, "rat": "5G"}
        told += [_event(f"{key}-{step}", key, at, data) for key in keys]
    return told


def _event(number: str, key: int, at: str, data: dict[str, Any]) -> bytes:
    return json.dumps({
        "specversion": "1.0", "id": number, "source": "demo", "type": "liandong.data_used.v1", "subject": str(key),
        "time": at, "datacontenttype": "application/json", "data": data,
    }).encode()  # fmt: skip


async def push(local: Local, values: Sequence[bytes]) -> None:
    """Into the province's journal, as its BSS does."""
    home = local.home(f"bss-{CODE}")
    own = tls.read(home / "bss.crt", home / "bss.key")
    credentials = tls.channel_credentials(tls.read_pem(home / "authority.crt"), own)
    async with build_channel(local.address(CODE), credentials, tls.Identity("province", CODE)) as channel:
        stub: Any = event_pb2_grpc.EventServiceStub(channel)  # type: ignore[no-untyped-call]
        await stub.PushEvents(event_pb2.PushEventsRequest(structured=values), timeout=PUSH_SECONDS)


def in_force(local: Local) -> bool:
    """Whether the province has the document, and an engine its rule."""
    with _opened(local) as connection:
        edition = triggers.edition(connection)
    now = SteppedClock(local.clock_file).milliseconds()
    running = engine_status.engines(_load(local).trigger_directory, now, edition)
    return edition > 0 and any(not each["rules_behind"] for each in running)


def ended(local: Local) -> int:
    """Fires whose message the vendor has, or never will."""
    rule = _told(local)
    waiting = sum(rule["contacts"].get(state, 0) for state in ("open", "submitting"))
    undecided = rule["fires"].get("asked", 0) - sum(rule["contacts"].values())
    return int(sum(rule["fires"].values()) - waiting - undecided)


def contacted(local: Local) -> list[int]:
    """Numbers the vendor has a message for by the rule, one a message."""
    batches = (batch for batch in read_journal(local.journal(CODE)) if batch.work_order.startswith(f"{TRIGGER}{RULE}/"))
    return [number for batch in batches for number in batch.msisdns.tolist()]


def outcome(local: Local, source: str, people: int, sent: int) -> Scene:
    rule, numbers = _told(local), contacted(local)
    reached = len(set(numbers))
    return Scene(source, people, sent, sum(rule["fires"].values()), reached, len(numbers) - reached,
                 rule["latency_ms"].get("total", {}).get("p99", 0))  # fmt: skip


def _told(local: Local) -> dict[str, Any]:
    with _opened(local) as connection:
        rules: list[dict[str, Any]] = trigger_status.status(connection, 0)["rules"]
    return next((each for each in rules if each["rule"] == RULE), {"fires": {}, "contacts": {}, "latency_ms": {}})


@contextmanager
def _opened(local: Local) -> Iterator[Connection]:
    database = Database(_load(local).url("province"))
    try:
        with database.snapshot() as connection:
            yield connection
    finally:
        database.close()


def _load(local: Local) -> ProvinceSettings:
    return load(ProvinceSettings, _settings(local))


def _settings(local: Local) -> Path:
    return local.home(CODE) / "province.toml"
