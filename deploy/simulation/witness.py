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
from common.kernel.stop import StopScope
from common.kernel.task import TERMINAL, TaskState
from common.kernel.task_block import BLOCK_ROWS
from common.kernel.work_order import HQ_NODE, WorkOrder, WorkOrderState
from deploy.simulation import barred, policies
from deploy.simulation.kinds import STORY
from deploy.simulation.people import key_of
from deploy.simulation.vendor import Contact
from deploy.simulation.violation import Violation

if TYPE_CHECKING:
    from deploy.simulation.node import Node
    from deploy.simulation.world import World

STOPS = "SELECT subscriber_key, scope FROM stop WHERE NOT lifted"
CANCELLED = f"SELECT name FROM work_order WHERE state = {int(WorkOrderState.CANCELLED)}"  # noqa: S608
BLOCKS = "SELECT work_order, number, states FROM task_block"
VERSIONS = "SELECT name, version FROM work_order"
POLICIES = "SELECT version, document FROM policy"
IN_FORCE = "SELECT coalesce(max(version), 0) FROM policy WHERE objection = ''"
SETTLED = min(TERMINAL)
LEARNED = {(TaskState.SUPPRESSED, state) for state in (TaskState.DELIVERED, TaskState.FAILED, TaskState.EXPIRED)}
"""What a restored HQ remembers to have suppressed, it may have issued again since, and a vendor knows how it ended."""
DAY, SHANGHAI_SECONDS = 86_400, 28_800


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
    policy: Policy


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
        self._quiet = {0: policies.DEFAULT_QUIET}
        self._spent: defaultdict[int, list[_Spend]] = defaultdict(list)
        self._issued_by: dict[tuple[str, int], int] = {}
        """By which policy HQ decided each block: another may be in force by then than when it issued the work order."""
        self._taken: set[tuple[str, int]] = set()
        self._days: defaultdict[tuple[str, str, int], list[_Booking]] = defaultdict(list)
        """By node, channel and civil day."""

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
        booking = _Booking(moment, claimed.work_order, claimed.policy)
        barred.check(node, claimed)
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
        self._check_stops(contact, booked)
        self._check_cancelled(contact, booked.moment)
        if not self._world.clocks_step:
            self._check_hours(contact, booked)
            self._check_places(contact, booked)
        if not booked.order.service:
            self._check_caps(contact, booked.order)

    def _policy(self, version: int, document: str) -> None:
        """One number is one policy for ever, at every node."""
        known, new = self._policies.get(version), understood(document, version)
        if not isinstance(new, Policy) or (known is not None and known != new):
            raise Violation("versions", f"policy {version} is {new}, and was {known}")
        self._policies[version] = new
        self._quiet[version] = policies.QUIET if policies.is_quiet(document) else policies.NEVER

    def _check_caps(self, contact: Contact, order: WorkOrder) -> None:
        """Some policy by which these contacts were decided allows all of them together."""
        spent = self._spent[key_of(contact.msisdn)]
        block = order.name, contact.task // BLOCK_ROWS
        version = self._issued_by.get(block, order.policy_version) if order.leased else order.policy_version
        spent.append(_Spend(contact.at, CHANNELS[contact.channel].channel_class, order.product_line, version))
        longest = max(policy.longest_window_seconds for policy in self._policies.values())
        recent = [each for each in spent if each.at > contact.at - longest]
        decided = [self._policies[version] for version in sorted({each.version for each in recent})]
        for scope in dict.fromkeys((rule.scope, rule.value) for policy in decided for rule in policy.caps):
            broken = [_broken(policy, scope, recent, contact.at) for policy in decided]
            if all(broken):
                raise Violation("caps", f"{contact} is too many by {', '.join(broken)}: {recent}")

    def _check_hours(self, contact: Contact, booked: _Booking) -> None:
        """I3. What was sent in time the vendor may take until `submit_by`; whose clocks are wrong, cannot know."""
        order, quiet = booked.order, self._quiet[booked.policy.version]
        if not order.start_at <= contact.at <= order.end_at:
            raise Violation("hours", f"{contact} is not between {order.start_at} and {order.end_at}")
        if not order.service and all(_within(quiet, at) for at in (contact.at - SUBMIT_SECONDS, contact.at)):
            raise Violation("hours", f"{contact} is in quiet hours")

    def _check_places(self, contact: Contact, booked: _Booking) -> None:
        """I12. Whoever booked last knew of all the others of the day."""
        day = self._days[contact.node, contact.channel, int(contact.at + SHANGHAI_SECONDS) // DAY]
        day.append(booked)
        places = max(day, key=lambda each: each.moment.commit).policy.capacity(contact.channel)
        if len(day) == places:
            self._world.kinds[f"{STORY}full day"] += 1
        if places is not None and len(day) > places:
            raise Violation("capacity", f"{contact} is number {len(day)} of the day, where {places} are allowed: {day}")

    def _check_fresh(self, node: str, claimed: Claimed, booking: _Booking) -> None:
        """A node knows every stop that HQ has known for so long, or contacts nobody."""
        here, known_before = self._seen[node].stops, booking.moment.at - booking.policy.stop_freshness_seconds
        keys = set(claimed.block.keys[claimed.rows].tolist())
        for stop, since in self._seen[HQ_NODE].stops.items():
            if stop[0] in keys and since.at < known_before and stop not in here:
                raise Violation(
                    "freshness", f"{node} booked {claimed.work_order.name}, HQ knows of {stop} since {since}"
                )

    def _check_stops(self, contact: Contact, booked: _Booking) -> None:
        key = key_of(contact.msisdn)
        for (stopped, scope), since in self._seen[contact.node].stops.items():
            forbids = scope == StopScope.BLACKLIST or (scope == StopScope.ALL and not booked.order.service)
            if stopped == key and forbids and _too_late(contact, booked.moment, since):
                raise Violation("stops", f"{contact} was booked at {booked.moment}, its stop known since {since}")

    def _check_cancelled(self, contact: Contact, booked: Moment) -> None:
        since = self._seen[contact.node].cancelled.get(contact.work_order)
        if since is not None and _too_late(contact, booked, since):
            raise Violation("cancelled", f"{contact} was booked at {booked}, its work order cancelled since {since}")

    def _check_blocks(self, node: Node, seen: _Seen) -> None:
        [(version,)] = node.rows(IN_FORCE)
        for name, number, states in node.rows(BLOCKS):
            if node.name == HQ_NODE:
                self._issued_by.setdefault((name, number), version)
            before = seen.states.get((name, number), states)
            if before != states:
                _check_terminal(node, name, number, before, states)
            seen.states[name, number] = states

    def _check_versions(self, node: Node, seen: _Seen) -> None:
        for name, version in node.rows(VERSIONS):
            if version < (before := seen.versions.get(name, 0)):
                raise Violation("versions", f"{node.name}: {name} went from {before} to {version}")
            seen.versions[name] = version


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


def _within(quiet: tuple[int, int], at: float) -> bool:
    """Whether a moment is in hours that begin on one day and end on the next, in Shanghai."""
    begins, ends = quiet
    seconds = (at + SHANGHAI_SECONDS) % DAY
    return seconds >= begins or seconds < ends


def _too_late(contact: Contact, booked: Moment, since: Moment) -> bool:
    return since.commit < booked.commit or contact.at > since.at + SUBMIT_SECONDS


def _check_terminal(node: Node, name: str, number: int, before: bytes, after: bytes) -> None:
    for row, (was, now) in enumerate(zip(before, after, strict=True)):
        learned = node.name == HQ_NODE and node.restored and (was, now) in LEARNED
        if was >= SETTLED and was != now and not learned:
            raise Violation("one_terminal", f"{node.name}: task {row} of {name}/{number} went from {was} to {now}")
