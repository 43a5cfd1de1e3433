"""An append-only file of column records that survives SIGKILL and power cuts: what a vendor accepted, and reported.

Format, little endian, one record after another:

    u32  bytes of the body          u32  CRC-32 of the body
    body: u32 bytes of the header, the header (JSON, UTF-8), then each column's raw bytes in the header's order

    header {"values": {…}, "columns": [["tasks", "<u4", 1000], …]}

A record is written with one write and synced before anybody is told. What a crash left half-written at the end does
not pass its checksum and is cut off at the next start.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Refs
from common.runtime.failpoint import reach

_FRAME = struct.Struct("<II")
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Record:
    values: dict[str, Any]
    columns: dict[str, NDArray[Any]]
    end: int
    """Where the next record begins: a reader that follows the file goes on from here."""


@dataclass(frozen=True, slots=True)
class AcceptedBatch:
    """Messages a vendor accepted at one moment; times are Unix seconds, msisdns E.164 without the plus sign."""

    channel: str
    work_order: str
    accepted_at: int
    expire_at: int
    tasks: Refs
    msisdns: NDArray[np.int64]
    end: int


def read_journal(path: Path, start: int = 0) -> Iterator[AcceptedBatch]:
    """Every accepted batch in `path` from byte `start` (0, or an earlier batch's `end`), in order of acceptance."""
    for record in read_records(path, start):
        fields: dict[str, Any] = {**record.values, **record.columns}
        yield AcceptedBatch(**fields, end=record.end)


def read_records(path: Path, start: int = 0) -> Iterator[Record]:
    """Whole records only; none where the file is missing."""
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(start)
        while (record := _next(file.read, start)) is not None:
            start = record.end
            yield record


class Journal:
    """The writing end. One writer at a time."""

    def __init__(self, path: Path) -> None:
        end = 0
        for record in read_records(path):
            end = record.end
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        os.ftruncate(self._file, end)
        reach("journal.open.before_sync")
        os.fsync(self._file)
        self._end = end
        reach("journal.open.after_sync")

    def append(self, records: Sequence[tuple[Mapping[str, Any], Mapping[str, NDArray[Any]]]]) -> None:
        """Returns when (values, columns) of all of them are on disk. Raises OSError where none is."""
        if records:
            raw = b"".join(_encoded(values, columns) for values, columns in records)
            try:
                _write_all(self._file, raw)
                reach("journal.append.before_sync")
                os.fdatasync(self._file)
            except OSError:
                # Half a record would hide all that come after it.
                os.ftruncate(self._file, self._end)
                raise
            self._end += len(raw)
            reach("journal.append.after_sync")

    def close(self) -> None:
        os.close(self._file)


def _write_all(file: int, raw: bytes) -> None:
    view = memoryview(raw)
    while view:
        view = view[os.write(file, view) :]


def _encoded(values: Mapping[str, Any], columns: Mapping[str, NDArray[Any]]) -> bytes:
    kinds = [[name, column.dtype.str, len(column)] for name, column in columns.items()]
    header = json.dumps({"values": values, "columns": kinds}, ensure_ascii=False).encode()
    body = b"".join([_LENGTH.pack(len(header)), header, *(column.tobytes() for column in columns.values())])
    return _FRAME.pack(len(body), zlib.crc32(body)) + body


def _next(read: Any, start: int) -> Record | None:
    frame = read(_FRAME.size)
    if len(frame) < _FRAME.size:
        return None
    size, checksum = _FRAME.unpack(frame)
    body = read(size)
    if len(body) < size or zlib.crc32(body) != checksum:
        return None
    return _decoded(body, start + _FRAME.size + size)


def _decoded(body: bytes, end: int) -> Record:
    (length,) = _LENGTH.unpack_from(body)
    at = _LENGTH.size + length
    header = json.loads(body[_LENGTH.size : at])
    columns: dict[str, NDArray[Any]] = {}
    for name, kind, rows in header["columns"]:
        columns[name] = np.frombuffer(body, np.dtype(kind), rows, at)
        at += columns[name].nbytes
    return Record(header["values"], columns, end)
