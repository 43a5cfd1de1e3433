"""Contacts a province asks for on its own account: what was asked, and what came of it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from common.kernel.channel import Channel
from common.kernel.columns import Codes, Keys, Refs
from common.kernel.event import Millis
from common.kernel.refusal import invalid
from common.kernel.task import TaskReason
from common.kernel.task_block import BLOCK_ROWS, TaskBlock, open_block
from common.kernel.work_order import LOCAL, TRIGGER, WorkOrder, WorkOrderState, work_order_name

PEOPLE_MAX = 100_000
VALIDITY_SECONDS_MAX = 7 * 86_400
"""A contact is spent until its validity ends, so nobody's may be held longer than this."""
PRIORITY_MAX = 100
OFFER_CHARS_MAX = 64
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class LocalRequest:
    """`keys` ascending and unique; `scores` and `text_refs` aligned with them. Times are Unix seconds."""

    name: str
    asked_at: int
    channel: str
    offer: str
    product_line: str
    purpose: str
    priority: int
    end_at: int
    ask_hq: bool
    """What the province's own contacts do not cover is asked of HQ."""
    texts: tuple[str, ...]
    keys: Keys = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    scores: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    text_refs: Refs = field(default_factory=lambda: np.zeros(0, dtype=np.uint32))
    start_at: int = 0
    """Nothing is sent before; 0: at once."""
    rule: str = ""
    """The trigger rule that asks; empty: a person does."""
    wave: int = 1
    """Rises with each request of a rule: all of them are one campaign."""
    event_at: Millis = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Of each person's event, where a rule asks; empty otherwise."""
    fired_at: int = 0
    """When a rule's fires were handed over, in milliseconds; 0: no rule asks."""

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def campaign(self) -> str:
        return f"{TRIGGER}{self.rule}" if self.rule else f"{LOCAL}{self.name}"

    def digest(self) -> bytes:
        """Of all that is asked for, but not of when."""
        terms = [self.channel, self.offer, self.product_line, self.purpose, self.priority, self.ask_hq, self.texts]
        columns = (self.keys.astype("<i8"), self.scores.astype("<f8"), self.text_refs.astype("<u4"))
        return sha256(json.dumps(terms).encode() + b"\0" + b"".join(column.tobytes() for column in columns)).digest()


@dataclass(frozen=True, slots=True)
class Outcome:
    """`denied` counts by reason. `unanswered` are the blocks of which HQ has yet to say what it grants."""

    work_order: str
    granted: int
    denied: Mapping[str, int]
    unanswered: tuple[int, ...] = ()
    granted_by_hq: int = 0
    denied_by_hq: Mapping[str, int] = field(default_factory=dict)
    refusals: tuple[str, ...] = ()

    def answered(self, number: int, reasons: Codes) -> Outcome:
        """HQ's word on a block: a reason for each contact asked for, NONE where granted."""
        granted = int(np.count_nonzero(reasons == TaskReason.NONE))
        return replace(
            self,
            unanswered=tuple(each for each in self.unanswered if each != number),
            granted_by_hq=self.granted_by_hq + granted,
            denied_by_hq=dict(Counter(self.denied_by_hq) + Counter(counts(reasons[reasons > 0]))),
        )

    def refused(self, number: int, why: str) -> Outcome:
        """HQ will never answer for this block."""
        left = tuple(each for each in self.unanswered if each != number)
        return replace(self, unanswered=left, refusals=(*self.refusals, why))


def counts(reasons: Codes) -> dict[str, int]:
    """How often each reason, by its name."""
    found, times = np.unique(reasons, return_counts=True)
    return {TaskReason(code).name.lower(): int(n) for code, n in zip(found.tolist(), times.tolist(), strict=True)}


def checked(request: LocalRequest, channels: Mapping[str, Channel], now: int) -> LocalRequest:
    """The request itself, or a Refusal that names the field. `channels` are those this province can use."""
    if not _NAME.fullmatch(request.name):
        raise invalid(f"name {request.name!r}: give 1 to 48 of a-z 0-9 _ - that begin with a letter or digit")
    channel = channels.get(request.channel)
    if channel is None:
        raise invalid(f"channel {request.channel!r} is not run here; use one of {', '.join(sorted(channels))}")
    for field_name in ("offer", "product_line"):
        if len(getattr(request, field_name)) > OFFER_CHARS_MAX or _CONTROL.search(getattr(request, field_name)):
            raise invalid(f"{field_name}: give at most {OFFER_CHARS_MAX} characters and no control characters")
    if not request.offer:
        raise invalid("offer is empty; say what is offered, so that nobody is asked who has it")
    if not 0 <= request.priority <= PRIORITY_MAX:
        raise invalid(f"priority {request.priority} is out of range; give 0 to {PRIORITY_MAX}")
    if not now < request.end_at <= now + VALIDITY_SECONDS_MAX:
        raise invalid(f"until is not ahead of now, or more than {VALIDITY_SECONDS_MAX // 86_400} days ahead")
    if not 0 < len(request) <= PEOPLE_MAX:
        raise invalid(f"{len(request)} people; give 1 to {PEOPLE_MAX}, and split what is more into several requests")
    for text in request.texts:
        _check_text(text, channel)
    return request


def readable(text: str, chars_max: int) -> bool:
    """Whether people can be told it on a channel that takes so many characters."""
    return bool(text.strip()) and not _CONTROL.search(text) and len(text) <= chars_max


def _check_text(text: str, channel: Channel) -> None:
    if not text.strip() or _CONTROL.search(text):
        raise invalid("text is blank or holds control characters; write what people are to read")
    if len(text) > channel.text_chars_max:
        raise invalid(f"text has {len(text)} characters; {channel.name} takes {channel.text_chars_max}")


def work_order_of(request: LocalRequest, node: str, policy_version: int, now: int) -> WorkOrder:
    """The province's own: none of HQ's contacts are spent for it."""
    return WorkOrder(
        name=work_order_name(request.campaign, request.wave, request.channel, node),
        campaign=request.campaign,
        wave=request.wave,
        channel=request.channel,
        node=node,
        offer=request.offer,
        start_at=max(now, request.start_at),
        end_at=request.end_at,
        priority=request.priority,
        task_count=len(request),
        state=WorkOrderState.ACCEPTED,
        product_line=request.product_line,
        leased=False,
        purpose=request.purpose,
        policy_version=policy_version,
    )


def blocks_of(request: LocalRequest, work_order: str) -> list[TaskBlock]:
    """All its people as open tasks."""
    starts = range(0, len(request), BLOCK_ROWS)
    parts = [slice(start, start + BLOCK_ROWS) for start in starts]
    return [
        open_block(work_order, number, request.keys[part], request.texts, request.text_refs[part])
        for number, part in enumerate(parts)
    ]
