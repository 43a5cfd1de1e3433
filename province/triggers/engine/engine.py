"""The trigger engine: it polls a source, counts, hands over what fired, and keeps checkpoints.

Fires are handed over before the checkpoint that leaves their events behind is written, and handing over twice is as
once: so whatever dies, and whoever takes a partition over from whichever checkpoint, nothing is lost and nothing twice.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from common.runtime.outage import StoreUnavailable
from province.fire import Firing
from province.triggers.engine import status
from province.triggers.engine.checkpoint import Checkpoint, Checkpoints
from province.triggers.engine.dead_letters import DeadLetterBox
from province.triggers.engine.latency import BOUNDS_MS, Histograms
from province.triggers.engine.partition import Partition, Rules
from province.triggers.engine.source import Decoded, Source, Stretch, another_log

WAIT_SECONDS = 0.05
CHECKPOINT_SECONDS = 1.0
CHECKPOINT_SHARE = 10
"""Checkpoints take at most the tenth part of the time."""
BUSY_SECONDS = 0.02
"""A turn that takes longer has much to do."""
WATCH_SECONDS = 1.0
"""How often the rules, idle partitions and the status are looked after."""
IDLE_SECONDS = 60.0
RETRY_SECONDS = 0.5
HAND_OVER_SECONDS = 0.2
"""Fires that follow one another more closely are handed over together: each hand-over costs the node a work order."""
DECODE, COUNT, HAND_OVER, ALL = "event_to_decoded", "decoded_to_counted", "counted_to_handed_over", "all"

log = logging.getLogger(__name__)

HandOver = Callable[[Sequence[Firing]], None]
"""Durable when it returns; handing over again what was handed over changes nothing. Raises StoreUnavailable."""


class RuleBook(Protocol):
    def edition(self) -> int:
        """Another number whenever other rules may be in force."""
        ...

    def rules(self) -> Rules: ...

    def refresh(self) -> None:
        """Bring what the rules ask of people up to date, between two runs."""
        ...


@dataclass(frozen=True, slots=True)
class Pacing:
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    idle_seconds: float | None = IDLE_SECONDS
    """After so long without an event the clock tells a partition's time, as much behind; None: never."""
    watch_seconds: float = WATCH_SECONDS
    hand_over_seconds: float = HAND_OVER_SECONDS


@dataclass(frozen=True, slots=True)
class Ports:
    """What an engine works with."""

    source: Source
    rules: RuleBook
    hand_over: HandOver
    checkpoints: Checkpoints
    letters: DeadLetterBox
    milliseconds: Callable[[], int]
    """The node's clock."""
    status: Path | None = None
    """Where to say how things stand, again and again."""


@dataclass(slots=True, eq=False)
class _Held:
    partition: Partition
    heard: float
    """When the last message came."""
    saved: int | None
    """The offset of the newest checkpoint."""
    polled: int | None
    """The offset after all that was polled, counted or not."""


@dataclass(frozen=True, slots=True, eq=False)
class _Polled:
    held: _Held
    stretch: Stretch
    decoded: Future[Decoded]


class Engine:
    """One thread's; `run` ends when told. Partitions come and go as the source says."""

    def __init__(self, ports: Ports, pacing: Pacing = Pacing()) -> None:
        self._ports, self._pacing = ports, pacing
        self._held: dict[str, _Held] = {}
        self._rules = ports.rules.rules()
        self._latencies = Histograms()
        self._told = threading.Event()
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[float] | None = None
        self._decoder = ThreadPoolExecutor(1, "decode")
        self._ahead: list[_Polled] = []
        self._busy = False
        self._due = self._watched = self._handed = time.monotonic()
        self._fired: list[tuple[Firing, int]] = []
        """To be handed over, each with the moment it was counted."""
        self.events = 0
        """Decoded since it began, those seen again among them."""

    def run(self, told: threading.Event) -> None:
        """Until `told`; then what is held is kept."""
        self._told = told
        with _rubbish_by_hand():
            while not told.is_set():
                self.turn()
            self.close()

    def turn(self, wait_seconds: float = WAIT_SECONDS) -> int:
        """One poll and all that follows from it; how many messages it brought."""
        begun = time.monotonic()
        stretches = self._ports.source.poll(self, 0.0 if self._ahead else wait_seconds)
        polled = [each for stretch in stretches if (each := self._polled(stretch)) is not None]
        due, self._ahead = (self._ahead, polled) if self._busy and polled else (self._ahead + polled, [])
        for each in due:
            self._take(each)
        if begun - self._watched >= self._pacing.watch_seconds:
            self._watched = begun
            self._watch()
        if time.monotonic() - self._handed >= self._pacing.hand_over_seconds:
            self._hand_over()
        self._keep()
        self._busy = bool(polled) and time.monotonic() - begun > BUSY_SECONDS
        return sum(map(len, stretches))

    def close(self) -> None:
        """Give back every partition, each with its checkpoint."""
        self._ports.source.close(self)
        self._settle()
        self._writer.shutdown()
        self._decoder.shutdown()
        self._tell()

    def assigned(self, partition: str, end: int | None = None) -> int | None:
        held = Partition(partition, self._rules, self._ports.checkpoints.take_over(partition))
        if another_log(partition, held.next, end):
            held.next = None
        self._ports.letters.begin(partition, held.next or 0)
        self._held[partition] = _Held(held, time.monotonic(), held.next, held.next)
        return held.next

    def revoked(self, partition: str) -> None:
        self._settle()
        self._hand_over()
        held = self._held.pop(partition, None)
        checkpoint = held.partition.checkpoint() if held and held.partition.next != held.saved else None
        if checkpoint is not None and self._saved(checkpoint):
            self._ports.source.kept(partition, checkpoint.next)

    def lost(self, partition: str) -> None:
        self._held.pop(partition, None)

    def told(self) -> Mapping[str, object]:
        """How things stand, as a JSON document."""
        return {
            "partitions": {name: each.partition.told() for name, each in sorted(self._held.items())},
            "lag": dict(self._ports.source.lag()),
            "latency": {"bounds_ms": BOUNDS_MS, "scenes": self._latencies.document()},
            "rules": self._rules.edition,
            "at": self._ports.milliseconds(),
        }

    def _polled(self, stretch: Stretch) -> _Polled | None:
        """What of it has not been polled before. With much to do, one batch is decoded as another is counted."""
        held = self._held.get(stretch.partition)
        if held is None:
            return None
        held.heard = time.monotonic()
        if held.polled is not None and stretch.first < held.polled:
            if stretch.next <= held.polled:
                return None
            stretch = stretch.since(held.polled)
        held.polled = stretch.next
        if self._busy:
            return _Polled(held, stretch, self._decoder.submit(stretch.decoded))
        decoded: Future[Decoded] = Future()
        decoded.set_result(stretch.decoded())
        return _Polled(held, stretch, decoded)

    def _take(self, polled: _Polled) -> None:
        partition, stretch = polled.held.partition, polled.stretch
        if self._held.get(partition.name) is not polled.held:
            return  # It was given away meanwhile: whoever has it now reads it anew.
        decoded = polled.decoded.result()
        decoded_at = self._ports.milliseconds()
        taken = partition.take(decoded, stretch.first, stretch.next)
        if len(taken.dead):
            self._insist(
                partial(self._ports.letters.keep, partition.name, stretch.first, taken.dead, decoded_at // 1000)
            )
        self.events += taken.events
        self._note(taken.firings, decoded_at)

    def _note(self, firings: Sequence[Firing], decoded_at: int) -> None:
        counted_at = self._ports.milliseconds()
        for firing in firings:
            self._latencies.add(firing.rule.scene, DECODE, decoded_at - firing.event_at)
            self._latencies.add(firing.rule.scene, COUNT, counted_at - decoded_at, len(firing))
            self._fired.append((firing, counted_at))

    def _hand_over(self) -> None:
        """All that fired: before a checkpoint that leaves its events behind, and before another has the partition."""
        if not self._fired:
            return
        self._insist(partial(self._ports.hand_over, [firing for firing, _ in self._fired]))
        ended, self._handed = self._ports.milliseconds(), time.monotonic()
        for firing, counted_at in self._fired:
            self._latencies.add(firing.rule.scene, HAND_OVER, ended - counted_at, len(firing))
            self._latencies.add(firing.rule.scene, ALL, ended - firing.event_at)
        self._fired = []

    def _insist(self, work: Callable[[], object]) -> None:
        """As often as it takes: until it is done, no checkpoint is written."""
        while True:
            try:
                work()
                return
            except StoreUnavailable as away:
                log.warning("waiting for the store: %s", away)
                if self._told.wait(RETRY_SECONDS):
                    raise

    def _keep(self) -> None:
        """Begin to write a checkpoint of every partition that went on, when it is time and none is being written."""
        if self._writing is not None and self._writing.done():
            self._settle()
        if self._writing is not None or time.monotonic() < self._due:
            return
        self._hand_over()
        begun = time.monotonic()
        checkpoints = [self._held[name].partition.checkpoint() for name in self._gone_on()]
        taken = [each for each in checkpoints if each is not None]
        if taken:
            self._writing = self._writer.submit(self._write, taken, begun)
        else:
            self._due = begun + self._pacing.checkpoint_seconds

    def _gone_on(self) -> list[str]:
        return [name for name, held in self._held.items() if held.partition.next != held.saved]

    def _write(self, checkpoints: Sequence[Checkpoint], begun: float) -> float:
        for checkpoint in checkpoints:
            held = self._held.get(checkpoint.partition)
            if self._saved(checkpoint) and held is not None:
                held.saved = checkpoint.next
        return time.monotonic() - begun

    def _saved(self, checkpoint: Checkpoint) -> bool:
        """A full disk costs time after a crash, no more: the one before it still stands."""
        try:
            self._ports.checkpoints.save(checkpoint)
        except OSError as error:
            log.error("no checkpoint of %s: %s; free some space", checkpoint.partition, error)
            return False
        return True

    def _settle(self) -> None:
        """What is being written is written."""
        if self._writing is None:
            return
        took, self._writing = self._writing.result(), None
        self._due = time.monotonic() + max(self._pacing.checkpoint_seconds - took, (CHECKPOINT_SHARE - 1) * took)
        for name, held in self._held.items():
            if held.saved is not None:
                self._ports.source.kept(name, held.saved)

    def _watch(self) -> None:
        self._renew_rules()
        self._pass_time()
        self._tell()
        if not gc.isenabled():
            gc.collect()

    def _renew_rules(self) -> None:
        """Between two runs, so that no run has some of each."""
        try:
            self._ports.rules.refresh()
            if self._ports.rules.edition() == self._rules.edition:
                return
            self._rules = self._ports.rules.rules()
        except StoreUnavailable as away:
            log.warning("the rules stay as they are: %s", away)
            return
        for held in self._held.values():
            held.partition.change(self._rules)

    def _pass_time(self) -> None:
        """Only where the source says that nothing is left to read: who does not hear it does not know it."""
        idle = self._pacing.idle_seconds
        if idle is None:
            return
        ago = time.monotonic() - idle
        quiet = [name for name, held in self._held.items() if held.partition.next is not None and held.heard <= ago]
        if not quiet:
            return
        lag = self._ports.source.lag(sure=True)
        newest = self._ports.milliseconds() - int(idle * 1000)
        for name in quiet:
            if lag.get(name) == 0:
                lasted = self._held[name].partition.pass_time(newest)
                self._fired += [(firing, self._ports.milliseconds()) for firing in lasted]

    def _tell(self) -> None:
        if self._ports.status is not None:
            status.tell(self._ports.status, self.told())


@contextmanager
def _rubbish_by_hand() -> Iterator[None]:
    """Python looks for rubbish after every so many new objects; messages are so many that this takes a third of the
    time. Looked for now and then, with no messages in hand, it takes none."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
