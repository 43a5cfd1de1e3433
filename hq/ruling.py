"""What was decided about one person's task: the recorded decision made again, rule by rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from common.kernel.budget import Account, Spends, counts, spend_dates
from common.kernel.contact_rules import (
    BLACKLISTED_AT,
    CLASS_CONSENT_UNTIL,
    CLASS_STOPPED_AT,
    CONSENT_UNTIL,
    ERASED_AT,
    LEFT,
    NO_ROOM,
    ORDERED_AT,
    OUTRANKED_BY,
    OWN_FROM,
    OWNS_SINCE,
    REFUSED_AT,
    RIVAL,
    SPENT,
    STAGES,
    STOPPED_AT,
    UNNUMBERED,
    Considered,
    Terms,
    verdicts,
)
from common.kernel.decision import Decision
from common.kernel.marketing_state import MarketingState, marketing_states
from common.kernel.policy import SPEND_MARGIN_SECONDS, CapRule, Policy
from common.kernel.task import Response, TaskReason, TaskState
from common.kernel.task_block import BLOCK_ROWS
from common.kernel.work_order import HQ_NODE, WorkOrder

Document = dict[str, Any]
PolicyOf = Callable[[int], Policy | None]

READS: dict[TaskReason, tuple[str, ...]] = {
    TaskReason.CONTACT_CAP: (OWN_FROM,),
    TaskReason.OUTRANKED: (OUTRANKED_BY,),
    TaskReason.CAPACITY: (NO_ROOM,),
    TaskReason.ERASED: (ERASED_AT,),
    TaskReason.BLACKLISTED: (BLACKLISTED_AT,),
    TaskReason.STOPPED: (STOPPED_AT, CLASS_STOPPED_AT),
    TaskReason.INACTIVE: (LEFT,),
    TaskReason.ORDERED: (OWNS_SINCE,),
    TaskReason.NO_CONSENT: (CONSENT_UNTIL, CLASS_CONSENT_UNTIL),
    TaskReason.COOLING: (REFUSED_AT, ORDERED_AT),
    TaskReason.NO_NUMBER: (UNNUMBERED,),
}
"""Which facts each rule looks at, but for the caps' own."""
RIVALS = (RIVAL, OUTRANKED_BY)
"""Facts that say to whom a contact was lost."""
LOCAL_STAGE = "local"


@dataclass(frozen=True, slots=True)
class Task:
    """One person's task; times are Unix seconds, 0 where it did not happen. `decisions` are about this task alone."""

    order: WorkOrder
    terms: Terms
    """The work order's, as the contact rules see it."""
    block: int
    row: int
    state: TaskState
    reason: TaskReason
    response: Response
    submitted_at: int
    settled_at: int
    text: str
    decisions: tuple[Decision, ...]

    @property
    def number(self) -> int:
        return self.block * BLOCK_ROWS + self.row

    @property
    def issued_at(self) -> int:
        """0 where no record says."""
        return next((each.decided_at for each in self.decisions if each.stage != "claim"), 0)


def as_of(task: Task, at: int) -> Task | None:
    """As it stood at a moment; None before it was issued. A reply has no time of its own: it shows with its message."""
    if task.issued_at > at:
        return None
    made = tuple(each for each in task.decisions if each.decided_at <= at)
    sent = task.submitted_at if task.submitted_at <= at else 0
    if max(task.settled_at, task.submitted_at) <= at:
        return replace(task, decisions=made)
    return replace(
        task,
        decisions=made,
        state=TaskState.SUBMITTED if sent else TaskState.OPEN,
        reason=TaskReason.NONE,
        response=task.response if sent else Response.NONE,
        submitted_at=sent,
        settled_at=0,
    )


def marketing_state(task: Task, ordered: bool, at: int, respond_seconds: int) -> MarketingState:
    """Of the person in the task's wave, as the next wave saw it."""
    columns = (
        np.array([task.state], dtype=np.uint8),
        np.array([task.response], dtype=np.uint8),
        np.array([task.submitted_at], dtype=np.uint32),
        np.array([ordered]),
    )
    return MarketingState(int(marketing_states(*columns, at, respond_seconds)[0]))


def ruling(task: Task, decision: Decision, policy: Policy | None, history: Sequence[Task]) -> Document:
    """A decision about the task, made again. `history`: every task the person ever had."""
    head = {
        "stage": decision.stage,
        "node": HQ_NODE if decision.stage == "issue" else task.order.node,
        "at": decision.decided_at,
        "policy": decision.policy_version,
    }
    if policy is None:
        return head | {"reason": "", "rival": "", "rules": [], "would_change": None}
    considered = Considered(1, task.terms, policy, decision.facts, decision.decided_at)
    rules = judged(considered, decision.stage, [each for each in history if each.order.name != task.order.name])
    rivals = [decision.rivals[int(considered.value(name)[0])] for name in RIVALS if considered.known(name)[0]]
    return head | {
        "reason": next((rule["rule"] for rule in rules if rule["forbids"]), TaskReason.NONE.name),
        "rival": rivals[0] if rivals else "",
        "rules": rules,
        "would_change": would_change(rules),
    }


def judged(considered: Considered, stage: str, others: Sequence[Task] = ()) -> list[Document]:
    """What each rule of a stage says of the one person considered, and what it looked at. `until`: when it forbids no
    more, where time alone decides. `others`: the person's tasks of other work orders."""
    said = []
    for rule, forbidden in verdicts(STAGES[stage], considered):
        told: Document = {
            "rule": rule.reason.name,
            "forbids": bool(forbidden[0]),
            "facts": {name: int(considered.value(name)[0]) for name in READS[rule.reason] if considered.known(name)[0]},
        }
        if rule.reason is TaskReason.CONTACT_CAP:
            told["caps"] = [] if stage == "claim" else _caps(considered, others, province=stage == LOCAL_STAGE)
        told["until"] = _until(rule.reason, considered.policy, told) if told["forbids"] else None
        said.append(told)
    return said


def would_change(rules: Sequence[Document]) -> Document | None:
    """The fewest verdicts that had to be otherwise: all that forbid, for each does it alone. `from`: when time brings
    that about, else None."""
    against = [rule for rule in rules if rule["forbids"]]
    untils = [rule["until"] for rule in against]
    if not against:
        return None
    return {"rules": [rule["rule"] for rule in against], "from": None if None in untils else max(untils)}


def _until(reason: TaskReason, policy: Policy, told: Document) -> int | None:
    facts: Mapping[str, int] = told["facts"]
    if reason is TaskReason.COOLING:
        rests = {REFUSED_AT: policy.cooling_seconds, ORDERED_AT: policy.after_order_seconds}
        return max(at + rests[name] for name, at in facts.items())
    if reason is TaskReason.CONTACT_CAP:
        untils = [cap["until"] for cap in told["caps"] if cap["used_up"]] + list(facts.values())
        return None if None in untils else max(untils)
    return None


def _caps(considered: Considered, others: Sequence[Task], *, province: bool) -> list[Document]:
    terms, policy = considered.terms, considered.policy
    known = [task for each in others if (task := as_of(each, considered.now)) and task.order.leased != province]
    return [
        _cap(rule, policy.own_contacts(rule, province=province), int(considered.value(f"{SPENT}.{place}")[0]),
             _counted(known, rule, considered.now))
        for place, rule in enumerate(policy.caps)
        if rule.covers(terms.channel_class, terms.product_line)
    ]  # fmt: skip


def _cap(rule: CapRule, own: int, spent: int, contacts: Sequence[tuple[int, Task]]) -> Document:
    """`own` contacts are the deciding level's; `spent` is what it counted then, and `contacts` is the ledger's account
    of it now, which may know of some by now that they did not happen."""
    # One is free again when the window has passed of as many as leave one of the level's own.
    over = len(contacts) - own
    free = contacts[over][0] + rule.window_seconds + SPEND_MARGIN_SECONDS if 0 <= over < len(contacts) else None
    return {
        "scope": rule.scope.name.lower(),
        "value": rule.value,
        "contacts": rule.contacts,
        "window_seconds": rule.window_seconds,
        "own": own,
        "spent": spent,
        "used_up": spent >= own,
        "until": free if spent >= own else None,
        "by": [_spender(task, date) for date, task in contacts],
    }


def _spender(task: Task, date: int) -> Document:
    sent = task.submitted_at > 0
    return {"work_order": task.order.name, "channel": task.order.channel, "at": date, "sent": sent}


def _counted(tasks: Sequence[Task], rule: CapRule, now: int) -> list[tuple[int, Task]]:
    """The contacts that the rule counts at `now`, with their dates, ascending."""
    marketing = [task for task in tasks if not task.order.service]
    spends = Spends(
        accounts=tuple(_account(task) for task in marketing),
        keys=np.zeros(len(marketing), dtype=np.int64),
        dates=np.array([_spent_at(task) for task in marketing], dtype=np.int64),
        refs=np.arange(len(marketing)),
    )
    counting = counts(spends, rule, now) & (spends.dates > 0)
    found = [(int(spends.dates[place]), marketing[place]) for place in np.flatnonzero(counting).tolist()]
    return sorted(found, key=lambda each: each[0])


def _spent_at(task: Task) -> int:
    dates = spend_dates(
        np.array([task.state], dtype=np.uint8),
        np.array([task.reason], dtype=np.uint8),
        np.array([task.submitted_at], dtype=np.uint32),
        np.array([task.settled_at], dtype=np.uint32),
        task.order.end_at,
    )
    return int(dates[0])


def _account(task: Task) -> Account:
    return Account(task.order.name, task.terms.channel_class, task.terms.product_line)
