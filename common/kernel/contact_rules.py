"""Who of a block may be contacted now: one pure decision over columns."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from common.kernel.channel import Channel
from common.kernel.columns import Codes, Keys, Mask, in_sorted
from common.kernel.task import TaskReason

CONTACT_CAP_SECONDS = 24 * 3600
"""One marketing contact a person and day, at each node."""


def suppression_reasons(
    keys: Keys, *, stopped: Keys, owners: Keys, contacted: Keys, inactive: Keys, numbered: Mask
) -> Codes:
    """The first rule that forbids each contact, or NONE.

    All key columns ascending: who asked to be left alone, who has the offer, who was contacted within
    CONTACT_CAP_SECONDS, who left. `numbered` marks the keys the vault knows.
    """
    reasons = np.zeros(len(keys), dtype=np.uint8)
    reasons[~numbered] = TaskReason.NO_NUMBER
    reasons[in_sorted(keys, contacted)] = TaskReason.CONTACT_CAP
    reasons[in_sorted(keys, owners)] = TaskReason.ORDERED
    reasons[in_sorted(keys, inactive)] = TaskReason.INACTIVE
    reasons[in_sorted(keys, stopped)] = TaskReason.STOPPED
    return reasons


def quiet_until(channel: Channel, now: int) -> int | None:
    """When the channel's quiet window ends (Unix seconds), or None where `now` is outside it."""
    zone = ZoneInfo(channel.zone)
    local = datetime.fromtimestamp(now, zone)
    clock = local.time().replace(tzinfo=None)
    if channel.quiet_from <= channel.quiet_until:
        quiet = channel.quiet_from <= clock < channel.quiet_until
    else:
        quiet = clock >= channel.quiet_from or clock < channel.quiet_until
    if not quiet:
        return None
    end = datetime.combine(local.date(), channel.quiet_until, zone)
    return int((end if end > local else end + timedelta(days=1)).timestamp())
