"""Who of those a rule fired for would have been contacted, by all that can be known of it afterwards."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from common.delivery import facts, policies, vault
from common.kernel.channel import Channel
from common.kernel.columns import Mask
from common.kernel.contact_rules import AT_CLAIM, Considered, reasons
from common.kernel.policy import SPEND_MARGIN_SECONDS, CapRule, Policy, quiet_until
from common.kernel.task import TaskReason
from province.fire import Fate, Firing, fates
from province.local_request import work_order_of
from province.triggers.hand_over import channel_of, people_of, request_of

CONTACT = ""
QUIET_HOURS = "quiet_hours"
MINUTE = 60


def prospects(
    connection: Connection, firing: Firing, channels: Mapping[str, Channel], node: str, now: int
) -> NDArray[np.str_]:
    """For each fire CONTACT, or the name of the reason against it: a Fate's, a TaskReason's or QUIET_HOURS.

    Each as at its own moment: none is too late. Of the person (active, consent, stops, orders) and of the policy what
    is known `now` (seconds) counts; of contacts those this rule would have made itself, and no others.
    """
    told = np.full(len(firing), CONTACT, dtype="U32")
    channel = channel_of(firing.rule.offer, channels)
    codes = _fates(connection, firing, channel, int(node))
    for code in np.unique(codes[codes != Fate.ASKED]).tolist():
        told[codes == code] = Fate(code).name.lower()
    if channel is None:
        return told
    policy = policies.in_force(connection)
    for rows in _parts(firing, told == CONTACT):
        told[rows] = _forbidden(connection, firing.take(rows), channel, policy, node, now)
    rows = np.flatnonzero(told == CONTACT)
    told[rows[_quiet(connection, firing.take(rows), channel, policy)]] = QUIET_HOURS
    rows = np.flatnonzero(told == CONTACT)
    if not firing.rule.offer.ask_hq:
        told[rows[_capped(firing.take(rows), channel, policy)]] = TaskReason.CONTACT_CAP.name.lower()
    return told


def _fates(connection: Connection, firing: Firing, channel: Channel | None, province: int) -> NDArray[np.uint8]:
    """As when each is handed over by itself, at once."""
    person = people_of(connection, firing, province)
    codes = fates(firing, person, channel.text_chars_max if channel else None, 0)
    codes[codes == Fate.SUPERSEDED] = Fate.ASKED
    return codes


def _parts(firing: Firing, wanted: Mask) -> Iterator[NDArray[np.intp]]:
    """Those wanted, in parts that hold a person once each, ascending."""
    rows = np.flatnonzero(wanted)
    rows = rows[np.argsort(firing.keys[rows], kind="stable")]
    keys = firing.keys[rows]
    first = np.searchsorted(keys, keys, side="left")
    turn = np.arange(len(keys)) - first
    for number in range(int(turn.max(initial=-1)) + 1):
        yield rows[turn == number]


def _forbidden(
    connection: Connection, firing: Firing, channel: Channel, policy: Policy, node: str, now: int
) -> NDArray[np.str_]:
    """What the lane would look at when it claims them."""
    order = work_order_of(request_of(firing, channel.name, 1, now * 1000), node, policy.version, now)
    _, known = facts.at_claim(connection, order, firing.keys, policy, now)
    codes = reasons(AT_CLAIM, Considered(len(firing), facts.terms_of(order), policy, known, now))
    names = np.array([CONTACT if code == 0 else TaskReason(code).name.lower() for code in range(int(codes.max()) + 1)])
    return names[codes]


def _quiet(connection: Connection, firing: Firing, channel: Channel, policy: Policy) -> Mask:
    """Whose quiet hours last longer than the offer holds."""
    offer, at = firing.rule.offer, firing.event_at // 1000
    homes = vault.provinces_of(connection, firing.keys)
    moments = at + offer.delay_seconds
    ends = at + offer.valid_seconds
    until: dict[tuple[int, str], int] = {}
    over = np.zeros(len(firing), dtype=np.bool_)
    for row, (moment, home) in enumerate(zip((moments // MINUTE * MINUTE).tolist(), homes.tolist(), strict=True)):
        asked = (moment, policy.zone(channel, home))
        if asked not in until:
            until[asked] = quiet_until(policy, channel, *asked) or 0
        over[row] = until[asked] >= ends[row]
    return over


def _capped(firing: Firing, channel: Channel, policy: Policy) -> Mask:
    """Those for whom the rule itself would have spent the province's own contacts before, in order of time."""
    kind = (channel.channel_class, firing.rule.offer.product_line)
    caps = [(rule, policy.own_contacts(rule, province=True)) for rule in policy.caps if rule.covers(*kind)]
    made: dict[int, list[int]] = defaultdict(list)
    capped = np.zeros(len(firing), dtype=np.bool_)
    at = (firing.event_at // 1000).tolist()
    keys = firing.keys.tolist()
    for row in np.argsort(firing.event_at, kind="stable").tolist():
        spent = made[keys[row]]
        if _spent(spent, at[row], caps):
            capped[row] = True
        else:
            spent.append(at[row])
    return capped


def _spent(made: Sequence[int], now: int, caps: Sequence[tuple[CapRule, int]]) -> bool:
    return any(
        sum(now - each < rule.window_seconds + SPEND_MARGIN_SECONDS for each in made) >= own for rule, own in caps
    )
