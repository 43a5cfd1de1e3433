"""Erases people at HQ: its store at once, with word to every province; then the files that know more of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from common.courier.bell import Bell
from common.delivery import erasures
from common.kernel.columns import Keys
from common.kernel.refusal import Refusal
from common.runtime.clock import Clock
from common.runtime.database import Database
from hq import selection
from hq.audience import Manifest, load_audience
from hq.planner import AUDIENCES, SELECTIONS
from hq.store import erased, feed, people
from hq.store.erased import Member

LOOK_SECONDS = 60.0

log = logging.getLogger(__name__)


class Snapshot(Protocol):
    @property
    def path(self) -> Path:
        """Another file whenever anything in it is otherwise."""
        ...


class Snapshots(Protocol):
    """All versions of what the warehouse knows of people."""

    def latest(self) -> Snapshot | None: ...

    def find(self, version: int, keys: Keys) -> list[tuple[int, int, int]]:
        """(subscriber_key, ordinal, province) of those of `keys` who are in a snapshot."""
        ...

    def forget(self, keys: Keys, keep: Collection[int]) -> None:
        """Erase people from every snapshot; older ones not in `keep` may go altogether."""
        ...


class Eraser:
    """`approving` is held by whoever makes an audience from a snapshot: meanwhile nobody is taken out of one."""

    def __init__(
        self,
        database: Database,
        snapshots: Snapshots,
        clock: Clock,
        directory: Path,
        bell: Bell,
        approving: asyncio.Lock,
    ) -> None:
        self._database = database
        self._snapshots = snapshots
        self._clock = clock
        self._audiences = directory / AUDIENCES
        self._selections = directory / SELECTIONS
        self._bell = bell
        self._approving = approving
        self._looked_at: Path | None = None
        self._done = np.zeros(0, dtype=np.int64)

    async def erase(self, key: int) -> tuple[int, bool]:
        """Since when the person is erased, and whether a wave being cut still has their text in its file.

        Returns when no other file of HQ has anything of them. Repeating it changes nothing.
        """
        at, told = await self._database.write(people.erase, key, self._clock.now())
        for province in told:
            self._bell.ring(province, feed.CONTROL)
        left = await asyncio.shield(asyncio.create_task(self._forget(np.array([key]))))
        return at, len(left) > 0

    async def run(self) -> None:
        while True:
            try:
                await self.make_good()
            except (OSError, Refusal) as error:
                # A full disk, or an import that took a snapshot away just then.
                log.warning("people are still to be erased from files: %s", error)
            await asyncio.sleep(LOOK_SECONDS)

    async def make_good(self) -> None:
        """Finishes what a crash cut short, what provinces told an HQ that came back from a backup, files that were
        still needed, and whom an import brings in that had begun before they were erased."""
        newest = await asyncio.to_thread(self._snapshots.latest)
        path = newest.path if newest else None
        if path != self._looked_at:
            self._looked_at, self._done = path, np.zeros(0, dtype=np.int64)
        waiting = np.setdiff1d(await self._database.read(erasures.all_erased), self._done)
        if len(waiting):
            left = await self._forget(waiting)
            self._done = np.union1d(self._done, np.setdiff1d(waiting, left))

    async def _forget(self, keys: Keys) -> Keys:
        """Answers who is still in a file that is needed."""
        async with self._approving:
            approved = await self._database.read(erased.manifests)
            gone = await asyncio.to_thread(lambda: list(self._members(approved, keys)))
            await self._database.write(erased.add, gone)
            keep = {manifest.snapshot_version for manifest in approved}
            await asyncio.to_thread(self._snapshots.forget, keys, keep)
        return await self._forget_selections(keys)

    def _members(self, approved: Sequence[Manifest], keys: Keys) -> Iterator[Member]:
        """Who of `keys` belongs to which audience; those erased before are in no snapshot any more."""
        versions = {manifest.snapshot_version for manifest in approved}
        found = {version: self._snapshots.find(version, keys) for version in versions}
        for manifest in approved:
            rows = found[manifest.snapshot_version]
            if not rows:
                continue
            try:
                audience = load_audience(self._audiences, manifest.campaign)
            except Refusal as damaged:
                log.error("reports of %s will miss people erased now: %s", manifest.campaign, damaged.message)
                continue
            for key, ordinal, province in rows:
                if ordinal in audience.target:
                    yield Member(manifest.campaign, key, province, ordinal in audience.held_out)

    async def _forget_selections(self, keys: Keys) -> Keys:
        """Remove the files of waves that are cut and hold any of `keys`; answers who is in one still to be cut."""
        frozen = await self._database.read(erased.selections)
        left = np.zeros(0, dtype=np.int64)
        for each, cut in frozen:
            held = await asyncio.to_thread(selection.held_of, self._selections, each, keys)
            if len(held) and cut:
                selection.remove(self._selections, each)
            elif len(held):
                left = np.union1d(left, held)
        return left
