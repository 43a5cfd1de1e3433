"""A small federation of real processes that campaigns run through, one a simulated day, whatever is done to it."""

from __future__ import annotations

import asyncio
import random
import re
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import grpc.aio
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Engine, NullPool, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from adapters.channels.script import Odds
from common.kernel.bss import SourceUnavailable
from common.kernel.refusal import Refusal
from common.runtime.clock import WALL_VARIABLE, write_offset
from common.runtime.failpoint import VARIABLE
from deploy.local import motion
from deploy.local.federation import HQ, NODES, PROVINCES, Local, Offer, World, channels_of, fill, lay_out
from deploy.local.link import Link
from deploy.local.processes import free_ports
from deploy.operator_client import OperatorClient, connect
from tests.faults.processes import Nursery, Processes
from tests.triggers.documents import listed_document

DAY = 86_400
HOUR = 3_600
ZONE = ZoneInfo("Asia/Shanghai")
FIRST_DAY = datetime(2027, 3, 1, tzinfo=ZONE)
DAYS = 60
"""As many campaigns there may be."""
BANDS = 8
PEOPLE_A_BAND = 60
POLL_SECONDS = 0.1
CALL_SECONDS = 10.0
FOR_EVER_SECONDS = 600
CAMPAIGN_SECONDS_MAX = 90.0
QUIET_SECONDS_MAX = 60.0
MESSAGES_A_BATCH = 8
"""Small, so that a vendor writes often in a small campaign."""
_PLANNED = "SELECT node, sum(task_count) FROM work_order WHERE campaign = :name GROUP BY node"
_AT_WORK = """
SELECT coalesce(sum(tasks), 0), coalesce(sum(open_tasks + submitting_tasks), 0)
FROM task_block JOIN work_order ON name = work_order WHERE campaign = :name AND node = :at
"""
"""How many tasks a node has of a campaign, and how many of them it has yet to send."""
ROLES = {
    node: role
    for each in NODES
    for node, role in ((each, HQ if each == HQ else "province"), (f"vendor-{each}", "vendor"), (f"bss-{each}", "bss"))
}
"""What each process is, by name."""
ODDS = Odds(
    silence=0.03, throttle=0.03, interested=0.05, refused=0.03, stop=0.02, lost_answers=0.05,
    receipt_ms=(20, 200), reply_ms=(50, 400),
)  # fmt: skip


class StuckError(Exception):
    """Something did not come in time; the message says what, and where to look."""


@dataclass
class Federation:
    """`stores` answers where a node keeps its facts: an SQLAlchemy URL, or None for SQLite in its directory."""

    root: Path
    seed: int
    stores: Mapping[str, str] = field(default_factory=dict)
    linked_stores: bool = False
    """Whether nodes reach their PostgreSQL through links that can fail."""
    local: Local = field(init=False)
    processes: Processes = field(init=False)
    links: dict[str, Link] = field(init=False)
    day: int = 0

    def __post_init__(self) -> None:
        names = [*NODES, *(f"{kind}-{node}" for kind in ("vendor", "bss", "link") for node in NODES)]
        more = [f"{node}>{far}" for node in NODES for far in ("vendor", "bss", "store")]
        more += [f"vendor>{node}" for node in NODES]
        self.local = Local(self.root, dict(zip([*names, *more], free_ports(len(names) + len(more)), strict=True)))
        self.random = random.Random(self.seed)  # noqa: S311 - a trial can be repeated
        self.approved: list[str] = []
        """Campaigns whose approval HQ acknowledged."""
        self.command_points: tuple[str, ...] = ()
        """Where commands die, each once in each run of them."""
        self.forgotten: set[int] = set()
        """Days between backups of all nodes and their return: what was answered then, to whatever, nobody knows."""
        self._engines: dict[str, Engine] = {}
        self._ruled = set[int]()

    async def open(self, birth: tuple[str, ...] = ()) -> None:
        """Lay everything out, fill the stores, and start all processes. Nodes die at the points of `birth`."""
        offer = Offer("faults", 100, "c00", 0.7, {"sms": 0.05, "local_sms": 0.05})
        odds = {channel: ODDS.model_dump() for node in NODES for channel in channels_of(node)}
        world = self.world = World(self.seed, int(FIRST_DAY.timestamp()), DAYS, offer, odds)
        await asyncio.to_thread(lay_out, self.local, world, _people(), datetime.now(UTC))
        self._settle_stores()
        for node in NODES:
            await asyncio.to_thread(fill, self.local, node)
        self.links = self._wire()
        for link in self.links.values():
            await link.restore()
        self.step_to(self.day)
        self.nursery = Nursery()
        await self.nursery.open()
        self.processes = Processes(self.nursery, self.local.logs)
        self.hq: OperatorClient = await connect(self.local.home(HQ) / "operator" / "operator.toml").__aenter__()
        for node in NODES:
            write_offset(self.wall(node), 0)
        for name in self.local.processes():
            await self.start(name, birth)
        await self.until("the provinces to connect", QUIET_SECONDS_MAX, self._connected)

    async def close(self) -> None:
        with suppress(AttributeError):
            await self.hq.__aexit__(None, None, None)
        with suppress(AttributeError):
            await self.processes.stop()
        with suppress(AttributeError):
            await self.nursery.close()
        for link in self.links.values():
            await link.cut()
        for engine in self._engines.values():
            engine.dispose()

    async def start(self, name: str, points: tuple[str, ...] = (), hangs_at: str = "") -> None:
        """It dies at each of `points`, and stands still whenever it reaches `hangs_at`."""
        environment = {WALL_VARIABLE: str(self.wall(name))} if name in NODES else {}
        if hangs_at:
            environment[VARIABLE] = f"{hangs_at}:1:hang={FOR_EVER_SECONDS}"
        await self.processes.start(name, self.local.processes()[name], environment, dict.fromkeys(points, 1))

    def wall(self, node: str) -> Path:
        """The file that steps a node's own wall clock."""
        return self.local.home(node) / "wall"

    def step_to(self, day: int, hour: float = 10.0) -> None:
        self.day = day
        self._offset = int(self.world.midnight + day * DAY + hour * HOUR - time.time())
        write_offset(self.local.clock_file, self._offset)

    def now(self) -> int:
        """What every node's clock says that nobody has set wrong."""
        return int(self._offset + time.time())

    async def campaign(self, during: Callable[[], Awaitable[object]] | None = None) -> None:
        """The next day's campaign, from its file to the end of each of its tasks and what follows from them.

        `during` is begun once it is approved, and waited for.
        """
        name = await self.begin()
        trouble = asyncio.create_task(_awaited(during)) if during else None
        await self.ask_locally(name)
        for step in (self.hq.pause, self.hq.resume):
            await self.insist(lambda step=step: step(name))  # type: ignore[misc]
        if trouble:
            await trouble
        await self.until(f"campaign {name} to settle", CAMPAIGN_SECONDS_MAX, lambda: self._settled(name))
        self.step_to(self.day, 20.5)
        await self.quiet()

    async def next_day(self) -> None:
        """Not while a province tells HQ what time it is: a clock that is stepped in between would look wrong."""
        await self.until("the provinces to connect", QUIET_SECONDS_MAX, self._connected)
        self.step_to(self.day + 1)

    async def begin(self) -> str:
        """Approve the day's campaign, the next day's where it is approved already; answers its name."""
        if not self.day or self._name() in self.approved:
            await self.next_day()
        name, yaml = self._name(), self.yaml(self.day)
        applied = await self.insist(lambda: self.hq.apply(yaml))
        await self.insist(lambda: self.hq.approve(name, applied.campaign.version))
        self.approved.append(name)
        await self.new_policy()
        await self._change_rules()
        return name

    async def new_policy(self) -> None:
        await self.insist(lambda: self.hq.apply_policy(_policy(self.day)))

    async def _change_rules(self) -> None:
        """Another trigger document every day, paused, resumed and, the one of the day before, withdrawn."""
        part, listed = listed_document(f"rule-{self.day}", [f"site{self.day}.example.com"])
        await self.insist(lambda: self.hq.put_host_part(part))
        await self.insist(lambda: self.hq.apply_triggers(f"day-{self.day}", listed))
        await self.insist(lambda: self.hq.pause_trigger(f"rule-{self.day}"))
        await self.insist(lambda: self.hq.resume_trigger(f"rule-{self.day}"))
        if self.day - 1 in self._ruled:
            await self.insist(lambda: self.hq.withdraw_triggers(f"day-{self.day - 1}"))
        self._ruled.add(self.day)

    async def ask_locally(self, name: str) -> None:
        """Each province asks, twice, for contacts on its own account, with an eye to HQ's where its own are used up."""
        for turn, code in product("ab", PROVINCES):
            request = f"{name}{turn}"
            file = self.root / f"{request}-{code}.csv"
            asked = self.local_band(code)
            file.write_text("\n".join(["msisdn", *map(str, asked)]), encoding="utf-8")
            settings = str(self.local.home(code) / "province.toml")
            arguments = ["-m", "province", "contact", str(file), "--config", settings, "--name", request, "--offer",
                         "local", "--text", "您好", "--ask-hq", "--wait", "0"]  # fmt: skip
            await self._asked(f"contact-{code}", request, code, arguments)

    async def _asked(self, log: str, request: str, code: str, arguments: list[str]) -> None:
        async def known() -> bool:
            await self.processes.run(log, arguments, dict.fromkeys(self.command_points, 1))
            return bool(self.query(code, "SELECT 1 FROM local_request WHERE name = :name", name=request))

        await self.until(f"request {request} to be stored at {code}", CAMPAIGN_SECONDS_MAX, known)

    def local_band(self, code: str) -> list[int]:
        """People of the province, some of whom campaigns contact these days, too."""
        wanted = (self.day + 1) % BANDS, (self.day + 3) % BANDS
        people = _people().filter(
            pc.equal(pc.field("province"), int(code)) & pc.is_in(pc.field("band"), pa.array(wanted))
        )
        return [int(number) for number in people.column("msisdn").to_pylist()]

    @staticmethod
    def yaml(day: int) -> str:
        """Each takes half of the day before's people, so that caps have something to forbid."""
        start = FIRST_DAY + timedelta(days=day, hours=9)
        bands = day % BANDS, (day + 1) % BANDS
        return f"""\
name: c{day:02d}
title: {{zh: 故障试验, en: Fault trial}}
offer: {{code: faults, title: {{zh: 试验, en: Trial}}, price_fen: 100}}
audience: band = {bands[0]} OR band = {bands[1]}
holdout: 5%
schedule: {{start: {start.isoformat()}, end: {(start + timedelta(hours=12)).isoformat()}}}
respond_hours: 24
attribution_days: 1
content:
  app_push: {{zh: 点击办理。}}
  sms: {{zh: 回复Y办理，回复TD退订。}}
  local_sms: {{zh: 回复Y办理，回复TD退订。}}
  outbound_call: {{zh: 您有兴趣了解一下吗？}}
waves:
  - name: only
    after: 0d
    channels:
      - {{channel: app_push, when: kind < 2}}
      - {{channel: outbound_call, when: kind < 5}}
      - {{channel: local_sms, when: kind < 7}}
      - {{channel: sms}}
"""

    async def wind_up(self) -> None:
        """Days after the last campaign everything has its end: receipts that never came, campaigns, orders."""
        self.step_to(self.day + 5)

        async def ended() -> bool:
            await self.hq.campaigns()
            return not any(self._unended(node) for node in NODES)

        await self.until("every task to end", QUIET_SECONDS_MAX, ended)
        await self.quiet()

    async def quiet(self) -> None:
        """Everything that this moment brings has arrived everywhere."""
        await self.until("all to be quiet", QUIET_SECONDS_MAX, self._still)

    async def insist(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Until the call is answered, as an operator would; HQ may be down just now."""
        answers: list[Any] = []

        async def answered() -> bool:
            answers.append(await asyncio.wait_for(call(), CALL_SECONDS))
            return True

        await self.until("HQ to answer", CAMPAIGN_SECONDS_MAX, answered)
        return answers[-1]

    async def until(self, what: str, seconds: float, done: Callable[[], Awaitable[bool]]) -> None:
        """A process that is down just now only takes longer; one that ends by itself is told of at once."""
        end, last = time.monotonic() + seconds, ""
        while time.monotonic() < end:
            if self.processes.crashed:
                raise StuckError("\n".join(self.processes.crashed))
            try:
                if await done():
                    return
            except (grpc.aio.AioRpcError, SourceUnavailable, OperationalError, TimeoutError) as error:
                last = str(error)[:200]
            except Refusal as refusal:
                if refusal.reason not in ("STORE_UNAVAILABLE", "DRAINING", "RESTORE_FENCED"):
                    raise
                last = refusal.message
            await asyncio.sleep(POLL_SECONDS)
        standing = f"{last} {self._standing()}"
        for name in self.processes.names():
            self.processes.signal(name, signal.SIGUSR1)
        await asyncio.sleep(1)
        raise StuckError(f"waited {seconds:.0f} s for {what}; {standing}; logs are in {self.local.logs}")

    def query(self, node: str, statement: str, **parameters: object) -> list[tuple[Any, ...]]:
        """Rows of a node's store, past the node and every link."""
        with self.engine(node).begin() as connection:
            return [tuple(row) for row in connection.execute(text(statement), parameters)]

    def engine(self, node: str) -> Engine:
        if node not in self._engines:
            self._engines[node] = create_engine(self.store(node), poolclass=NullPool)
        return self._engines[node]

    def store(self, node: str) -> str:
        """Where it really is, past any link."""
        return self.stores.get(node) or f"sqlite:///{self.local.database(node)}"

    def _settle_stores(self) -> None:
        for node, url in self.stores.items():
            self._rewrite(node, lambda told, url=url: f'database_url = "{url}"\n{told}')  # type: ignore[misc]

    def _wire(self) -> dict[str, Link]:
        """Put a link on every way between two processes, by name: "45>hq", "45>vendor", "vendor>45", "45>store"."""
        at, ports = self.local.address, self.local.ports
        links = {f"{code}>{HQ}": Link(ports[f"link-{code}"], ports[HQ]) for code in PROVINCES}
        for node in NODES:
            for far in ("vendor", "bss"):
                links[f"{node}>{far}"] = Link(ports[f"{node}>{far}"], ports[f"{far}-{node}"])
                self._rewrite(node, _replaced(at(f"{far}-{node}"), at(f"{node}>{far}")))
            links[f"vendor>{node}"] = Link(ports[f"vendor>{node}"], ports[node])
            self._rewrite(
                f"vendor-{node}", _replaced(f'callback = "{at(node)}"', f'callback = "{at(f"vendor>{node}")}"')
            )
            self._rewrite(f"vendor-{node}", _small_batches)
            self._rewrite(f"bss-{node}", _all_campaigns)
            if self.linked_stores and node in self.stores:
                url = make_url(self.stores[node])
                links[f"{node}>store"] = Link(ports[f"{node}>store"], Path(str(url.query["host"])) / ".s.PGSQL.5432")
                through = f"postgresql+psycopg://postgres@{at(f'{node}>store')}/{url.database}"
                self._rewrite(node, _replaced(self.stores[node], through))
        return links

    def _rewrite(self, name: str, change: Callable[[str], str]) -> None:
        """A process's settings file."""
        (path,) = self.local.home(name).glob("*.toml")
        path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")

    async def _connected(self) -> bool:
        await self.hq.campaigns()
        return len(self.query(HQ, "SELECT 1 FROM session WHERE expires_at > :now", now=self.now())) == len(PROVINCES)

    def _name(self) -> str:
        return f"c{self.day:02d}"

    async def _settled(self, name: str) -> bool:
        """Every task is at its node, which has nothing left to send, and vendors have said all that they will.

        A message may wait for its receipt in vain, and not only where the vendor is silent: of one whose sending was
        not answered for, and which a rule forbids to send again, nobody but a receipt could tell whether it was taken.
        """
        planned = self.query(HQ, _PLANNED, name=name)
        at_work = all(self.query(node, _AT_WORK, name=name, at=node) == [(tasks, 0)] for node, tasks in planned)
        return bool(planned) and at_work and not motion.reports_to_come(self.local, self.world)

    def _standing(self) -> str:
        return " ".join(f"{node}: {self._unended(node)}" for node in NODES)

    def _unended(self, node: str) -> list[tuple[Any, ...]]:
        columns = "work_order, number, open_tasks, submitting_tasks, submitted_tasks"
        left = "open_tasks + submitting_tasks + submitted_tasks > 0"
        return self.query(node, f"SELECT {columns} FROM task_block WHERE {left}")

    async def _still(self) -> bool:
        if motion.reports_to_come(self.local, self.world) or self._entries_to_come():
            return False
        return await self._sources_read() and not self._entries_to_come()

    def _entries_to_come(self) -> int:
        statement = "SELECT coalesce(sum(head - committed), 0) FROM log"
        return sum(int(self.query(node, statement)[0][0]) for node in NODES)

    async def _sources_read(self) -> bool:
        return await motion.sources_read(self.local, self._places)

    def _places(self, node: str) -> dict[str, str]:
        return dict(self.query(node, "SELECT feed, page_token FROM source_place"))


def _people() -> pa.Table:
    count = BANDS * PEOPLE_A_BAND
    order = np.arange(count, dtype=np.int64)
    provinces = np.array([int(code) for code in PROVINCES], dtype=np.int16)
    return pa.table(
        {
            "msisdn": 8613000000000 + order * 7,
            "province": provinces[order % 2],
            "band": order // 2 % BANDS,
            "kind": order // (2 * BANDS) % 10,
        }
    )


def _policy(day: int) -> str:
    """Another one every day, with the caps of the one that needs no applying."""
    return f"""\
mode: shared
caps:
  - {{scope: all, contacts: 2, per: 24h, province_share: 1}}
  - {{scope: all, contacts: 6, per: 7d, province_share: 2}}
cooling: {10 + day}d
"""


def _small_batches(told: str) -> str:
    told = re.sub(r"(\[channels\.\w+\]\n)", rf"\1batch_max = {MESSAGES_A_BATCH}\n", told)
    return told.replace("[channels.outbound_call]\n", "[channels.outbound_call]\ndedupe_seconds = 0\n")


def _all_campaigns(told: str) -> str:
    names = ", ".join(f'"c{day:02d}"' for day in range(DAYS))
    return re.sub(r"campaigns = \[.*\]", f"campaigns = [{names}]", told)


def _replaced(old: str, new: str) -> Callable[[str], str]:
    def change(told: str) -> str:
        assert old in told, f"{old} is not in the settings"
        return told.replace(old, new)

    return change


async def _awaited(during: Callable[[], Awaitable[object]]) -> None:
    await during()
