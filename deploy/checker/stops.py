"""I2: no contact after a stop that its node knew; stops spread in time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from deploy.checker import policies
from deploy.checker.columns import first_true, pairs
from deploy.checker.finding import Finding, moment
from deploy.checker.joined import Joined
from deploy.checker.world import CLASS_SCOPES, NEVER, SUBSCRIBED, Ints, Mask, Node, Orders, Scope, Stops, World

SUBMIT_SECONDS = 60
"""A contact booked before the stop was known may still go out this much later."""
SPREAD_SECONDS = 60
"""Connected nodes know a stop after so long."""


@dataclass(frozen=True, slots=True)
class Bars:
    """Times between which a node knew that a subscriber must not be contacted; by key, ascending."""

    keys: Ints
    scopes: Ints
    since: Ints
    until: Ints
    said_at: Ints


def check(joined: Joined) -> Iterator[Finding]:
    known = [bars(node.stops, joined.world) for node in joined.world.nodes]
    yield _after_stop(joined, known)
    yield _after_order(joined)
    yield _resting_after_order(joined)
    if joined.world.connected:
        yield _spread(joined.world)


def bars(stops: Stops, world: World) -> Bars:
    """A stop holds until a later lifting of the same scope. Where nobody noted when the node heard of it, it counts
    from when it must have spread, and not at all where a link may have been down."""
    order = np.lexsort((stops.stopped_at, stops.scopes, stops.keys))
    keys, scopes, said_at = stops.keys[order], stops.scopes[order], stops.stopped_at[order].astype(np.int64)
    heard_at = stops.heard_at[order].astype(np.int64)
    spread = said_at + SPREAD_SECONDS if world.connected else np.full(len(keys), NEVER)
    since = np.where(heard_at > 0, np.maximum(heard_at, said_at), spread)
    lifted = stops.lifted[order].astype(np.bool_)
    until = _until_lifted(keys, scopes, said_at, lifted)
    rows = ~lifted & (since < until)
    return Bars(keys[rows], scopes[rows], since[rows], until[rows], said_at[rows])


def _until_lifted(keys: Ints, scopes: Ints, said_at: Ints, lifted: Mask) -> Ints:
    """For each row, in order of key, scope and time: when the next lifting of the same stop is."""
    ends = np.where(lifted, np.arange(len(keys)), len(keys))
    following = np.minimum.accumulate(ends[::-1])[::-1]
    until = np.append(said_at, NEVER)[following]
    group = np.append(np.cumsum((np.diff(keys) != 0) | (np.diff(scopes) != 0)), -1) if len(keys) else np.zeros(1)
    own = np.concatenate([np.zeros(1, np.int64), group[:-1]])[: len(keys)] if len(keys) else group[:0]
    same = np.append(own, -1)[following] == own
    return np.where(same, until, NEVER)


def _after_stop(joined: Joined, known: list[Bars]) -> Finding:
    broken, first, seen = 0, "", 0
    for place, node in enumerate(joined.world.nodes):
        seen += len(node.stops)
        mine = np.flatnonzero(joined.nodes == place)
        rows, held = pairs(joined.keys[mine], known[place].keys)
        rows = mine[rows]
        barred = _covers(joined, known[place], rows, held) & _late(joined, rows, known[place].since[held])
        resting = known[place].scopes[held] == Scope.REFUSED
        until = np.where(resting, known[place].said_at[held] + _cooling(joined, place), known[place].until[held])
        barred &= joined.accepted_at[rows] < np.minimum(until, known[place].until[held]) - joined.world.margin_seconds
        broken += len(np.unique(rows[barred]))
        if barred.any() and not first:
            at = first_true(barred)
            since = moment(known[place].since[held[at]])
            first = f"{joined.say(int(rows[at]))}; {node.name} knew of the stop (scope {known[place].scopes[held[at]]}) at {since}"
    return Finding("I2", "stops_honoured", seen, broken, first)


def _covers(joined: Joined, known: Bars, rows: Ints, held: Ints) -> Mask:
    """Whether each stop forbids the contact beside it."""
    scopes = known.scopes[held]
    classes = np.array([CLASS_SCOPES.get(name, NEVER) for name in joined.channel_classes[rows].tolist()], dtype=np.int64)
    everything = (scopes == Scope.BLACKLIST) | (scopes == Scope.ERASED)
    marketing = (scopes == Scope.ALL) | (scopes == Scope.REFUSED) | (scopes == classes)
    mask: Mask = everything | (marketing & joined.marketing[rows])
    return mask


def _late(joined: Joined, rows: Ints, since: Ints) -> Mask:
    """Whether each contact was booked after `since`, or sent when a booking before it was long over.

    A booking date at or after the contact's own is one set right at a second sending, and says nothing.
    """
    margin, booked, sent = joined.world.margin_seconds, joined.booked_at[rows], joined.accepted_at[rows]
    mask: Mask = (sent > since + SUBMIT_SECONDS + margin) | ((booked > since) & (booked + margin < sent))
    return mask


def _cooling(joined: Joined, place: int) -> int:
    """The shortest cooling time of any policy the node ever applied."""
    held = policies.at_node(joined.world.nodes[place])
    return min((span.policy.cooling_seconds for span in held), default=0)


def _after_order(joined: Joined) -> Finding:
    """Who has the offer is not offered it."""
    broken, first, seen = 0, "", 0
    for place, node in enumerate(joined.world.nodes):
        owned, offers = _owned(node.orders)
        seen += len(owned.keys)
        mine = np.flatnonzero((joined.nodes == place) & joined.marketing & (joined.orders >= 0))
        rows, held = pairs(joined.keys[mine], owned.keys)
        rows = mine[rows]
        same = joined.order_column("offer")[rows] == offers[held]
        barred = same & _late(joined, rows, owned.since[held])
        barred &= joined.accepted_at[rows] < owned.until[held] - joined.world.margin_seconds
        broken += len(np.unique(rows[barred]))
        if barred.any() and not first:
            at = first_true(barred)
            first = f"{joined.say(int(rows[at]))}; {node.name} knew of the order of {offers[held[at]]} at {moment(owned.since[held[at]])}"
    return Finding("I2", "owners_left_alone", seen, broken, first)


def _owned(orders: Orders) -> tuple[Bars, Ints]:
    """When a node knew that somebody has an offer, and which: until it heard of a later revision of the order."""
    numbers = {identity[:2]: 0 for identity in orders.identities}
    for place, number in enumerate(numbers):
        numbers[number] = place
    refs = np.array([numbers[identity[:2]] for identity in orders.identities], dtype=np.int64)
    revisions = np.array([identity[2] for identity in orders.identities], dtype=np.int64)
    order = np.lexsort((-revisions, refs))
    observed = orders.observed_at[order].astype(np.int64)
    until = _heard_later(refs[order], observed)
    rows = (orders.changes[order] == SUBSCRIBED) & (observed < until)
    kept = order[rows]
    by_key = np.argsort(orders.keys[kept], kind="stable")
    kept, until = kept[by_key], until[rows][by_key]
    offers = np.array(orders.offers or ("",))[kept] if len(kept) else np.zeros(0, dtype="U1")
    nothing = np.zeros(len(kept), dtype=np.int64)
    return Bars(orders.keys[kept], nothing, orders.observed_at[kept], until, orders.accepted_at[kept]), offers


def _heard_later(refs: Ints, observed: Ints) -> Ints:
    """For rows by order and falling revision: when the first of the higher revisions was heard of."""
    until = np.full(len(refs), NEVER)
    for row in np.flatnonzero(np.diff(refs) == 0).tolist():
        until[row + 1] = min(until[row], observed[row])
    return until


def _resting_after_order(joined: Joined) -> Finding:
    """After an order of anything marketing rests as long as the policy says."""
    broken, first, seen = 0, "", 0
    for place, node in enumerate(joined.world.nodes):
        rest = min((span.policy.after_order_seconds for span in policies.at_node(node)), default=0)
        if rest == 0:
            continue
        owned, _ = _owned(node.orders)
        seen += len(owned.keys)
        mine = np.flatnonzero((joined.nodes == place) & joined.marketing)
        rows, held = pairs(joined.keys[mine], owned.keys)
        rows = mine[rows]
        over = np.minimum(owned.said_at[held] + rest, owned.until[held])
        barred = _late(joined, rows, owned.since[held]) & (joined.accepted_at[rows] < over - joined.world.margin_seconds)
        broken += len(np.unique(rows[barred]))
        if barred.any() and not first:
            at = first_true(barred)
            first = f"{joined.say(int(rows[at]))}; an order of {moment(owned.said_at[held[at]])} gives {rest} s of rest"
    return Finding("I2", "rest_after_order", seen, broken, first)


def _spread(world: World) -> Finding:
    """What HQ knew of a stop, every province knew soon after."""
    broken, first, seen = 0, "", 0
    at_hq = world.hq.stops if world.hq else Stops()
    for node in world.provinces:
        heard = _hearings(node)
        for key, scope, said_at, heard_at in _rows(at_hq):
            seen += 1
            late = heard_at and heard.get((key, scope, said_at), NEVER) > heard_at + SPREAD_SECONDS + world.margin_seconds
            broken += bool(late)
            if late and not first:
                first = f"HQ heard of the stop of subscriber {key} (scope {scope}) at {moment(heard_at)}, {node.name} not within {SPREAD_SECONDS} s"
    return Finding("I2", "stops_spread", seen, broken, first)


def _hearings(node: Node) -> dict[tuple[int, int, int], int]:
    return {row[:3]: row[3] for row in _rows(node.stops)}


def _rows(stops: Stops) -> Iterator[tuple[int, int, int, int]]:
    columns = (stops.keys, stops.scopes, stops.stopped_at, stops.heard_at)
    return zip(*(column.tolist() for column in columns), strict=True)
