"""A channel (touchpoint): what a work order may use, and the port every vendor adapter implements."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import time
from enum import IntEnum, StrEnum
from typing import Protocol

from common.kernel.columns import Codes, Refs, Times


class Level(IntEnum):
    ONE = 1
    """Run by HQ."""
    TWO = 2
    """Run by a province."""


class ChannelClass(StrEnum):
    """What the contact policy, consents and stops tell apart."""

    MESSAGE = "message"
    PUSH = "push"
    CALL = "call"
    EMAIL = "email"
    IN_PERSON = "in_person"
    IN_APP = "in_app"


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel's descriptor. Civil times are in `zone`; a quiet window may pass midnight."""

    name: str
    title_zh: str
    title_en: str
    level: Level
    channel_class: ChannelClass
    messages_per_second_max: int
    cost_fen: int
    quiet_from: time = time(21, 0)
    quiet_until: time = time(9, 0)
    zone: str = "Asia/Shanghai"
    text_chars_max: int = 500
    receipt_hours: int = 48
    """A message with no receipt this long after it was submitted is UNKNOWN."""
    replies: bool = True


CHANNELS: dict[str, Channel] = {
    c.name: c
    for c in (
        Channel("sms", "短信", "SMS", Level.ONE, ChannelClass.MESSAGE, 200_000, 5, text_chars_max=335),
        Channel("app_push", "手机营业厅推送", "App push", Level.ONE, ChannelClass.PUSH, 200_000, 1, text_chars_max=200),
        Channel("local_sms", "本地短信", "Local SMS", Level.TWO, ChannelClass.MESSAGE, 200_000, 4, text_chars_max=335),
        Channel("outbound_call", "外呼", "Outbound call", Level.TWO, ChannelClass.CALL, 200_000, 80, receipt_hours=72),
        Channel(
            "toolbar",
            "流量助手条",
            "Toolbar",
            Level.TWO,
            ChannelClass.IN_APP,
            200_000,
            1,
            text_chars_max=100,
            receipt_hours=24,
        ),
    )
}


class SendOutcome(IntEnum):
    """Codes equal those of `liandong.channel.v1.SendOutcome`."""

    ACCEPTED = 1
    DUPLICATE = 2
    THROTTLED = 3
    REFUSED = 4


class ReceiptStage(IntEnum):
    """Codes equal those of `liandong.channel.v1.ReceiptStage`."""

    DELIVERED = 1
    UNDELIVERABLE = 2
    EXPIRED = 3


@dataclass(frozen=True, slots=True)
class VendorTerms:
    batch_max: int
    messages_per_second_max: int
    dedupe_seconds: int
    """0: the vendor does not know repeated ids, so nothing is ever sent to it twice."""


@dataclass(frozen=True, slots=True)
class OutboundBatch:
    """Messages of one work order; (work_order, tasks[i]) is message i's id. Times are Unix seconds."""

    channel: str
    work_order: str
    tasks: Refs
    msisdns: list[int]
    texts: list[str]
    text_refs: Refs
    submit_by: int
    expire_at: int


@dataclass(frozen=True, slots=True)
class SendAnswer:
    outcomes: Codes
    pause_seconds: float = 0.0


class NoAnswer(Exception):
    """The batch may or may not have reached the vendor."""


class NeverAccepted(Exception):
    """The batch definitely did not reach the vendor; sending it again cannot double it."""


@dataclass(frozen=True, slots=True)
class Receipts:
    """Columns; `work_order_refs` points into `work_orders`."""

    channel: str
    work_orders: list[str]
    work_order_refs: Refs
    tasks: Refs
    stages: Codes
    happened_at: Times


@dataclass(frozen=True, slots=True)
class Reply:
    work_order: str
    task: int
    msisdn: int
    text: str
    happened_at: int


@dataclass(frozen=True, slots=True)
class Replies:
    channel: str
    replies: list[Reply] = field(default_factory=list)


class ChannelPort(Protocol):
    """One vendor connection for one channel."""

    async def terms(self) -> VendorTerms: ...

    async def send(self, batch: OutboundBatch) -> SendAnswer:
        """Raises NoAnswer or NeverAccepted."""
        ...

    async def close(self) -> None: ...


TakeReceipts = Callable[[Receipts], Awaitable[int]]
TakeReplies = Callable[[Replies], Awaitable[int]]
"""Answer how many matched no task of this node; return only when the rest is durable."""
