"""Ways to spoil a clean history so that it could not have come from correct nodes.

Each answers the spoilt world, or None where the world holds nothing to spoil this way. The name of a function says
what happened; `BREAKS` names the rule that must notice, whatever others notice too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random
from typing import Any, TypeVar

import numpy as np

from deploy.checker.check import check
from deploy.checker.joined import join
from deploy.checker.stops import CANCELLED
from deploy.checker.world import (
    Block,
    Cap,
    Consents,
    Contacts,
    Cursor,
    Grant,
    Log,
    Node,
    Orders,
    State,
    Stops,
    WorkOrder,
    World,
    contact_dates,
    ledger,
)

T = TypeVar("T")

Corruption = Callable[[Random, World], World | None]
BREAKS: dict[Corruption, str] = {}


def breaks(rule: str) -> Callable[[Corruption], Corruption]:
    def note(corruption: Corruption) -> Corruption:
        BREAKS[corruption] = rule
        return corruption

    return note


# Parts of a world, chosen and put back changed


def with_node(world: World, node: Node, **changes: Any) -> World:
    nodes = tuple(replace(each, **changes) if each is node else each for each in world.nodes)
    return replace(world, nodes=nodes)


def some(random: Random, items: Iterable[T]) -> T | None:
    found = list(items)
    return random.choice(found) if found else None


def columns_of(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__ if isinstance(getattr(value, name), np.ndarray)}


def taken(value: Any, rows: Any, **more: Any) -> Any:
    """Contacts, stops, consents or orders with only `rows`, which may repeat."""
    return replace(value, **{name: column[rows] for name, column in columns_of(value).items()}, **more)


def changed(value: Any, row: int, **values: int) -> Any:
    columns = {name: getattr(value, name).copy() for name in values}
    for name, cell in values.items():
        columns[name][row] = cell
    return replace(value, **columns)


def with_block(world: World, node: Node, old: Block, new: Block | None) -> World:
    blocks = [new if each is old else each for each in node.ledger.blocks]
    return with_node(world, node, ledger=ledger([each for each in blocks if each is not None]))


def with_order(world: World, node: Node, order: WorkOrder, **changes: Any) -> World:
    orders = tuple(replace(each, **changes) if each is order else each for each in node.work_orders)
    return with_node(world, node, work_orders=orders)


def a_contact(random: Random, world: World, marketing: bool = False) -> tuple[Node, int] | None:
    """A contact its node knows of, not excused by a restore."""
    found = []
    joined = join(world)
    good = (joined.rows >= 0) & ~joined.excused & (joined.marketing | (not marketing))
    start = 0
    for node in world.nodes:
        found += [(node, row) for row in range(len(node.contacts)) if good[start + row]]
        start += len(node.contacts)
    return some(random, found)


def a_task(random: Random, world: World, *states: int, own: bool = True) -> tuple[Node, Block, int] | None:
    return some(
        random,
        (
            (node, each, row)
            for node in world.nodes
            for each in node.ledger.blocks
            for row, state in enumerate(each.states.tolist())
            if (not states or state in states) and (not own or each.work_order.endswith("/" + node.name))
        ),
    )


def order_of(node: Node, row: int) -> WorkOrder:
    name = node.contacts.lines[int(node.contacts.refs[row])][1]
    return next(order for order in node.work_orders if order.name == name)


# Contacts


@breaks("deliveries_real")
def a_delivery_was_never_sent(random: Random, world: World) -> World | None:
    joined, found = join(world), []
    delivered = joined.ledger_column("states") == State.DELIVERED
    start = 0
    for node in world.nodes:
        found += [(node, row) for row in range(len(node.contacts)) if delivered[start + row]]
        start += len(node.contacts)
    chosen = some(random, found)
    if chosen is None:
        return None
    node, row = chosen
    return with_node(world, node, contacts=taken(node.contacts, np.arange(len(node.contacts)) != row))


@breaks("nothing_sent_twice")
def a_message_was_taken_twice(random: Random, world: World) -> World | None:
    chosen = a_contact(random, world)
    if chosen is None:
        return None
    node, row = chosen
    contacts = taken(node.contacts, [*range(len(node.contacts)), row])
    later = int(contacts.accepted_at[row]) + random.randint(0, 3600)
    return with_node(world, node, contacts=changed(contacts, len(contacts) - 1, accepted_at=later))


@breaks("contacts_booked")
def two_messages_were_swapped(random: Random, world: World) -> World | None:
    chosen = a_contact(random, world)
    if chosen is None:
        return None
    node, row = chosen
    keys = node.contacts.keys
    other = some(random, np.flatnonzero(keys != keys[row]).tolist())
    if other is None:
        return None
    contacts = changed(node.contacts, row, keys=int(keys[other]))
    return with_node(world, node, contacts=changed(contacts, other, keys=int(keys[row])))


@breaks("contacts_booked")
def a_contact_was_not_booked(random: Random, world: World) -> World | None:
    """The ledger says the task was suppressed, or still open."""
    chosen = a_contact(random, world)
    if chosen is None:
        return None
    node, row = chosen
    task, name = int(node.contacts.tasks[row]), order_of(node, row).name
    old = next(b for b in node.ledger.blocks if (b.work_order, b.number) == (name, task // 10_000))
    state, reason = random.choice([(State.OPEN, 0), (State.SUPPRESSED, 3), (State.FAILED, 20), (State.EXPIRED, 60)])
    return with_block(world, node, old, rewritten(old, task % 10_000, states=state, reasons=reason, submitted_at=0))


@breaks("contacts_booked")
def a_contact_of_no_work_order(random: Random, world: World) -> World | None:
    chosen = a_contact(random, world)
    if chosen is None:
        return None
    node, row = chosen
    lines = (*node.contacts.lines, ("sms", "winter/1/sms/hq"))
    contacts = changed(replace(node.contacts, lines=lines), row, refs=len(lines) - 1)
    return with_node(world, node, contacts=contacts)


@breaks("own_contacts_only")
def a_contact_at_anothers_vendor(random: Random, world: World) -> World | None:
    chosen = a_contact(random, world)
    if chosen is None:
        return None
    node, row = chosen
    other = random.choice([each for each in world.nodes if each is not node])
    moved = taken(node.contacts, [row])
    spoilt = with_node(world, node, contacts=taken(node.contacts, np.arange(len(node.contacts)) != row))
    refs = moved.refs + len(other.contacts.lines)
    joint = {name: np.append(column, getattr(moved, name)) for name, column in columns_of(other.contacts).items()}
    joint["refs"] = np.append(other.contacts.refs, refs)
    lines = (*other.contacts.lines, *moved.lines)
    return with_node(spoilt, other, contacts=Contacts(lines=lines, **joint))


@breaks("validity_kept")
def a_contact_after_its_time(random: Random, world: World) -> World | None:
    chosen = a_contact(random, world)
    if chosen is None:
        return None
    node, row = chosen
    order = order_of(node, row)
    when = random.choice([order.start_at - random.randint(1, 9_000), order.end_at + random.randint(1, 9_000)])
    return with_node(world, node, contacts=changed(node.contacts, row, accepted_at=when))


@breaks("validity_kept")
def a_vendor_was_told_a_later_end(random: Random, world: World) -> World | None:
    chosen = a_contact(random, world)
    if chosen is None:
        return None
    node, row = chosen
    end = int(node.contacts.expire_at[row]) + random.randint(1, 9_000)
    return with_node(world, node, contacts=changed(node.contacts, row, expire_at=end))


@breaks("quiet_hours_kept")
def a_contact_at_night(random: Random, world: World) -> World | None:
    chosen = a_contact(random, world, marketing=True)
    if chosen is None:
        return None
    node, row = chosen
    midnight = int(node.contacts.accepted_at[row]) // 86_400 * 86_400 + 16 * 3600
    when = midnight + random.randint(-3 * 3600 + 1, 9 * 3600 - 1)
    return with_node(world, node, contacts=changed(node.contacts, row, accepted_at=when))


@breaks("held_out_left_alone")
def a_contact_to_somebody_held_out(random: Random, world: World) -> World | None:
    chosen = a_contact(random, world)
    if chosen is None or not (campaign := order_of(*chosen).campaign):
        return None
    node, row = chosen
    keys = np.union1d(world.held_out.get(campaign, np.zeros(0, np.int64)), node.contacts.keys[row])
    return replace(world, held_out={**world.held_out, campaign: keys})


# Caps and capacity


@breaks("caps_hold")
def one_contact_too_many(random: Random, world: World) -> World | None:
    """Every version of the policy allows one contact less than somebody got."""
    joined = join(world)
    keys = joined.keys[joined.marketing]
    if len(keys) == 0:
        return None
    key = random.choice(keys.tolist())
    times = np.sort(joined.accepted_at[(joined.keys == key) & joined.marketing])
    first = random.randrange(len(times))
    last = random.randrange(first, len(times))
    if last == first:
        return None
    cap = Cap("all", "", last - first, int(times[last] - times[first]) + 1)
    return with_policies(world, caps=(cap,))


@breaks("caps_hold")
def a_contact_too_soon(random: Random, world: World) -> World | None:
    """The same, one second short of the window: exact to the second."""
    joined = join(world)
    keys = joined.keys[joined.marketing]
    if len(keys) == 0:
        return None
    times = np.sort(joined.accepted_at[(joined.keys == random.choice(keys.tolist())) & joined.marketing])
    if len(times) < 2:
        return None
    window = int(np.diff(times).min())
    exact = with_policies(world, caps=(Cap("all", "", 1, max(window, 1)),))
    if window and too_soon_already(exact):
        return None
    return with_policies(world, caps=(Cap("all", "", 1, window + 1),))


def too_soon_already(world: World) -> bool:
    return any(finding.rule == "caps_hold" for finding in check(world))


@breaks("capacity_kept")
def a_channel_past_its_capacity(random: Random, world: World) -> World | None:
    chosen = a_contact(random, world)
    if chosen is None:
        return None
    node, row = chosen
    return with_policies(world, capacities={order_of(node, row).channel: 0})


def with_policies(world: World, **changes: Any) -> World:
    nodes = [replace(n, policies=tuple(replace(p, **changes) for p in n.policies)) for n in world.nodes]
    return replace(world, nodes=tuple(nodes))


# Stops, orders and consents


@breaks("stops_honoured")
def a_contact_after_a_stop(random: Random, world: World) -> World | None:
    """Known to the node before the contact was booked, or so long before it was sent that no booking excuses it."""
    chosen = a_contact(random, world, marketing=True)
    if chosen is None:
        return None
    node, row = chosen
    sent, booked = int(node.contacts.accepted_at[row]), booked_at(world, node, row)
    known = booked - 1 if booked < sent else sent - 61
    stop = {"keys": node.contacts.keys[row], "scopes": 0, "stopped_at": known - 5, "lifted": 0, "heard_at": known}
    columns = {name: np.append(column, stop[name]) for name, column in columns_of(node.stops).items()}
    # A lifting of the same person may come in between.
    keep = ~((columns["keys"] == stop["keys"]) & (columns["lifted"] == 1))
    stops = Stops(**{name: column[keep] for name, column in columns.items()}, history=True)
    return with_node(replace(world, connected=False, settled=False), node, stops=stops)


@breaks("stops_honoured")
def a_message_that_left_long_after_its_booking(random: Random, world: World) -> World | None:
    """The stop came in between, and more than the time a booking covers before the message left."""
    chosen = a_contact(random, world, marketing=True)
    if chosen is None:
        return None
    node, row = chosen
    booked = booked_at(world, node, row)
    world = with_node(
        world, node, contacts=changed(node.contacts, row, accepted_at=booked + 63 + random.randint(0, 99))
    )
    node = next(each for each in world.nodes if each.name == node.name)
    stop = {"keys": node.contacts.keys[row], "scopes": 0, "stopped_at": booked, "lifted": 0, "heard_at": booked + 1}
    columns = {name: np.append(column, stop[name]) for name, column in columns_of(node.stops).items()}
    keep = ~((columns["keys"] == stop["keys"]) & (columns["lifted"] == 1))
    stops = Stops(**{name: column[keep] for name, column in columns.items()}, history=True)
    return with_node(replace(world, connected=False, settled=False), node, stops=stops)


def booked_at(world: World, node: Node, row: int) -> int:
    joined = join(world)
    start = sum(len(each.contacts) for each in world.nodes[: world.nodes.index(node)])
    return int(joined.booked_at[start + row])


@breaks("owners_left_alone")
def a_contact_after_the_order(random: Random, world: World) -> World | None:
    chosen = a_contact(random, world, marketing=True)
    if chosen is None:
        return None
    node, row = chosen
    known = int(node.contacts.accepted_at[row]) - random.randint(61, 9_000)
    columns = {
        "keys": node.contacts.keys[row],
        "changes": 1,
        "accepted_at": known - 60,
        "observed_at": known,
        "homes": 0,
    }
    held = {name: np.append(column, columns[name]) for name, column in columns_of(node.orders).items()}
    identities = (*node.orders.identities, ("bss", "A1", 1))
    offers = (*node.orders.offers, order_of(node, row).offer)
    return with_node(replace(world, settled=False), node, orders=Orders(identities, offers, **held))


@breaks("cancelled_is_over")
def a_contact_of_a_cancelled_work_order(random: Random, world: World) -> World | None:
    """Another task of it had ended as cancelled before the contact was booked."""
    chosen = a_contact(random, world)
    if chosen is None:
        return None
    node, row = chosen
    sent, booked, name = int(node.contacts.accepted_at[row]), booked_at(world, node, row), order_of(node, row).name
    before = booked - 1 if booked < sent else sent - 61
    others = [
        (each, place)
        for each in node.ledger.blocks
        for place, state in enumerate(each.states.tolist())
        if each.work_order == name and state == State.SUPPRESSED
    ]
    other = some(random, others)
    if other is None:
        return None
    old, place = other
    spoilt = rewritten(old, place, reasons=CANCELLED, settled_at=before)
    return with_block(world, node, old, spoilt)


@breaks("consents_held")
def a_contact_without_consent(random: Random, world: World) -> World | None:
    """None was given, or it had ended, or it was withdrawn."""
    chosen = some(random, needing_consent(world))
    if chosen is None:
        return None
    node, row = chosen
    mine = np.flatnonzero(node.consents.keys == node.contacts.keys[row])
    booked, consents = booked_at(world, node, row), node.consents
    how = random.choice(["none", "ended", "withdrawn"])
    if how == "none":
        consents = taken(consents, np.setdiff1d(np.arange(len(consents)), mine))
    for each in mine.tolist():
        if how == "ended":
            consents = changed(consents, each, expires_at=booked)
        elif how == "withdrawn":
            consents = withdrawn(consents, each, int(node.contacts.accepted_at[row]) - 61)
    return with_node(replace(world, settled=False), node, consents=consents)


def withdrawn(consents: Consents, row: int, heard_at: int) -> Consents:
    more = taken(consents, [*range(len(consents)), row])
    last = len(more) - 1
    cells = {"given_at": max(heard_at - 1, int(consents.given_at[row])), "withdrawn": 1, "heard_at": heard_at}
    spoilt: Consents = changed(more, last, **cells)
    return spoilt


def needing_consent(world: World) -> list[tuple[Node, int]]:
    return [
        (node, row)
        for node in world.nodes
        for row in range(len(node.contacts))
        if any(order.name == node.contacts.lines[int(node.contacts.refs[row])][1] for order in node.work_orders)
        and order_of(node, row).purpose
        and not order_of(node, row).service
    ]


# Tasks


def rewritten(old: Block, row: int, **cells: int) -> Block:
    """With other cells in one row, and the counters to match."""
    columns = {name: getattr(old, name).astype(np.int64) for name in cells}
    for name, cell in cells.items():
        columns[name][row] = cell
    new = replace(old, **columns)
    dates = contact_dates(new.states, new.submitted_at, new.settled_at)
    counted = np.bincount(new.states, minlength=9)[1:9]
    return replace(new, counters=tuple(counted.tolist()), last_submitted_at=int(dates.max()))


@breaks("sums_close")
def a_counter_is_off(random: Random, world: World) -> World | None:
    chosen = a_task(random, world, own=False)
    if chosen is None:
        return None
    node, old, _ = chosen
    counters = list(old.counters)
    counters[random.randrange(8)] += random.choice([1, 2])
    new = random.choice(
        [
            replace(old, counters=tuple(counters)),
            replace(old, tasks=old.tasks + 1),
            replace(old, last_submitted_at=old.last_submitted_at + 1),
        ]
    )
    return with_block(world, node, old, new)


@breaks("sums_close")
def a_state_changed_behind_the_counters(random: Random, world: World) -> World | None:
    chosen = a_task(random, world, own=False)
    if chosen is None:
        return None
    node, old, row = chosen
    states = old.states.copy()
    states[row] = random.choice([state for state in (*State, 0, 9, 255) if state != states[row]])
    return with_block(world, node, old, replace(old, states=states))


@breaks("blocks_whole")
def a_block_is_torn(random: Random, world: World) -> World | None:
    chosen = a_task(random, world, own=False)
    if chosen is None:
        return None
    node, old, _ = chosen
    name = random.choice(["states", "reasons", "responses", "submitted_at", "settled_at"])
    column = getattr(old, name)
    other = random.choice([column[:-1], np.append(column, 1).astype(column.dtype)])
    return with_block(world, node, old, replace(old, **{name: other}))


@breaks("blocks_whole")
def keys_do_not_rise(random: Random, world: World) -> World | None:
    chosen = a_task(random, world, own=False)
    if chosen is None:
        return None
    node, old, _ = chosen
    keys = old.keys[::-1].copy() if len(old.keys) > 1 else old.keys - 1
    return with_block(world, node, old, replace(old, keys=keys))


@breaks("blocks_whole")
def a_block_begins_before_the_last_one_ended(random: Random, world: World) -> World | None:
    second = some(random, ((node, each) for node in world.nodes for each in node.ledger.blocks if each.number == 1))
    if second is None:
        return None
    node, old = second
    first = next(each for each in node.ledger.blocks if (each.work_order, each.number) == (old.work_order, 0))
    keys = old.keys - (old.first_key - first.last_key)
    return with_block(world, node, old, replace(old, keys=keys, first_key=int(keys[0]), last_key=int(keys[-1])))


@breaks("work_orders_whole")
def a_task_too_many(random: Random, world: World) -> World | None:
    chosen = some(random, ((n, o) for n in world.nodes for o in n.work_orders))
    if chosen is None:
        return None
    node, order = chosen
    return with_order(world, node, order, task_count=order.task_count - 1)


@breaks("work_orders_whole")
def a_task_too_few(random: Random, world: World) -> World | None:
    """At the end, or where a province has accepted the work order."""
    accepted = ((node, order) for node in world.nodes for order in node.work_orders if node.name == order.node != "hq")
    chosen = some(random, accepted)
    if chosen is None:
        return None
    node, order = chosen
    return with_order(world, node, order, task_count=order.task_count + 1)


@breaks("one_state_each")
def a_state_that_cannot_be(random: Random, world: World) -> World | None:
    chosen = a_task(random, world, *(state for state in State if state >= State.DELIVERED))
    if chosen is None:
        return None
    node, old, row = chosen
    cells = random.choice(
        [
            {"reasons": random.choice([13 + 7, 99]) if old.states[row] != State.FAILED else 3},
            {"settled_at": 0},
            {"states": random.choice([0, 9])},
            {"submitted_at": 0 if old.submitted_at[row] else int(old.settled_at[row])},
        ]
    )
    if "submitted_at" in cells and old.reasons[row] == 42:
        return None
    return with_block(world, node, old, rewritten(old, row, **cells))


@breaks("one_state_each")
def an_end_without_a_time(random: Random, world: World) -> World | None:
    chosen = a_task(random, world, *(state for state in State if state >= State.DELIVERED))
    if chosen is None:
        return None
    node, old, row = chosen
    return with_block(world, node, old, rewritten(old, row, settled_at=0))


@breaks("one_end_each")
def hq_knows_another_end(random: Random, world: World) -> World | None:
    hq = world.nodes[0]
    restored = {node.name: node.fenced_at > 0 for node in world.nodes[1:]}
    ended = [s for s in State if s >= State.DELIVERED]
    found = [
        (old, row)
        for old in hq.ledger.blocks
        if (name := old.work_order.rpartition("/")[2]) in restored
        for row, state in enumerate(old.states.tolist())
        # A province that came back may end once more what it had ended before and told HQ of: unsent both times, or
        # having waited in vain for a receipt that it had heard.
        if state in ended
        and old.reasons[row] != 42
        and (not restored[name] or state in (State.DELIVERED, State.FAILED))
    ]
    chosen = some(random, found)
    if chosen is None:
        return None
    old, row = chosen
    state, reason = random.choice(
        [(State.DELIVERED, 0), (State.SUPPRESSED, 3), (State.FAILED, 21), (State.UNKNOWN, 40)]
    )
    if state == old.states[row]:
        return None
    return with_block(world, hq, old, rewritten(old, row, states=state, reasons=reason))


@breaks("ledgers_agree")
def hq_was_told_something_else(random: Random, world: World) -> World | None:
    hq = world.nodes[0]
    others = {node.name for node in world.nodes[1:] if not node.fenced_at}
    blocks = [each for each in hq.ledger.blocks if each.work_order.rpartition("/")[2] in others]
    old = some(random, blocks)
    if old is None or not world.settled:
        return None
    row = random.randrange(len(old.keys))
    if old.reasons[row] == 42:
        return None
    name = random.choice(["responses", "settled_at"]) if old.submitted_at[row] else "responses"
    return with_block(world, hq, old, rewritten(old, row, **{name: int(getattr(old, name)[row]) + 1}))


@breaks("ledgers_agree")
def a_result_never_arrived(random: Random, world: World) -> World | None:
    hq = world.nodes[0]
    others = {node.name for node in world.nodes[1:]}
    blocks = [each for each in hq.ledger.blocks if each.work_order.rpartition("/")[2] in others]
    old = some(random, blocks)
    if old is None or not world.settled:
        return None
    row = random.randrange(len(old.keys))
    if old.reasons[row] == 42:
        return None
    return with_block(
        world, hq, old, rewritten(old, row, states=1, reasons=0, submitted_at=0, settled_at=0, responses=0)
    )


@breaks("ledgers_agree")
def a_block_never_arrived(random: Random, world: World) -> World | None:
    present = [node for node in world.nodes[1:] if not node.fenced_at]
    chosen = some(random, ((node, each) for node in present for each in node.ledger.blocks))
    if chosen is None or not world.settled:
        return None
    return with_block(world, *chosen, None)


@breaks("everything_ended")
def a_task_never_ended(random: Random, world: World) -> World | None:
    chosen = a_task(random, world)
    if chosen is None or not world.settled:
        return None
    node, old, row = chosen
    return with_block(world, node, old, rewritten(old, row, states=State.OPEN, reasons=0, submitted_at=0, settled_at=0))


# Other people's rows


@breaks("own_rows_only")
def a_row_of_another_province(random: Random, world: World) -> World | None:
    """A work order, a block or an order record."""
    node = random.choice(world.nodes[1:])
    foreign = [order for order in world.nodes[0].work_orders if order.node != node.name]
    order = some(random, foreign)
    blocks = [each for each in world.nodes[0].ledger.blocks if order and each.work_order == order.name]
    if order is None:
        return None
    if random.random() < 0.5:
        return with_node(world, node, work_orders=(*node.work_orders, order))
    return with_node(world, node, ledger=ledger([*node.ledger.blocks, blocks[0]]))


@breaks("own_rows_only")
def an_order_of_anothers_subscriber(random: Random, world: World) -> World | None:
    node = random.choice(world.nodes[1:])
    row = some(random, np.flatnonzero(world.nodes[0].orders.homes != int(node.name)).tolist())
    if row is None:
        return None
    at_hq = world.nodes[0].orders
    columns = {name: np.append(column, getattr(at_hq, name)[row]) for name, column in columns_of(node.orders).items()}
    identities, offers = (*node.orders.identities, at_hq.identities[row]), (*node.orders.offers, at_hq.offers[row])
    return with_node(world, node, orders=Orders(identities, offers, **columns))


@breaks("own_grants_only")
def a_grant_of_anothers_work_order(random: Random, world: World) -> World | None:
    hq = world.nodes[0]
    grant = some(random, hq.grants)
    if grant is None:
        return None
    wrong = random.choice(
        [replace(grant, province="99"), replace(grant, request_id="other"), Grant("99", "x", "absent")]
    )
    grants = (
        (*hq.grants, wrong)
        if wrong.province == grant.province
        else tuple(g if g is not grant else wrong for g in hq.grants)
    )
    return with_node(world, hq, grants=grants)


# Logs


def a_log(random: Random, world: World, entries: int = 0) -> tuple[Node, Log] | None:
    return some(random, ((n, log) for n in world.nodes for log in n.logs if len(log.sequences) >= entries))


def with_log(world: World, node: Node, old: Log, new: Log) -> World:
    return with_node(world, node, logs=tuple(new if each is old else each for each in node.logs))


@breaks("logs_unbroken")
def an_entry_is_lost(random: Random, world: World) -> World | None:
    chosen = a_log(random, world, 1)
    if chosen is None:
        return None
    node, log = chosen
    kept = np.arange(len(log.sequences)) != random.randrange(len(log.sequences))
    return with_log(world, node, log, taken(log, kept))


@breaks("logs_unbroken")
def an_entry_is_there_twice(random: Random, world: World) -> World | None:
    chosen = a_log(random, world, 1)
    if chosen is None:
        return None
    node, log = chosen
    rows = sorted([*range(len(log.sequences)), random.randrange(len(log.sequences))])
    return with_log(world, node, log, taken(log, rows))


@breaks("logs_unbroken")
def an_entry_was_rewritten(random: Random, world: World) -> World | None:
    chosen = a_log(random, world, 1)
    if chosen is None:
        return None
    node, log = chosen
    return with_log(world, node, log, changed(log, random.randrange(len(log.sequences)), sound=0))


@breaks("logs_unbroken")
def unread_entries_were_dropped(random: Random, world: World) -> World | None:
    chosen = a_log(random, world, 2)
    if chosen is None:
        return None
    node, log = chosen
    return with_log(
        world, node, log, replace(taken(log, slice(1, None)), oldest=log.oldest + 1, committed=log.oldest - 1)
    )


@breaks("acknowledged_is_there")
def an_acknowledged_entry_is_not_there(random: Random, world: World) -> World | None:
    """The reader lost its place, or is in another epoch, or holds another entry at it."""
    found = [
        (node, cursor, log)
        for node in world.nodes
        if not node.fenced_at
        for cursor in node.cursors
        for writer in world.nodes
        if writer.name == cursor.peer
        for log in writer.logs
        if (log.peer, log.stream) == (node.name, cursor.stream) and log.committed > 0
    ]
    chosen = some(random, found)
    if chosen is None:
        return None
    node, cursor, log = chosen
    ways = [replace(cursor, sequence=log.committed - 1), replace(cursor, epoch=cursor.epoch + 1)]
    if cursor.sequence >= log.oldest - 1:
        ways.append(replace(cursor, chain=cursor.chain ^ 1))
    return with_cursor(world, node, cursor, random.choice(ways))


@breaks("acknowledged_is_there")
def a_reader_behind_what_its_log_dropped(random: Random, world: World) -> World | None:
    found = [
        (node, cursor, log)
        for node in world.nodes
        if not node.fenced_at
        for cursor in node.cursors
        for writer in world.nodes
        if writer.name == cursor.peer
        for log in writer.logs
        if (log.peer, log.stream) == (node.name, cursor.stream) and log.oldest > 1
    ]
    chosen = some(random, found)
    if chosen is None:
        return None
    node, cursor, log = chosen
    return with_cursor(world, node, cursor, replace(cursor, sequence=log.oldest - 2))


@breaks("acknowledged_is_there")
def a_reader_ahead_of_its_log(random: Random, world: World) -> World | None:
    chosen = some(random, ((node, cursor) for node in world.nodes for cursor in node.cursors))
    if chosen is None:
        return None
    node, cursor = chosen
    return with_cursor(world, node, cursor, replace(cursor, sequence=cursor.sequence + 100))


def with_cursor(world: World, node: Node, old: Cursor, new: Cursor) -> World:
    return with_node(world, node, cursors=tuple(new if each is old else each for each in node.cursors))


@breaks("queues_drained")
def a_queue_is_not_empty(random: Random, world: World) -> World | None:
    if not world.settled:
        return None
    node = random.choice(world.nodes)
    log = some(random, (log for log in node.logs if log.committed > 0))
    if log is None or random.random() < 0.3:
        return with_node(world, node, waiting={"pending_command": 1})
    return with_log(world, node, log, replace(log, committed=log.committed - 1))


# Facts both sides hold


@breaks("stops_agree")
def a_stop_did_not_arrive(random: Random, world: World) -> World | None:
    chosen = some(random, (node for node in world.nodes if len(node.stops)))
    if chosen is None or not world.settled:
        return None
    rows = np.flatnonzero(chosen.stops.keys != random.choice(chosen.stops.keys.tolist()))
    return with_node(world, chosen, stops=taken(chosen.stops, rows))


@breaks("stops_spread")
def a_stop_came_too_late(random: Random, world: World) -> World | None:
    chosen = some(random, (node for node in world.nodes[1:] if len(node.stops)))
    if chosen is None:
        return None
    row = random.randrange(len(chosen.stops))
    heard = int(chosen.stops.heard_at[row]) + random.randint(120, 9_000)
    return with_node(world, chosen, stops=changed(chosen.stops, row, heard_at=heard))


@breaks("consents_agree")
def a_consent_hq_does_not_know(random: Random, world: World) -> World | None:
    chosen = some(random, (node for node in world.nodes[1:] if len(node.consents)))
    if chosen is None or not world.settled:
        return None
    row = random.randrange(len(chosen.consents))
    expires = int(chosen.consents.expires_at[row]) + 1
    return with_node(world, chosen, consents=changed(chosen.consents, row, expires_at=expires))


@breaks("orders_agree")
def an_order_did_not_arrive(random: Random, world: World) -> World | None:
    chosen = some(random, (node for node in world.nodes if len(node.orders)))
    if chosen is None or not world.settled:
        return None
    orders, row = chosen.orders, random.randrange(len(chosen.orders))
    kept = [each for each in range(len(orders)) if each != row]
    names = {
        "identities": tuple(orders.identities[each] for each in kept),
        "offers": tuple(orders.offers[each] for each in kept),
    }
    return with_node(world, chosen, orders=taken(orders, kept, **names))


# Versions


@breaks("versions_rise")
def a_version_went_back(random: Random, world: World) -> World | None:
    hq = world.nodes[0]
    held = {order.name for node in world.nodes[1:] for order in node.work_orders if order.leased}
    order = some(random, (order for order in hq.work_orders if order.name in held))
    return None if order is None else with_order(world, hq, order, version=order.version - 1)


@breaks("policies_rise")
def a_policy_went_back(random: Random, world: World) -> World | None:
    node = random.choice(world.nodes)
    if len(node.policies) < 2:
        return None
    first, *rest = node.policies
    return with_node(world, node, policies=(replace(first, received_at=rest[-1].received_at + 1), *rest))


@breaks("policies_rise")
def a_policy_of_two_wordings(random: Random, world: World) -> World | None:
    node = random.choice(world.nodes)
    first, *rest = node.policies
    return with_node(world, node, policies=(replace(first, digest="other"), *rest))


@breaks("policies_agree")
def a_policy_did_not_arrive(random: Random, world: World) -> World | None:
    node = random.choice(world.nodes[1:])
    if not world.settled:
        return None
    return with_node(world, node, policies=node.policies[:-1])
