"""Versioned snapshots of all people with their tags: one immutable Parquet file and one manifest a version."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from adapters.warehouse.cell_type import ARROW
from common.kernel.refusal import conflict, missing
from common.kernel.tag import KEY, ORDINAL, PROVINCE, Catalogue, Sensitivity, Tag, TagClass, TagType
from common.runtime.failpoint import reach

ROW_GROUP_ROWS = 122_880
_MANIFEST = re.compile(r"people-(\d{6})\.json")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Columns subscriber_key (int64, ascending, unique), ordinal (uint32, dense), province (int16) and the tags."""

    version: int
    path: Path
    sha256: str
    rows: int
    catalogue: Catalogue


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
        tags = tuple(
            Tag(t["name"], TagType(t["type"]), t["nullable"], TagClass(t["tag_class"]), Sensitivity(t["sensitivity"]))
            for t in manifest["tags"]
        )
        path = self.directory / manifest["file"]
        return Snapshot(version, path, manifest["sha256"], manifest["rows"], Catalogue(tags))

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
        handle, temporary = tempfile.mkstemp(suffix=".tmp", dir=self.directory)
        os.close(handle)
        path = Path(temporary)
        try:
            rows = _write(path, people, catalogue)
            sha256 = _sha256(path)
            if last and (last.sha256, last.catalogue) == (sha256, catalogue):
                return last
            snapshot = Snapshot((last.version if last else 0) + 1, self._file(last, sha256), sha256, rows, catalogue)
            path.rename(snapshot.path)
            self._announce(snapshot)
        finally:
            path.unlink(missing_ok=True)
        return snapshot

    def _file(self, last: Snapshot | None, sha256: str) -> Path:
        # Named by content too: two publishers of one version must not overwrite each other's file.
        return self.directory / f"people-{(last.version if last else 0) + 1:06d}-{sha256[:12]}.parquet"

    def _manifest(self, version: int) -> Path:
        return self.directory / f"people-{version:06d}.json"

    def _announce(self, snapshot: Snapshot) -> None:
        manifest = {
            "version": snapshot.version,
            "file": snapshot.path.name,
            "sha256": snapshot.sha256,
            "rows": snapshot.rows,
            "tags": [asdict(tag) for tag in snapshot.catalogue],
        }
        temporary = snapshot.path.with_suffix(".json.tmp")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(manifest, file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        reach("snapshots.announce.before_sync")
        try:
            # A link, not a rename: it fails where the manifest is there already.
            os.link(temporary, self._manifest(snapshot.version))
        except FileExistsError:
            raise conflict("another import published people meanwhile; run this one again") from None
        finally:
            temporary.unlink()
        _sync_directory(self.directory)
        reach("snapshots.announce.after_sync")


def _write(path: Path, people: Iterable[pa.RecordBatch], catalogue: Catalogue) -> int:
    rows, last_key = 0, -1
    with path.open("wb") as file:
        with parquet.ParquetWriter(file, schema(catalogue), compression="zstd", compression_level=1) as writer:
            for group in _groups(people, schema(catalogue)):
                keys = group.column(KEY).to_numpy()
                if len(keys) and (keys[0] <= last_key or (np.diff(keys) <= 0).any()):
                    raise ValueError("people must come ascending by subscriber_key and once each")
                last_key = int(keys[-1]) if len(keys) else last_key
                writer.write_table(group, row_group_size=ROW_GROUP_ROWS)
                rows += group.num_rows
        file.flush()
        reach("snapshots.write.before_sync")
        os.fsync(file.fileno())
    reach("snapshots.write.after_sync")
    return rows


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


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
