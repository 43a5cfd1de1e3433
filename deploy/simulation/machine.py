"""A simulated machine: clocks that may be set wrong, and the small files a node keeps beside its store."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common.delivery.fence import Fence
from common.kernel.incarnation import Incarnation, Kept
from common.kernel.work_order import HQ_NODE
from common.runtime.clock import NANO, Anchor, GuardedClock
from common.runtime.clock import Machine as ClockSource
from deploy.simulation.timeline import Timeline


class Machine:
    """`off_seconds` is by how much the wall clock is wrong. A reboot begins its elapsed time anew."""

    def __init__(self, timeline: Timeline, off_seconds: float) -> None:
        self.off_seconds = off_seconds
        self.anchor = AnchorFile()
        self.mark = MarkFile()
        self._timeline = timeline
        self._boots = 0
        self.reboot()

    def reboot(self) -> None:
        self._boots += 1
        self._booted_at = self._timeline.now

    def clock(self) -> GuardedClock:
        """As a process finds it that starts now."""
        return _Clock(self.anchor, ClockSource(f"boot {self._boots}", self._boot, self._wall))  # type: ignore[arg-type]

    def _boot(self) -> int:
        return int((self._timeline.now - self._booted_at) * NANO)

    def _wall(self) -> int:
        return int((self._timeline.now + self.off_seconds) * NANO)


class AnchorFile:
    """Where a node's clock keeps its anchor; as durable as a disk."""

    def __init__(self) -> None:
        self.text = ""

    def read_text(self, encoding: str) -> str:
        del encoding
        if not self.text:
            raise FileNotFoundError
        return self.text


class _Clock(GuardedClock):
    def _set(self, *, trusted: bool) -> Anchor:
        machine = self._machine
        anchor = Anchor(machine.boot_id, machine.boot(), machine.wall(), trusted)
        self._path.text = json.dumps(asdict(anchor))  # type: ignore[attr-defined]
        return anchor


class MarkFile:
    """Where a node's fence keeps its mark beside the store."""

    path = "the mark"

    def __init__(self) -> None:
        self.kept: Kept | None = None

    def read(self) -> Kept | None:
        return self.kept

    def write(self, kept: Kept) -> None:
        self.kept = kept


class SimulatedFence(Fence):
    """The node's fence, whose file is the simulated machine's."""

    def __init__(self, node: Any, mark: MarkFile, begun: Any) -> None:
        dated = node.name != HQ_NODE
        super().__init__(Inline(node), node.clock, node.name, node.outlet, Path(), begun, dated=dated)  # type: ignore[arg-type]
        self._file: Any = mark
        self._node_of_mark = node

    async def _keep(self, value: Incarnation) -> None:
        node = self._node_of_mark
        kept = Kept(value.number, value.mark)
        node.maybe_dies("keep_mark", -1)
        self._file.write(kept)
        node.maybe_dies("keep_mark", 1)
        self._kept = kept


class Inline:
    """In place of a Database, for coroutines that are run at once: the store answers before they can wait."""

    def __init__(self, node: Any) -> None:
        self.read = _answers(node.read)
        self.write = _answers(node.write)


def _answers(work: Any) -> Any:
    async def answer(*arguments: Any) -> Any:
        return work(*arguments)

    return answer
