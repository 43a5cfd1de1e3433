"""The end checker over a simulated federation: what it makes of the stores and vendors' journals a seed leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from deploy.checker import check, hold_outs, stores
from deploy.checker.world import Contacts, Node, World
from deploy.simulation import audience
from deploy.simulation.people import key_of
from deploy.simulation.store import store_of
from deploy.simulation.vendor import Contact
from deploy.simulation.violation import Violation

if TYPE_CHECKING:
    from deploy.simulation import world

CLOCKS_SECONDS = 15
KNOWN_BETTER = frozenset({"queues_drained", "stops_agree", "consents_agree"})
"""Rules of the ending, which knows what a lost acknowledgement excuses, and who moved."""
FORGIVEN = frozenset({"policies_agree", "policies_rise", "work_orders_whole", "consents_held"})
"""Rules that an HQ may break that came back from a backup: nobody applied the policy again that it forgot, it ends what
it finds half cut, and a consent that it and the home both forgot is in no store any more; the witness saw it.
"""


def check_end(simulated: world.World) -> None:
    excused = KNOWN_BETTER | FORGIVEN if simulated.hq.restored else KNOWN_BETTER
    for finding in check.check(_world(simulated)):
        if finding.rule not in excused:
            raise Violation(finding.rule, f"{finding.invariant}, {finding.broken} of {finding.seen}: {finding.first}")


def _world(simulated: world.World) -> World:
    contacts = simulated.witness.contacts
    nodes = [_node(node.name, [each for each in contacts if each.node == node.name]) for node in simulated.nodes]
    keys, federation_key = (
        np.unique([person.key for person in simulated.people]),
        audience.federation_key(simulated.seed),
    )
    shares = hold_outs.shares(stores.campaigns(store_of(simulated.hq.name).connection))
    held_out = {name: hold_outs.drawn(keys, federation_key, name, share) for name, share in shares.items() if share}
    return World(tuple(nodes), held_out, settled=True, margin_seconds=CLOCKS_SECONDS)


def _node(name: str, contacts: Sequence[Contact]) -> Node:
    return replace(stores.node(store_of(name).connection, name), contacts=_journal(contacts))


def _journal(contacts: Sequence[Contact]) -> Contacts:
    lines: dict[tuple[str, str], int] = {}
    refs = [lines.setdefault((each.channel, each.work_order), len(lines)) for each in contacts]
    columns = [(each.task, key_of(each.msisdn), int(each.at), each.expire_at, 0) for each in contacts]
    tasks, keys, accepted_at, expire_at, homes = np.array(columns, dtype=np.int64).reshape(-1, 5).T
    return Contacts(tuple(lines), np.array(refs, dtype=np.int64), tasks, keys, accepted_at, expire_at, homes)
