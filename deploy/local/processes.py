"""Starts the federation's processes on this machine, starts again what dies, and ends only what it started."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from random import SystemRandom

STOP_SECONDS = 10.0
RESTART_SECONDS = 0.3
PORTS = (10_000, 30_000)
"""Below those the system gives to outgoing connections, one of which might sit on the port of a process not up yet."""


def free_ports(count: int) -> list[int]:
    """Loopback ports nobody listens on now."""
    return list(islice(filter(_is_free, SystemRandom().sample(range(*PORTS), len(range(*PORTS)))), count))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Supervisor:
    """One log file a process in `log_dir`. A process that ends before `stop` is started again and counted."""

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._stopping = False
        self.restarts: dict[str, int] = {}

    async def start(self, name: str, arguments: Sequence[str]) -> None:
        """Run `python arguments` as `name`."""
        await self._spawn(name, arguments)
        self._keepers.append(asyncio.create_task(self._keep(name, arguments)))

    async def _spawn(self, name: str, arguments: Sequence[str]) -> None:
        with (self._log_dir / f"{name}.log").open("ab") as log:
            self._running[name] = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip

    async def _keep(self, name: str, arguments: Sequence[str]) -> None:
        while True:
            await self._running[name].wait()
            if self._stopping:
                return
            self.restarts[name] = self.restarts.get(name, 0) + 1
            await asyncio.sleep(RESTART_SECONDS)
            await self._spawn(name, arguments)

    def kill(self, name: str) -> None:
        """SIGKILL, as a power cut would; the keeper starts it again. One that is down already is left alone."""
        with suppress(ProcessLookupError):
            self._running[name].send_signal(signal.SIGKILL)

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def names(self) -> list[str]:
        return list(self._running)

    async def stop(self) -> None:
        self._stopping = True
        for process in self._running.values():
            with suppress(ProcessLookupError):
                process.terminate()
        await asyncio.gather(*(self._end(process) for process in self._running.values()))
        for keeper in self._keepers:
            keeper.cancel()

    @staticmethod
    async def _end(process: asyncio.subprocess.Process) -> None:
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
