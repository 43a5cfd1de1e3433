"""A simulated node: one process at a time on one store, which may be killed at any commit and started again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from sqlalchemy import Connection

from common.delivery import sweep
from common.delivery.claim import Contacts
from common.delivery.lane import Delivery
from common.delivery.outlet import Outlet
from common.delivery.receipts import apply_receipts, apply_replies
from common.kernel.channel import Channel, Receipts, Replies
from common.kernel.columns import Keys
from common.kernel.incarnation import Kept
from common.kernel.policy import Policy
from common.runtime.clock import GuardedClock
from deploy.simulation.coroutine import at_once
from deploy.simulation.lane import Lane
from deploy.simulation.machine import Inline, Machine, SimulatedFence
from deploy.simulation.people import key_of
from deploy.simulation.source import Source
from deploy.simulation.store import Backup, store_of
from deploy.simulation.timeline import Act
from deploy.simulation.vendor import Vendor

if TYPE_CHECKING:
    from deploy.simulation.world import World

P = ParamSpec("P")
T = TypeVar("T")

HOUR = 3_600.0
BACKUPS_MAX = 4
REBOOTS = 0.2
"""Of the deaths of a process, so many are those of its machine."""
UNFINISHED = (
    f"SELECT 1 FROM work_order WHERE node = ? AND state IN ({', '.join(str(int(s)) for s in sweep.LIVE)}) LIMIT 1"  # noqa: S608 - our own codes
)


class Restored(Enum):
    """What comes back."""

    STORE = "the store alone"
    WITHOUT_FILE = "on a new disk"
    WHOLE = "the whole disk"


class Crash(Exception):
    """The process is gone: nothing it held in memory is left."""


class Node:
    """Subclasses give `outlet` and say what a process does as soon as it runs (`serve`), when its clock can be trusted
    (`work`), and what it forgets with its memory (`forget`).
    """

    outlet: Outlet
    clock: GuardedClock
    fence: SimulatedFence

    def __init__(self, world: World, name: str, channels: Mapping[str, Channel]) -> None:
        self.world = world
        self.name = name
        self.machine = Machine(world.timeline, world.clock_off())
        self.life = 0
        """Which process this is, from 1."""
        self.up = False
        self.working = False
        """Its clock is trusted: it contacts, sweeps and takes reports."""
        self.busy: set[tuple[str, int]] = set()
        self.channels = dict(channels)
        self.vendors = {
            channel.name: Vendor(world, self, channel, world.random.choice((1, 2, 100)), world.random.choice(DEDUPES))
            for channel in self.channels.values()
        }
        self.lanes: list[Lane] = []
        self._store = store_of(name)
        self._store.clear()
        self._backups: list[tuple[Backup, Kept | None]] = []
        self._begins_anew = False
        self.restored = False
        """Ever."""
        self._paused_until = 0.0

    # The process

    def boot(self) -> None:
        self.life += 1
        self.up = True
        self.world.tell(self.name, "starts, process %d", self.life)
        self._within(self._boot, ())
        self.world.wake_links()

    def die(self) -> None:
        """Killed; somebody starts it again after a while, now and then the whole machine."""
        self.world.tell(self.name, "dies")
        if self.world.random.random() < REBOOTS:
            self.machine.reboot()
            self.world.kinds["reboot"] += 1
        self.life += 1
        self.up = self.working = False
        self.lanes.clear()
        self.forget()
        self.world.timeline.after(self.world.downtime(), self._boot_again, self.life)

    def set_right(self) -> None:
        """Its clock may never agree with the others': an operator stops it, sets the clock and removes the anchor."""
        self.world.tell(self.name, "gets the right time")
        self.machine.anchor.text = ""
        if self.up:
            self.die()

    def pause(self, seconds: float) -> None:
        """Stands still; what should happen meanwhile happens when it goes on."""
        self.world.tell(self.name, "stands still for %.0f s", seconds)
        self._paused_until = max(self._paused_until, self.world.timeline.now + seconds)
        self.world.timeline.after(seconds, self.world.wake_links)

    def plan(self, seconds: float, act: Act, *arguments: Any) -> None:
        """Something this process will do, if it still lives."""
        self.world.timeline.after(seconds, self._go_on, self.life, act, arguments)

    def receive(self, act: Act, *arguments: Any) -> None:
        """A message for whatever process runs now; lost where none does."""
        if self.up:
            self._go_on(self.life, act, arguments)

    @property
    def paused(self) -> bool:
        return self._paused_until > self.world.timeline.now

    def outlet_of(self, clock: GuardedClock) -> Outlet:
        raise NotImplementedError

    def begun(self, connection: Connection) -> None:
        """What goes with a new incarnation."""
        raise NotImplementedError

    def sources(self) -> list[Source[Any]]:
        return []

    def serve(self) -> None: ...

    def work(self) -> None: ...

    def forget(self) -> None: ...

    def heard_commit(self) -> None:
        """After a commit that changed a log."""

    def may_contact(self, policy: Policy) -> Contacts:
        """As every node's runner is told."""
        raise NotImplementedError

    def hear_time(self, seconds: int) -> None:
        """A peer says what time it is."""
        self.clock.hear(seconds)
        self.work_if_trusted()

    def work_if_trusted(self) -> None:
        if self.clock.trusted and not self.working:
            self.working = True
            at_once(self.fence.date())
            self.work()
            self.wake_lanes()
            self.plan(self.world.sweep_gap(), self.sweep)

    # The store

    def set_up(self, work: Callable[Concatenate[Connection, P], None], *arguments: P.args, **named: P.kwargs) -> None:
        """Before the node first starts."""
        with self._store.transaction() as connection:
            work(connection, *arguments, **named)

    def write(self, work: Callable[Concatenate[Connection, P], T], *arguments: P.args, **named: P.kwargs) -> T:
        """`work` in one transaction; the process may die before or after the commit."""
        with self._store.transaction() as connection:
            result = work(connection, *arguments, **named)
            self.maybe_dies(work.__name__, -1)
        changed = self._store.changed
        self.world.witness.look(self, changed)
        grown = "log" in changed
        changed.clear()
        if self.world.backs_up():
            self.back_up()
        self.maybe_dies(work.__name__, 1)
        if grown:
            self.heard_commit()
        return result

    def maybe_dies(self, step: str, when: int) -> None:
        """Before (-1) or after (1) the step is durable."""
        side = "before" if when < 0 else "after"
        if self.world.crashes(step, side):
            self.world.tell(self.name, "is killed %s %s", side, step)
            raise Crash

    def read(self, work: Callable[Concatenate[Connection, P], T], *arguments: P.args, **named: P.kwargs) -> T:
        with self._store.snapshot() as connection:
            return work(connection, *arguments, **named)

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        return self._store.rows(statement, *values)

    @property
    def has_backup(self) -> bool:
        return bool(self._backups)

    def back_up(self) -> None:
        self._backups = [*self._backups, (self._store.backup(), self.machine.mark.kept)][-BACKUPS_MAX:]

    def restore(self, how: Restored) -> None:
        """An operator puts a backup in place of the store, and starts the node again."""
        store, mark = self.world.random.choice(self._backups)
        self._store.restore(store)
        if how is Restored.WITHOUT_FILE:
            self.machine.mark.kept = None
        elif how is Restored.WHOLE:
            self.machine.mark.kept = mark
            # Nothing here can show it, so the operator must say so.
            self._begins_anew = True
        self.restored = True
        self.world.tell(self.name, "is restored from a backup, %s", how.value)
        self.world.witness.restored(self)
        if self.up:
            self.die()

    # What every node does

    def wake_lanes(self) -> None:
        for lane in self.lanes:
            lane.wake()

    def take_report(self, report: Receipts | Replies) -> None:
        now = self.clock.now()
        if isinstance(report, Receipts):
            self.world.tell(
                self.name, "hears receipts of %s, tasks %s: %s", report.work_orders, report.tasks, report.stages
            )
            self.write(apply_receipts, report, now, self.outlet)
        else:
            self.world.tell(self.name, "hears replies: %s", report.replies)
            self.write(apply_replies, report, now, self.outlet, _keys_of)

    def sweep(self) -> None:
        self.plan(self.world.sweep_gap(), self.sweep)
        if not self.rows(UNFINISHED, self.name):
            return
        now = self.clock.now()
        for order, number in self.read(sweep.due, self.name, self.channels, now):
            self.world.tell(self.name, "sweeps block %d of %s", number, order.name)
            self.write(sweep.sweep_block, order, number, now, self.channels[order.channel], self.busy, self.outlet)
        self.write(sweep.finish_all, self.name, self.outlet)

    def _boot(self) -> None:
        self.clock = self.machine.clock()
        self.outlet = self.outlet_of(self.clock)
        self.fence = SimulatedFence(self, self.machine.mark, self.begun)
        delivery = Delivery(
            Inline(self),  # type: ignore[arg-type]
            self.clock,
            self.outlet,
            self.name,
            lambda: None,
            self.may_contact,
            self.fence,
        )
        self.busy = delivery.busy
        self.lanes = [Lane(self, delivery, channel, self.vendors[name]) for name, channel in self.channels.items()]
        if self._begins_anew:
            at_once(self.fence.fall())
            self._begins_anew = False
        at_once(self.fence.wake())
        self.serve()
        self.work_if_trusted()

    def _boot_again(self, life: int) -> None:
        if not self.up and self.life == life:
            self.boot()

    def _go_on(self, life: int, act: Act, arguments: tuple[Any, ...]) -> None:
        if life != self.life:
            return
        left = self._paused_until - self.world.timeline.now
        if left > 0:
            self.world.timeline.after(left, self._go_on, life, act, arguments)
        else:
            self._within(act, arguments)

    def _within(self, act: Act, arguments: tuple[Any, ...]) -> None:
        try:
            act(*arguments)
        except Crash:
            self.die()


DEDUPES = (0, 0, 300, 86_400)


def _keys_of(msisdns: list[int]) -> Keys:
    return np.array([key_of(msisdn) for msisdn in msisdns], dtype=np.int64)
