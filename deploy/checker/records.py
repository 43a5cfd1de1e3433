"""I9: a province holds nothing of another's. I10: both sides hold the same facts. I11: versions never go back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from deploy.checker.finding import Finding, Tally
from deploy.checker.world import Consents, Ints, Node, Orders, OrderState, Policy, Stops, WorkOrder, World

ENDED = (OrderState.REJECTED, OrderState.COMPLETED)


def check(world: World) -> Iterator[Finding]:
    yield _own_rows(world)
    yield _own_grants(world)
    yield _versions(world)
    yield _policies(world)
    if world.settled and world.hq is not None:
        yield from _agreement(world, world.hq)


def _own_rows(world: World) -> Finding:
    """Work orders, tasks and order records at a province are its own."""
    tally = Tally("I9", "own_rows_only")
    for node in world.provinces:
        own = {order.name for order in node.work_orders if order.node == node.name}
        foreign = [order.name for order in node.work_orders if order.node != node.name]
        foreign += [block.work_order for block in node.ledger.blocks if block.work_order not in own]
        strangers = np.flatnonzero((node.orders.homes > 0) & (node.orders.homes != int(node.name)))
        foreign += [str(node.orders.identities[row]) for row in strangers.tolist()]
        seen = len(node.work_orders) + len(node.ledger.blocks) + len(node.orders)
        if tally.note(seen, len(foreign)):
            tally.first = f"{foreign[0]} at province {node.name}"
    return tally.finding


def _own_grants(world: World) -> Finding:
    """A grant is a work order of the province that asked for it, and of no other request."""
    tally = Tally("I9", "own_grants_only")
    if world.hq is not None:
        executing = {order.name: order.node for order in world.hq.work_orders}
        granted = [grant for grant in world.hq.grants if grant.work_order]
        wrong = [grant for grant in granted if executing.get(grant.work_order) != grant.province]
        requests = {grant.work_order: grant for grant in granted}
        wrong += [grant for grant in granted if requests[grant.work_order] is not grant]
        if tally.note(len(granted), len(wrong)):
            tally.first = str(wrong[0])
    return tally.finding


def _versions(world: World) -> Finding:
    """A province never has a newer version of a work order than HQ, and at the end the same."""
    tally = Tally("I11", "versions_rise")
    at_hq = {order.name: order for order in world.hq.work_orders} if world.hq else {}
    for node in world.provinces:
        known = [(order, at_hq[order.name]) for order in node.work_orders if order.leased and order.name in at_hq]
        wrong = [mine for mine, theirs in known if mine.version > theirs.version and not world.live]
        if world.settled:
            wrong += [mine for mine, theirs in known if mine.version < theirs.version or _apart(mine, theirs)]
        if tally.note(len(known), len(wrong)):
            tally.first = f"{wrong[0]} at {node.name}, {at_hq[wrong[0].name]} at hq"
    return tally.finding


def _apart(mine: WorkOrder, theirs: WorkOrder) -> bool:
    """Ended at one side only, or otherwise."""
    return mine.state != theirs.state and (mine.state in ENDED or theirs.state in ENDED)


def _policies(world: World) -> Finding:
    """One version is one document everywhere, came into force after the one below, and was HQ's before a province's."""
    tally = Tally("I11", "policies_rise")
    documents: dict[int, str] = {}
    newest = max((policy.version for policy in world.hq.policies), default=0) if world.hq else 0
    for node in (*([world.hq] if world.hq else []), *world.provinces):
        wrong = [p for p in node.policies if documents.setdefault(p.version, p.digest) != p.digest]
        wrong += [p for p in node.policies if p.version > newest and not world.live]
        wrong += _overtaken(node)
        if tally.note(len(node.policies), len(wrong)):
            tally.first = f"policy {wrong[0].version} at {node.name}"
    return tally.finding


def _overtaken(node: Node) -> list[Policy]:
    """Versions that came before a lower one did."""
    held = sorted(node.policies, key=lambda policy: policy.version)
    return [after for before, after in pairwise(held) if after.received_at < before.received_at]


def _agreement(world: World, hq: Node) -> Iterator[Finding]:
    stops, consents = Tally("I10", "stops_agree"), Tally("I10", "consents_agree")
    orders, newest = Tally("I10", "orders_agree"), Tally("I10", "policies_agree")
    hq_stops, hq_consents, hq_orders = _stop_rows(hq.stops), _consent_rows(hq.consents), _order_rows(hq.orders)
    for node in world.provinces:
        mine, everywhere = _stop_rows(node.stops), set(hq_stops)
        _note(stops, node, mine, set(mine) ^ everywhere)
        _note(consents, node, _consent_rows(node.consents), set(_consent_rows(node.consents)) - set(hq_consents))
        held = set(_order_rows(node.orders))
        sent = {row for row, home in zip(hq_orders, hq.orders.homes.tolist(), strict=True) if home == int(node.name)}
        _note(orders, node, _order_rows(node.orders), (held - set(hq_orders)) | (sent - held))
        versions = {max((policy.version for policy in each.policies), default=0) for each in (hq, node)}
        if newest.note(1, len(versions) - 1):
            newest.first = f"policy versions {versions} at hq and {node.name}"
    yield from (tally.finding for tally in (stops, consents, orders, newest))


def _note(tally: Tally, node: Node, held: Sequence[object], differing: set[tuple[object, ...]]) -> None:
    if tally.note(len(held), len(differing)):
        tally.first = f"{min(differing, key=str)} is not the same at hq and {node.name}"


def _stop_rows(stops: Stops) -> list[tuple[int, ...]]:
    """The newest of each (subscriber, scope); of two at once the stop."""
    return _newest(stops.keys, stops.scopes, stops.stopped_at, stops.lifted == 0)


def _consent_rows(consents: Consents) -> list[tuple[object, ...]]:
    rows = _newest(consents.keys, consents.refs, consents.given_at, consents.withdrawn, consents.expires_at)
    return [(key, consents.purposes[ref], *rest) for key, ref, *rest in rows]


def _newest(keys: Ints, kinds: Ints, times: Ints, *rest: Ints) -> list[tuple[int, ...]]:
    order = np.lexsort((rest[0], times, kinds, keys))
    last = np.append((np.diff(keys[order]) != 0) | (np.diff(kinds[order]) != 0), True)[: len(order)]
    columns = (keys, kinds, times, *rest)
    return list(zip(*(column[order[last]].tolist() for column in columns), strict=True))


def _order_rows(orders: Orders) -> list[tuple[object, ...]]:
    columns = (orders.keys, orders.changes, orders.accepted_at)
    return list(zip(orders.identities, orders.offers, *(column.tolist() for column in columns), strict=True))
