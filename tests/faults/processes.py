"""Real processes that are killed at the failpoints they are armed with, and started again at once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from common.runtime.failpoint import TESTING, VARIABLE

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 10.0
KILLED = -int(signal.SIGKILL)


class Nursery:
    """Starts processes by forking one that has imported everything."""

    async def open(self) -> None:
        here, there = socket.socketpair()
        path = os.pathsep.join([str(ROOT), str(ROOT / "proto" / "gen")])
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, str(Path(__file__).with_name("nursery.py")), str(there.fileno()),
            pass_fds=[there.fileno()], env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1",
                                            "OPENBLAS_NUM_THREADS": "1", TESTING: "1"},
        )  # fmt: skip
        there.close()
        self._reader, self._writer = await asyncio.open_unix_connection(sock=here)
        self._starting: list[asyncio.Future[tuple[int, asyncio.Future[int]]]] = []
        self._ends: dict[int, asyncio.Future[int]] = {}
        self._listening = asyncio.create_task(self._listen())

    async def start(
        self, arguments: list[str], log: Path, environment: Mapping[str, str]
    ) -> tuple[int, asyncio.Future[int]]:
        """Run `python -m …` as `arguments` (which begin with -m); answers its pid, and its exit code to come."""
        _, module, *rest = arguments
        asked = {"module": module, "arguments": rest, "environment": dict(environment), "log": str(log)}
        begun = asyncio.get_running_loop().create_future()
        self._starting.append(begun)
        self._writer.write(json.dumps(asked).encode() + b"\n")
        started: tuple[int, asyncio.Future[int]] = await begun
        return started

    async def close(self) -> None:
        self._listening.cancel()
        self._writer.close()
        await asyncio.wait_for(self._process.wait(), STOP_SECONDS)

    async def _listen(self) -> None:
        while line := await self._reader.readline():
            fact = json.loads(line)
            if "pid" in fact:
                # Numbers come round again, within one trial even: threads have some, too.
                end = self._ends[fact["pid"]] = asyncio.get_running_loop().create_future()
                self._starting.pop(0).set_result((fact["pid"], end))
            else:
                self._ends.pop(fact["ended"]).set_result(fact["code"])


@dataclass
class Running:
    """One name's processes, one after the other."""

    arguments: list[str]
    environment: Mapping[str, str]
    armed: dict[str, int] = field(default_factory=dict)
    """Failpoint to the how-manieth time it is reached."""
    pid: int = 0
    told: bool = False
    """To end, by SIGTERM."""
    keeper: asyncio.Task[None] | None = None
    up: asyncio.Event = field(default_factory=asyncio.Event)


class Processes:
    """Keeps every started process running. `killed` counts where each died, by (name, failpoint).

    A process that ends by itself, without having been killed or told to stop, is noted in `crashed`.
    """

    def __init__(self, nursery: Nursery, logs: Path) -> None:
        self._nursery = nursery
        self._logs = logs
        self._running: dict[str, Running] = {}
        self._stopping = False
        self.killed: Counter[tuple[str, str]] = Counter()
        self.crashed: list[str] = []
        self.tolerate: Callable[[str, int], bool] = lambda _name, _code: False
        """Whether a process may end so, such as one that cannot begin because its store is away."""

    async def start(
        self,
        name: str,
        arguments: list[str],
        environment: Mapping[str, str] | None = None,
        points: Mapping[str, int] | None = None,
    ) -> None:
        running = self._running[name] = Running(arguments, environment or {}, dict(points or {}))
        running.keeper = asyncio.create_task(self._keep(name, running))
        await running.up.wait()

    def arm(self, name: str, points: Mapping[str, int]) -> None:
        """From its next start on, `name` dies at the nth time it reaches each of `points`, once each."""
        self._running[name].armed = dict(points)

    def armed(self, name: str) -> dict[str, int]:
        return dict(self._running[name].armed)

    def disarm(self) -> None:
        for running in self._running.values():
            running.armed = {}

    def kill(self, name: str) -> None:
        """SIGKILL, whatever it is doing."""
        self.killed[name, ""] += 1
        self.signal(name, signal.SIGKILL)

    def restart(self, name: str) -> None:
        """SIGTERM: it ends in good order and is started again."""
        self._running[name].told = True
        self.signal(name, signal.SIGTERM)

    def signal(self, name: str, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._running[name].pid, number)

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def names(self) -> list[str]:
        return list(self._running)

    @property
    def kills(self) -> int:
        return sum(self.killed.values())

    def points_hit(self, name: str) -> set[str]:
        return {point for who, point in self.killed if who == name and point}

    async def run(self, name: str, arguments: list[str], points: Mapping[str, int] | None = None) -> int:
        """A command, again and again while it dies at a failpoint of `points`; answers how it ends at last."""
        running = Running(arguments, {}, dict(points or {}))
        while True:
            said = self._log(name).stat().st_size if self._log(name).exists() else 0
            running.pid, ended = await self._begin(name, running)
            code = await ended
            if code != KILLED:
                return code
            self._note(name, running, said)

    async def stop(self, names: Iterable[str] | None = None) -> None:
        """SIGTERM, and SIGKILL to what does not end by it."""
        self._stopping = True
        gone = [self._running.pop(name) for name in list(names or self._running)]
        for running in gone:
            with suppress(ProcessLookupError):
                os.kill(running.pid, signal.SIGTERM)
        keepers = [running.keeper for running in gone if running.keeper]
        _, late = await asyncio.wait(keepers, timeout=STOP_SECONDS) if keepers else (set(), set())
        for running in gone:
            if running.keeper in late:
                with suppress(ProcessLookupError):
                    os.kill(running.pid, signal.SIGKILL)
        await asyncio.gather(*keepers)
        self._stopping = False

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    async def _begin(self, name: str, running: Running) -> tuple[int, asyncio.Future[int]]:
        points = [f"{point}:{nth}:kill" for point, nth in running.armed.items()]
        told = ",".join([*filter(None, [running.environment.get(VARIABLE)]), *points])
        return await self._nursery.start(running.arguments, self._log(name), {**running.environment, VARIABLE: told})

    async def _keep(self, name: str, running: Running) -> None:
        while True:
            said = self._log(name).stat().st_size if self._log(name).exists() else 0
            running.pid, ended = await self._begin(name, running)
            running.up.set()
            code = await ended
            if self._stopping and name not in self._running:
                return
            if code == KILLED:
                self._note(name, running, said)
            elif running.told:
                running.told = False
            elif not self.tolerate(name, code):
                self.crashed.append(f"{name} ended by itself with {code}; see {self._log(name)}")
                await asyncio.sleep(0.2)
            else:
                await asyncio.sleep(0.1)

    def _note(self, name: str, running: Running, said: int) -> None:
        """Where it died, by its last words; nothing where somebody else killed it."""
        with self._log(name).open("rb") as file:
            file.seek(said)
            words = [line.split() for line in file.read().splitlines()]
        last = next((line[1].decode() for line in reversed(words) if line[:1] == [b"failpoint"]), "")
        if last:
            running.armed.pop(last, None)
            self.killed[name, last] += 1
