"""Time comes in from outside: nothing else in the system reads a clock."""

from __future__ import annotations

import asyncio
import json
import logging
import mmap
import os
import struct
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from common.kernel.policy import CLOCK_MARGIN_SECONDS
from common.kernel.refusal import invalid
from common.runtime.failpoint import TESTING, reach

WALL_VARIABLE = "LIANDONG_WALL_OFFSET"
"""Names a file that steps a process's wall clock in a test, as `write_offset` writes it."""
ANCHOR = "anchor.json"
WATCH_SECONDS = 1.0

log = logging.getLogger(__name__)


class Clock(Protocol):
    def now(self) -> int:
        """Seconds since the Unix epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Elapsed seconds since some moment; never goes back."""
        ...


@runtime_checkable
class FineClock(Protocol):
    def milliseconds(self) -> int:
        """Since the Unix epoch, UTC."""
        ...


def milliseconds(clock: Clock) -> int:
    """Of a clock that tells no finer, whole seconds."""
    return clock.milliseconds() if isinstance(clock, FineClock) else clock.now() * 1000


def trusted(clock: Clock) -> bool:
    """Whether it tells the time as far as anybody knows; a clock that is not guarded always does."""
    return not isinstance(clock, GuardedClock) or clock.trusted


class SystemClock:
    def now(self) -> int:
        return int(time.time())

    def milliseconds(self) -> int:
        return time.time_ns() // MILLI

    def monotonic(self) -> float:
        return time.monotonic()


_OFFSET = struct.Struct("<q")
NANO = 1_000_000_000
MILLI = 1_000_000


class Offset:
    """Seconds kept in a small file, so that many processes read the same and a change is seen at once."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), _OFFSET.size, access=mmap.ACCESS_READ)

    def seconds(self) -> int:
        return int(_OFFSET.unpack(self._map[: _OFFSET.size])[0])


class SteppedClock:
    """The system clock plus an offset kept in a small file, so that a demo can step many processes at once."""

    def __init__(self, path: Path) -> None:
        self._offset = Offset(path)

    def now(self) -> int:
        return int(time.time()) + self._offset.seconds()

    def milliseconds(self) -> int:
        return time.time_ns() // MILLI + self._offset.seconds() * 1000

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


@dataclass(frozen=True, slots=True)
class Machine:
    """What a machine tells of time, in nanoseconds. `boot` runs on through sleep and no step touches it."""

    boot_id: str
    boot: Callable[[], int]
    wall: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Anchor:
    """At `boot` of `boot_id` it was `wall`. Not `trusted`: after a reboot, and nobody has confirmed it yet."""

    boot_id: str
    boot: int
    wall: int
    trusted: bool


class GuardedClock:
    """Time counted by elapsed boot time from an anchor: a step of the wall clock changes nothing.

    The anchor is kept in `path`, so that a restarted process counts on. After a reboot only the wall clock is left to
    start from, and it is believed when a peer's clock agrees with it. `ahead` is added to all of it.
    """

    def __init__(self, path: Path, machine: Machine, ahead: Callable[[], int] = lambda: 0) -> None:
        self._path = path
        self._machine = machine
        self._ahead = ahead
        known = _read(path)
        goes_on = known is not None and known.trusted and known.boot_id == machine.boot_id
        self._anchor = known if known and goes_on else self._set(trusted=known is None)
        self._is_trusted = asyncio.Event()
        if self.trusted:
            self._is_trusted.set()

    def now(self) -> int:
        elapsed = self._machine.boot() - self._anchor.boot
        return (self._anchor.wall + elapsed) // NANO + self._ahead()

    def milliseconds(self) -> int:
        elapsed = self._machine.boot() - self._anchor.boot
        return (self._anchor.wall + elapsed) // MILLI + self._ahead() * 1000

    def monotonic(self) -> float:
        return self._machine.boot() / NANO

    @property
    def trusted(self) -> bool:
        return self._anchor.trusted

    @property
    def stepped_seconds(self) -> int:
        """How far ahead of this clock the wall clock is."""
        return self._machine.wall() // NANO + self._ahead() - self.now()

    def hear(self, peer_now: int) -> None:
        """A peer says what time it is: an agreeing one makes this clock trusted."""
        if not self.trusted and abs(peer_now - self._ahead() - self._machine.wall() // NANO) <= CLOCK_MARGIN_SECONDS:
            self._anchor = self._set(trusted=True)
            self._is_trusted.set()
            log.warning("a peer's clock agrees with the wall clock: it is trusted from now on")

    async def confirmed(self, job: Callable[[], Awaitable[object]]) -> None:
        """Run `job` as soon as the clock is trusted."""
        if not self.trusted:
            log.error(
                "the machine was restarted: nothing is contacted or ended until a peer's clock agrees with the wall "
                "clock; where there is no peer, stop this node, set the clock and remove %s",
                self._path,
            )
        await self._is_trusted.wait()
        await job()

    async def watch(self) -> None:
        """Say when the wall clock was stepped."""
        said = 0
        while True:
            stepped = self.stepped_seconds
            if abs(stepped - said) > CLOCK_MARGIN_SECONDS:
                log.error("the wall clock is %d s off; time is counted on without it", stepped)
                said = stepped
            await asyncio.sleep(WATCH_SECONDS)

    def _set(self, *, trusted: bool) -> Anchor:
        anchor = Anchor(self._machine.boot_id, self._machine.boot(), self._machine.wall(), trusted)
        _write(self._path, anchor)
        return anchor


def guarded_clock(
    directory: Path, clock_file: Path | None, environment: Mapping[str, str] = os.environ
) -> GuardedClock:
    """The clock of a node whose data is in `directory`; `clock_file` steps it, as in a demo."""
    ahead = Offset(clock_file).seconds if clock_file else lambda: 0
    return GuardedClock(directory / ANCHOR, this_machine(environment), ahead)


def this_machine(environment: Mapping[str, str]) -> Machine:
    """Raises Refusal where the wall clock is to be stepped outside of a test."""
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return Machine(boot_id, lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME), _wall(environment))


def _wall(environment: Mapping[str, str]) -> Callable[[], int]:
    stepped = environment.get(WALL_VARIABLE, "")
    if not stepped:
        return time.time_ns
    if environment.get(TESTING) != "1":
        raise invalid(f"{WALL_VARIABLE} is set, which makes the clock wrong; unset it, or set {TESTING}=1 in a test")
    offset = Offset(Path(stepped))
    return lambda: time.time_ns() + offset.seconds() * NANO


def _read(path: Path) -> Anchor | None:
    try:
        return Anchor(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        return Anchor("", 0, 0, trusted=False)


def _write(path: Path, anchor: Anchor) -> None:
    """Whole or not at all."""
    reach("clock.write.before_sync")
    beside = path.with_suffix(".new")
    with beside.open("w", encoding="utf-8") as file:
        json.dump(asdict(anchor), file)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
    reach("clock.write.after_sync")
