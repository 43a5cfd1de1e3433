"""Checkpoints: all that is known of a partition and where to go on, in one file that is whole or not at all.

The file, little endian: 8s "LDCKPT1\\n", u32 bytes of the header, the header (JSON), each column's bytes in the
header's order, u32 CRC-32 of everything before it. The one before is kept as `.previous`: any older one is as right,
only slower.
"""

from __future__ import annotations

import json
import logging
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.runtime.directory import sync_directory
from common.runtime.failpoint import reach

MAGIC = b"LDCKPT1\n"
_LENGTH = struct.Struct("<I")
PIECE_BYTES = 4 << 20
log = logging.getLogger(__name__)

Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class KeptRule:
    name: str
    counted: str
    """What the state is a state of."""
    counts: Mapping[str, int]
    columns: Columns


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    partition: str
    next: int
    """The offset to go on from."""
    newest: int
    """The latest time of the partition; Unix milliseconds."""
    counts: Mapping[str, int]
    rules: tuple[KeptRule, ...] = field(default=())


class Checkpoints:
    """A file a partition in one directory, which all engines of the province share."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def save(self, checkpoint: Checkpoint) -> int:
        """Returns when it is durable; how many bytes it took."""
        path = self._path(checkpoint.partition)
        draft = path.with_suffix(f".{os.getpid()}")
        with draft.open("wb") as file:
            checksum = 0
            for piece in _pieces(checkpoint):
                checksum = zlib.crc32(piece, checksum)
                file.write(piece)
            file.write(_LENGTH.pack(checksum))
            file.flush()
            reach("checkpoint.save.before_sync")
            os.fsync(file.fileno())
            size = file.tell()
        self._keep_previous(path)
        draft.replace(path)
        sync_directory(self._directory)
        reach("checkpoint.save.after_sync")
        return size

    def take_over(self, partition: str) -> Checkpoint | None:
        """As `load`, for whoever has the partition from now on: what others left half-written goes."""
        for draft in self._directory.glob(f"{partition}.[0-9]*"):
            draft.unlink(missing_ok=True)
        return self.load(partition)

    def load(self, partition: str) -> Checkpoint | None:
        """The newest that is sound; None where there is none."""
        path = self._path(partition)
        for each in (path, path.with_suffix(".previous")):
            if not each.exists():
                continue
            try:
                return _read(each)
            except (ValueError, KeyError, TypeError, struct.error) as error:
                log.error("%s is damaged (%s); going on from an older one", each, error)
        return None

    def partitions(self) -> list[str]:
        """Those that ever had one."""
        return sorted(path.stem for path in self._directory.glob("*.checkpoint"))

    def _path(self, partition: str) -> Path:
        return self._directory / f"{partition}.checkpoint"

    def _keep_previous(self, path: Path) -> None:
        """By a second name, so that at every moment there is one by the first."""
        if not path.exists():
            return
        link = path.with_suffix(f".{os.getpid()}.link")
        link.unlink(missing_ok=True)
        os.link(path, link)
        reach("checkpoint.keep_previous.before_sync")
        link.replace(path.with_suffix(".previous"))
        reach("checkpoint.keep_previous.after_sync")


def _pieces(checkpoint: Checkpoint) -> Iterator[bytes | memoryview]:
    header = {
        "partition": checkpoint.partition, "next": checkpoint.next, "newest": checkpoint.newest,
        "counts": dict(checkpoint.counts),
        "rules": [
            {"name": rule.name, "counted": rule.counted, "counts": dict(rule.counts),
             "columns": [[name, column.dtype.str, list(column.shape)] for name, column in rule.columns.items()]}
            for rule in checkpoint.rules
        ],
    }  # fmt: skip
    raw = json.dumps(header, ensure_ascii=False).encode()
    yield MAGIC + _LENGTH.pack(len(raw)) + raw
    for rule in checkpoint.rules:
        for column in rule.columns.values():
            view = memoryview(np.ascontiguousarray(column).reshape(-1).view(np.uint8).data)
            for begin in range(0, len(view), PIECE_BYTES):
                yield view[begin : begin + PIECE_BYTES]


def _read(path: Path) -> Checkpoint:
    """Raises ValueError and its like where anything is not as it was written."""
    raw = path.read_bytes()
    if len(raw) < len(MAGIC) + 2 * _LENGTH.size or not raw.startswith(MAGIC):
        raise ValueError("no checkpoint")
    if zlib.crc32(memoryview(raw)[: -_LENGTH.size]) != _LENGTH.unpack(raw[-_LENGTH.size :])[0]:
        raise ValueError("its checksum is not right")
    at = len(MAGIC) + _LENGTH.size
    (size,) = _LENGTH.unpack_from(raw, len(MAGIC))
    header, at = json.loads(raw[at : at + size]), at + size
    rules = []
    for each in header["rules"]:
        columns = {}
        for name, kind, shape in each["columns"]:
            count = int(np.prod(shape, dtype=np.int64))
            columns[name] = np.frombuffer(raw, np.dtype(kind), count, at).reshape(shape).copy()
            at += columns[name].nbytes
        rules.append(KeptRule(each["name"], each["counted"], each["counts"], columns))
    return Checkpoint(header["partition"], header["next"], header["newest"], header["counts"], tuple(rules))
