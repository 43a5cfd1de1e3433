"""What trigger rules ask of people: loaded beside the engine when it changes, and put in place between two runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from common.delivery import orders
from common.kernel.columns import Keys
from common.kernel.tag import KEY, Catalogue, Tag
from common.runtime.database import Database
from province.triggers.matching.profile import Known, PeopleProfile, Values, values_of

LOOK_SECONDS = 1.0
LOOK_SHARE = 10
"""Looking and loading take at most the tenth part of one processor's time."""
ATTEMPTS = 3
_FIRST_KEY, _LAST_KEY = orders.NOBODY + 1, int(np.iinfo(np.int64).max)

log = logging.getLogger(__name__)


class Snapshot(Protocol):
    @property
    def path(self) -> Path:
        """Another file whenever anything in it is otherwise."""
        ...

    @property
    def catalogue(self) -> Catalogue: ...


class Snapshots(Protocol):
    """The tags of the province's people, as the last import left them."""

    def latest(self) -> Snapshot | None: ...

    def column(self, snapshot: Any, name: str) -> pa.ChunkedArray:
        """Of everybody in it, in the order of their keys. Raises FileNotFoundError where it is there no more."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Loaded:
    profile: PeopleProfile
    tags: tuple[Tag, ...]
    offers: tuple[str, ...]
    known: Known = field(default_factory=Known)
    file: Path | None = None
    orders: tuple[int, int] | None = None


class People:
    """One engine's: its thread calls, and another loads."""

    def __init__(self, database: Database, snapshots: Snapshots) -> None:
        self._database, self._snapshots = database, snapshots
        self._now: _Loaded | None = None
        self._loader = ThreadPoolExecutor(1, "people")
        self._loading: Future[tuple[_Loaded, float]] | None = None
        self._due = 0.0

    def serve(self, profile: PeopleProfile, tags: Iterable[str], offers: Iterable[str]) -> None:
        """Load what rules ask of `profile`, and keep it up to date from now on."""
        found = (profile.catalogue.find(name) for name in sorted(tags))
        wanted = tuple(tag for tag in found if tag is not None and tag in profile.catalogue.tags)
        before = self._now.known if self._now else Known()
        file, counts = (self._now.file, self._now.orders) if self._now else (None, None)
        self._put(self._loaded(_Loaded(profile, wanted, tuple(sorted(offers)), before, file, counts)))
        self._loading = None  # What is being loaded is for rules of before.

    def refresh(self) -> None:
        """Take up what was loaded meanwhile, or have a look whether anything changed. Raises StoreUnavailable."""
        if self._loading is not None and self._loading.done():
            done, self._loading = self._loading, None
            found, took = done.result()
            self._due = time.monotonic() + max(LOOK_SECONDS, (LOOK_SHARE - 1) * took)
            self._put(found)
        elif self._loading is None and self._now is not None and time.monotonic() >= self._due:
            self._due = time.monotonic() + LOOK_SECONDS
            if self._now.tags or self._now.offers:
                self._loading = self._loader.submit(_timed, self._loaded, self._now)

    def _put(self, found: _Loaded) -> None:
        self._now, found.profile.known = found, found.known

    def _loaded(self, before: _Loaded) -> _Loaded:
        """What is the same as before is not loaded again."""
        file, keys, values = self._tags(before)
        counts, owners = self._owners(before)
        known = Known(keys, values, owners)
        return _Loaded(before.profile, before.tags, before.offers, known, file, counts)

    def _tags(self, before: _Loaded) -> tuple[Path | None, Keys, Mapping[str, Values]]:
        for attempt in range(ATTEMPTS):
            snapshot = self._snapshots.latest() if before.tags else None
            try:
                return self._of_snapshot(before, snapshot)
            except FileNotFoundError:
                # Somebody was erased from it, or newer tags came, between two columns.
                if attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError

    def _of_snapshot(
        self, before: _Loaded, snapshot: Snapshot | None
    ) -> tuple[Path | None, Keys, Mapping[str, Values]]:
        if snapshot is None:
            nobody: Keys = np.zeros(0, dtype=np.int64)
            return None, nobody, {tag.name: _nothing(tag, 0) for tag in before.tags}
        same = snapshot.path == before.file
        keys = before.known.keys if same else self._snapshots.column(snapshot, KEY).to_numpy()
        values = {
            tag.name: before.known.values[tag.name]
            if same and tag.name in before.known.values
            else self._values(snapshot, tag, len(keys))
            for tag in before.tags
        }
        return snapshot.path, keys, values

    def _values(self, snapshot: Snapshot, wanted: Tag, people: int) -> Values:
        there = snapshot.catalogue.find(wanted.name)
        if there is None or not there.serves(wanted):
            log.error("%s has no tag %s of type %s; import it again", snapshot.path, wanted.name, wanted.type)
            return _nothing(wanted, people)
        return values_of(there.type, self._snapshots.column(snapshot, there.name))

    def _owners(self, before: _Loaded) -> tuple[tuple[int, int] | None, Mapping[str, Keys]]:
        if not before.offers:
            return None, {}
        with self._database.snapshot() as connection:
            counts = orders.counts(connection)
            kept = before.known.owners if counts == before.orders else {}
            return counts, {
                offer: kept[offer] if offer in kept else orders.owners_between(connection, offer, _FIRST_KEY, _LAST_KEY)
                for offer in before.offers
            }


def _nothing(tag: Tag, people: int) -> Values:
    return values_of(tag.type, pa.chunked_array([pa.nulls(people)]))


def _timed(load: Callable[[_Loaded], _Loaded], before: _Loaded) -> tuple[_Loaded, float]:
    begun = time.monotonic()
    found = load(before)
    return found, time.monotonic() - begun
