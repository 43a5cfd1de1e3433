"""Time comes in from outside: nothing else in the system reads a clock."""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    def now(self) -> int:
        """Seconds since the Unix epoch, UTC. A label: it may be stepped."""
        ...

    def monotonic(self) -> float:
        """Elapsed seconds since some moment; never goes back."""
        ...


class SystemClock:
    def now(self) -> int:
        return int(time.time())

    def monotonic(self) -> float:
        return time.monotonic()


_OFFSET = struct.Struct("<q")


class SteppedClock:
    """The system clock plus an offset kept in a small file, so that a demo can step many processes at once."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), _OFFSET.size, access=mmap.ACCESS_READ)

    def now(self) -> int:
        return int(time.time()) + int(_OFFSET.unpack(self._map[: _OFFSET.size])[0])

    def monotonic(self) -> float:
        return time.monotonic()


def write_offset(path: Path, offset_seconds: int) -> None:
    """Set what every SteppedClock on `path` adds; the file is created where it is missing."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        os.pwrite(descriptor, _OFFSET.pack(offset_seconds), 0)
    finally:
        os.close(descriptor)


def clock_of(clock_file: Path | None) -> Clock:
    """The system's clock, or a demo's stepped one."""
    return SteppedClock(clock_file) if clock_file else SystemClock()
