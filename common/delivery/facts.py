"""What this node knows of people that a rule may hold against a contact, read in ranges of a block's keys."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from common.delivery import orders, stops, vault
from common.kernel import contact_rules
from common.kernel.channel import CHANNELS
from common.kernel.columns import Keys
from common.kernel.contact_rules import Facts, Terms, fact_of, fact_where
from common.kernel.policy import Policy
from common.kernel.work_order import WorkOrder


def terms_of(order: WorkOrder) -> Terms:
    channel = CHANNELS.get(order.channel)
    return Terms(channel.channel_class if channel else "", order.product_line, order.service, order.purpose)


def at_claim(connection: Connection, order: WorkOrder, keys: Keys, policy: Policy) -> tuple[NDArray[np.int64], Facts]:
    """(numbers, facts) of `keys`, ascending and unique; a number is 0 where the vault has none."""
    del policy
    first, last = int(keys[0]), int(keys[-1])
    msisdns, known, active = vault.people(connection, keys)
    facts = {
        contact_rules.STOPPED_AT: fact_of(keys, stops.stopped_between(connection, first, last)),
        contact_rules.OWNS_SINCE: fact_of(keys, orders.owners_between(connection, order.offer, first, last)),
        contact_rules.LEFT: fact_where(known & ~active),
        contact_rules.UNNUMBERED: fact_where(~known),
    }
    return msisdns, facts
