"""A node's life as a process: it works until SIGTERM or SIGINT, or until something it needs breaks."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.kernel.refusal import conflict
from common.runtime.outage import OUTAGE_SECONDS_MAX, StoreUnavailable

log = logging.getLogger(__name__)


async def until_told(*jobs: Coroutine[Any, Any, Any]) -> None:
    """Run `jobs`, which do not end by themselves, until the process is told to stop; a job that raises ends all."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    running = [asyncio.ensure_future(job) for job in jobs]
    stop = asyncio.create_task(told.wait())
    try:
        await asyncio.wait({stop, *running}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (stop, *running):
            task.cancel()
        ended = await asyncio.gather(*running, return_exceptions=True)
    for outcome in ended:
        if isinstance(outcome, Exception):
            raise outcome


async def steady(job: Callable[[], Awaitable[object]]) -> None:
    """Run `job`, which does not end by itself, and begin it again whenever the store is away."""
    while True:
        try:
            await job()
        except StoreUnavailable as away:
            log.warning("%s begins again in %g s: %s", getattr(job, "__qualname__", job), OUTAGE_SECONDS_MAX, away)
        await asyncio.sleep(OUTAGE_SECONDS_MAX)


@contextmanager
def sole_instance(data_dir: Path) -> Iterator[None]:
    """Hold the directory's lock, so that a node never runs twice on one store; refused while another does."""
    with (data_dir / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise conflict(f"{data_dir} is in use by a running node; stop that one first") from error
        yield
