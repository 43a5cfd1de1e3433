"""A wave's selection, frozen in a file before the first work order is cut, so that a crash can change nobody's fate."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from common.kernel.columns import Keys
from common.kernel.tag import KEY
from common.runtime.directory import sync_directory
from common.runtime.failpoint import reach
from hq.work_orders import TEXT, Share

CHANNEL, NODE = "channel", "node"
_SCHEMA = pa.schema(
    [(CHANNEL, pa.string()), (NODE, pa.string()), (KEY, pa.int64()), (TEXT, pa.dictionary(pa.int32(), pa.string()))]
)


class SelectionLostError(Exception):
    """The frozen file is gone or is not what was frozen: restore it from a backup, then HQ goes on by itself."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What the wave's record says of its file. `tasks` counts by (channel, node)."""

    file: str
    """Its name in the directory of selections."""
    sha256: str
    snapshot: int
    """Version of the warehouse snapshot the people were read from."""
    selected_at: int
    selected: int
    tasks: Mapping[tuple[str, str], int]

    @property
    def unreachable(self) -> int:
        """Chosen, but no channel of the wave could take them."""
        return self.selected - sum(self.tasks.values())

    def to_json(self) -> str:
        tasks = [[channel, node, count] for (channel, node), count in sorted(self.tasks.items())]
        names = ("file", "sha256", "snapshot", "selected_at", "selected")
        return json.dumps({name: getattr(self, name) for name in names} | {"tasks": tasks})

    @staticmethod
    def from_json(text: str) -> Selection:
        fields = json.loads(text)
        tasks = {(channel, node): count for channel, node, count in fields.pop("tasks")}
        return Selection(**fields, tasks=tasks)


def freeze(
    directory: Path, name: str, snapshot: int, selected_at: int, people: Iterable[tuple[int, list[Share]]]
) -> Selection:
    """Write shares to `directory`/`name`.parquet and make them durable under that name whole or not at all.

    `people` yields, in chunks of ascending keys, how many people were chosen and the shares they fell into.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path, draft = directory / f"{name}.parquet", directory / f".{name}.parquet.part"
    selected, tasks = 0, Counter[tuple[str, str]]()
    with pq.ParquetWriter(draft, _SCHEMA, compression="zstd") as writer:
        for count, shares in people:
            selected += count
            for share in shares:
                tasks[share.channel, share.node] += len(share.keys)
                writer.write_table(_table(share), row_group_size=len(share.keys))
    with draft.open("rb+") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    reach("selection.freeze.before_sync")
    draft.replace(path)
    sync_directory(directory)
    reach("selection.freeze.after_sync")
    return Selection(path.name, digest, snapshot, selected_at, selected, dict(tasks))


def verify(directory: Path, selection: Selection) -> None:
    """Raises SelectionLostError."""
    path = directory / selection.file
    if not path.is_file():
        raise SelectionLostError(f"{path} is missing; restore it from a backup")
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != selection.sha256:
            raise SelectionLostError(f"{path} is not the file that was frozen; restore it from a backup")


def pieces(directory: Path, selection: Selection, channel: str, node: str) -> Iterator[pa.Table]:
    """The people of one (channel, node) with their texts, ascending by key over all pieces."""
    with pq.ParquetFile(directory / selection.file, read_dictionary=[TEXT]) as file:
        for group in range(file.num_row_groups):
            # A row group belongs to one channel and node, so its statistics name them.
            row_group = file.metadata.row_group(group)
            if [row_group.column(place).statistics.min for place in (0, 1)] == [channel, node]:
                yield file.read_row_group(group, columns=[KEY, TEXT])


def held_of(directory: Path, selection: Selection, keys: Keys) -> Keys:
    """Who of `keys` is in the file; nobody where it is gone."""
    path = directory / selection.file
    if not path.is_file():
        return keys[:0]
    held = pq.read_table(path, columns=[KEY], filters=pc.field(KEY).isin(pa.array(np.unique(keys))))
    return np.unique(held[KEY].to_numpy())


def remove(directory: Path, selection: Selection) -> None:
    """Its wave must be cut: nothing reads it after that."""
    reach("selection.remove.before_sync")
    (directory / selection.file).unlink(missing_ok=True)
    sync_directory(directory)
    reach("selection.remove.after_sync")


def _table(share: Share) -> pa.Table:
    rows = len(share.keys)
    columns = [pa.repeat(share.channel, rows), pa.repeat(share.node, rows), pa.array(share.keys), share.texts]
    return pa.table(columns, schema=_SCHEMA)
