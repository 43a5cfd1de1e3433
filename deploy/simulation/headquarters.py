"""The simulated HQ: its planner, its level-one channels, and its end of every province's link."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from liandong.federation.v1 import uplink_pb2
from sqlalchemy import Connection, insert

from common.courier.cursor import Place
from common.courier.standing import Standing
from common.delivery.claim import Contacts
from common.delivery.outlet import Outlet
from common.kernel.channel import CHANNELS, Level
from common.kernel.columns import Codes
from common.kernel.grant import GrantRequest
from common.kernel.incarnation import WentBack
from common.kernel.order import OrderRecords
from common.kernel.policy import Policy
from common.kernel.refusal import Refusal
from common.kernel.work_order import HQ_NODE
from common.runtime.clock import GuardedClock
from common.wire import codec
from common.wire.server import KEEPALIVE_MS, KEEPALIVE_TIMEOUT_MS
from deploy.simulation import audience
from deploy.simulation.coroutine import at_once
from deploy.simulation.kinds import STORY
from deploy.simulation.node import Node
from deploy.simulation.plans import Plan
from deploy.simulation.source import Source, follow
from hq import link, orders
from hq.campaigns import CampaignState, Step
from hq.link import Opened, Pushed
from hq.store import feed, leases, policies, retelling, sessions, work_orders
from hq.store.campaigns import WaveState
from hq.store.feed import HqOutlet
from hq.store.sessions import LEAP_MAX, Session
from hq.store.tables import campaign, wave

if TYPE_CHECKING:
    from deploy.simulation.link import Link
    from deploy.simulation.world import World

LEASE_SECONDS = 15
ISSUE_AGAIN_SECONDS = 10_000.0
CONNECTION_SECONDS = (KEEPALIVE_MS + KEEPALIVE_TIMEOUT_MS) / 1_000
"""A connection on which nothing arrives for so long is dead, with all it carried."""
WINDOW = 128
HEADS = "SELECT peer, stream, epoch, head FROM log"
WAVES = "SELECT campaign, state FROM wave"
_INSERT_CAMPAIGN, _INSERT_WAVE = insert(campaign), insert(wave)


@dataclass(slots=True)
class Watch:
    """One reader of one topic; what it is told arrives in order or not at all."""

    reader: Link
    number: int
    """Of the reader's watches."""
    topic: str
    fence: int
    place: Place
    spoke_at: float = 0.0
    told_all: bool = False
    serving: bool = False
    broken: bool = False
    """What was said after the break does not arrive either."""
    pieces: list[feed.Piece] = field(default_factory=list)


class Headquarters(Node):
    def __init__(self, world: World) -> None:
        super().__init__(world, HQ_NODE, {n: c for n, c in CHANNELS.items() if c.level is Level.ONE})
        self.cbss = Source[OrderRecords]("cbss", "orders")
        self._watches: dict[tuple[str, str], Watch] = {}

    def serve(self) -> None:
        self.write(sessions.close_all)

    def outlet_of(self, clock: GuardedClock) -> Outlet:
        return HqOutlet(clock)

    def begun(self, connection: Connection) -> None:
        sessions.close_all(connection)

    def may_contact(self, policy: Policy) -> Contacts:
        del policy
        return Contacts.NOBODY if self.fence.closed else Contacts.ALL

    def work(self) -> None:
        done = {name for name, state in self.rows(WAVES) if state == WaveState.CUT}
        for plan in self.world.plans:
            if plan.campaign not in done:
                self.plan(self.world.random.random(), self.issue, plan)
        self.follow_sources()

    def forget(self) -> None:
        for watch in self._watches.values():
            watch.reader.suspect()
        self._watches.clear()

    def pause(self, seconds: float) -> None:
        super().pause(seconds)
        for watch in self._watches.values():
            watch.reader.suspect()

    # Campaigns

    def issue(self, plan: Plan) -> None:
        """Cut the plan's wave, going on where a crash left off; an operator whom HQ forgot applies it again."""
        if not self.working:
            return
        if not self.rows("SELECT 1 FROM campaign WHERE name = ?", plan.campaign):
            self.write(_store_campaign, plan)
        now = self.clock.now()
        sent = audience.approved(plan, self.world.seed, self.world.people)
        if self.read(leases.fenced, now):
            self.plan(ISSUE_AGAIN_SECONDS * self.world.random.random(), self.issue, plan)
        elif self.write(work_orders.begin_cut, plan.campaign, 1, sent.work_orders(), now):
            self.world.tell(self.name, "issues %s", sent)
            if sent != plan:
                self.world.kinds[f"{STORY}hold-out"] += 1
            self.plan(5 * self.world.random.random(), self._cut, sent, 0)

    def _cut(self, plan: Plan, share: int) -> None:
        blocks = list(plan.blocks())
        if share == len(blocks):
            self.write(work_orders.end_cut, plan.campaign, 1)
            return
        order, block = blocks[share]
        try:
            self.write(work_orders.cut, order, [block], self.clock.now())
        except Refusal as refusal:
            self.world.tell(self.name, "issues nothing of %s yet: %s", order.name, refusal)
            self.plan(ISSUE_AGAIN_SECONDS * self.world.random.random(), self._cut, plan, share)
            return
        self.wake_lanes()
        self.plan(2 * self.world.random.random(), self._cut, plan, share + 1)

    def sweep(self) -> None:
        super().sweep()
        if self.read(retelling.half_cut, self.clock.now()):
            self.world.tell(self.name, "ends what is half cut")
            self.write(retelling.end_half_cut, self.clock.now())

    def command(self, name: str, step: Step) -> None:
        if self.rows("SELECT 1 FROM campaign WHERE name = ?", name):
            self.world.tell(self.name, "%s: %s", name, step)
            try:
                self.write(work_orders.step, name, step, self.clock.now())
            except Refusal:
                return
            self.wake_lanes()

    def sources(self) -> list[Source[Any]]:
        return [self.cbss]

    def follow_sources(self) -> None:
        follow(self, self.cbss, orders.take_orders)

    def apply_policy(self, document: str) -> None:
        """What could break a cap while some decide by an older policy is refused."""
        try:
            applied = self.write(policies.apply, document, document, self.clock.now())
        except Refusal as refusal:
            self.world.tell(self.name, "refuses a policy: %s", refusal.message)
            return
        self.world.tell(self.name, "puts policy %d in force", applied.version)
        self.world.kinds[f"{STORY}policy"] += applied.version > 1

    # The link

    def open_session(
        self, province: str, instance_id: str, takeover: bool, standing: Standing, told_time: int, sent_at: float
    ) -> tuple[Opened, int]:
        now = self.clock.now()
        self._hear_told(told_time, sent_at)
        ask = Session(province, instance_id, 0, now + LEASE_SECONDS, 1)
        off, leap = told_time - now, self.world.random.randrange(LEAP_MAX)
        try:
            return self.write(_open, ask, now, takeover, standing, off, leap), now
        except WentBack as gone:
            self.world.tell(self.name, "learns that it came back from a backup: %s", gone)
            at_once(self.fence.fall(gone.number, gone.above))
            self.world.renew_links()
            return self.write(_open, ask, now, takeover, standing, off, leap), now

    def renew_session(self, province: str, fence: int, told_time: int, sent_at: float) -> int:
        now = self.clock.now()
        self._hear_told(told_time, sent_at)
        self.write(link.renew_session, province, fence, now + LEASE_SECONDS, told_time - now)
        return now

    def _hear_told(self, told_time: int, sent_at: float) -> None:
        """Calls come hours late here, to try what they do a second time; none can tell the time of hours ago."""
        if self.world.timeline.now - sent_at <= CONNECTION_SECONDS:
            self.hear_time(told_time)

    def append(self, province: str, stream: str, pushed: Pushed, payloads: Sequence[bytes]) -> Place:
        values = [codec.read_outbox_entry(uplink_pb2.OutboxEntry.FromString(each), province) for each in payloads]
        place, _ = self.write(link.append, province, stream, pushed, values, self.clock.now())
        return place

    def commit_feed(self, province: str, topic: str, fence: int, place: Place) -> int:
        return self.write(link.commit, province, topic, fence, place)

    def acquire(self, province: str, fence: int, asked: GrantRequest) -> Codes:
        _, reasons = self.write(link.acquire, province, fence, asked, self.clock.now())
        return reasons

    def watch(self, watch: Watch) -> None:
        """A call whose caller gave it up is answered to nobody."""
        if watch.reader.waits_for(watch.topic, watch.number):
            self._watches[watch.reader.province, watch.topic] = watch
            self._plan_serving(watch)

    def watches(self, watch_of: Link, topic: str, number: int) -> bool:
        """Whether this reader's watch is still served."""
        found = self._watches.get((watch_of.province, topic))
        return self.up and found is not None and found.number == number and found.reader is watch_of

    def heard_commit(self) -> None:
        for province, topic, epoch, head in self.rows(HEADS):
            watch = self._watches.get((province, topic))
            if watch is not None and (epoch, head) != (watch.place.epoch, watch.place.sequence):
                self._plan_serving(watch)

    def _plan_serving(self, watch: Watch) -> None:
        if not watch.serving and not watch.pieces:
            watch.serving = True
            self.plan(0.5 * self.world.random.random(), self._serve, watch)

    def _serve(self, watch: Watch) -> None:
        watch.serving = False
        province, topic, fence = watch.reader.province, watch.topic, watch.fence
        if self._watches.get((province, topic)) is not watch or watch.pieces:
            return
        try:
            step = self.read(link.look, province, topic, fence, watch.place, WINDOW)
            if step is None:
                watch.told_all = False
                watch.place, watch.pieces = self.write(link.reset, province, topic, fence, watch.place)
                self._say(watch, watch.reader.reset, watch.place, len(watch.pieces))
                self._plan_piece(watch)
            elif isinstance(step, int):
                if not watch.told_all:
                    watch.told_all = step == watch.place.sequence
                    self._say(watch, watch.reader.progress, step, self.clock.now())
            elif self._kept():
                watch.place = Place(watch.place.epoch, step[-1].sequence, step[-1].chain)
                watch.told_all = False
                self._say(watch, watch.reader.batch, step)
                self._plan_serving(watch)
        except Refusal as refusal:
            del self._watches[province, topic]
            self._say(watch, watch.reader.refused, refusal)

    def _plan_piece(self, watch: Watch) -> None:
        if watch.pieces:
            self.plan(2 * self.world.random.random(), self._piece, watch)
        else:
            self._plan_serving(watch)

    def _piece(self, watch: Watch) -> None:
        if self._watches.get((watch.reader.province, watch.topic)) is watch and self._kept():
            self._say(watch, watch.reader.piece, self.read(link.payload, watch.pieces.pop(0)))
            self._plan_piece(watch)

    def _kept(self) -> bool:
        """As the real watch: the mark is beside the store before anything is told."""
        return at_once(self.fence.keep(self.read(self.fence.check)))

    def _say(self, watch: Watch, act: Callable[..., None], *arguments: object) -> None:
        watch.spoke_at = self.world.network.stream(
            self.name,
            watch.reader.node,
            watch.spoke_at,
            lambda: self._broken(watch),
            self._arrives,
            watch,
            act,
            arguments,
        )

    def _arrives(self, watch: Watch, act: Callable[..., None], arguments: tuple[object, ...]) -> None:
        if not watch.broken:
            act(watch.topic, watch.number, *arguments)

    def _broken(self, watch: Watch) -> None:
        watch.broken = True
        place = watch.reader.province, watch.topic
        if self._watches.get(place) is watch:
            del self._watches[place]
        watch.reader.suspect()


def _open(
    connection: Connection, ask: Session, now: int, takeover: bool, standing: Standing, off: int, leap: int
) -> Opened:
    return link.open_session(
        connection,
        ask,
        "simulated",
        now,
        leap=leap,
        takeover=takeover,
        standing=standing,
        clock_off_seconds=off,
    )


def _store_campaign(connection: Connection, plan: Plan) -> None:
    """As approved by an operator, its audience frozen."""
    row = {"name": plan.campaign, "version": 1, "state": int(CampaignState.APPROVED), "yaml": plan.yaml}
    connection.execute(_INSERT_CAMPAIGN, row | {"applied_by": "a", "approved_by": "b", "manifest": ""})
    row = {"campaign": plan.campaign, "number": 1, "name": "first", "select_at": plan.start_at}
    connection.execute(_INSERT_WAVE, row | {"state": int(WaveState.SELECTED), "selection": ""})
