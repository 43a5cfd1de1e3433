"""What a simulated vendor does with each message: pure, and the same for a seed whatever the order or the restarts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from common.kernel.channel import ReceiptStage
from common.kernel.columns import Codes, Mask
from common.kernel.keyed_hash import mix, salt, uniform
from common.runtime.settings import Section

SILENCE = 0
"""Stands beside the ReceiptStage codes for a message of which nothing is heard again."""
NO_REPLY = -1
REPLY_TEXTS = ("1", "有兴趣", "办理", "N", "不需要", "TD", "退订", "你好", "这是什么活动？")
_INTERESTED, _REFUSED, _STOP, _OTHER = (0, 3), (3, 5), (5, 7), (7, 9)

Share = Annotated[float, Field(ge=0, le=1)]
Times = Annotated[int, Field(ge=1, le=100)]


class Odds(Section):
    """Shares of all messages (refuse, throttle), of those accepted (fates), and of those delivered (replies)."""

    refuse: Share = 0.004
    throttle: Share = 0.02
    throttle_times: Times = 2
    """A throttled message is turned away between once and this many times."""
    undeliverable: Share = 0.03
    expire: Share = 0.004
    silence: Share = 0.006
    repeat: Share = 0.02
    """Receipts that are reported twice."""
    interested: Share = 0.05
    refused: Share = 0.02
    stop: Share = 0.006
    other: Share = 0.01
    receipt_ms: tuple[int, int] = (20, 900)
    """Least and most real milliseconds from acceptance to the receipt."""
    reply_ms: tuple[int, int] = (200, 1800)
    lost_answers: Share = 0.0
    """Batches that are taken and never answered for."""

    @model_validator(mode="after")
    def _shares_fit(self) -> Odds:
        for shares in ((self.undeliverable, self.expire, self.silence), self._replies()):
            if sum(shares) > 1:
                raise ValueError("the shares of one choice add up to more than 1")
        if self.receipt_ms[0] > self.receipt_ms[1] or self.reply_ms[0] > self.reply_ms[1]:
            raise ValueError("the least delay is longer than the most")
        return self

    def _replies(self) -> tuple[Share, ...]:
        return self.interested, self.refused, self.stop, self.other


@dataclass(frozen=True, slots=True)
class Fates:
    """Columns aligned with the messages asked about."""

    refused: Mask
    throttles: NDArray[np.int64]
    stages: Codes
    receipt_ms: NDArray[np.int64]
    repeated: Mask
    replies: NDArray[np.int64]
    """Positions in REPLY_TEXTS, or NO_REPLY."""
    reply_ms: NDArray[np.int64]


def fates(odds: Odds, seed: int, channel: str, work_order: str, msisdns: NDArray[np.int64]) -> Fates:
    def draw(purpose: str) -> NDArray[np.float64]:
        return uniform(msisdns, salt(seed, channel, work_order, purpose))

    def within(purpose: str, least: int, most: int) -> NDArray[np.int64]:
        return least + (draw(purpose) * (most - least + 1)).astype(np.int64)

    stages = _pick(
        draw("fate"),
        (odds.undeliverable, odds.expire, odds.silence),
        (ReceiptStage.UNDELIVERABLE, ReceiptStage.EXPIRED, SILENCE),
        ReceiptStage.DELIVERED,
    )
    texts = mix(msisdns, salt(seed, channel, work_order, "text"))
    return Fates(
        refused=draw("refuse") < odds.refuse,
        throttles=np.where(draw("throttle") < odds.throttle, within("throttles", 1, odds.throttle_times), 0),
        stages=stages.astype(np.uint8),
        receipt_ms=within("receipt", *odds.receipt_ms),
        repeated=draw("repeat") < odds.repeat,
        replies=np.where(stages == ReceiptStage.DELIVERED, _replies(odds, draw("reply"), texts), NO_REPLY),
        reply_ms=within("answer", *odds.reply_ms),
    )


def answer_is_lost(odds: Odds, seed: int, channel: str, work_order: str, first_task: int) -> bool:
    drawn = uniform(np.array([first_task], dtype=np.int64), salt(seed, channel, work_order, "answer lost"))
    return bool(drawn[0] < odds.lost_answers)


def _replies(odds: Odds, drawn: NDArray[np.float64], texts: NDArray[np.uint64]) -> NDArray[np.int64]:
    shares = (odds.interested, odds.refused, odds.stop, odds.other)
    kinds = _pick(drawn, shares, (0, 1, 2, 3), NO_REPLY)
    first, past = (np.array(ends) for ends in zip(_INTERESTED, _REFUSED, _STOP, _OTHER, strict=True))
    chosen = first[kinds] + (texts % (past - first)[kinds].astype(np.uint64)).astype(np.int64)
    return np.where(kinds == NO_REPLY, NO_REPLY, chosen)


def _pick(
    drawn: NDArray[np.float64], shares: tuple[float, ...], values: tuple[int, ...], otherwise: int
) -> NDArray[np.int64]:
    places = np.searchsorted(np.cumsum(shares), drawn, side="right")
    return np.array((*values, otherwise), dtype=np.int64)[places]
