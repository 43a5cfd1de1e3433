"""I2: no contact after a stop, an order or a cancelling that its node knew; stops spread in time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from deploy.checker import policies
from deploy.checker.columns import first_true, pairs
from deploy.checker.finding import Finding, Tally, moment
from deploy.checker.joined import Joined
from deploy.checker.world import NEVER, SUBSCRIBED, Ints, Mask, Node, Scope, Stops, World

SUBMIT_SECONDS = 60
"""A contact booked before the stop was known may still go out this much later."""
SPREAD_SECONDS = 60
"""Connected nodes know a stop after so long."""
CANCELLED = 4
"""The reason of a task that ended with its work order."""


@dataclass(frozen=True, slots=True)
class Bars:
    """Times between which a node knew that a subscriber must not be contacted; by key, ascending."""

    keys: Ints
    scopes: Ints
    since: Ints
    until: Ints
    said_at: Ints


def check(joined: Joined) -> Iterator[Finding]:
    yield _after_stop(joined)
    yield _after_order(joined)
    yield _resting_after_order(joined)
    yield _after_cancelling(joined)
    if joined.world.connected:
        yield _spread(joined.world)


def bars(stops: Stops, world: World) -> Bars:
    """A stop holds until a later lifting of the same scope. Where nobody noted when the node heard of it, it counts
    from when it must have spread, and not at all where a link may have been down."""
    order = np.lexsort((stops.lifted == 0, stops.stopped_at, stops.scopes, stops.keys))
    keys, scopes, said_at = stops.keys[order], stops.scopes[order], stops.stopped_at[order].astype(np.int64)
    heard_at, lifted = stops.heard_at[order].astype(np.int64), stops.lifted[order].astype(np.bool_)
    spread = said_at + SPREAD_SECONDS if world.connected else np.full(len(keys), NEVER)
    since = np.where(heard_at > 0, np.maximum(heard_at, said_at), spread)
    until = _until_lifted(keys, scopes, said_at, lifted)
    rows = ~lifted & (since < until)
    return Bars(keys[rows], scopes[rows], since[rows], until[rows], said_at[rows])


def _until_lifted(keys: Ints, scopes: Ints, said_at: Ints, lifted: Mask) -> Ints:
    """For rows by key, scope and time: when the same stop is lifted next."""
    rows = len(keys)
    group = np.cumsum(np.append(True, (np.diff(keys) != 0) | (np.diff(scopes) != 0))[:rows])
    following = np.minimum.accumulate(np.where(lifted, np.arange(rows), rows)[::-1])[::-1]
    return np.where(np.append(group, 0)[following] == group, np.append(said_at, NEVER)[following], NEVER)


def _after_stop(joined: Joined) -> Finding:
    tally = Tally("I2", "stops_honoured")
    for place, node in enumerate(joined.world.nodes):
        known = bars(node.stops, joined.world)
        rows, held = _pairs(joined, place, known)
        refused = known.scopes[held] == Scope.REFUSED
        resting = np.where(refused, known.said_at[held] + _shortest(node, "cooling_seconds"), NEVER)
        until = np.minimum(resting, known.until[held])
        barred = _covers(joined, known, rows, held) & between(joined, rows, known.since[held], until)
        _note(tally, joined, len(node.stops), rows, known, held, barred, "the stop")
    return tally.finding


def _after_order(joined: Joined) -> Finding:
    """Who has the offer is not offered it."""
    tally = Tally("I2", "owners_left_alone")
    for place, node in enumerate(joined.world.nodes):
        owned, offers = _owned(node)
        rows, held = _pairs(joined, place, owned)
        same = joined.order_values(lambda order: order.offer, rows) == offers[held]
        barred = same & joined.marketing[rows] & between(joined, rows, owned.since[held], owned.until[held])
        _note(tally, joined, len(node.orders), rows, owned, held, barred, "the order")
    return tally.finding


def _resting_after_order(joined: Joined) -> Finding:
    """After an order of anything marketing rests as long as the policy says."""
    tally = Tally("I2", "rest_after_order")
    for place, node in enumerate(joined.world.nodes):
        owned, _ = _owned(node)
        rows, held = _pairs(joined, place, owned)
        until = np.minimum(owned.said_at[held] + _shortest(node, "after_order_seconds"), owned.until[held])
        barred = joined.marketing[rows] & between(joined, rows, owned.since[held], until)
        _note(tally, joined, len(node.orders), rows, owned, held, barred, "an order")
    return tally.finding


def _after_cancelling(joined: Joined) -> Finding:
    """Once a task of a work order ended because it was cancelled, nobody is contacted by it any more."""
    tally = Tally("I11", "cancelled_is_over")
    for place, node in enumerate(joined.world.nodes):
        cancelled = _cancellings(node)
        rows = np.flatnonzero(joined.nodes == place)
        since = np.array([cancelled.get(name, NEVER) for _, name in joined.lines] or [NEVER])[joined.refs[rows]]
        over = np.flatnonzero(since < NEVER)
        rows, since = rows[over], since[over]
        barred = between(joined, rows, since, np.full(len(rows), NEVER))
        if tally.note(len(cancelled), int(barred.sum())):
            at = first_true(barred)
            tally.first = f"{joined.say(int(rows[at]))}; the work order was cancelled by {moment(since[at])}"
    return tally.finding


def _cancellings(node: Node) -> dict[str, int]:
    """When the first task of each of the node's work orders ended as cancelled."""
    ledger, rows = node.ledger, np.flatnonzero(node.ledger.reasons == CANCELLED)
    moments = np.full(len(ledger.blocks), NEVER)
    np.minimum.at(moments, np.searchsorted(ledger.starts, rows, "right") - 1, ledger.settled_at[rows].astype(np.int64))
    own = {order.name for order in node.work_orders if order.node == node.name}
    first: dict[str, int] = {}
    for block, moment_at in zip(ledger.blocks, moments.tolist(), strict=True):
        if moment_at < NEVER and block.work_order in own:
            first[block.work_order] = min(first.get(block.work_order, NEVER), moment_at)
    return first


def _pairs(joined: Joined, place: int, known: Bars) -> tuple[Ints, Ints]:
    """Contacts of one node beside each bar of the same subscriber."""
    mine = np.flatnonzero(joined.nodes == place)
    rows, held = pairs(joined.keys[mine], known.keys)
    return mine[rows], held


def _note(
    tally: Tally, joined: Joined, seen: int, rows: Ints, known: Bars, held: Ints, barred: Mask, what: str
) -> None:
    if tally.note(seen, len(np.unique(rows[barred]))):
        at = first_true(barred)
        tally.first = f"{joined.say(int(rows[at]))}; known there since {moment(known.since[held[at]])}: {what}"


def _covers(joined: Joined, known: Bars, rows: Ints, held: Ints) -> Mask:
    """Whether each stop forbids the contact beside it."""
    scopes = known.scopes[held]
    everything = (scopes == Scope.BLACKLIST) | (scopes == Scope.ERASED)
    marketing = (scopes == Scope.ALL) | (scopes == Scope.REFUSED) | (scopes == joined.class_scopes[rows])
    mask: Mask = everything | (marketing & joined.marketing[rows])
    return mask


def between(joined: Joined, rows: Ints, since: Ints, until: Ints) -> Mask:
    """Whether each contact was booked after `since`, or sent when any booking before it was over; and before `until`.

    A booking date at or after the contact's own was set right at a second sending, and says nothing.
    """
    margin, booked, sent = joined.world.margin_seconds, joined.booked_at[rows], joined.accepted_at[rows]
    late = (sent > since + SUBMIT_SECONDS + margin) | ((booked > since) & (booked + margin < sent))
    mask: Mask = late & (sent < until - margin)
    return mask


def _shortest(node: Node, name: str) -> int:
    """Of any policy the node ever applied."""
    return min((int(getattr(span.policy, name)) for span in policies.at_node(node)), default=0)


def _owned(node: Node) -> tuple[Bars, Ints]:
    """When a node knew that somebody has an offer, and which: until it heard of a later revision of the order.

    What one that ever came back from a backup heard then, it may have known before, from when the source said it.
    """
    orders = node.orders
    heard, said = orders.observed_at.astype(np.int64), orders.accepted_at.astype(np.int64)
    heard_first = np.minimum(heard, said) if node.fenced_at else heard
    numbers: dict[tuple[str, str], int] = {}
    refs = np.array([numbers.setdefault(each[:2], len(numbers)) for each in orders.identities], dtype=np.int64)
    revisions = np.array([identity[2] for identity in orders.identities], dtype=np.int64)
    order = np.lexsort((-revisions, refs))
    until = np.zeros(len(order), dtype=np.int64)
    until[order] = _heard_later(refs[order], heard_first[order])
    rows = np.flatnonzero((orders.changes == SUBSCRIBED) & (orders.observed_at < until))
    rows = rows[np.argsort(orders.keys[rows], kind="stable")]
    offers = np.array(orders.offers or ("",))[rows]
    columns = (orders.observed_at[rows].astype(np.int64), until[rows], orders.accepted_at[rows].astype(np.int64))
    return Bars(orders.keys[rows], np.zeros(len(rows), dtype=np.int64), *columns), offers


def _heard_later(refs: Ints, observed: Ints) -> Ints:
    """For rows by order and falling revision: when the node heard of a higher revision first."""
    until = np.full(len(refs), NEVER)
    for row in np.flatnonzero(np.diff(refs) == 0).tolist():
        until[row + 1] = min(until[row], observed[row])
    return until


def _spread(world: World) -> Finding:
    """What HQ knew of a stop, every province knew soon after."""
    tally = Tally("I2", "stops_spread")
    at_hq = list(_rows(world.hq.stops)) if world.hq else []
    for node in world.provinces:
        heard = {row[:3]: row[3] for row in _rows(node.stops)}
        in_time = SPREAD_SECONDS + world.margin_seconds
        late = [row for row in at_hq if row[3] and heard.get(row[:3], NEVER) > row[3] + in_time]
        if tally.note(len(at_hq), len(late)):
            tally.first = _say_late(late[0], node)
    return tally.finding


def _say_late(row: tuple[int, int, int, int], node: Node) -> str:
    key, scope, _, heard_at = row
    return f"a stop of subscriber {key}, scope {scope}: at hq {moment(heard_at)}, at {node.name} too late or never"


def _rows(stops: Stops) -> Iterator[tuple[int, int, int, int]]:
    columns = (stops.keys, stops.scopes, stops.stopped_at, stops.heard_at)
    return zip(*(column.tolist() for column in columns), strict=True)
