"""The rules that keep the promises, by name: where each stands, and what stands there once it is left out.

The product knows nothing of this table. A rule that could be left out unseen would be useless or untested, so every
one here has a simulated run that finds its absence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sqlalchemy import Connection, false

from common.courier import log
from common.courier.cursor import Place
from common.delivery import claim, ledger, record, settle
from common.delivery.outlet import Outlet
from common.kernel.columns import Codes, Mask, Rows
from common.kernel.contact_rules import AT_CLAIM, AT_ISSUE, AT_LOCAL, Considered, ContactRule
from common.kernel.policy import CapRule, Policy, Scope
from common.kernel.task import NEXT, TERMINAL, TaskEvent, TaskReason, TaskState
from common.kernel.task_block import TaskBlock, advance
from common.kernel.work_order import WorkOrder, WorkOrderState
from common.runtime.clock import NANO, GuardedClock
from hq.store import grants
from hq.store.retelling import not_yours
from province import coordination

PLENTY = 1_000


@dataclass(frozen=True, slots=True)
class Guard:
    """`instead`: what stands at each place ("module:attribute") without the guard."""

    says: str
    instead: Mapping[str, Any]


def _nothing(*_arguments: object, **_named: object) -> None:
    """In place of a check."""


def _always(value: Any) -> Callable[..., Any]:
    def answer(*_arguments: object, **_named: object) -> Any:
        return value

    return answer


# Caps


def _loosened(rule: CapRule) -> CapRule:
    return replace(rule, contacts=2 * PLENTY, province_share=PLENTY)


def _uncapped(policy: Policy, *scopes: Scope) -> Policy:
    return replace(policy, caps=tuple(_loosened(rule) if rule.scope in scopes else rule for rule in policy.caps))


def _capping(rules: tuple[ContactRule, ...], capped: Callable[[Considered], Mask]) -> tuple[ContactRule, ...]:
    return tuple(replace(rule, forbids=capped) if rule.reason is TaskReason.CONTACT_CAP else rule for rule in rules)


def _issue_without(scope: Scope) -> tuple[ContactRule, ...]:
    forbids = next(rule.forbids for rule in AT_ISSUE if rule.reason is TaskReason.CONTACT_CAP)
    return _capping(AT_ISSUE, lambda of: forbids(replace(of, policy=_uncapped(of.policy, scope))))


def _local_rules() -> tuple[ContactRule, ...]:
    forbids = next(rule.forbids for rule in AT_LOCAL if rule.reason is TaskReason.CONTACT_CAP)
    return _capping(AT_LOCAL, lambda of: forbids(replace(of, policy=_uncapped(of.policy, *Scope))))


_own_caps = coordination.own_caps


def _own_caps_of_plenty(policy: Policy) -> tuple[Any, ...]:
    return _own_caps(_uncapped(policy, *Scope))


def _all_to_both(_policy: Policy, rule: CapRule, *, province: bool) -> int:
    del province
    return rule.contacts


# Claims, sending and receipts


def _without(rules: tuple[ContactRule, ...], reason: TaskReason) -> tuple[ContactRule, ...]:
    return tuple(rule for rule in rules if rule.reason is not reason)


def _reopening() -> Codes:
    """A receipt or report moves what is over."""
    table = NEXT.copy()
    for event, reached in (
        (TaskEvent.DELIVER, TaskState.DELIVERED),
        (TaskEvent.UNDELIVERABLE, TaskState.FAILED),
        (TaskEvent.REPORT_DELIVERED, TaskState.DELIVERED),
    ):
        table[event, list(TERMINAL)] = reached
    return table


def _returning() -> Codes:
    events = record._EVENTS.copy()
    events[record.NO_ANSWER] = TaskEvent.RETURN
    return events


def _booked_not(
    connection: Connection, block: TaskBlock, suppressed: Rows, rows: Rows, now: int, outlet: Outlet
) -> tuple[TaskBlock, Rows]:
    settle.save(connection, block, suppressed, outlet)
    return advance(block, rows, TaskEvent.BOOK, TaskReason.NONE, now)


def _expiring_only(order: WorkOrder, now: int) -> tuple[TaskEvent, TaskReason] | None:
    return _ending(replace(order, state=WorkOrderState.ACCEPTED), now)


def _cancelled_only(order: WorkOrder, now: int) -> tuple[TaskEvent, TaskReason] | None:
    return _ending(order, now) if order.state is WorkOrderState.CANCELLED else None


_ending = claim.ending


async def _kept_never(_fence: object, _mark: int) -> bool:
    return True


# Logs


def _in_step_by_number(connection: Any, peer: str, stream: str, place: Place, at: Any = None) -> bool:
    at = at or log.position(connection, peer, stream)
    return bool(place.epoch == at.epoch and at.oldest - 1 <= place.sequence <= at.head)


def _any_work_order(connection: Connection, province: str, name: str) -> WorkOrder:
    order = ledger.load_work_order(connection, name)
    if order is None:
        raise not_yours(f"there is no work order {name} of {province}")
    return order


def _wall(clock: GuardedClock) -> int:
    return clock._machine.wall() // NANO


def _moved_alone(moved_at: Any, fenced_at: int) -> Any:
    del fenced_at
    return moved_at


GUARDS: Mapping[str, Guard] = {
    "cap_over_all": Guard(
        "HQ counts the contacts of all marketing",
        {"common.kernel.contact_rules:AT_ISSUE": _issue_without(Scope.ALL)},
    ),
    "cap_of_class": Guard(
        "HQ counts the contacts of a channel class",
        {"common.kernel.contact_rules:AT_ISSUE": _issue_without(Scope.CHANNEL_CLASS)},
    ),
    "cap_of_line": Guard(
        "HQ counts the contacts of a product line",
        {"common.kernel.contact_rules:AT_ISSUE": _issue_without(Scope.PRODUCT_LINE)},
    ),
    "own_share": Guard(
        "a province spends no more than its own share",
        {
            "province.coordination:own_caps": _own_caps_of_plenty,
            "common.kernel.contact_rules:AT_LOCAL": _local_rules(),
        },
    ),
    "levels_share": Guard(
        "both levels' shares of a cap add up to the cap",
        {"common.kernel.policy:Policy.own_contacts": _all_to_both},
    ),
    "lease_is_spent": Guard(
        "a task that may still be sent is spent until its work order ends",
        {"common.kernel.budget:_LEASED": ()},
    ),
    "stop_at_claim": Guard(
        "who said stop is not contacted",
        {"common.kernel.contact_rules:AT_CLAIM": _without(AT_CLAIM, TaskReason.STOPPED)},
    ),
    "stop_freshness": Guard(
        "a node that has not heard the stops lately contacts nobody",
        {"province.link:is_fresh": _always(True)},
    ),
    "terminal_stays": Guard(
        "what is over stays as it ended",
        {"common.kernel.task:NEXT": _reopening()},
    ),
    "unknown_not_returned": Guard(
        "what a vendor never answered for is not sent anew",
        {"common.delivery.record:_EVENTS": _returning()},
    ),
    "lease_of_incarnation": Guard(
        "what was issued to a node that was restored since may have been sent",
        {"common.kernel.incarnation:may_have_sent": _always(False)},
    ),
    "mark_noticed": Guard(
        "a store older than the mark beside it was restored",
        {"common.kernel.incarnation:went_back": _always(False)},
    ),
    "open_given_up": Guard(
        "after a restore, what was yet to be sent may have been sent",
        {"common.delivery.fence:give_up": _always(0)},
    ),
    "mark_before_send": Guard(
        "the mark stands beside the store before anything is sent or told",
        {"common.delivery.fence:Fence.keep": _kept_never},
    ),
    "hq_tokens_fenced": Guard(
        "after a restore HQ issues nothing until the longest window has passed",
        {"common.kernel.incarnation:tokens_usable_from": _always(0)},
    ),
    "log_chain": Guard(
        "places in two logs are the same where their histories are",
        {"common.courier.log:in_step": _in_step_by_number},
    ),
    "session_fence": Guard(
        "of two sessions of a province only the newer is heard",
        {"hq.store.sessions:checked": lambda held, fence: held},  # noqa: ARG005
    ),
    "grant_once": Guard(
        "a grant asked for again is answered the same",
        {"hq.store.grants:_KNOWN": grants._KNOWN.where(false())},
    ),
    "hq_memory": Guard(
        "HQ that knows less of itself than a province does was restored",
        {"hq.link:_check_memory": _nothing},
    ),
    "feed_read_anew": Guard(
        "after a restore a province reads HQ's feed from the start",
        {"province.link:begin_incarnation": _nothing},
    ),
    "blacklist_at_claim": Guard(
        "who is on the blacklist is not contacted",
        {"common.kernel.contact_rules:AT_CLAIM": _without(AT_CLAIM, TaskReason.BLACKLISTED)},
    ),
    "consent_at_claim": Guard(
        "whose whereabouts ask for a contact has consented to that",
        {"common.kernel.contact_rules:AT_CLAIM": _without(AT_CLAIM, TaskReason.NO_CONSENT)},
    ),
    "cooling_at_claim": Guard(
        "marketing rests after a refusal or an order",
        {"common.kernel.contact_rules:AT_CLAIM": _without(AT_CLAIM, TaskReason.COOLING)},
    ),
    "ordered_at_claim": Guard(
        "who has the offer is not offered it",
        {"common.kernel.contact_rules:AT_CLAIM": _without(AT_CLAIM, TaskReason.ORDERED)},
    ),
    "last_word_stands": Guard(
        "of stops and liftings the last said stands, whenever it is heard",
        {"common.delivery.stops:_news": lambda connection, newest: np.ones(len(newest), dtype=np.bool_)},  # noqa: ARG005
    ),
    "paused_waits": Guard(
        "of a paused work order nobody is contacted",
        {"common.delivery.claim:MAY_RUN": (WorkOrderState.ACCEPTED, WorkOrderState.PAUSED)},
    ),
    "cancelled_ends": Guard(
        "of a cancelled work order nobody is contacted",
        {
            "common.delivery.claim:MAY_RUN": (WorkOrderState.ACCEPTED, WorkOrderState.CANCELLED),
            "common.delivery.claim:ending": _expiring_only,
        },
    ),
    "validity_ends": Guard(
        "nobody is contacted past the end of a work order",
        {
            "common.delivery.claim:in_validity": lambda order, now: order.start_at <= now,
            "common.delivery.claim:ending": _cancelled_only,
        },
    ),
    "spend_before_send": Guard(
        "a contact is booked in the store before it is sent",
        {"common.delivery.claim:_booked": _booked_not},
    ),
    "recognised_only": Guard(
        "what was not answered for is sent again only while the vendor would recognise it",
        {"common.delivery.claim:recognised": lambda submitted_at, terms, now: submitted_at > 0},  # noqa: ARG005
    ),
    "clocks_agree": Guard(
        "nothing is leased to a node whose clock disagrees, nor is such a clock believed",
        {"common.kernel.policy:CLOCK_MARGIN_SECONDS": 10**9},
    ),
    "clock_steady": Guard(
        "a step of the wall clock moves no node's time",
        {"common.runtime.clock:GuardedClock.now": _wall},
    ),
    "grant_is_spent": Guard(
        "what HQ grants is spent from its own contacts",
        {"hq.store.grants:_spent": lambda connection, order, block, now: block},  # noqa: ARG005
    ),
    "own_tokens_fenced": Guard(
        "after a restore a province spends nothing of its own until the longest window has passed",
        {"province.store.coordination:_all_spent_at": _moved_alone},
    ),
    "quiet_hours": Guard(
        "nobody is contacted in quiet hours",
        {"common.kernel.policy:everybody_quiet": _always(False)},
    ),
    "forgot_passes_over": Guard(
        "HQ passes over what a province says of work orders it may have forgotten, and hears it again",
        {"hq.store.retelling:forgot": _always(False)},
    ),
    "own_work_orders": Guard(
        "a province reports on no work order but its own",
        {"hq.store.retelling:own_work_order": _any_work_order},
    ),
    "held_out": Guard(
        "who is held out of a campaign is not contacted for it",
        {"hq.audience:Audience.contactable": property(lambda audience: audience.target)},
    ),
    "places_fenced": Guard(
        "after a restore a channel with a capacity takes nothing more that day",
        {"common.delivery.places:_forgot": _always(False)},
    ),
    "places_of_day": Guard(
        "a channel takes no more in a day than its capacity",
        {"common.delivery.places:left": lambda connection, node, channel, policy, now, most: most},  # noqa: ARG005
    ),
}
