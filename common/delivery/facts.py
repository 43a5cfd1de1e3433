"""What this node knows of people that a rule may hold against a contact, read in ranges of a block's keys."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from common.delivery import consents, erasures, orders, stops, vault
from common.kernel import contact_rules
from common.kernel.budget import own_from
from common.kernel.channel import CHANNELS
from common.kernel.columns import Keys
from common.kernel.contact_rules import Fact, Facts, Terms, fact_nonzero, fact_of, fact_where
from common.kernel.policy import Policy
from common.kernel.stop import CLASS_SCOPES, StopScope
from common.kernel.work_order import WorkOrder

NOBODY: Keys = np.zeros(0, dtype=np.int64)
_CLASS_SCOPES: dict[str, StopScope] = {str(name): scope for name, scope in CLASS_SCOPES.items()}


def terms_of(order: WorkOrder) -> Terms:
    channel = CHANNELS.get(order.channel)
    return Terms(channel.channel_class if channel else "", order.product_line, order.service, order.purpose)


def at_claim(
    connection: Connection, order: WorkOrder, keys: Keys, policy: Policy, now: int, unwritten: Keys = NOBODY
) -> tuple[NDArray[np.int64], Facts]:
    """(numbers, facts) of `keys`, ascending and unique; a number is 0 where the vault has none.

    `unwritten`: who of them, ascending, has no text, maybe since it was meant for who had the number before.
    What neither the work order nor the policy asks for is not read.
    """
    first, last = int(keys[0]), int(keys[-1])
    msisdns, known, active, home_since = vault.people(connection, keys)
    facts: dict[str, Fact] = {
        contact_rules.ERASED_AT: _erased(connection, keys, unwritten),
        contact_rules.LEFT: fact_where(known & ~active),
        contact_rules.UNNUMBERED: fact_where(~known),
    }
    terms = terms_of(order)
    facts.update(_stops(connection, keys, terms, policy, now))
    if not order.leased:
        facts[contact_rules.OWN_FROM] = fact_nonzero(
            own_from(policy, terms.channel_class, terms.product_line, home_since, now)
        )
    if not order.service:
        facts[contact_rules.OWNS_SINCE] = fact_of(keys, orders.owners_between(connection, order.offer, first, last))
        facts.update(_orders(connection, keys, policy, now))
        facts.update(_consents(connection, keys, terms, policy))
    return msisdns, facts


def _erased(connection: Connection, keys: Keys, unwritten: Keys) -> Fact:
    gone, since = erasures.erased_between(connection, int(keys[0]), int(keys[-1]))
    times, lifted, _ = erasures.marks(connection, unwritten)
    both = np.concatenate([gone, unwritten[lifted]])
    order = np.argsort(both)
    return fact_of(keys, both[order], np.concatenate([since, times[lifted]])[order])


def _stops(connection: Connection, keys: Keys, terms: Terms, policy: Policy, now: int) -> Facts:
    rested_since = now - policy.cooling_seconds
    about, scopes, stopped_at = stops.standing_between(connection, int(keys[0]), int(keys[-1]), rested_since)
    if len(about) == 0:
        return {}
    names = {
        contact_rules.BLACKLISTED_AT: StopScope.BLACKLIST,
        contact_rules.STOPPED_AT: StopScope.ALL,
        contact_rules.CLASS_STOPPED_AT: _CLASS_SCOPES.get(terms.channel_class),
        contact_rules.REFUSED_AT: StopScope.REFUSED,
    }
    rows = {name: np.flatnonzero(scopes == scope) for name, scope in names.items() if scope is not None}
    return {name: fact_of(keys, about[found], stopped_at[found]) for name, found in rows.items()}


def _orders(connection: Connection, keys: Keys, policy: Policy, now: int) -> Facts:
    """Orders after which marketing still rests."""
    if not policy.after_order_seconds:
        return {}
    since = now - policy.after_order_seconds
    ordered = orders.ordered_between(connection, int(keys[0]), int(keys[-1]), since)
    return {contact_rules.ORDERED_AT: fact_of(keys, *ordered)}


def _consents(connection: Connection, keys: Keys, terms: Terms, policy: Policy) -> Facts:
    wanted = {contact_rules.CONSENT_UNTIL: terms.purpose} if terms.purpose else {}
    if terms.channel_class in policy.consent_classes:
        wanted[contact_rules.CLASS_CONSENT_UNTIL] = terms.channel_class
    first, last = int(keys[0]), int(keys[-1])
    return {
        name: fact_of(keys, *consents.until_between(connection, purpose, first, last))
        for name, purpose in wanted.items()
    }
