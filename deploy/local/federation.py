"""A whole federation on this machine, in one directory: HQ, two provinces, and simulators of everything around them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from adapters.warehouse.population import write_population
from adapters.warehouse.snapshots import Snapshots
from adapters.warehouse.subscriber_import import import_subscribers
from common.kernel.channel import CHANNELS, Level
from common.runtime.clock import write_offset
from common.runtime.database import Database
from common.runtime.migrate import migrate
from common.runtime.settings import load
from deploy.local.processes import free_ports
from hq import provision as hq_provision
from hq.__main__ import MIGRATIONS as HQ_MIGRATIONS
from hq.settings import HqSettings
from hq.store.provinces import enroll
from province import provision as province_provision
from province.__main__ import MIGRATIONS as PROVINCE_MIGRATIONS
from province.settings import ProvinceSettings

PROVINCES = ("45", "13")
HQ = "hq"
NODES = (HQ, *PROVINCES)
SIMULATORS = {"vendor": "adapters.channels.simulator", "bss": "adapters.bss.simulator"}


@dataclass(frozen=True, slots=True)
class Offer:
    """What people can order, and how willing they are: shares by channel, and of everybody without any contact."""

    code: str
    price_fen: int
    campaign: str
    organic_share: float
    caused: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class World:
    """How the outside behaves; the same seed and world give the same numbers."""

    seed: int
    midnight: int
    """Unix seconds of the local midnight before the first simulated day."""
    days: int
    offer: Offer | None
    odds: Mapping[str, Mapping[str, Any]]
    """Per channel, what the vendor simulator's odds are set to."""


@dataclass(frozen=True, slots=True)
class Local:
    """Where everything of one local federation is. Ports are on loopback."""

    root: Path
    ports: Mapping[str, int]

    def home(self, name: str) -> Path:
        return self.root / name

    def address(self, name: str) -> str:
        return f"127.0.0.1:{self.ports[name]}"

    @property
    def clock_file(self) -> Path:
        return self.root / "clock"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def database(self, node: str) -> Path:
        return self.home(node) / "data" / ("hq.db" if node == HQ else "province.db")

    def journal(self, node: str) -> Path:
        return self.home(f"vendor-{node}") / "data" / "accepted.journal"

    def processes(self) -> dict[str, list[str]]:
        """What to run, by name, in the order to start it: `python` arguments."""
        outside = {
            f"{kind}-{node}": ["-m", module, str(self.home(f"{kind}-{node}") / f"{kind}.toml")]
            for kind, module in SIMULATORS.items()
            for node in NODES
        }
        nodes = {HQ: ["-m", "hq", "serve", "--config", str(self.home(HQ) / "hq.toml")]}
        for code in PROVINCES:
            nodes[code] = ["-m", "province", "serve", "--config", str(self.home(code) / "province.toml")]
        return nodes | outside


def layout(root: Path) -> Local:
    """Choose ports. "link-45" is where province 45 reaches HQ, so that its link can be cut."""
    names = [*NODES, *(f"link-{c}" for c in PROVINCES), *(f"{kind}-{n}" for kind in ("vendor", "bss") for n in NODES)]
    return Local(root, dict(zip(names, free_ports(len(names)), strict=True)))


def lay_out(local: Local, world: World, people: pa.Table, now: datetime, brokers: str = "") -> None:
    """Write every setting, certificate and file of people. Nothing runs yet.

    `brokers`: where the provinces' events are on Kafka; empty: they come into their journals.
    """
    local.logs.mkdir(parents=True)
    write_offset(local.clock_file, 0)
    key = hashlib.blake2b(f"demo {world.seed}".encode(), digest_size=32).digest()
    settings = hq_provision.new_hq(local.home(HQ), local.address(HQ), now, key)
    _complete(local, settings, HQ, brokers)
    for code in PROVINCES:
        home = local.home(code)
        settings = province_provision.new_province(home, code, local.address(f"link-{code}"), local.address(code))
        hq_provision.enroll(local.home(HQ), (home / "province.csr").read_bytes(), home, now)
        _complete(local, settings, code, brokers)
    write_population(people, local.home("people"))
    for node in NODES:
        _write_vendor(local, world, node, now)
        _write_bss(local, world, node, now)


def fill(local: Local, node: str) -> int:
    """Migrate the node's store and import its people; answers how many."""
    settings: HqSettings | ProvinceSettings
    if node == HQ:
        settings = load(HqSettings, local.home(HQ) / "hq.toml")
        database, scripts, home = Database(settings.url(HQ)), HQ_MIGRATIONS, None
    else:
        settings = load(ProvinceSettings, local.home(node) / "province.toml")
        database, scripts, home = Database(settings.url("province")), PROVINCE_MIGRATIONS, int(node)
    migrate(database, scripts)
    if node == HQ:
        with database.transaction() as connection:
            for code in PROVINCES:
                enroll(connection, code, int(datetime.now(UTC).timestamp()))
    imported = import_subscribers(
        local.home("people") / f"subscribers-{node}.parquet",
        number="msisdn",
        province="province",
        federation_key=settings.federation_key(),
        database=database,
        snapshots=Snapshots(settings.data_dir / "people") if node == HQ else None,
        home=home,
    )
    database.close()
    return imported.accepted


def channels_of(node: str) -> list[str]:
    level = Level.ONE if node == HQ else Level.TWO
    return [channel.name for channel in CHANNELS.values() if channel.level == level]


def _complete(local: Local, settings: Path, node: str, brokers: str) -> None:
    """Name the node's vendors, its BSS, where its events come from and the stepped clock in its settings."""
    source = {"source_system": f"bss-{node}" if node != HQ else "cbss", "address": local.address(f"bss-{node}"),
              "name": f"bss-{node}"}  # fmt: skip
    sections = [_section("cbss" if node == HQ else "bss", source)]
    for channel in channels_of(node):
        vendor = {"channel": channel, "address": local.address(f"vendor-{node}"), "name": f"vendor-{node}"}
        sections.append(_section("[vendors]", vendor))
    if node != HQ:
        events = {"source": "kafka", "brokers": brokers} if brokers else {"source": "journal"}
        sections.append(_section("triggers", events))
    text = settings.read_text(encoding="utf-8")
    settings.write_text("\n".join([f'clock_file = "{local.clock_file}"', text, *sections]), encoding="utf-8")


def _write_vendor(local: Local, world: World, node: str, now: datetime) -> None:
    home = local.home(f"vendor-{node}")
    hq_provision.certify(local.home(HQ), "vendor", f"vendor-{node}", home, now)
    (home / "data").mkdir()
    top = {
        "listen": local.address(f"vendor-{node}"),
        "callback": local.address(node),
        "node": "hq" if node == HQ else f"province/{node}",
        "data_dir": "data",
        "seed": world.seed,
        "clock_file": str(local.clock_file),
    }
    sections = [_keys(top), _tls("vendor")]
    for channel in channels_of(node):
        sections.append(_section(f"channels.{channel}", {}))
        sections.append(_section(f"channels.{channel}.odds", world.odds.get(channel, {})))
    (home / "vendor.toml").write_text("\n".join(sections), encoding="utf-8")


def _write_bss(local: Local, world: World, node: str, now: datetime) -> None:
    home = local.home(f"bss-{node}")
    hq_provision.certify(local.home(HQ), "bss", f"bss-{node}", home, now)
    (home / "data").mkdir()
    top: dict[str, Any] = {
        "source_system": "cbss" if node == HQ else f"bss-{node}",
        "listen": local.address(f"bss-{node}"),
        "data_dir": "data",
        "subscribers": str(local.home("people") / "subscribers-hq.parquet"),
        "seed": world.seed,
        "start_at": world.midnight,
        "days": world.days,
        # National orders come in by app late in the evening, so some fall between selecting a wave and sending it.
        "hours": [22, 24] if node == HQ else [10, 20],
        "clock_file": str(local.clock_file),
        "vendors": [str(local.home(f"vendor-{each}") / "vendor.toml") for each in NODES],
    }
    if node != HQ:
        top["province"] = int(node)
    offers = [world.offer] if world.offer else []
    sections = [_keys(top | ({} if offers else {"offers": []})), _tls("bss")]
    for offer in offers:
        keys = {"code": offer.code, "price_fen": offer.price_fen, "campaigns": [offer.campaign],
                "organic_share": offer.organic_share}  # fmt: skip
        sections += [_section("[offers]", keys), _section("offers.caused", offer.caused)]
        sections.append(_section("faults", {"late": 0.03, "duplicate": 0.02, "reversed": 0.02, "cancelled": 0.02}))
        if node != HQ:
            sections.append(_section("pool", {"left": 0.002, "reassigned": 0.001}))
    (home / "bss.toml").write_text("\n".join(sections), encoding="utf-8")


def _tls(name: str) -> str:
    return _section("tls", {"authority": "authority.crt", "certificate": f"{name}.crt", "key": f"{name}.key"})


def _section(name: str, keys: Mapping[str, Any]) -> str:
    return f"\n[{name}]\n{_keys(keys)}"


def _keys(keys: Mapping[str, Any]) -> str:
    """TOML's strings, numbers and lists are written as JSON's."""
    return "\n".join(f"{key} = {json.dumps(_plain(value))}" for key, value in keys.items())


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
