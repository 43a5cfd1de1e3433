"""Versioned snapshots of all people with their tags: one immutable Parquet file and one manifest a version."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet

from adapters.warehouse.cell_type import ARROW
from common.kernel.columns import Keys
from common.kernel.refusal import conflict, missing
from common.kernel.tag import KEY, ORDINAL, PROVINCE, Catalogue, Tag, tags_of
from common.runtime.directory import sync_directory
from common.runtime.failpoint import reach

ROW_GROUP_ROWS = 122_880
_MANIFEST = re.compile(r"people-(\d{6})\.json")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Columns subscriber_key (int64, ascending, unique), ordinal (uint32, unique), province (int16) and the tags."""

    version: int
    path: Path
    sha256: str
    """Of the file as it was published: it names the people chosen from, though some were erased since."""
    rows: int
    catalogue: Catalogue
    ordinals: int
    """Above every ordinal ever given."""
    forgotten: int = 0
    """How many people were erased from it since."""


def schema(tags: Iterable[Tag]) -> pa.Schema:
    own = [(KEY, pa.int64()), (ORDINAL, pa.uint32()), (PROVINCE, pa.int16())]
    return pa.schema([*own, *((tag.name, ARROW[tag.type]) for tag in tags)])


class Snapshots:
    """A directory of snapshots. A version is there whole or not at all, also after a power cut."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def latest(self) -> Snapshot | None:
        versions = self.versions()
        return self.open(versions[-1]) if versions else None

    def versions(self) -> list[int]:
        found = (_MANIFEST.fullmatch(name) for name in os.listdir(self.directory))
        return sorted(int(match.group(1)) for match in found if match)

    def open(self, version: int) -> Snapshot:
        try:
            manifest = json.loads(self._manifest(version).read_text("utf-8"))
        except FileNotFoundError:
            raise missing(f"there is no people snapshot {version}; there are {self.versions()}") from None
        path = self.directory / manifest["file"]
        numbers = {name: manifest[name] for name in ("rows", "ordinals", "forgotten")}
        return Snapshot(version, path, manifest["sha256"], catalogue=Catalogue(tags_of(manifest["tags"])), **numbers)

    def publish(
        self, people: Iterable[pa.RecordBatch], catalogue: Catalogue, after: Snapshot | None = None
    ) -> Snapshot:
        """The next version; people who are just those of the latest one make no new version.

        `after` is the snapshot the people were made from. Raises Refusal STATE_CONFLICT where it is not the latest
        any more, or somebody else publishes meanwhile.
        """
        last = self.latest()
        if last != after:
            raise conflict("another import published people meanwhile; run this one again")
        with self._draft() as path:
            written = _write(path, people, catalogue)
            sha256, version = _sha256(path), last.version + 1 if last else 1
            if last and (last.sha256, last.catalogue) == (sha256, catalogue):
                return last
            ordinals = max(written.ordinals, last.ordinals if last else 0)
            snapshot = Snapshot(version, self._file(version, sha256), sha256, written.rows, catalogue, ordinals)
            with self._exclusive():
                if self.latest() != after:
                    raise conflict("people were published or erased meanwhile; run this one again")
                self._announce(snapshot, path)
        return snapshot

    def column(self, snapshot: Snapshot, name: str) -> pa.ChunkedArray:
        """Of everybody in it, in the order of their keys. Raises FileNotFoundError where others replaced it."""
        return parquet.read_table(snapshot.path, columns=[name]).column(name)

    def drop_older(self) -> None:
        """Remove all versions but the newest, where nothing refers to them."""
        for version in self.versions()[:-1]:
            self._manifest(version).unlink(missing_ok=True)
        self._sweep()

    def find(self, version: int, keys: Keys) -> list[tuple[int, int, int]]:
        """(subscriber_key, ordinal, province) of those of `keys` who are in a snapshot; nobody where it is gone."""
        if version not in self.versions():
            return []
        wanted = pc.field(KEY).isin(pa.array(np.unique(keys)))
        found = parquet.read_table(self.open(version).path, columns=[KEY, ORDINAL, PROVINCE], filters=wanted)
        return [tuple(row.values()) for row in found.to_pylist()]

    def forget(self, keys: Keys, keep: Collection[int]) -> None:
        """Erase people from every snapshot, whoever else is in it staying as they are. Repeating it changes nothing.

        The newest snapshot, and of the older ones those in `keep`, are written again without them; other older
        snapshots that hold any of them are removed.
        """
        versions = self.versions()
        for version in versions:
            if not self.find(version, keys):
                continue
            if version == versions[-1] or version in keep:
                self._rewrite(self.open(version), keys)
            else:
                self._manifest(version).unlink()
        self._sweep()

    def _rewrite(self, snapshot: Snapshot, keys: Keys) -> None:
        with self._draft() as path:
            written = _write(path, _without(snapshot.path, keys), snapshot.catalogue)
            gone = snapshot.forgotten + snapshot.rows - written.rows
            file = self._file(snapshot.version, _sha256(path))
            with self._exclusive():
                self._replace(replace(snapshot, path=file, rows=written.rows, forgotten=gone), path)

    def _sweep(self) -> None:
        """Remove the files that no snapshot is made of any more, and what a process that was killed left half done."""
        with self._exclusive():
            used = {self.open(version).path for version in self.versions()}
            reach("snapshots.sweep.before_sync")
            for path in set(self.directory.glob("people-*.parquet")) - used:
                path.unlink()
            for path in self.directory.glob("*.tmp"):
                _remove_left_over(path)
            sync_directory(self.directory)
            reach("snapshots.sweep.after_sync")

    @contextmanager
    def _draft(self) -> Iterator[Path]:
        """A new file, gone at the end if it is still there. Locked while its process lives, so that others leave it."""
        self._sweep()
        with self._exclusive():
            draft = tempfile.NamedTemporaryFile(suffix=".tmp", dir=self.directory, delete=False)  # noqa: SIM115 - closed below
            fcntl.flock(draft, fcntl.LOCK_EX)
        with draft:
            try:
                yield Path(draft.name)
            finally:
                Path(draft.name).unlink(missing_ok=True)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Whoever changes which files make up the snapshots, in whichever process, is alone."""
        with (self.directory / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _file(self, version: int, sha256: str) -> Path:
        # Named by content too: two publishers of one version must not overwrite each other's file.
        return self.directory / f"people-{version:06d}-{sha256[:12]}.parquet"

    def _manifest(self, version: int) -> Path:
        return self.directory / f"people-{version:06d}.json"

    def _announce(self, snapshot: Snapshot, draft: Path) -> None:
        reach("snapshots.announce.before_sync")
        draft.rename(snapshot.path)
        temporary = _write_manifest(snapshot)
        try:
            # A link, not a rename: it fails where the manifest is there already.
            os.link(temporary, self._manifest(snapshot.version))
        except FileExistsError:
            raise conflict("another import published people meanwhile; run this one again") from None
        finally:
            temporary.unlink()
        sync_directory(self.directory)
        reach("snapshots.announce.after_sync")

    def _replace(self, snapshot: Snapshot, draft: Path) -> None:
        reach("snapshots.replace.before_sync")
        draft.rename(snapshot.path)
        temporary = _write_manifest(snapshot)
        temporary.replace(self._manifest(snapshot.version))
        sync_directory(self.directory)
        reach("snapshots.replace.after_sync")


def _remove_left_over(path: Path) -> None:
    with path.open("rb") as file, suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()


def _write_manifest(snapshot: Snapshot) -> Path:
    """On disk, beside the snapshot's file."""
    manifest = {
        "version": snapshot.version,
        "file": snapshot.path.name,
        "sha256": snapshot.sha256,
        "rows": snapshot.rows,
        "ordinals": snapshot.ordinals,
        "forgotten": snapshot.forgotten,
        "tags": [asdict(tag) for tag in snapshot.catalogue],
    }
    temporary = snapshot.path.with_suffix(".json.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(manifest, file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    return temporary


def _without(path: Path, keys: Keys) -> Iterator[pa.RecordBatch]:
    gone = pa.array(np.unique(keys))
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches():
            yield batch.filter(pc.invert(pc.is_in(batch.column(KEY), gone)))


@dataclass(frozen=True, slots=True)
class _Written:
    rows: int
    ordinals: int


def _write(path: Path, people: Iterable[pa.RecordBatch], catalogue: Catalogue) -> _Written:
    rows, last_key, ordinals = 0, -1, 0
    with path.open("wb") as file:
        with parquet.ParquetWriter(file, schema(catalogue), compression="zstd", compression_level=1) as writer:
            for group in _groups(people, schema(catalogue)):
                keys = group.column(KEY).to_numpy()
                if len(keys) and (keys[0] <= last_key or (np.diff(keys) <= 0).any()):
                    raise ValueError("people must come ascending by subscriber_key and once each")
                last_key = int(keys[-1]) if len(keys) else last_key
                writer.write_table(group, row_group_size=ROW_GROUP_ROWS)
                rows += group.num_rows
                ordinals = max(ordinals, 1 + int(group.column(ORDINAL).to_numpy().astype(np.int64).max(initial=-1)))
        file.flush()
        reach("snapshots.write.before_sync")
        os.fsync(file.fileno())
    reach("snapshots.write.after_sync")
    return _Written(rows, ordinals)


def _groups(people: Iterable[pa.RecordBatch], wanted: pa.Schema) -> Iterator[pa.Table]:
    """Row groups of one size whatever the batches were, so that equal people make equal files."""
    waiting: list[pa.RecordBatch] = []
    for batch in people:
        waiting.append(batch)
        if sum(part.num_rows for part in waiting) < ROW_GROUP_ROWS:
            continue
        table = pa.Table.from_batches(waiting).select(wanted.names).cast(wanted)
        whole = table.num_rows // ROW_GROUP_ROWS * ROW_GROUP_ROWS
        for start in range(0, whole, ROW_GROUP_ROWS):
            yield table.slice(start, ROW_GROUP_ROWS).combine_chunks()
        waiting = table.slice(whole).to_batches()
    if waiting:
        yield pa.Table.from_batches(waiting).select(wanted.names).cast(wanted).combine_chunks()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
