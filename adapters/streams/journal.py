"""The embedded event stream: append-only segment files by partition, one writer, any number of readers.

A directory a partition, in it segments named by the offset they begin at. A segment is frames, little endian:

    4s "LDEV"   u32 bytes of the body   u32 CRC-32 of all that follows   u64 offset of the first record
    u32 records   u8 form (0 structured JSON, 1 packed)   body: u32 bytes of each record, then the records

A frame is synced before anybody is told. What a crash left half-written at the end is cut off when the writer opens.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np

from adapters.streams import packed
from adapters.streams.cloudevents import CONTENT_TYPE, Headers
from adapters.streams.stretch import EdgeNow, Owner, Stretch
from common.kernel.refusal import conflict, invalid
from common.runtime.directory import sync_directory
from common.runtime.failpoint import reach

MAGIC = b"LDEV"
_HEAD = struct.Struct("<4sIIQIB")
_CHECKED = struct.Struct("<QIB")
SEGMENT_BYTES = 64 << 20
KEEP_BYTES = 8 << 30
KEEP_SECONDS = 7 * 86_400
READ_BYTES = 8 << 20
"""A stretch is about so large; a single frame may be larger."""
LOOK_SECONDS = 0.005
PARTITIONS_FILE = "partitions"
_PACKED_HEADERS: Headers = [(CONTENT_TYPE, packed.CONTENT_TYPE.encode())]


class Form(IntEnum):
    JSON = 0
    PACKED = 1


@dataclass(frozen=True, slots=True)
class Block:
    """Records for one partition."""

    partition: int
    form: Form
    values: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class _Frame:
    offset: int
    records: int
    form: Form
    body: bytes
    end: int
    """Where in the file the next one begins."""

    def values(self) -> list[bytes]:
        at = 4 * self.records
        ends = (at + np.cumsum(np.frombuffer(self.body, "<u4", self.records), dtype=np.int64)).tolist()
        return [self.body[begin:end] for begin, end in zip([at, *ends], ends, strict=False)]


class Writer:
    """The writing end; another one on the same directory is refused. Not for two threads at once."""

    def __init__(self, directory: Path, partitions: int = 1, keep_bytes: int = KEEP_BYTES,
                 keep_seconds: float = KEEP_SECONDS, segment_bytes: int = SEGMENT_BYTES) -> None:  # fmt: skip
        self._directory, self._keep_bytes, self._keep_seconds = directory, keep_bytes, keep_seconds
        self._segment_bytes = segment_bytes
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(directory)
        self.partitions = _settled(directory, partitions)
        self._tails = [_Tail(directory / str(number)) for number in range(partitions)]
        self._failed: OSError | None = None

    def append(self, blocks: Sequence[Block]) -> int:
        """How many records are on disk now: all of them. Raises OSError where none is acknowledged."""
        touched = dict[int, _Tail]()
        for block in blocks:
            if block.values:
                tail = touched[block.partition] = self._tails[block.partition]
                tail.write(block, self._segment_bytes)
        self._sync(touched.values())
        return sum(len(block.values) for block in blocks)

    def _sync(self, tails: Iterable[_Tail]) -> None:
        """What a disk once failed to keep it may call kept the next time: nothing is taken after that."""
        if self._failed:
            raise self._failed
        try:
            for tail in tails:
                tail.sync()
        except OSError as error:
            self._failed = error
            raise

    def sweep(self, now: float | None = None) -> None:
        """Let go of the oldest segments, as far as size and age ask for it; never the one written to."""
        oldest = (time.time() if now is None else now) - self._keep_seconds
        closed = [path for tail in self._tails for path in _segments(tail.directory)[:-1]]
        by_age = sorted((path.stat().st_mtime, path) for path in closed)
        total = sum(path.stat().st_size for path in self._directory.glob("*/*.seg"))
        for changed, path in by_age:
            if changed < oldest or total > self._keep_bytes:
                total -= path.stat().st_size
                path.unlink()

    def close(self) -> None:
        for tail in self._tails:
            tail.close()
        os.close(self._lock)


class _Tail:
    """The segment a partition is written to."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)
        if not _segments(directory):
            self._file, self._next, self._size = _begun(directory, 0), 0, 0
        else:
            last = _segments(directory)[-1]
            self._next, self._size = _sound(last)
            self._file = _cut(last, self._size)

    def write(self, block: Block, segment_bytes: int) -> None:
        if self._size >= segment_bytes:
            self.sync()
            os.close(self._file)
            self._file, self._size = _begun(self.directory, self._next), 0
        raw = _framed(block, self._next)
        try:
            _write_all(self._file, raw)
        except OSError:
            # Half a frame would hide all that come after it; whole ones may have been read already.
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(raw)
        self._next += len(block.values)

    def sync(self) -> None:
        reach("event_journal.append.before_sync")
        os.fdatasync(self._file)
        reach("event_journal.append.after_sync")

    def close(self) -> None:
        os.close(self._file)


def _locked(directory: Path) -> int:
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise conflict(f"the journal {directory} is being written by another process; stop that one first") from error
    return lock


def _settled(directory: Path, partitions: int) -> int:
    """A person stays in one partition for ever, so their number does."""
    path = directory / PARTITIONS_FILE
    if not path.exists():
        draft = path.with_suffix(".draft")
        draft.write_text(str(partitions), encoding="utf-8")
        reach("event_journal.open.before_sync")
        draft.replace(path)
        sync_directory(directory)
        reach("event_journal.open.after_sync")
    found = int(path.read_text(encoding="utf-8"))
    if found != partitions:
        raise invalid(f"the journal {directory} has {found} partitions, the settings ask for {partitions}; "
                      f"set {found}, or give an empty directory")  # fmt: skip
    return found


def _begun(directory: Path, offset: int) -> int:
    file = os.open(directory / f"{offset:020d}.seg", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    reach("event_journal.begin.before_sync")
    sync_directory(directory)
    reach("event_journal.begin.after_sync")
    return file


def _cut(path: Path, size: int) -> int:
    file = os.open(path, os.O_RDWR | os.O_APPEND)
    os.ftruncate(file, size)
    reach("event_journal.cut.before_sync")
    os.fsync(file)
    reach("event_journal.cut.after_sync")
    return file


def _sound(path: Path) -> tuple[int, int]:
    """The offset after the last whole frame, and where it ends. Refused where whole frames follow a damaged one."""
    offset, end = int(path.stem), 0
    raw = path.read_bytes()
    for frame in _frames(raw):
        offset, end = frame.offset + frame.records, frame.end
    later = raw.find(MAGIC, end + 1)
    while later >= 0:
        if next(_frames(raw[later:]), None) is not None:
            raise _damaged(path, end)
        later = raw.find(MAGIC, later + 1)
    return offset, end


def _damaged(path: Path, at: int) -> Exception:
    return conflict(f"{path} is damaged from byte {at} on, and whole records follow; put the file back from a backup, "
                    "or move it away, which loses what it holds")  # fmt: skip


def _frames(raw: bytes) -> Iterator[_Frame]:
    at = 0
    while (frame := _frame(raw, at)) is not None:
        yield frame
        at = frame.end


def _frame(raw: bytes, at: int) -> _Frame | None:
    """The whole frame that begins at `at`; None where there is none."""
    if len(raw) < at + _HEAD.size:
        return None
    magic, size, checksum, offset, records, form = _HEAD.unpack_from(raw, at)
    begin = at + _HEAD.size
    body = raw[begin : begin + size]
    if magic != MAGIC or len(body) < size or _checksum(offset, records, form, body) != checksum:
        return None
    return _Frame(offset, records, Form(form), body, begin + size)


def _checksum(offset: int, records: int, form: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(_CHECKED.pack(offset, records, form)))


def _framed(block: Block, offset: int) -> bytes:
    sizes = np.fromiter(map(len, block.values), dtype="<u4", count=len(block.values))
    body = b"".join([sizes.tobytes(), *block.values])
    checksum = _checksum(offset, len(sizes), block.form, body)
    return _HEAD.pack(MAGIC, len(body), checksum, offset, len(sizes), block.form) + body


def _write_all(file: int, raw: bytes) -> None:
    view = memoryview(raw)
    while view:
        view = view[os.write(file, view) :]


def _segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.seg"))


class Reader:
    """One partition from an offset on. Reads nothing that a power cut could still take away."""

    def __init__(self, directory: Path, partition: str, offset: int, edge: EdgeNow) -> None:
        self._directory, self._partition, self._edge = directory, partition, edge
        self._next, self._at, self._file, self._segment = offset, 0, -1, -1

    def read(self) -> Stretch | None:
        """What is there, up to about READ_BYTES; None where nothing is."""
        if self._file < 0 and not self._open():
            return None
        frames = self._whole()
        if not frames and self._moved_on():
            return self.read()
        stretch = self._stretch(frames) if frames else None
        return stretch if stretch is None or len(stretch) else self.read()

    def lag(self) -> int:
        """Records there and not read."""
        return max(0, _end_of(self._directory) - self._next)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> bool:
        """The segment that has the next offset; where that is gone, the oldest."""
        segments = _segments(self._directory)
        if not segments:
            return False
        starts = [int(path.stem) for path in segments]
        place = max(0, int(np.searchsorted(starts, self._next, side="right")) - 1)
        try:
            self._file = os.open(segments[place], os.O_RDONLY)
        except FileNotFoundError:
            return self._open()
        self._segment, self._at = starts[place], 0
        self._next = max(self._next, starts[place])
        self._skip()
        return True

    def _skip(self) -> None:
        """Past the frames that are wholly before the next offset."""
        while len(head := os.pread(self._file, _HEAD.size, self._at)) == _HEAD.size:
            magic, size, _, offset, records, _ = _HEAD.unpack(head)
            if magic != MAGIC or offset + records > self._next:
                return
            self._at += _HEAD.size + size

    def _whole(self) -> list[_Frame]:
        size = os.fstat(self._file).st_size
        if size < self._at + _HEAD.size:
            return []
        (_, first, *_) = _HEAD.unpack(os.pread(self._file, _HEAD.size, self._at))
        wanted = min(size - self._at, max(READ_BYTES, _HEAD.size + first))
        reach("event_journal.read.before_sync")
        os.fdatasync(self._file)
        reach("event_journal.read.after_sync")
        return list(_frames(os.pread(self._file, wanted, self._at)))

    def _moved_on(self) -> bool:
        """To the segment after this one, if there is one: then nothing will be added here."""
        later = [start for path in _segments(self._directory) if (start := int(path.stem)) > self._segment]
        if not later:
            return False
        # Only now is what is here all that will ever be.
        if self._whole():
            return True
        if self._at < os.fstat(self._file).st_size:
            raise _damaged(self._directory / f"{self._segment:020d}.seg", self._at)
        self.close()
        self._next = max(self._next, later[0])
        return self._open()

    def _stretch(self, frames: Sequence[_Frame]) -> Stretch:
        self._at += frames[-1].end
        values = [value for frame in frames for value in frame.values()]
        offsets = np.concatenate([np.arange(f.offset, f.offset + f.records, dtype=np.int64) for f in frames])
        forms = {frame.form for frame in frames}
        headers = None
        if forms != {Form.JSON}:
            headers = [_PACKED_HEADERS if f.form is Form.PACKED else None for f in frames for _ in range(f.records)]
        begin, self._next = self._next, int(offsets[-1]) + 1
        return Stretch(self._partition, self._next, offsets, values, headers, self._edge).since(begin)


def _end_of(directory: Path) -> int:
    segments = _segments(directory)
    return _end(segments[-1]) if segments else 0


def _end(segment: Path) -> int:
    """The offset after the last frame that is there in its full length."""
    offset, at = int(segment.stem), 0
    with segment.open("rb") as file:
        whole = os.fstat(file.fileno()).st_size
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            magic, size, _, first, records, _ = _HEAD.unpack(head)
            if magic != MAGIC or at + _HEAD.size + size > whole:
                break
            offset, at = first + records, at + _HEAD.size + size
            file.seek(at)
    return offset


class JournalSource:
    """All partitions of a journal for the one reader of that name; another one is refused."""

    def __init__(self, directory: Path, edge: EdgeNow, reader: str = "reader") -> None:
        self._directory, self._edge = directory, edge
        self._readers: dict[str, Reader] = {}
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = _reading(directory, reader)

    def poll(self, owner: Owner, wait_seconds: float) -> list[Stretch]:
        self._assign(owner)
        until = time.monotonic() + wait_seconds
        while True:
            found = [stretch for reader in self._readers.values() if (stretch := reader.read()) is not None]
            left = until - time.monotonic()
            if found or left <= 0:
                return found
            time.sleep(min(LOOK_SECONDS, left))

    def kept(self, partition: str, offset: int) -> None:
        """Nobody watches from outside."""

    def lag(self, sure: bool = False) -> Mapping[str, int]:  # noqa: ARG002 - it is always known
        return {name: reader.lag() for name, reader in self._readers.items()}

    def close(self, owner: Owner) -> None:
        for name, reader in self._readers.items():
            owner.revoked(name)
            reader.close()
        self._readers.clear()
        os.close(self._lock)

    def _assign(self, owner: Owner) -> None:
        """The partitions are there from the moment the journal is."""
        if self._readers or not (self._directory / PARTITIONS_FILE).exists():
            return
        for number in range(int((self._directory / PARTITIONS_FILE).read_text(encoding="utf-8"))):
            name, directory = f"journal:{number}", self._directory / str(number)
            offset = owner.assigned(name, _end_of(directory))
            self._readers[name] = Reader(directory, name, offset or 0, self._edge)


def _reading(directory: Path, reader: str) -> int:
    lock = os.open(directory / reader, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise conflict(f"the journal {directory} is being read by another engine; stop that one first") from error
    return lock
