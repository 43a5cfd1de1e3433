"""Erases people from the snapshots of the province's tags, after its store has forgotten them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

import numpy as np

from common.delivery import erasures
from common.kernel.columns import Keys
from common.kernel.refusal import Refusal
from common.runtime.database import Database

LOOK_SECONDS = 2.0

log = logging.getLogger(__name__)


class Snapshot(Protocol):
    @property
    def path(self) -> Path:
        """Another file whenever anything in it is otherwise."""
        ...


class Snapshots(Protocol):
    def latest(self) -> Snapshot | None: ...

    def forget(self, keys: Keys, keep: Collection[int]) -> None:
        """Erase people from the newest; older ones that hold them go altogether. Repeating it changes nothing."""
        ...


class Eraser:
    """Looks again after each import: it may have begun before somebody in its file was erased."""

    def __init__(self, database: Database, snapshots: Snapshots) -> None:
        self._database, self._snapshots = database, snapshots
        self._looked: tuple[Path, Keys] | None = None

    async def run(self) -> None:
        while True:
            try:
                await self.erase()
            except (OSError, Refusal) as error:
                # A full disk, or an import that took a snapshot away just then.
                log.warning("people are still to be erased from the tags: %s", error)
            await asyncio.sleep(LOOK_SECONDS)

    async def erase(self) -> None:
        """All who are to be forgotten and may be in a snapshot."""
        newest = await asyncio.to_thread(self._snapshots.latest)
        if newest is None:
            return
        keys = await self._database.read(erasures.all_erased)
        known = self._looked[1] if self._looked and self._looked[0] == newest.path else np.zeros(0, dtype=np.int64)
        waiting = np.setdiff1d(keys, known)
        if len(waiting):
            await asyncio.to_thread(self._snapshots.forget, waiting, ())
            newest = await asyncio.to_thread(self._snapshots.latest)
        self._looked = (newest.path, keys) if newest else None
