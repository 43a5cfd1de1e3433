"""A channel's vendor: what it takes it writes in the journal, which is the truth about who was contacted when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from common.kernel.channel import (
    Channel,
    NeverAccepted,
    NoAnswer,
    OutboundBatch,
    Receipts,
    ReceiptStage,
    Replies,
    Reply,
    SendAnswer,
    SendOutcome,
    VendorTerms,
)
from deploy.simulation.kinds import STORY

if TYPE_CHECKING:
    from deploy.simulation.node import Node
    from deploy.simulation.world import World

ANSWER_SECONDS = 20.0
STAGES = (ReceiptStage.DELIVERED, ReceiptStage.UNDELIVERABLE, ReceiptStage.EXPIRED, None)
STAGE_ODDS = (80, 8, 4, 8)
"""None: nothing is heard of the message again."""
TEXTS = ("", "TD", "N", "1", "?")
TEXT_ODDS = (80, 5, 6, 5, 4)
REPORT_TRIES = 3
HOUR = 3_600.0

Outcome = SendAnswer | NeverAccepted | NoAnswer
Ended = Callable[[Outcome], None]


@dataclass(frozen=True, slots=True)
class Contact:
    """A message the vendor took at `at`, by the true clock."""

    at: float
    node: str
    channel: str
    work_order: str
    task: int
    msisdn: int
    expire_at: int


class Vendor:
    """Keeps what it took whatever becomes of its caller. `dedupes_for`: how long it knows an id again, in seconds."""

    def __init__(self, world: World, node: Node, channel: Channel, batch_max: int, dedupes_for: int) -> None:
        self.terms = VendorTerms(batch_max, 1_000, dedupes_for)
        self._world = world
        self._node = node
        self._channel = channel
        self._taken: dict[tuple[str, int], float] = {}
        self._refused: set[tuple[str, int]] = set()
        """What it refused it never takes, not even when an earlier copy comes later."""

    def send(self, batch: OutboundBatch, ended: Ended) -> None:
        """`ended` runs once, while the calling process lives."""
        timeline = self._world.timeline
        answer: list[Outcome] = [NoAnswer("nobody answers")]
        if self._happens("vendor_away"):
            answer = [NeverAccepted("cannot be reached")]
        elif not self._happens("question_lost"):
            timeline.after(self._delay(), self._arrive, batch, answer, self._happens("answer_lost"))
        self._node.plan(ANSWER_SECONDS * self._world.random.random(), lambda: ended(answer[0]))

    def _arrive(self, batch: OutboundBatch, answer: list[Outcome], lost: bool) -> None:
        taken = self._take(batch)
        if not lost:
            answer[0] = taken

    def _take(self, batch: OutboundBatch) -> Outcome:
        if self._world.timeline.now > batch.submit_by:
            return NeverAccepted("it came after submit_by")
        outcomes = [
            self._outcome(batch, task, msisdn) for task, msisdn in zip(batch.tasks.tolist(), batch.msisdns, strict=True)
        ]
        new = [place for place, outcome in enumerate(outcomes) if outcome is SendOutcome.ACCEPTED]
        if new:
            self._plan_reports(batch, new)
        return SendAnswer(np.array(outcomes, dtype=np.uint8))

    def _outcome(self, batch: OutboundBatch, task: int, msisdn: int) -> SendOutcome:
        now = self._world.timeline.now
        before = self._taken.get((batch.work_order, task))
        if before is not None and now - before < self.terms.dedupe_seconds:
            return SendOutcome.DUPLICATE
        if self._happens("vendor_throttles"):
            return SendOutcome.THROTTLED
        if (batch.work_order, task) in self._refused or self._happens("vendor_refuses"):
            self._refused.add((batch.work_order, task))
            return SendOutcome.REFUSED
        self._taken[batch.work_order, task] = now
        self._world.kinds[f"{STORY}contact of {batch.work_order.partition('/')[0].rstrip('0123456789')}"] += 1
        self._world.witness.contacted(
            Contact(now, self._node.name, batch.channel, batch.work_order, task, msisdn, batch.expire_at)
        )
        return SendOutcome.ACCEPTED

    def _plan_reports(self, batch: OutboundBatch, places: list[int]) -> None:
        random = self._world.random
        stages = random.choices(STAGES, STAGE_ODDS, k=len(places))
        told = [(place, stage) for place, stage in zip(places, stages, strict=True) if stage is not None]
        if told:
            self._plan_report(self._receipts(batch, told))
        replies = [
            Reply(batch.work_order, int(batch.tasks[place]), batch.msisdns[place], text, int(self._world.timeline.now))
            for place, stage in told
            if stage is ReceiptStage.DELIVERED and (text := random.choices(TEXTS, TEXT_ODDS)[0])
        ]
        if replies:
            self._plan_report(Replies(batch.channel, replies))

    def _receipts(self, batch: OutboundBatch, told: list[tuple[int, ReceiptStage]]) -> Receipts:
        return Receipts(
            channel=batch.channel,
            work_orders=[batch.work_order],
            work_order_refs=np.zeros(len(told), dtype=np.uint32),
            tasks=np.array([batch.tasks[place] for place, _ in told], dtype=np.uint32),
            stages=np.array([stage for _, stage in told], dtype=np.uint8),
            happened_at=np.full(len(told), int(self._world.timeline.now), dtype=np.uint32),
        )

    def _plan_report(self, report: Receipts | Replies) -> None:
        """A report may overtake the answer to the very call it reports on."""
        for _ in range(2 if self._happens("report_repeated") else 1):
            late = self._happens("report_late")
            wait = self._world.random.random() * (80 * HOUR if late else 0.02 * HOUR)
            self._world.timeline.after(wait, self._report, report, REPORT_TRIES)

    def _report(self, report: Receipts | Replies, tries: int) -> None:
        """Told again only to a node that was away; a report that is lost is lost."""
        if self._happens("report_lost"):
            return
        if self._node.working:
            self._node.receive(self._node.take_report, report)
        elif tries > 1:
            self._world.timeline.after(HOUR * self._world.random.random(), self._report, report, tries - 1)

    def _delay(self) -> float:
        random = self._world.random
        return 300 * random.random() if self._happens("late") else 2 * random.random()

    def _happens(self, fault: str) -> bool:
        return self._world.happens(getattr(self._world.weather, fault), fault)
