"""The seven marketing states of a subscriber in a campaign (七种营销状态), derived, never stored."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from common.kernel.columns import Codes, Mask, Times
from common.kernel.task import CONTACTED, IN_FLIGHT, Response


class MarketingState(IntEnum):
    NOT_CONTACTED = 0
    """未接触"""
    CONTACTED = 1
    """已接触: the time to respond still runs"""
    NO_RESPONSE = 2
    """接触未响应"""
    INTERESTED = 3
    """有意向"""
    ORDERED = 4
    """已办理"""
    REFUSED = 5
    """拒绝"""
    OPTED_OUT = 6
    """退订推荐"""


def marketing_states(
    states: Codes, responses: Codes, submitted_at: Times, ordered: Mask, now: int, respond_seconds: int
) -> Codes:
    """One marketing state a task row.

    An order outranks everything but an opt-out; a refusal outranks interest; a reply that is neither counts as
    interest's weaker form and stays CONTACTED.
    """
    contacted = np.isin(states, (*CONTACTED, *IN_FLIGHT))
    waited = submitted_at.astype(np.int64) + respond_seconds <= now
    derived = np.zeros(len(states), dtype=np.uint8)
    derived[contacted] = MarketingState.CONTACTED
    derived[contacted & waited & (responses == Response.NONE)] = MarketingState.NO_RESPONSE
    derived[responses == Response.INTERESTED] = MarketingState.INTERESTED
    derived[responses == Response.REFUSED] = MarketingState.REFUSED
    derived[ordered] = MarketingState.ORDERED
    derived[responses == Response.OPTED_OUT] = MarketingState.OPTED_OUT
    return derived
