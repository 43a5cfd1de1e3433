"""What must hold, checked from the vendors' journal and the stores' rows, never by asking the nodes.

Names of rules are those of the end checker: caps (I1), stops (I2), and so on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from common.delivery.claim import Claimed
from common.delivery.policies import understood
from common.kernel.channel import CHANNELS
from common.kernel.policy import DEFAULT, SUBMIT_SECONDS, Policy, Scope
from common.kernel.task import TERMINAL, TaskState
from common.kernel.task_block import BLOCK_ROWS
from common.kernel.work_order import HQ_NODE, WorkOrder, WorkOrderState
from deploy.simulation.people import key_of
from deploy.simulation.vendor import Contact

if TYPE_CHECKING:
    from deploy.simulation.node import Node
    from deploy.simulation.world import World

STOPS = "SELECT subscriber_key, scope FROM stop WHERE NOT lifted"
CANCELLED = f"SELECT name FROM work_order WHERE state = {int(WorkOrderState.CANCELLED)}"  # noqa: S608
BLOCKS = "SELECT work_order, number, states FROM task_block"
VERSIONS = "SELECT name, version FROM work_order"
POLICIES = "SELECT version, document FROM policy"
SETTLED = min(TERMINAL)

_Block = tuple[bytes, ...]
"""Keys, states, reasons, responses."""


class Violation(Exception):
    """Something that must hold does not."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(f"{rule}: {message}")
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Moment:
    commit: int
    """Of all commits anywhere."""
    at: float


@dataclass(slots=True)
class _Seen:
    """What a node was known to hold, and since when."""

    stops: dict[tuple[int, int], Moment] = field(default_factory=dict)
    cancelled: dict[str, Moment] = field(default_factory=dict)
    states: dict[tuple[str, int], bytes] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Booking:
    moment: Moment
    order: WorkOrder
    stop_freshness_seconds: int


@dataclass(frozen=True, slots=True)
class _Spend:
    at: float
    channel_class: str
    product_line: str
    version: int


class Witness:
    def __init__(self, world: World) -> None:
        self.contacts: list[Contact] = []
        self._world = world
        self._commits = 0
        self._seen: defaultdict[str, _Seen] = defaultdict(_Seen)
        self._booked: dict[tuple[str, str, int], _Booking] = {}
        self._policies: dict[int, Policy] = {0: DEFAULT}
        self._spent: defaultdict[int, list[_Spend]] = defaultdict(list)
        self._taken: set[tuple[str, int]] = set()

    # Told as it happens

    def look(self, node: Node, changed: Set[str]) -> None:
        """After each commit of a node, with the tables it changed."""
        self._commits += 1
        seen, now = self._seen[node.name], Moment(self._commits, self._world.timeline.now)
        if "stop" in changed:
            seen.stops = {key: seen.stops.get(key, now) for key in node.rows(STOPS)}
        if "work_order" in changed:
            seen.cancelled = {name: seen.cancelled.get(name, now) for (name,) in node.rows(CANCELLED)}
            self._check_versions(node, seen)
        if "task_block" in changed:
            self._check_blocks(node, seen)
        if "policy" in changed:
            for version, document in node.rows(POLICIES):
                self._policy(version, document)

    def restored(self, node: Node) -> None:
        """What a node forgot it may contradict."""
        self._seen.pop(node.name, None)

    def booked(self, node: Node, claimed: Claimed) -> None:
        moment = Moment(self._commits, self._world.timeline.now)
        booking = _Booking(moment, claimed.work_order, claimed.policy.stop_freshness_seconds)
        self._check_fresh(node.name, claimed, booking)
        for row in claimed.rows.tolist():
            place = node.name, claimed.work_order.name, claimed.block.number * BLOCK_ROWS + row
            if not claimed.resent or place not in self._booked:
                self._booked[place] = booking

    def contacted(self, contact: Contact) -> None:
        """A vendor took a message."""
        self._world.tell("vendor", "takes %s", contact)
        self.contacts.append(contact)
        booked = self._booked.get((contact.node, contact.work_order, contact.task))
        if booked is None:
            raise Violation("spend_before_send", f"{contact} was never booked")
        if (contact.work_order, contact.task) in self._taken:
            raise Violation("one_submit", f"the vendor took it twice: {contact}")
        self._taken.add((contact.work_order, contact.task))
        self._check_stops(contact, booked.moment)
        self._check_cancelled(contact, booked.moment)
        if not booked.order.service:
            self._check_caps(contact, booked.order)

    def _policy(self, version: int, document: str) -> None:
        """One number is one policy for ever, at every node."""
        known, new = self._policies.get(version), understood(document, version)
        if not isinstance(new, Policy) or (known is not None and known != new):
            raise Violation("versions", f"policy {version} is {new}, and was {known}")
        self._policies[version] = new

    def _check_caps(self, contact: Contact, order: WorkOrder) -> None:
        """Some policy by which these contacts were decided allows all of them together."""
        spent = self._spent[key_of(contact.msisdn)]
        spent.append(
            _Spend(contact.at, CHANNELS[contact.channel].channel_class, order.product_line, order.policy_version)
        )
        longest = max(policy.longest_window_seconds for policy in self._policies.values())
        recent = [each for each in spent if each.at > contact.at - longest]
        decided = [self._policies[version] for version in sorted({each.version for each in recent})]
        for scope in dict.fromkeys((rule.scope, rule.value) for policy in decided for rule in policy.caps):
            broken = [_broken(policy, scope, recent, contact.at) for policy in decided]
            if all(broken):
                raise Violation("caps", f"{contact} is too many by {', '.join(broken)}: {recent}")

    def _check_fresh(self, node: str, claimed: Claimed, booking: _Booking) -> None:
        """A node knows every stop that HQ has known for so long, or contacts nobody."""
        here, known_before = self._seen[node].stops, booking.moment.at - booking.stop_freshness_seconds
        keys = set(claimed.block.keys[claimed.rows].tolist())
        for stop, since in self._seen[HQ_NODE].stops.items():
            if stop[0] in keys and since.at < known_before and stop not in here:
                raise Violation(
                    "freshness", f"{node} booked {claimed.work_order.name}, HQ knows of {stop} since {since}"
                )

    def _check_stops(self, contact: Contact, booked: Moment) -> None:
        key = key_of(contact.msisdn)
        for (stopped, scope), since in self._seen[contact.node].stops.items():
            if stopped == key and scope == 0 and _too_late(contact, booked, since):
                raise Violation("stops", f"{contact} was booked at {booked}, its stop known since {since}")

    def _check_cancelled(self, contact: Contact, booked: Moment) -> None:
        since = self._seen[contact.node].cancelled.get(contact.work_order)
        if since is not None and _too_late(contact, booked, since):
            raise Violation("cancelled", f"{contact} was booked at {booked}, its work order cancelled since {since}")

    def _check_blocks(self, node: Node, seen: _Seen) -> None:
        for name, number, states in node.rows(BLOCKS):
            before = seen.states.get((name, number), states)
            if before != states:
                _check_terminal(node.name, name, number, before, states)
            seen.states[name, number] = states

    def _check_versions(self, node: Node, seen: _Seen) -> None:
        for name, version in node.rows(VERSIONS):
            if version < (before := seen.versions.get(name, 0)):
                raise Violation("versions", f"{node.name}: {name} went from {before} to {version}")
            seen.versions[name] = version

    # At the end

    def check_end(self, hq: Node, provinces: list[Node]) -> None:
        for node in (hq, *provinces):
            _check_sums(node)
        for province in provinces:
            _check_agree(hq, province)


def _broken(policy: Policy, scope: tuple[Scope, str], recent: list[_Spend], now: float) -> str:
    """Which rule of this scope the contacts break, the newest of them at `now`."""
    for rule in policy.caps:
        if (rule.scope, rule.value) == scope:
            covered = [
                each for each in recent
                if each.at > now - rule.window_seconds and rule.covers(each.channel_class, each.product_line)
            ]  # fmt: skip
            if len(covered) > rule.contacts:
                return f"{len(covered)} of {rule} of policy {policy.version}"
    return ""


def _too_late(contact: Contact, booked: Moment, since: Moment) -> bool:
    return since.commit < booked.commit or contact.at > since.at + SUBMIT_SECONDS


def _check_terminal(node: str, name: str, number: int, before: bytes, after: bytes) -> None:
    for row, (was, now) in enumerate(zip(before, after, strict=True)):
        if was >= SETTLED and was != now:
            raise Violation("one_terminal", f"{node}: task {row} of {name}/{number} went from {was} to {now}")


def _check_sums(node: Node) -> None:
    for name, number, states in node.rows(BLOCKS):
        left = [row for row, state in enumerate(states) if state < SETTLED]
        if left:
            raise Violation("liveness", f"{node.name}: tasks {left} of {name}/{number} are not settled: {list(states)}")
    counters = ", ".join(f"{name}_tasks" for name in ("delivered", "suppressed", "expired", "failed", "unknown"))
    for name, number, tasks, states, *counted in node.rows(
        f"SELECT work_order, number, tasks, states, {counters} FROM task_block"  # noqa: S608
    ):
        if counted != [states.count(state) for state in TERMINAL] or sum(counted) != tasks:
            raise Violation("sums", f"{node.name}: {name}/{number} counts {counted} of {tasks}, holds {list(states)}")


def _check_agree(hq: Node, province: Node) -> None:
    """After everything was told both sides hold the same of every task, but for what a restored side cannot know."""
    columns = "work_order, number, keys, states, reasons, responses"
    mine = {row[:2]: row[2:] for row in province.rows(f"SELECT {columns} FROM task_block")}  # noqa: S608
    theirs = {
        row[:2]: row[2:]
        for row in hq.rows(
            f"SELECT {columns} FROM task_block WHERE work_order IN (SELECT name FROM work_order WHERE node = ?)",  # noqa: S608
            province.name,
        )
    }
    restored = hq.restored or province.restored
    for place in sorted(mine.keys() | theirs.keys()):
        # What is over is not told to a province that forgot it.
        forgotten = place not in mine and province.restored
        if not forgotten and not _agree(mine.get(place), theirs.get(place), restored):
            shown = f"{_shown(mine.get(place))} there, {_shown(theirs.get(place))} at {HQ_NODE}"
            raise Violation("convergence", f"{province.name}: {place[0]}/{place[1]} is {shown}")


def _agree(mine: _Block | None, theirs: _Block | None, restored: bool) -> bool:
    if mine is None or theirs is None or not restored:
        return mine == theirs
    rows = zip(mine[1], mine[2], theirs[1], theirs[2], strict=True)
    # What a node forgot it may never learn again, and says so.
    return mine[0] == theirs[0] and all(
        (state, why) == (other, reason) or TaskState.UNKNOWN in (state, other) for state, why, other, reason in rows
    )


def _shown(block: _Block | None) -> str:
    if block is None:
        return "absent"
    _, states, reasons, responses = (list(column) for column in block)
    return f"states {states} reasons {reasons} responses {responses}"
