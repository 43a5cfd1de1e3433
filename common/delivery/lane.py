"""One channel's deliveries at one node: claim, send, record, round and round."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import Connection
from tenacity import AsyncRetrying, retry_if_exception_type, retry_if_not_exception_type, wait_random_exponential

from common.delivery import policies
from common.delivery.claim import Claimed, Contacts, take
from common.delivery.fence import Fence
from common.delivery.outlet import Outlet
from common.delivery.pace import Pace, back_off
from common.delivery.record import NO_ANSWER, Recorded, Sent, record
from common.kernel.channel import (
    Channel,
    ChannelPort,
    NeverAccepted,
    NoAnswer,
    OutboundBatch,
    SendAnswer,
    SendOutcome,
    VendorTerms,
)
from common.kernel.columns import Codes
from common.kernel.policy import SUBMIT_SECONDS, Policy, quiet_until
from common.kernel.refusal import Fault, Refusal
from common.kernel.task_block import BLOCK_ROWS
from common.runtime.clock import Clock, milliseconds
from common.runtime.database import Database
from common.runtime.outage import OUTAGE_SECONDS_MAX, StoreUnavailable

BLOCKS_IN_FLIGHT = 3
BATCHES_IN_FLIGHT = 4
BLOCKS_AT_ONCE = 64
"""Claimed in one transaction: of small ones, such as local triggers make, many are as quick as one."""
IDLE_SECONDS = 0.25
"""How soon a lane with nothing to do looks again, unrung."""
TERMS_RETRY_SECONDS_MAX = 5.0
ASLEEP_SECONDS_MAX = 60.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the lanes of one node share. `busy` holds (work order, block number) of messages being sent.

    `busy` is added to and looked at only in write transactions, which run one after another.
    """

    database: Database
    clock: Clock
    outlet: Outlet
    node: str
    bell: Callable[[], None]
    may_contact: Callable[[Policy], Contacts]
    """Whom, at this moment; asked in the transaction that claims."""
    fence: Fence | None = None
    busy: set[tuple[str, int]] = field(default_factory=set)


class OverError(NeverAccepted):
    """Nothing of this claim may be sent any more, so there is nothing to wait for."""


class Lane:
    def __init__(
        self, delivery: Delivery, channel: Channel, port: ChannelPort, blocks_at_once: int = BLOCKS_AT_ONCE
    ) -> None:
        self._delivery = delivery
        self._channel = channel
        self._port = port
        self._blocks_at_once = blocks_at_once
        self._blocks = asyncio.Semaphore(BLOCKS_IN_FLIGHT)
        self._batches = asyncio.Semaphore(BATCHES_IN_FLIGHT)
        self._rounds: Counter[tuple[str, int]] = Counter()
        self._not_before: dict[tuple[str, int], float] = {}
        self._setbacks = 0
        self._rest_until = 0.0
        self._rung = asyncio.Event()
        self._taking: list[tuple[str, int]] = []
        self._outages = 0

    def ring(self) -> None:
        """There may be new work."""
        self._rung.set()

    async def run(self) -> None:
        terms = await self._terms()
        pace = Pace(self._rate(terms), self._delivery.clock.monotonic)
        async with asyncio.TaskGroup() as group:
            while True:
                await self._blocks.acquire()
                await self._rest()
                started = self._delivery.clock.monotonic()
                claimed = await self._claim(terms)
                if not claimed:
                    self._blocks.release()
                    await self._idle()
                else:
                    group.create_task(self._deliver(claimed, terms, pace, started + SUBMIT_SECONDS))

    async def _claim(self, terms: VendorTerms) -> list[Claimed]:
        try:
            claimed = await self._delivery.database.write(self._take, terms)
            if not await self._kept(claimed):
                self._free(claimed)
                claimed = []
        except StoreUnavailable:
            # What was booked nonetheless is found unanswered for when the store is back, as after a crash.
            self._delivery.busy.difference_update(self._taking)
            self._outages += 1
            await asyncio.sleep(back_off(self._outages, longest=OUTAGE_SECONDS_MAX))
            return []
        except Refusal as why:
            if why.fault is not Fault.BUSY:
                raise
            # The fence closed after this lane had asked whom it may contact; nothing was booked.
            return []
        self._outages = 0
        return claimed

    async def _kept(self, claimed: Sequence[Claimed]) -> bool:
        fence, mark = self._delivery.fence, max((each.mark for each in claimed), default=0)
        return fence is None or not mark or await fence.keep(mark)

    def _free(self, claimed: Sequence[Claimed]) -> None:
        self._delivery.busy.difference_update(_place(each) for each in claimed)

    async def _terms(self) -> VendorTerms:
        waits = wait_random_exponential(multiplier=0.1, max=TERMS_RETRY_SECONDS_MAX)
        unanswered = retry_if_exception_type((NeverAccepted, NoAnswer))
        terms: VendorTerms = await AsyncRetrying(retry=unanswered, wait=waits)(self._port.terms)
        return terms

    def _rate(self, terms: VendorTerms) -> int:
        return max(1, min(self._channel.messages_per_second_max, terms.messages_per_second_max))

    def _take(self, connection: Connection, terms: VendorTerms) -> list[Claimed]:
        delivery, now = self._delivery, self._delivery.clock.now()
        contacts = delivery.may_contact(policies.in_force(connection))
        if contacts is Contacts.NOBODY:
            return []
        if delivery.fence is not None:
            delivery.fence.check(connection)
        passed_over = delivery.busy | self._cooling()
        claimed = take(
            connection, delivery.node, self._channel, terms, now, self._limit(terms), passed_over, delivery.outlet,
            contacts, self._blocks_at_once,
        )  # fmt: skip
        self._taking = [_place(each) for each in claimed]
        delivery.busy.update(self._taking)
        return claimed

    def _limit(self, terms: VendorTerms) -> int:
        """How many to book at once: no more than can leave well before submit_by.

        What is booked when the node dies is lost with a vendor that knows no repeats, so of those only a little.
        """
        most = BLOCK_ROWS if terms.dedupe_seconds else terms.batch_max * BATCHES_IN_FLIGHT
        return max(1, min(most, self._rate(terms) * SUBMIT_SECONDS // 4))

    def _cooling(self) -> set[tuple[str, int]]:
        now = self._delivery.clock.monotonic()
        return {place for place, at in tuple(self._not_before.items()) if at > now}

    async def _deliver(self, claimed: Sequence[Claimed], terms: VendorTerms, pace: Pace, deadline: float) -> None:
        try:
            for each in claimed:
                if each.asleep_until and not len(each.rows):
                    self._pass_over(each)
            async with asyncio.TaskGroup() as group:
                booked = [each for each in claimed if len(each.rows)]
                sending = [group.create_task(self._send_all(each, terms, pace, deadline)) for each in booked]
            sent = [task.result() for task in sending]
            if sent:
                self._learn(sent, await self._record(sent, terms))
        finally:
            self._free(claimed)
            self._blocks.release()
        self._delivery.bell()

    async def _record(self, sent: Sequence[Sent], terms: VendorTerms) -> list[Recorded]:
        """Insists: what vendors answered is known nowhere else, and recording it again changes nothing."""
        delivery, dedupes = self._delivery, terms.dedupe_seconds > 0
        waits = wait_random_exponential(multiplier=0.1, max=OUTAGE_SECONDS_MAX)
        now = delivery.clock.now()
        async for attempt in AsyncRetrying(retry=retry_if_exception_type(StoreUnavailable), wait=waits):
            with attempt:
                done = await delivery.database.write(record, sent, dedupes, now, delivery.outlet)
        return done

    async def _send_all(self, claimed: Claimed, terms: VendorTerms, pace: Pace, deadline: float) -> Sent:
        size = max(1, terms.batch_max)
        outcomes = np.full(len(claimed.rows), NO_ANSWER, dtype=np.uint8)
        async with asyncio.TaskGroup() as group:
            for start in range(0, len(outcomes), size):
                part = slice(start, start + size)
                group.create_task(self._send(_batch(claimed, part), claimed, outcomes[part], pace, deadline))
        return Sent(claimed, outcomes, milliseconds(self._delivery.clock))

    async def _send(self, batch: OutboundBatch, claimed: Claimed, outcomes: Codes, pace: Pace, deadline: float) -> None:
        """Fill in `outcomes`, sending again only what definitely never arrived, until `deadline` (monotonic)."""
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(NeverAccepted) & retry_if_not_exception_type(OverError),
            wait=wait_random_exponential(multiplier=0.1, max=5.0),
            stop=lambda state: self._delivery.clock.monotonic() + state.upcoming_sleep >= deadline,
            reraise=True,
        )
        async with self._batches:
            await pace.take(len(outcomes))
            try:
                answer: SendAnswer = await attempts(self._attempt, batch, claimed, deadline)
            except NeverAccepted:
                outcomes[:] = SendOutcome.THROTTLED
            except NoAnswer as silence:
                log.warning("no answer from %s: %s", batch.channel, silence)
            else:
                outcomes[:] = answer.outcomes
                if answer.pause_seconds > 0:
                    pace.hold(answer.pause_seconds)

    async def _attempt(self, batch: OutboundBatch, claimed: Claimed, deadline: float) -> SendAnswer:
        left, now = deadline - self._delivery.clock.monotonic(), self._delivery.clock.now()
        if left <= 0 or now >= claimed.submit_by:
            raise OverError("submit_by has passed")
        if any(quiet_until(claimed.policy, self._channel, now, zone) is not None for zone in claimed.zones):
            raise OverError("quiet hours have begun")
        try:
            async with asyncio.timeout(left):
                return await self._port.send(batch)
        except TimeoutError:
            raise NoAnswer("submit_by passed while the batch was under way") from None

    def _learn(self, sent: Sequence[Sent], done: Sequence[Recorded]) -> None:
        """A block with rows left waits its turn longer each round; a vendor that takes nothing is given a rest."""
        now = self._delivery.clock.monotonic()
        for place, each in zip((_place(each.claimed) for each in sent), done, strict=True):
            if each.pending:
                self._rounds[place] += 1
                self._not_before[place] = now + back_off(self._rounds[place])
            else:
                self._rounds.pop(place, None)
                self._not_before.pop(place, None)
        nothing_taken = any(each.pending for each in done) and not any(each.accepted for each in done)
        self._setbacks = self._setbacks + 1 if nothing_taken else 0
        self._rest_until = now + back_off(self._setbacks) if self._setbacks else 0.0

    def _pass_over(self, claimed: Claimed) -> None:
        """Everybody left in the block is asleep; a new policy or a stepped clock may wake them earlier than thought."""
        asleep = min(claimed.asleep_until - self._delivery.clock.now(), ASLEEP_SECONDS_MAX)
        self._not_before[_place(claimed)] = self._delivery.clock.monotonic() + asleep

    async def _rest(self) -> None:
        rest = self._rest_until - self._delivery.clock.monotonic()
        if rest > 0:
            await asyncio.sleep(rest)

    async def _idle(self) -> None:
        with suppress(TimeoutError):
            # Not wait_for: in Python 3.11 it swallows a cancellation that comes together with the ring.
            async with asyncio.timeout(IDLE_SECONDS):
                await self._rung.wait()
        self._rung.clear()


def _place(claimed: Claimed) -> tuple[str, int]:
    return claimed.work_order.name, claimed.block.number


def _batch(claimed: Claimed, part: slice) -> OutboundBatch:
    """With the texts its own messages use: a block of personal texts would otherwise travel whole with each batch."""
    block, rows = claimed.block, claimed.rows[part]
    used, refs = np.unique(block.text_refs[rows], return_inverse=True)
    return OutboundBatch(
        channel=claimed.work_order.channel,
        work_order=block.work_order,
        tasks=(rows + block.first_task).astype(np.uint32),
        msisdns=claimed.msisdns[part].tolist(),
        texts=[block.texts[place] for place in used.tolist()],
        text_refs=refs.astype(np.uint32),
        submit_by=claimed.submit_by,
        expire_at=claimed.work_order.end_at,
    )
