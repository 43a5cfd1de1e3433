"""Reads vendors' journals: what they accepted, straight from their files.

A file is one record after another, little endian: u32 bytes of the body, u32 CRC-32 of the body; the body is u32 bytes
of the header, the header in JSON, {"values": {…}, "columns": [[name, numpy type, rows], …]}, and the columns' raw
bytes. What a crash left half-written at the end does not count.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deploy.checker.world import Ints

_FRAME = struct.Struct("<II")
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Accepted:
    """A node's accepted messages by number: not yet by subscriber. `refs` points into `lines` (channel, work order)."""

    lines: tuple[tuple[str, str], ...]
    refs: Ints
    tasks: Ints
    numbers: Ints
    accepted_at: Ints
    expire_at: Ints


def read(paths: Iterable[Path]) -> Accepted:
    records = [record for path in paths for record in _records(path.read_bytes())]
    places: dict[tuple[str, str], int] = {}
    refs = [places.setdefault((values["channel"], values["work_order"]), len(places)) for values, _ in records]
    sizes = [len(columns["tasks"]) for _, columns in records]
    return Accepted(
        tuple(places),
        np.repeat(np.array(refs, dtype=np.int64), sizes),
        _joined(columns["tasks"] for _, columns in records),
        _joined(columns["msisdns"] for _, columns in records),
        np.repeat(np.array([values["accepted_at"] for values, _ in records], dtype=np.int64), sizes),
        np.repeat(np.array([values["expire_at"] for values, _ in records], dtype=np.int64), sizes),
    )


def _joined(columns: Iterable[Ints]) -> Ints:
    return np.concatenate([np.zeros(0, dtype=np.int64), *columns]).astype(np.int64)


def _records(raw: bytes) -> Iterator[tuple[dict[str, Any], dict[str, Ints]]]:
    at = 0
    while at + _FRAME.size <= len(raw):
        size, checksum = _FRAME.unpack_from(raw, at)
        body = raw[at + _FRAME.size : at + _FRAME.size + size]
        if len(body) < size or zlib.crc32(body) != checksum:
            return
        yield _decoded(body)
        at += _FRAME.size + size


def _decoded(body: bytes) -> tuple[dict[str, Any], dict[str, Ints]]:
    (length,) = _LENGTH.unpack_from(body)
    at = _LENGTH.size + length
    header = json.loads(body[_LENGTH.size : at])
    columns: dict[str, Ints] = {}
    for name, kind, rows in header["columns"]:
        columns[name] = np.frombuffer(body, np.dtype(kind), rows, at)
        at += columns[name].nbytes
    return header["values"], columns
