"""What the streaming measurements of triggers run on: a broker, HQ, a province with its vendor, all real processes."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa

from adapters.channels.journal import read_journal
from common.delivery import consents
from common.kernel.columns import Keys
from common.kernel.consent import INTERNET, LOCATION, Consents
from common.kernel.subscriber import subscriber_keys
from common.runtime.clock import SteppedClock, write_offset
from common.runtime.database import Database
from deploy.local import motion
from deploy.local.federation import HQ, Local, World, fill, lay_out, layout
from deploy.local.kafka import Broker
from deploy.local.link import Link
from deploy.local.processes import Supervisor
from deploy.local.traffic import RULES
from deploy.operator_client import connect

PROVINCE = "45"
VENDOR = f"vendor-{PROVINCE}"
ENGINE = "engine"
SEED = 1
NOON = int(datetime(2027, 3, 1, 4, tzinfo=UTC).timestamp())
ODDS = {"refuse": 0.0, "silence": 0.0, "throttle": 0.0, "receipt_ms": [20, 300]}
POLL_SECONDS = 0.1
TAIL_SECONDS = 0.005
START_SECONDS = 90.0

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Bench:
    """`numbers` are who may be made an offer, `telling` their keys; `people` the keys of all."""

    local: Local
    broker: Broker
    processes: Supervisor
    clock: SteppedClock
    people: Keys
    telling: Keys
    numbers: Keys

    def processor_seconds(self, engines: Serving) -> dict[str, float]:
        """By process; engines together."""
        pids = {"broker": self.broker.pid} | {name: self.processes.pid(name) for name in (HQ, PROVINCE, VENDOR)}
        return {ENGINE: engines.processor_seconds()} | {name: _processor_seconds(pid) for name, pid in pids.items()}


@asynccontextmanager
async def bench(root: Path, people: int, telling: int, tell: Tell) -> AsyncIterator[Bench]:
    """The rules are in force at the province when it begins; no engine runs yet."""
    local = layout(root)
    numbers = 8613000000000 + np.arange(people + telling, dtype=np.int64)
    await asyncio.to_thread(_lay_out, local, numbers, telling, tell)
    processes, link = Supervisor(local.logs), Link(local.ports[f"link-{PROVINCE}"], local.ports[HQ])
    await link.restore()
    with Broker(root / "kafka") as broker:
        try:
            for name, arguments in local.processes().items():
                if name in (HQ, PROVINCE, VENDOR, f"bss-{HQ}", f"bss-{PROVINCE}"):
                    await processes.start(name, arguments)
            await _publish(local)
            keys = _keys(local, numbers)
            yield Bench(local, broker, processes, SteppedClock(local.clock_file), keys[telling:], keys[:telling],
                        numbers[:telling])  # fmt: skip
        finally:
            await processes.stop()
            await link.cut()


def _lay_out(local: Local, numbers: Keys, telling: int, tell: Tell) -> None:
    tell("people", 0, len(numbers))
    homes = pa.table({"msisdn": numbers, "province": np.full(len(numbers), int(PROVINCE), dtype=np.int16)})
    world = World(SEED, NOON - 12 * 3600, 3, None, {"local_sms": ODDS})
    lay_out(local, world, homes, datetime.now(UTC))
    write_offset(local.clock_file, NOON - int(time.time()))
    for node in (HQ, PROVINCE):
        fill(local, node)
    store = Database(f"sqlite:///{local.database(PROVINCE)}")
    with store.transaction() as connection:
        for purpose in (LOCATION, INTERNET):
            consents.put_consents(connection, _agreed(_keys(local, numbers[:telling]), purpose))
    store.close()
    tell("people", len(numbers), len(numbers))


def _agreed(keys: Keys, purpose: str) -> Consents:
    count = len(keys)
    given, until = np.full(count, NOON - 86_400, np.uint32), np.full(count, NOON + 30 * 86_400, np.uint32)
    return Consents(keys, [purpose] * count, ["form"] * count, given, until, np.zeros(count, dtype=np.bool_))


def _keys(local: Local, numbers: Keys) -> Keys:
    return subscriber_keys((local.home(PROVINCE) / "federation.key").read_bytes(), numbers.tolist())


async def _publish(local: Local) -> None:
    """HQ's rules, and wait until the province has them."""
    await until("HQ and the province to meet", lambda: motion.query(local.database(HQ), "SELECT 1 FROM session"))
    async with connect(local.home(HQ) / "operator" / "operator.toml") as hq:
        done = await hq.apply_triggers("scenes", RULES)

        async def there() -> bool:
            (document,) = (await hq.triggers()).documents
            return any(p.province == PROVINCE and p.version == done.version for p in document.provinces)

        deadline = time.monotonic() + START_SECONDS
        while not await there():
            if time.monotonic() > deadline:
                raise TimeoutError(f"province {PROVINCE} never took the rules; see {local.logs}")
            await asyncio.sleep(POLL_SECONDS)


async def until(what: str, holds: Callable[[], Any], seconds: float = START_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        await asyncio.sleep(POLL_SECONDS)


@dataclass(frozen=True, slots=True)
class Word:
    """What an engine said of itself."""

    events: int
    """Counted, of the partitions it has."""
    at: float
    """Milliseconds by the nodes' clock."""
    more: bool = False
    """Whether the broker had more for it."""


class Serving:
    """The province's engines, `liandong triggers serve` as it ships, over the same topics."""

    def __init__(self, local: Local, pids: Sequence[int]) -> None:
        self._local, self._pids = local, pids

    def shared(self, partitions: int) -> bool:
        """Whether each has some, all of them together, and no two the same."""
        held = [len(told["partitions"]) for told in self._told().values()]
        return len(held) == len(self._pids) and all(held) and sum(held) == partitions

    def words(self) -> dict[int, Word]:
        """By process, of those that have partitions."""
        return {pid: _word(told) for pid, told in self._told().items() if told["partitions"]}

    def events(self) -> int:
        return sum(word.events for word in self.words().values())

    def processor_seconds(self) -> float:
        return sum(map(_processor_seconds, self._pids))

    def _told(self) -> dict[int, dict[str, Any]]:
        found = {}
        for pid in self._pids:
            path = self._local.home(PROVINCE) / "data" / "triggers" / f"status-{pid}.json"
            with suppress(FileNotFoundError):
                found[pid] = json.loads(path.read_text(encoding="utf-8"))
        return found


def _word(told: dict[str, Any]) -> Word:
    counted = sum(each["counts"].get("events", 0) for each in told["partitions"].values())
    return Word(counted, told["at"], any(told["lag"].values()))


@asynccontextmanager
async def serving(at: Bench, topics: Sequence[str], partitions: int, engines: int = 1) -> AsyncIterator[Serving]:
    """When it begins, all partitions are taken, and every engine has some."""
    config = at.local.home(PROVINCE) / "province.toml"
    section = f'[triggers]\nsource = "kafka"\nbrokers = "{at.broker.address}"\ntopics = {json.dumps(list(topics))}\n'
    told = config.read_text(encoding="utf-8")
    config.write_text(re.sub(r"(?m)^\[triggers\]\n(?:\w.*\n?)*", section, told), encoding="utf-8")
    running = Supervisor(at.local.logs)
    try:
        for place in range(engines):
            arguments = ["-m", "deploy.cli.root", "triggers", "serve", "--config", str(config)]
            await running.start(f"{ENGINE}-{place}", arguments)
        found = Serving(at.local, [running.pid(name) for name in running.names()])
        await until("the engines to take their partitions", lambda: found.shared(partitions))
        yield found
    finally:
        await running.stop()


@dataclass
class Tail:
    """Follows the vendor's journal from now on, in a thread: when each number was first handed off, and how often."""

    journal: Path
    clock: SteppedClock
    first: dict[int, int] = field(default_factory=dict)
    """Milliseconds by the nodes' clock."""
    times: Counter[int] = field(default_factory=Counter)
    _end: int = 0
    _told: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Tail:
        self._end = max((batch.end for batch in read_journal(self.journal)), default=0)
        self._thread = threading.Thread(target=self._follow, name="tail")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._told.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._told.wait(TAIL_SECONDS):
            if self.journal.exists() and self.journal.stat().st_size > self._end:
                self._read()

    def _read(self) -> None:
        for batch in read_journal(self.journal, self._end):
            self._end, now = batch.end, self.clock.milliseconds()
            for number in batch.msisdns.tolist():
                self.first.setdefault(number, now)
                self.times[number] += 1


@dataclass(frozen=True, slots=True)
class Reached:
    """Of those who had to be contacted."""

    lost: int
    doubled: int
    """Contacts too many, of whomever."""


async def reached(tail: Tail, wanted: Sequence[int], seconds: float, quiet_seconds: float, tell: Tell) -> Reached:
    """Wait for all that were wanted, at most so long, and then a little for those too many."""
    begun = time.monotonic()
    while (there := sum(number in tail.first for number in wanted)) < len(wanted):
        tell("contacts", there, len(wanted))
        if time.monotonic() - begun > seconds:
            break
        await asyncio.sleep(POLL_SECONDS)
    await asyncio.sleep(quiet_seconds)
    tell("contacts", len(wanted), len(wanted))
    counted = tail.times
    once = sum(number in counted for number in wanted)
    return Reached(len(wanted) - once, counted.total() - once)


def _processor_seconds(pid: int) -> float:
    used = psutil.Process(pid).cpu_times()
    return float(used.user + used.system)
