"""What the end checker looks at: plain columns, read from stores and vendors' journals or made in memory.

Nothing here is shared with the nodes: codes and names are those of the stored files, written down once more. All
moments are seconds since the Unix epoch, UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[Any]
"""Integers of any width."""
Mask = NDArray[np.bool_]

HQ = "hq"
BLOCK_TASKS = 10_000
"""Task n of a work order is row n % BLOCK_TASKS of its block n // BLOCK_TASKS."""
NEVER = 1 << 62


class State(IntEnum):
    OPEN = 1
    SUBMITTING = 2
    SUBMITTED = 3
    DELIVERED = 4
    SUPPRESSED = 5
    EXPIRED = 6
    FAILED = 7
    UNKNOWN = 8


FIRST_TERMINAL = State.DELIVERED
RESTORED = 42
"""The reason of a task that a node gave up when it came back from a backup."""


class OrderState(IntEnum):
    """Of a work order."""

    ISSUED = 1
    ACCEPTED = 2
    REJECTED = 3
    PAUSED = 4
    CANCELLED = 5
    COMPLETED = 6


class Scope(IntEnum):
    """What a stop forbids; the others are channel classes."""

    ERASED = -1
    """Everything: the person's data was erased."""
    ALL = 0
    REFUSED = 1
    BLACKLIST = 2


CLASS_SCOPES = {"message": 16, "push": 17, "call": 18, "email": 19, "in_person": 20, "in_app": 21}
SUBSCRIBED = 1
"""The change of an order that makes somebody own the offer."""


@dataclass(frozen=True, slots=True)
class WorkOrder:
    name: str
    node: str
    channel: str
    start_at: int
    end_at: int
    task_count: int
    state: int
    version: int = 1
    campaign: str = ""
    offer: str = ""
    product_line: str = ""
    service: bool = False
    leased: bool = True
    purpose: str = ""
    policy_version: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """One block as stored: its columns, and the counters beside them."""

    work_order: str
    number: int
    keys: Ints
    states: Ints
    reasons: Ints
    responses: Ints
    submitted_at: Ints
    settled_at: Ints
    first_key: int
    last_key: int
    tasks: int
    counters: tuple[int, ...]
    """Tasks in each state, from OPEN on."""
    last_submitted_at: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """A node's tasks. Block i holds rows `starts[i]` to `starts[i + 1]` of the columns."""

    blocks: tuple[Block, ...]
    starts: Ints
    keys: Ints
    states: Ints
    reasons: Ints
    responses: Ints
    submitted_at: Ints
    settled_at: Ints

    def __len__(self) -> int:
        return len(self.keys)


def ledger(blocks: Sequence[Block] = ()) -> Ledger:
    """A column shorter than its block's keys is filled up with zeroes, a longer one is cut."""
    starts = np.cumsum([0, *(len(block.keys) for block in blocks)])
    return Ledger(tuple(blocks), starts, *(_gathered(blocks, name) for name in COLUMNS))


COLUMNS = ("keys", "states", "reasons", "responses", "submitted_at", "settled_at")


def _gathered(blocks: Sequence[Block], name: str) -> Ints:
    if not blocks:
        return np.zeros(0, dtype=np.int64)
    return np.concatenate([_fitted(getattr(block, name), len(block.keys)) for block in blocks])


def _fitted(column: Ints, rows: int) -> Ints:
    return column if len(column) == rows else np.resize(np.append(column, np.zeros(rows, column.dtype)), rows)


def block(work_order: str, number: int, keys: Ints, states: Ints, **columns: Ints) -> Block:
    """A block whose counters are right. Columns not given are zero."""
    rest = {name: columns.get(name, np.zeros(len(keys), dtype=np.int64)) for name in COLUMNS[2:]}
    counted = np.bincount(states, minlength=1 + max(State))[1:]
    dates = contact_dates(states, rest["submitted_at"], rest["settled_at"])
    return Block(
        work_order,
        number,
        keys,
        states,
        **rest,
        first_key=int(keys[0]),
        last_key=int(keys[-1]),
        tasks=len(keys),
        counters=tuple(counted.tolist()),
        last_submitted_at=int(dates.max(initial=0)),
    )


def contact_dates(states: Ints, submitted_at: Ints, settled_at: Ints) -> Ints:
    """When each task was submitted; what is unknown may have been a contact as late as it was given up."""
    given_up = np.where(states == State.UNKNOWN, settled_at, 0)
    return np.maximum(submitted_at, given_up).astype(np.int64)


def _none() -> Ints:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Contacts:
    """Messages a node's vendors accepted, a row each. `refs` points into `lines`, pairs of (channel, work order).

    `keys` are subscriber keys; one below 0, the same for the same number, where no store knows whose number it is.
    `homes` are home provinces, 0 where not known.
    """

    lines: tuple[tuple[str, str], ...] = ()
    refs: Ints = field(default_factory=_none)
    tasks: Ints = field(default_factory=_none)
    keys: Ints = field(default_factory=_none)
    accepted_at: Ints = field(default_factory=_none)
    expire_at: Ints = field(default_factory=_none)
    homes: Ints = field(default_factory=_none)

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Stops:
    """`heard_at`: when the node recorded it; 0 where that is not known. `scopes` are those of Scope and CLASS_SCOPES.

    Without `history` there is only the newest row of each (subscriber, scope), and what was before is forgotten.
    """

    keys: Ints = field(default_factory=_none)
    scopes: Ints = field(default_factory=_none)
    stopped_at: Ints = field(default_factory=_none)
    lifted: Ints = field(default_factory=_none)
    heard_at: Ints = field(default_factory=_none)
    history: bool = False

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Consents:
    """`refs` points into `purposes`. As with stops, `history` says whether every row there ever was is here."""

    purposes: tuple[str, ...] = ()
    keys: Ints = field(default_factory=_none)
    refs: Ints = field(default_factory=_none)
    given_at: Ints = field(default_factory=_none)
    expires_at: Ints = field(default_factory=_none)
    withdrawn: Ints = field(default_factory=_none)
    heard_at: Ints = field(default_factory=_none)
    history: bool = False

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Orders:
    """Order records. `homes`: the province where a subscriber always was at home; 0 where that is not known."""

    identities: tuple[tuple[str, str, int], ...] = ()
    """(source system, order number, revision)"""
    offers: tuple[str, ...] = ()
    keys: Ints = field(default_factory=_none)
    changes: Ints = field(default_factory=_none)
    accepted_at: Ints = field(default_factory=_none)
    observed_at: Ints = field(default_factory=_none)
    homes: Ints = field(default_factory=_none)

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `contacts` in any stretch of `window_seconds`. `scope` is "all", "channel_class" or "product_line"."""

    scope: str
    value: str
    contacts: int
    window_seconds: int


@dataclass(frozen=True, slots=True)
class Quiet:
    """Two windows of a civil day, for working days and days of rest: from a second until before another, or, where
    that is not later, over both ends of the day. The day a moment falls on says which of the two counts."""

    working: tuple[int, int]
    rest: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Policy:
    """A contact policy as one node has it. `received_at`: in force there from then on, until a higher version is."""

    version: int
    received_at: int
    caps: tuple[Cap, ...] = ()
    cooling_seconds: int = 0
    after_order_seconds: int = 0
    consent_classes: tuple[str, ...] = ()
    capacities: Mapping[str, int] = field(default_factory=dict)
    """Contacts a civil day, by channel."""
    quiet: Mapping[str, Quiet] = field(default_factory=dict)
    years: frozenset[int] = frozenset()
    """Those whose days of rest are known; in others both windows are quiet."""
    rest_days: frozenset[date] = frozenset()
    make_up_days: frozenset[date] = frozenset()
    zones: Mapping[int, str] = field(default_factory=dict)
    """By home province, where people live by another clock than the channel's."""
    applied: bool = True
    """False: the node objected and keeps the one before."""
    digest: str = ""
    """Of the document: the same version must be the same everywhere."""


@dataclass(frozen=True, slots=True)
class Log:
    """A log this node writes for `peer`; `entries` are kept from `oldest` on. `sound`: carries its own digest."""

    peer: str
    stream: str
    epoch: int
    oldest: int
    head: int
    committed: int
    base_chain: int = 0
    sequences: Ints = field(default_factory=_none)
    chains: Ints = field(default_factory=_none)
    sound: Ints = field(default_factory=_none)


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far this node has read the log that `peer` writes."""

    peer: str
    stream: str
    epoch: int
    sequence: int
    chain: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """A province's request that HQ answered with a work order, or with none (empty)."""

    province: str
    request_id: str
    work_order: str


@dataclass(frozen=True, slots=True)
class Node:
    """One node's store, and the journal of its vendors."""

    name: str
    work_orders: tuple[WorkOrder, ...] = ()
    ledger: Ledger = field(default_factory=ledger)
    contacts: Contacts = Contacts()
    stops: Stops = Stops()
    consents: Consents = Consents()
    orders: Orders = Orders()
    policies: tuple[Policy, ...] = ()
    logs: tuple[Log, ...] = ()
    cursors: tuple[Cursor, ...] = ()
    grants: tuple[Grant, ...] = ()
    incarnation: int = 1
    fenced_at: int = 0
    """When it last came back from a backup; 0: never. What it did before then may be missing from its store."""
    waiting: Mapping[str, int] = field(default_factory=dict)
    """Entries in its other queues, by name."""


@dataclass(frozen=True, slots=True)
class Channel:
    channel_class: str
    zone: str = "Asia/Shanghai"
    quiet: Quiet = Quiet((21 * 3600, 9 * 3600), (21 * 3600, 9 * 3600))


CHANNELS = {
    "sms": Channel("message"),
    "app_push": Channel("push"),
    "local_sms": Channel("message"),
    "outbound_call": Channel("call"),
    "toolbar": Channel("in_app"),
}


@dataclass(frozen=True, slots=True)
class World:
    """HQ, its provinces, and what is known about the run."""

    nodes: tuple[Node, ...]
    held_out: Mapping[str, Ints] = field(default_factory=dict)
    """By campaign: subscriber keys, ascending."""
    channels: Mapping[str, Channel] = field(default_factory=lambda: CHANNELS)
    settled: bool = False
    """Faults are over and everything had time to arrive: queues must be empty and both sides agree."""
    live: bool = False
    """Read from running nodes one after another, vendors first: what needs one instant cannot be checked."""
    connected: bool = False
    """No link was ever down: stops must have spread in time."""
    margin_seconds: int = 0
    """How far vendors' and nodes' clocks may disagree."""

    def node(self, name: str) -> Node | None:
        return next((node for node in self.nodes if node.name == name), None)

    @property
    def hq(self) -> Node | None:
        return self.node(HQ)

    @property
    def provinces(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.name != HQ)
