"""Stops (opt-outs, complaints, refusals, the blacklist) and their liftings, as columns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from common.kernel.channel import ChannelClass
from common.kernel.columns import Codes, Keys, Mask, Rows, Times


class StopScope(IntEnum):
    """What a stop forbids. Codes equal those of `liandong.federation.v1.StopScope`."""

    ALL = 0
    """All marketing."""
    REFUSED = 1
    """Marketing, for the policy's cooling time."""
    BLACKLIST = 2
    """Everything, service notices included."""
    MESSAGE = 16
    PUSH = 17
    CALL = 18
    EMAIL = 19
    IN_PERSON = 20
    IN_APP = 21


CLASS_SCOPES: dict[ChannelClass, StopScope] = {each: StopScope[each.name] for each in ChannelClass}


@dataclass(frozen=True, slots=True)
class Stops:
    """`lifted` takes a stop of that scope back."""

    keys: Keys
    stopped_at: Times
    lifted: Mask
    scopes: Codes

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: Rows) -> Stops:
        return Stops(self.keys[rows], self.stopped_at[rows], self.lifted[rows], self.scopes[rows])


def stops_of(keys: Keys, stopped_at: Times, lifted: Mask, scope: StopScope = StopScope.ALL) -> Stops:
    return Stops(keys, stopped_at, lifted, np.full(len(keys), scope, dtype=np.uint8))
