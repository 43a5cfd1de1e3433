"""Where a world is: nodes' stores and vendors' journals, and how to read them in an order that proves something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sqlalchemy.exc import SQLAlchemyError
from yaml import YAMLError

from deploy.checker import hold_outs, journals, stores
from deploy.checker.columns import places
from deploy.checker.journals import Accepted
from deploy.checker.stores import People
from deploy.checker.world import HQ, Contacts, Ints, Node, World


@dataclass(frozen=True, slots=True)
class Sources:
    """`stores`: an SQLAlchemy URL or the path of an SQLite file, by node; HQ's is "hq", a province's its code.
    `journals`: its vendors' files, by node. Without the federation key hold-outs are not checked."""

    stores: Mapping[str, str]
    journals: Mapping[str, Sequence[Path]]
    federation_key: bytes = b""
    settled: bool = False
    live: bool = False
    connected: bool = False
    margin_seconds: int = 0


class UnreadableError(Exception):
    """A store is not there, or holds what no node of ours would write; the message says which."""


def read(sources: Sources) -> World:
    """Vendors first, then HQ, then the provinces, then how far HQ has read: what is later may only know more."""
    accepted = {name: journals.read(sources.journals.get(name, ())) for name in sources.stores}
    names = sorted(sources.stores, key=lambda name: (name != HQ, name))
    found = {name: _node(sources, name) for name in names}
    with ExitStack() as open_stores:
        again = {name: open_stores.enter_context(stores.snapshot(sources.stores[name])) for name in names}
        if HQ in again:
            found[HQ] = replace(found[HQ], cursors=stores.cursors(again[HQ]))
        numbers = [each.numbers for each in accepted.values()]
        keys = [node.orders.keys for node in found.values()]
        people = stores.people(list(again.values()), np.concatenate(numbers), np.concatenate(keys))
        files = stores.campaigns(again[HQ]) if HQ in again else {}
    nodes = tuple(_complete(found[name], accepted[name], people) for name in names)
    return World(
        nodes,
        _held_out(nodes, hold_outs.shares(files), sources.federation_key),
        settled=sources.settled,
        live=sources.live,
        connected=sources.connected,
        margin_seconds=sources.margin_seconds,
    )


def _node(sources: Sources, name: str) -> Node:
    try:
        with stores.snapshot(sources.stores[name]) as connection:
            return stores.node(connection, name)
    except (SQLAlchemyError, YAMLError, ValueError, KeyError) as error:
        raise UnreadableError(f"the store of {name} cannot be read ({error}); give its address") from error


def _complete(node: Node, accepted: Accepted, people: People) -> Node:
    at = places(accepted.numbers, people.numbers)
    keys, homes = people.keys_of_numbers[at], people.homes_of_numbers[at]
    contacts = Contacts(
        accepted.lines,
        accepted.refs,
        accepted.tasks,
        np.where(keys == 0, -1 - accepted.numbers, keys),
        accepted.accepted_at,
        accepted.expire_at,
        homes,
    )
    orders = replace(node.orders, homes=people.homes_of_keys[places(node.orders.keys, people.keys)])
    return replace(node, contacts=contacts, orders=orders)


def _held_out(nodes: tuple[Node, ...], shares: Mapping[str, float], federation_key: bytes) -> dict[str, Ints]:
    if not federation_key:
        return {}
    keys = np.unique(np.concatenate([node.contacts.keys for node in nodes]))
    return {name: hold_outs.drawn(keys, federation_key, name, share) for name, share in shares.items() if share}
