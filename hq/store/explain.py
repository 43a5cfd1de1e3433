"""Reads what explains one subscriber: a handful of blocks by key, their decisions, and a row of each snapshot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate

import numpy as np
from sqlalchemy import Connection, bindparam, func, select

from common.delivery import decisions, facts, ledger, policies
from common.delivery.orders import RECORD, records_of
from common.delivery.tables import order_record, task_block, vault, work_order
from common.kernel.contact_rules import Considered
from common.kernel.decision import about
from common.kernel.refusal import Refusal
from common.kernel.tag import Catalogue, Sensitivity
from common.kernel.task import Response, TaskReason, TaskState
from common.kernel.work_order import GRANT, HQ_NODE, LOCAL
from common.rules.rule_language import Rule, check_rule, parts
from hq.audience import HoldOut, Manifest, Warehouse
from hq.campaign_file import load
from hq.explain import Begun, Case, Moment, Orders, Sight, Whom, alone, explain
from hq.ruling import Document, Task, judged
from hq.selection import Selection
from hq.store import campaigns, provinces
from hq.store.campaigns import StoredCampaign
from hq.store.tables import wave
from hq.work_orders import choices

CAMPAIGNS_MAX = 20
"""How many are explained where none is named."""

_NEAR = (
    select(task_block.c.work_order, task_block.c.number, work_order.c.node, work_order.c.campaign, work_order.c.wave)
    .join(work_order, work_order.c.name == task_block.c.work_order)
    .where(task_block.c.first_key <= bindparam("key"), task_block.c.last_key >= bindparam("key"))
)
_OF_BLOCK = (task_block.c.work_order == bindparam("of"), task_block.c.number == bindparam("at"))
_KEYS = select(task_block.c["keys"]).where(*_OF_BLOCK)
_HOME = select(vault.c.province, vault.c.active, vault.c.home_since).where(vault.c.subscriber_key == bindparam("key"))
_ORDERS = select(*RECORD, order_record.c.observed_at).where(
    order_record.c.offer.in_(bindparam("offers", expanding=True)), order_record.c.subscriber_key == bindparam("key")
)
_NEWEST = (
    select(wave.c.campaign)
    .where(wave.c.select_at <= bindparam("at"))
    .group_by(wave.c.campaign)
    .order_by(func.max(wave.c.select_at).desc(), wave.c.campaign)
)


def explain_subscriber(
    connection: Connection, warehouse: Warehouse, federation_key: bytes, key: int, campaign: str, at: int, now: int
) -> Document:
    """See docs/why.md. Without a `campaign`: those that concern the person, at most CAMPAIGNS_MAX."""
    moment = Moment(at, now, lambda version: policies.of_version(connection, version), policies.in_force(connection))
    history = _history(connection, key)
    names = [campaign] if campaign else _concerned(connection, history, at)
    stored = [campaigns.get(connection, name) for name in names[:CAMPAIGNS_MAX]]
    whom = _whom(connection, key, history, {load(each.yaml).offer.code for each in stored}, moment)
    sights = _sights(warehouse, stored, federation_key, key, tuple(provinces.enrolled(connection)))
    apart = [] if campaign else [alone(task, whom, moment) for task in history if _asked_for(task)]
    return {
        "subscriber": f"{key:016x}",
        "known": whom.known,
        "province": f"{whom.province:02d}" if whom.province else "",
        "active": whom.active,
        "at": at,
        "now": now,
        "campaigns": [explain(_case(connection, each, sights.get(each.name), whom), moment) for each in stored],
        "left_out": max(0, len(names) - CAMPAIGNS_MAX),
        "apart": [each for each in apart if each is not None],
    }


def _asked_for(task: Task) -> bool:
    """By a province, under no campaign."""
    return task.order.campaign.startswith((LOCAL, GRANT))


def _concerned(connection: Connection, history: Sequence[Task], at: int) -> list[str]:
    """Campaigns under which the person has a task, then the others, the newest first."""
    with_task = {task.order.campaign for task in history}
    return sorted(connection.execute(_NEWEST, {"at": at}).scalars(), key=lambda name: name not in with_task)


def _history(connection: Connection, key: int) -> list[Task]:
    """Every task of the person, by work order.

    A wave has one for each person, at HQ or at home: another province may have it only where they moved.
    """
    home = connection.execute(_HOME, {"key": key}).one_or_none()
    likely = {HQ_NODE, f"{home.province:02d}" if home else ""}
    settled = home is not None and not home.home_since
    found = dict[tuple[str, int], Task]()
    for near in sorted(connection.execute(_NEAR, {"key": key}), key=lambda each: each.node not in likely):
        if (near.campaign, near.wave) in found or (settled and near.node not in likely):
            continue
        task = _task(connection, near.work_order, near.number, key)
        if task is not None:
            found[near.campaign, near.wave] = task
    return sorted(found.values(), key=lambda task: task.order.name)


def _task(connection: Connection, name: str, number: int, key: int) -> Task | None:
    """The person's in a block whose range they are in."""
    keys = np.frombuffer(connection.execute(_KEYS, {"of": name, "at": number}).scalar_one(), "<i8")
    row = int(np.searchsorted(keys, key))
    if row == len(keys) or keys[row] != key:
        return None
    order, block = ledger.load_work_order(connection, name), ledger.load_block(connection, name, number)
    assert order is not None, "the snapshot has it"  # noqa: S101
    assert block is not None, "the snapshot has it"  # noqa: S101
    made = (about(decision, row) for decision in decisions.of_block(connection, name, number))
    return Task(
        order=order,
        terms=facts.terms_of(order),
        block=number,
        row=row,
        state=TaskState(int(block.states[row])),
        reason=TaskReason(int(block.reasons[row])),
        response=Response(int(block.responses[row])),
        submitted_at=int(block.submitted_at[row]),
        settled_at=int(block.settled_at[row]),
        text=block.texts[int(block.text_refs[row])],
        decisions=tuple(decision for decision in made if decision is not None),
    )


def _whom(connection: Connection, key: int, history: Sequence[Task], offers: set[str], moment: Moment) -> Whom:
    home = connection.execute(_HOME, {"key": key}).one_or_none()
    rows = connection.execute(_ORDERS, {"key": key, "offers": sorted(offers)}).all()
    return Whom(
        key=key,
        province=home.province if home else 0,
        known=home is not None,
        active=home.active if home else False,
        history=history,
        orders=Orders(records_of(rows), np.array([row.observed_at for row in rows], dtype=np.uint32)),
        foreseen=_foreseen(connection, key, history, moment) if moment.at == moment.now else {},
    )


def _foreseen(connection: Connection, key: int, history: Sequence[Task], moment: Moment) -> dict[str, list[Document]]:
    found, keys = dict[str, list[Document]](), np.array([key], dtype=np.int64)
    for task in history:
        if task.state is TaskState.OPEN:
            _, known = facts.at_claim(connection, task.order, keys, moment.in_force, moment.now)
            found[task.order.name] = judged(Considered(1, task.terms, moment.in_force, known, moment.now), "claim")
    return found


def _case(connection: Connection, stored: StoredCampaign, sight: Sight | None, whom: Whom) -> Case:
    begun = [
        Begun(each.number, each.select_at, Selection.from_json(each.selection) if each.selection else None)
        for each in campaigns.waves(connection, stored.name)
    ]
    manifest = Manifest.from_json(stored.manifest) if stored.manifest else None
    return Case(load(stored.yaml), stored.state, manifest, begun, sight, whom)


def _sights(
    warehouse: Warehouse, stored: Sequence[StoredCampaign], federation_key: bytes, key: int, enrolled: tuple[str, ...]
) -> dict[str, Sight]:
    """By campaign, of those approved; one look at each snapshot."""
    by_version = defaultdict[int, list[tuple[StoredCampaign, Manifest]]](list)
    for each in stored:
        if each.manifest:
            manifest = Manifest.from_json(each.manifest)
            by_version[manifest.snapshot_version].append((each, manifest))
    sights = dict[str, Sight]()
    for version, approved in by_version.items():
        try:
            snapshot = warehouse.at(version)
        except Refusal:
            # An old snapshot may be gone; what was decided is on record all the same.
            continue
        sights |= _looked(snapshot, approved, federation_key, key, enrolled)
    return sights


def _looked(
    snapshot: Warehouse,
    approved: Sequence[tuple[StoredCampaign, Manifest]],
    federation_key: bytes,
    key: int,
    enrolled: tuple[str, ...],
) -> dict[str, Sight]:
    catalogue = snapshot.catalogue
    asked = [_asked(manifest.rule, each.yaml, enrolled, catalogue) for each, manifest in approved]
    rules = [[rule, *conditions, *(choice for wave in waves for choice in wave)] for rule, conditions, waves in asked]
    columns = sorted({column for rule, *_ in rules for column in rule.columns})
    person = snapshot.person(key, [rule for some in rules for rule in some], columns)
    ends = [0, *accumulate(len(some) for some in rules)]
    hidden = frozenset(tag.name for tag in catalogue if tag.sensitivity is not Sensitivity.NORMAL)
    sights = {}
    for place, (each, manifest) in enumerate(approved):
        said = iter(person.verdicts[ends[place] : ends[place + 1]] if person else [False] * len(rules[place]))
        rule, conditions, waves = asked[place]
        holdout = HoldOut(manifest.holdout_share, manifest.campaign, federation_key)
        sights[each.name] = Sight(
            person=person,
            reads=rule.columns,
            hidden=hidden,
            matched=next(said),
            conditions=[(condition.text, next(said)) for condition in conditions],
            choices=[[next(said) for _ in wave] for wave in waves],
            held_out=bool(holdout.drawn(np.array([key], dtype=np.int64))[0]),
        )
    return sights


@lru_cache(maxsize=256)
def _asked(
    audience: str, yaml: str, enrolled: tuple[str, ...], catalogue: Catalogue
) -> tuple[Rule, list[Rule], list[list[Rule]]]:
    """The audience's rule, what it says must hold together, and whom each channel of each wave takes."""
    rule = check_rule(audience, catalogue)
    return rule, parts(rule), [choices(each, enrolled, catalogue) for each in load(yaml).waves]
