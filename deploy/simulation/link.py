"""A simulated province's end of the link: one session, a watch for each topic, a pusher for each stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from liandong.federation.v1 import feed_pb2

from common.courier.bell import Bell
from common.courier.cursor import NOWHERE, Gap, Place
from common.courier.log import Entry
from common.courier.standing import Known
from common.delivery.claim import Contacts
from common.kernel.columns import Codes
from common.kernel.grant import GrantRequest
from common.kernel.incarnation import WentBack
from common.kernel.refusal import Refusal
from common.wire import codec
from common.wire.streams import HQ
from deploy.simulation.coroutine import Answer, at_once
from deploy.simulation.headquarters import Watch
from deploy.simulation.kinds import STORY
from deploy.simulation.network import NoReply
from hq.link import Opened, Pushed
from province import link
from province.link import Reading, Take
from province.rpc.hq_client import BackOff, HqClient

if TYPE_CHECKING:
    from deploy.simulation.headquarters import Headquarters
    from deploy.simulation.province import Province

SILENCE_SECONDS = 35.0
BACK_OFF_SECONDS = 5.0
LOST = frozenset({"SESSION_FENCED", "EPOCH_STALE", "SEQUENCE_GAP"})
ABSENT: Any = None
"""What the real client has and a simulated one never uses."""
HEADS = "SELECT stream, head FROM log WHERE peer = ?"


@dataclass(slots=True)
class _Watching:
    number: int
    reading: Reading
    heard: bool = False
    caught_up: bool = False


@dataclass(slots=True)
class _Pushing:
    place: Place
    under_way: bool = False


class Link:
    """`session` counts the sessions this process tried to open; what belongs to an older one is passed over."""

    def __init__(self, node: Province, hq: Headquarters) -> None:
        self.node = node
        self.province = node.name
        self._hq = hq
        self._client: Any = HqClient(
            ABSENT, node.clock, Bell(), node.inbox, node.name, "", ABSENT, "", node.fence,
            takeover=True, random=ABSENT, hear_time=node.hear_time,
        )  # fmt: skip
        self._session = 0
        self._fence = 0
        self._told_process = 0
        self._number = 0
        self._waiting: list[tuple[int, Any, tuple[Any, ...]]] = []
        self._watching: dict[str, _Watching] = {}
        self._pushing: dict[str, _Pushing] = {}

    # The session

    def open(self) -> None:
        self._session += 1
        self._watching.clear()
        self._pushing.clear()
        node, hq, session, sent_at = self.node, self._hq, self._session, self.node.clock.monotonic()
        standing, now, takeover = node.read(link.standing), node.clock.now(), self._client._takeover
        instance, true_now = f"{node.name}-{node.life}", node.world.timeline.now
        node.world.network.call(
            node,
            hq,
            lambda: hq.open_session(node.name, instance, takeover, standing, now, true_now),
            lambda answer: self._in_session(session, self._answered, (standing.incarnation, sent_at, answer)),
        )

    def _answered(self, incarnation: int, sent_at: float, answer: tuple[Opened, int] | Refusal | NoReply) -> None:
        if isinstance(answer, Refusal):
            self.node.world.tell(self.province, "is refused a session: %s", answer)
            at_once(self._client._refused(incarnation, answer, BackOff(ABSENT)))
        if isinstance(answer, tuple):
            self._opened(sent_at, *answer)
        else:
            self._later(self.open)

    def _opened(self, sent_at: float, opened: Opened, hq_time: int) -> None:
        node = self.node
        self._client._takeover = self._client.ousted = False
        self._fence = opened.session.fence
        self._told_time(sent_at, hq_time)
        node.world.tell(node.name, "has session %d; HQ holds %s", self._fence, opened.outbox)
        try:
            known = Known(opened.incarnation, opened.outbox, opened.feed)
            places = node.write(link.join, known, node.clock.now())
        except WentBack as gone:
            node.world.tell(node.name, "learns that it came back from a backup: %s", gone)
            at_once(node.fence.fall(gone.number, gone.above))
            self._later(self.open)
            return
        self._pushing = {stream: _Pushing(place) for stream, place in places.items()}
        for topic in self.node.world.topics:
            self._turn(topic)
        self.push_what_is_new()
        self._plan_renewal()

    def _told_time(self, sent_at: float, hq_time: int) -> None:
        self._client._told_time(SimpleNamespace(server_time=SimpleNamespace(seconds=hq_time)), sent_at)

    def _plan_renewal(self) -> None:
        """Seldom: what a renewal tells but the time is not looked at here."""
        gap = self.node.world.renewal_gap()
        if gap:
            self.node.plan(gap, self._in_session, self._session, self._renew, ())

    def _renew(self) -> None:
        self._plan_renewal()
        self._tell_time()

    def renew_soon(self) -> None:
        """As every link does within seconds; here, when HQ has closed its session."""
        self.node.plan(BACK_OFF_SECONDS, self._in_session, self._session, self._tell_time, ())

    def _tell_time(self) -> None:
        hq, fence, session = self._hq, self._fence, self._session
        now, sent_at = self.node.clock.now(), self.node.clock.monotonic()
        true_now = self.node.world.timeline.now
        self.node.world.network.call(
            self.node,
            hq,
            lambda: hq.renew_session(self.province, fence, now, true_now),
            lambda answer: self._in_session(session, self._renewed, (sent_at, answer)),
        )

    def _renewed(self, sent_at: float, answer: int | Refusal | NoReply) -> None:
        if isinstance(answer, Refusal):
            self._lost(answer.message)
        elif isinstance(answer, int):
            self._told_time(sent_at, answer)

    def _lost(self, why: str) -> None:
        self.node.world.tell(self.node.name, "loses its session: %s", why)
        self._session += 1
        self._watching.clear()
        self._pushing.clear()
        self._later(self.open)

    def _later(self, act: Any, *arguments: Any) -> None:
        """Try again soon; where nothing can get through now, as soon as it can."""
        if self._reachable():
            wait = BACK_OFF_SECONDS * self.node.world.random.random()
            self.node.plan(wait, self._in_session, self._session, act, arguments)
        else:
            self._waiting.append((self._session, act, arguments))

    def try_again(self) -> None:
        """HQ may be reachable by now. One that started again, or does not trust its clock, hears of the session."""
        if self._reachable():
            if self._pushing and (not self._hq.working or self._told_process != self._hq.life):
                self._told_process = self._hq.life
                self.node.plan(self.node.world.random.random(), self._in_session, self._session, self._tell_time, ())
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                self.node.plan(BACK_OFF_SECONDS * self.node.world.random.random(), self._in_session, *each)

    def _reachable(self) -> bool:
        passes = self.node.world.network.passes
        return self._hq.up and not self._hq.paused and passes(self.province, HQ) and passes(HQ, self.province)

    def _in_session(self, session: int, act: Any, arguments: tuple[Any, ...]) -> None:
        if session == self._session:
            act(*arguments)

    # The feed

    def suspect(self) -> None:
        """HQ may have fallen silent: a process that listens finds out in a while."""
        for topic, watching in self._watching.items() if self.node.link is self else ():
            self.node.plan(SILENCE_SECONDS, self._listen, topic, watching.number)

    def may_contact(self, stop_freshness_seconds: int) -> Contacts:
        """An HQ that has nothing to say says so, again and again, on a watch that works."""
        watching = self._watching.get("control")
        if watching is not None and watching.caught_up and self._speaks("control", watching.number):
            self._client.hear("control", self._hq.clock.now())
        contacts: Contacts = self._client.may_contact(stop_freshness_seconds)
        return contacts

    def _turn(self, topic: str) -> None:
        node, hq = self.node, self._hq
        place = node.read(link.place, topic)
        self._number += 1
        watching = self._watching[topic] = _Watching(self._number, Reading(place))
        if place != NOWHERE:
            self._commit(topic, place)
        asked = Watch(self, watching.number, topic, self._fence, place)
        node.world.network.send(node.name, hq, hq.watch, asked)
        node.plan(SILENCE_SECONDS, self._listen, topic, watching.number)

    def _listen(self, topic: str, number: int) -> None:
        watching = self._watching.get(topic)
        if watching is None or watching.number != number or (watching.heard and self._speaks(topic, number)):
            return
        del self._watching[topic]
        self._later(self._turn, topic)

    def _speaks(self, topic: str, number: int) -> bool:
        network = self.node.world.network
        return network.passes(HQ, self.province) and not self._hq.paused and self._hq.watches(self, topic, number)

    def waits_for(self, topic: str, number: int) -> bool:
        watching = self._watching.get(topic)
        return self.node.link is self and watching is not None and watching.number == number

    def _hears(self, topic: str, number: int) -> Reading | None:
        """None for what a watch that is over still says."""
        if not self.waits_for(topic, number):
            return None
        watching = self._watching[topic]
        watching.heard = True
        watching.caught_up = False
        return watching.reading

    def progress(self, topic: str, number: int, head: int, said_at: int) -> None:
        reading = self._hears(topic, number)
        if reading is not None and reading.caught_up(head):
            self._watching[topic].caught_up = True
            self._client.hear(topic, said_at)

    def reset(self, topic: str, number: int, place: Place, pieces: int) -> None:
        reading = self._hears(topic, number)
        if reading is not None:
            self.node.world.tell(
                self.province, "is told to read %s anew, to stand at %s after %d", topic, place, pieces
            )
            self._take(topic, reading.reset(place, pieces), [])

    def piece(self, topic: str, number: int, payload: bytes) -> None:
        reading = self._hears(topic, number)
        if reading is not None:
            self._take(topic, reading.batch(0, 0, 0, 1), [payload])

    def batch(self, topic: str, number: int, entries: Sequence[Entry]) -> None:
        reading = self._hears(topic, number)
        if reading is not None:
            first, last = entries[0].sequence, entries[-1]
            step = reading.batch(first, last.sequence, last.chain, len(entries))
            self._take(topic, step, [entry.payload for entry in entries])

    def refused(self, topic: str, number: int, refusal: Refusal) -> None:
        if self._hears(topic, number) is not None:
            self._lost(str(refusal))

    def _take(self, topic: str, step: Take | Gap | None, payloads: Sequence[bytes]) -> None:
        if isinstance(step, Gap):
            self._lost(f"a gap in {topic}")
        elif step is not None:
            self._apply(topic, step, payloads[step.skip :])

    def _apply(self, topic: str, step: Take, payloads: Sequence[bytes]) -> None:
        node = self.node
        read = (codec.read_feed_entry(feed_pb2.FeedEntry.FromString(each), node.name) for each in payloads)
        values = [value for value in read if value is not None]
        node.world.tell(node.name, "applies %s to %s: %s", topic, step.place, values)
        node.write(link.apply, node.inbox, topic, values, step.place, node.clock.now())
        node.wake_lanes()
        if step.place is not None:
            self._commit(topic, step.place)

    def _commit(self, topic: str, place: Place) -> None:
        hq, province, fence, session = self._hq, self.province, self._fence, self._session
        self.node.world.network.call(
            self.node,
            hq,
            lambda: hq.commit_feed(province, topic, fence, place),
            lambda answer: self._committed(session, answer),
        )

    def _committed(self, session: int, answer: int | Refusal | NoReply) -> None:
        """No answer costs nothing: the next commit says as much."""
        if session == self._session and isinstance(answer, Refusal) and answer.reason == "SESSION_FENCED":
            self._lost(answer.message)

    # Grants

    async def acquire(self, asked: GrantRequest) -> Codes | None:
        """As the real client's."""
        hq, province, fence, network = self._hq, self.province, self._fence, self.node.world.network
        if not self._pushing:
            return None
        answer: Codes | Refusal | NoReply = await Answer(
            lambda answered: network.call(self.node, hq, lambda: hq.acquire(province, fence, asked), answered)
        )
        self.node.world.tell(province, "hears of grant %s: %r", asked.request_id, answer)
        if not isinstance(answer, Refusal | NoReply):
            self.node.world.kinds[f"{STORY}grant"] += 1
        if isinstance(answer, Refusal) and answer.reason != "SESSION_FENCED":
            raise answer
        return None if isinstance(answer, Refusal | NoReply) else answer

    # The outbox

    def push_what_is_new(self) -> None:
        for stream, head in self.node.rows(HEADS, HQ):
            pushing = self._pushing.get(stream)
            if pushing is not None and not pushing.under_way and head > pushing.place.sequence:
                pushing.under_way = True
                self.node.plan(self.node.world.random.random(), self._in_session, self._session, self._push, (stream,))

    def _push(self, stream: str) -> None:
        node, hq, pushing = self.node, self._hq, self._pushing[stream]
        entries = node.read(link.unsent, stream, pushing.place)
        if not entries:
            pushing.under_way = False
            return
        last, province, session = entries[-1], self.province, self._session
        pushed = Pushed(self._fence, entries[0].sequence, Place(pushing.place.epoch, last.sequence, last.chain))
        payloads = tuple(entry.payload for entry in entries)
        node.world.tell(node.name, "pushes %d of %s to %s", len(entries), stream, pushed)
        node.world.network.call(
            node,
            hq,
            lambda: hq.append(province, stream, pushed, payloads),
            lambda answer: self._pushed(session, stream, answer),
        )

    def _pushed(self, session: int, stream: str, answer: Place | Refusal | NoReply) -> None:
        if session != self._session:
            return
        node, pushing = self.node, self._pushing[stream]
        if isinstance(answer, Refusal) and answer.reason in LOST:
            self._lost(answer.message)
        elif not isinstance(answer, Place):
            node.world.tell(node.name, "push of %s failed: %r", stream, answer)
            self._later(self._push, stream)
        elif not node.write(link.committed, stream, answer):
            self._lost(f"HQ's place in {stream} is not one of ours: {answer}")
        else:
            pushing.place, pushing.under_way = answer, False
            self.push_what_is_new()
