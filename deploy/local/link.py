"""A TCP relay that can be cut, and do what else networks do to a wire between two processes on one machine."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

CHUNK_BYTES = 65_536
SLOW_SECONDS = 0.05
SLOW_BYTES_PER_SECOND = 200_000
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Fault(StrEnum):
    CUT = "cut"
    """Connections break, and new ones are refused."""
    HALF_OPEN = "half_open"
    """Connections stay and new ones are accepted, but whatever is sent is lost."""
    NO_REQUESTS = "no_requests"
    """What clients send is lost; what servers send arrives."""
    NO_ANSWERS = "no_answers"
    STALLED = "stalled"
    """Nothing arrives until the link is restored; then all of it does, late."""
    SLOW = "slow"
    TORN = "torn"
    """One connection breaks in the middle of what is being sent; then all is well."""
    LOST_ANSWER = "lost_answer"
    """A request arrives, and its connection breaks as the answer begins; then all is well."""


ONCE = frozenset({Fault.TORN, Fault.LOST_ANSWER})
_LOSES = {
    Fault.HALF_OPEN: (True, False),
    Fault.NO_REQUESTS: (True,),
    Fault.NO_ANSWERS: (False,),
}
"""Whether what travels outward, inward, or both is lost."""


@dataclass(slots=True)
class _Wire:
    """One relayed connection."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    asked: bool = False
    """A request went out since the link was to lose an answer."""
    lossy: bool = False
    """Bytes were lost: no stream can go on after that."""

    def reset(self) -> None:
        for writer in (self.near, self.far):
            sock = writer.get_extra_info("socket")
            with suppress(OSError):
                if sock is not None and sock.family == socket.AF_INET:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()


class Link:
    """Relays `port` on loopback to `target`: a port on loopback, or the path of a Unix socket."""

    def __init__(self, port: int, target: int | Path) -> None:
        self._port = port
        self._target = target
        self._server: asyncio.Server | None = None
        self._wires: list[_Wire] = []
        self._fault: Fault | None = None
        self._restored = asyncio.Event()
        self.hits = 0
        """How many times a fault touched a connection."""

    async def restore(self) -> None:
        """From now on all is well; the first time, begin."""
        self._fault = None
        self._restored.set()
        for wire in self._wires:
            if wire.lossy:
                wire.reset()
        if self._server is None:
            self._server = await asyncio.start_server(self._relay, "127.0.0.1", self._port)

    async def cut(self) -> None:
        await self.fail(Fault.CUT)

    async def fail(self, fault: Fault) -> None:
        """`fault` holds until `restore`, or until it has happened where it happens once."""
        self._restored.clear()
        self._fault = fault
        for wire in self._wires:
            wire.asked = False
        if fault is Fault.CUT and self._server is not None:
            self._server.close()
            self._server = None
            self.hits += 1
            for wire in self._wires:
                wire.reset()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        wire = _Wire(writer, far_writer)
        self._wires.append(wire)
        try:
            await asyncio.gather(
                self._pump(wire, reader, far_writer, outward=True), self._pump(wire, far_reader, writer, outward=False)
            )
        finally:
            self._wires.remove(wire)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, Path):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection("127.0.0.1", self._target)

    async def _pump(self, wire: _Wire, reader: asyncio.StreamReader, writer: Any, *, outward: bool) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while chunk := await reader.read(CHUNK_BYTES):
                passed = await self._passed(wire, chunk, outward)
                writer.write(chunk[:passed])
                await writer.drain()
                if passed < len(chunk) and not wire.lossy:
                    wire.reset()
        with suppress(OSError, RuntimeError):
            writer.close()

    async def _passed(self, wire: _Wire, chunk: bytes, outward: bool) -> int:
        """How many bytes of `chunk` get through. If not all do, the connection is over, unless it is lossy."""
        fault = self._fault
        if fault is None:
            return len(chunk)
        if outward in _LOSES.get(fault, ()):
            self.hits += not wire.lossy
            wire.lossy = True
            return 0
        if fault is Fault.STALLED:
            self.hits += 1
            await self._restored.wait()
        elif fault is Fault.SLOW:
            self.hits += 1
            await asyncio.sleep(SLOW_SECONDS + len(chunk) / SLOW_BYTES_PER_SECOND)
        elif fault in ONCE and self._strikes(fault, wire, outward):
            self._fault = None
            self.hits += 1
            return len(chunk) // 2 if fault is Fault.TORN else 0
        return 0 if wire.lossy else len(chunk)

    @staticmethod
    def _strikes(fault: Fault, wire: _Wire, outward: bool) -> bool:
        if fault is Fault.LOST_ANSWER:
            wire.asked |= outward
            return wire.asked and not outward
        return True
