"""A BSS or cBSS that plays a seeded script: `python -m adapters.bss.simulator CONFIG.toml`.

A product for trying the system out, not a test double: it keeps its word over SIGKILL and restart.
"""

from __future__ import annotations

import asyncio
import csv
import signal
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import grpc.aio
import numpy as np
from liandong.bss.v1 import bss_pb2, bss_pb2_grpc
from numpy.typing import NDArray
from pyarrow import parquet
from pydantic import Field

from adapters.bss.order_log import OrderLog
from adapters.bss.order_script import Faults, Numbers, Offer, Script, national, pool_changes
from adapters.bss.simulated_bss import SimulatedBss, Vendor
from adapters.channels.simulator import load_settings
from common.kernel.bss import BssOrder
from common.kernel.refusal import Refusal, invalid
from common.runtime.clock import Clock, SteppedClock, SystemClock
from common.runtime.settings import Section, Tls
from common.wire.faults import STATUS

_PB: Any = bss_pb2
_GRPC: Any = bss_pb2_grpc
"""Generated without the types that calls through them would need."""

T = TypeVar("T")
Context = grpc.aio.ServicerContext[Any, Any]

SHUTDOWN_SECONDS = 2.0
SHARE = Field(0.0, ge=0, le=1)


class OfferSettings(Section):
    code: str
    price_fen: int = Field(ge=0)
    campaigns: tuple[str, ...] = ()
    """Campaigns that sell it: a work order's name begins with its campaign's."""
    organic_share: float = SHARE
    caused: dict[str, float] = Field(default_factory=dict)
    """Channel to share of the people contacted over it who then order."""


class FaultSettings(Section):
    late: float = SHARE
    duplicate: float = SHARE
    reversed: float = SHARE
    cancelled: float = SHARE


class PoolSettings(Section):
    left: float = SHARE
    reassigned: float = SHARE


class Settings(Section):
    source_system: str
    listen: str
    data_dir: Path
    subscribers: Path
    """CSV or Parquet with the columns msisdn and province."""
    province: int | None = None
    """Whose orders it takes, by GB/T 2260; left out: it is cBSS and takes the national share everywhere."""
    national_share: float = Field(0.25, ge=0, le=1)
    seed: int = 1
    start_at: int
    """Unix seconds; best a local midnight."""
    days: int = Field(30, ge=2)
    hours: tuple[int, int] = (10, 20)
    """Orders are taken from the first to the second of these hours after start_at's time of day."""
    vendors: tuple[Path, ...] = ()
    """Settings files of the channel simulators whose contacts cause orders here."""
    clock_file: Path | None = None
    offers: tuple[OfferSettings, ...]
    faults: FaultSettings = FaultSettings()
    pool: PoolSettings = PoolSettings()
    tls: Tls | None = None
    """Without it everything is in the clear: for tests on loopback only."""

    def script(self) -> Script:
        faults = Faults(**self.faults.model_dump())
        return Script(self.seed, self.source_system, self.start_at, self.days, self.hours, faults)


class BssService(_GRPC.OrderRecordServiceServicer, _GRPC.PoolServiceServicer, _GRPC.OrderingServiceServicer):  # type: ignore[misc]
    """`liandong.bss.v1` over a SimulatedBss."""

    def __init__(self, bss: SimulatedBss) -> None:
        self._bss = bss

    async def ListOrderRecords(self, request: Any, context: Context) -> Any:
        page, token, caught_up = await _answered(context, self._bss.orders, request.page_token, request.page_size)
        records = map(_record, page)
        return _PB.ListOrderRecordsResponse(order_records=records, next_page_token=token, caught_up=caught_up)

    async def ListPoolChanges(self, request: Any, context: Context) -> Any:
        page, token, caught_up = await _answered(context, self._bss.pool_changes, request.page_token, request.page_size)
        changes = [
            _PB.PoolChangeRecord(msisdn=each.msisdn, change=int(each.change), changed_at=each.changed_at)
            for each in page
        ]
        return _PB.ListPoolChangesResponse(changes=changes, next_page_token=token, caught_up=caught_up)

    async def CheckEligibility(self, request: Any, context: Context) -> Any:
        why = await _answered(context, self._bss.eligibility, request.msisdn, request.offer)
        return _PB.CheckEligibilityResponse(eligible=not why, detail=why)

    async def CreateOrder(self, request: Any, context: Context) -> Any:
        order = await _answered(context, self._bss.create, request.request_id, request.msisdn, request.offer)
        return _PB.CreateOrderResponse(order_record=_record(order))

    async def GetOrder(self, request: Any, context: Context) -> Any:
        order = await _answered(context, self._bss.get, request.request_id)
        return _PB.GetOrderResponse(order_record=_record(order))

    def join(self, server: grpc.aio.Server) -> None:
        _GRPC.add_OrderRecordServiceServicer_to_server(self, server)
        _GRPC.add_PoolServiceServicer_to_server(self, server)
        _GRPC.add_OrderingServiceServicer_to_server(self, server)


def load(path: Path) -> Settings:
    """Relative paths are read from the file's own directory. Raises Refusal naming the key that is wrong."""
    try:
        settings = Settings.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise invalid(f"{path}: {error}") from error
    return settings.model_copy(update=_anchored(settings, path.parent))


def customers(settings: Settings) -> Numbers:
    """The numbers whose orders this system takes, ascending."""
    msisdns, provinces = _people(settings.subscribers)
    theirs = national(settings.seed, msisdns, settings.national_share)
    mine = theirs if settings.province is None else ~theirs & (provinces == settings.province)
    return np.unique(msisdns[mine])


def vendor(settings_file: Path) -> Vendor:
    told = load_settings(settings_file)
    odds = {name: channel.odds for name, channel in told.channels.items()}
    return Vendor(told.data_dir / "accepted.journal", told.seed, odds)


def simulated(settings: Settings, log: OrderLog, clock: Clock) -> SimulatedBss:
    people, script, share = customers(settings), settings.script(), settings.pool
    # cBSS knows orders, not who lives where.
    movers = people[:0] if settings.province is None else people
    pool = pool_changes(script, movers, share.left, share.reassigned)
    offers = [Offer(**each.model_dump()) for each in settings.offers]
    return SimulatedBss(script, offers, people, pool, log, list(map(vendor, settings.vendors)), clock)


async def serve(settings: Settings) -> None:
    """Until SIGTERM or SIGINT. Prints one line once it listens."""
    clock = SteppedClock(settings.clock_file) if settings.clock_file else SystemClock()
    log = OrderLog(settings.data_dir / "orders.jsonl")
    server = grpc.aio.server()
    BssService(simulated(settings, log, clock)).join(server)
    port = _listen(server, settings)
    await server.start()
    print(f"listening on {settings.listen.rpartition(':')[0]}:{port}", flush=True)
    await _told_to_stop()
    await server.stop(SHUTDOWN_SECONDS)
    log.close()


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m adapters.bss.simulator CONFIG.toml")
    try:
        asyncio.run(serve(load(Path(sys.argv[1]))))
    except Refusal as refusal:
        sys.exit(refusal.message)


async def _answered(context: Context, ask: Callable[..., T], *arguments: Any) -> T:
    try:
        return ask(*arguments)
    except Refusal as refusal:
        return await context.abort(STATUS[refusal.fault], refusal.message)


async def _told_to_stop() -> None:
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await told.wait()


def _listen(server: grpc.aio.Server, settings: Settings) -> int:
    tls = settings.tls
    if tls is None:
        return int(server.add_insecure_port(settings.listen))
    pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
    credentials = grpc.ssl_server_credentials([pair], tls.authority.read_bytes(), require_client_auth=True)
    return int(server.add_secure_port(settings.listen, credentials))


def _anchored(settings: Settings, base: Path) -> dict[str, Any]:
    tls = settings.tls
    return {
        "data_dir": base / settings.data_dir,
        "subscribers": base / settings.subscribers,
        "vendors": tuple(base / path for path in settings.vendors),
        "clock_file": base / settings.clock_file if settings.clock_file else None,
        "tls": tls and tls.model_copy(update={name: base / path for name, path in tls}),
    }


def _people(path: Path) -> tuple[Numbers, NDArray[np.int64]]:
    if path.suffix == ".parquet":
        table = parquet.read_table(path, columns=["msisdn", "province"])
        return _whole(table["msisdn"].to_pylist()), _whole(table["province"].to_pylist())
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [(row["msisdn"], row["province"]) for row in csv.DictReader(file)]
    return _whole([row[0] for row in rows]), _whole([row[1] for row in rows])


def _whole(values: Sequence[Any]) -> NDArray[np.int64]:
    return np.array([int(value) for value in values], dtype=np.int64)


def _record(order: BssOrder) -> Any:
    return _PB.OrderRecord(
        order_number=order.order_number,
        revision=order.revision,
        msisdn=order.msisdn,
        offer=order.offer,
        change=int(order.change),
        amount_fen=order.amount_fen,
        accepted_at=order.accepted_at,
    )


if __name__ == "__main__":
    main()
