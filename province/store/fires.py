"""Fires in the store: each identity (rule, person, period) once, for as long as it could come again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sqlalchemy import Connection, bindparam, delete, func, select, update

from common.kernel.columns import Codes, Mask
from common.kernel.trigger_rule import TriggerRule
from common.runtime import bulk
from province.fire import KEPT_SECONDS, Fate, Firing
from province.store.tables import fire, trigger_wave

PRUNE_ROWS = 5_000
"""In one transaction: hand-overs and claims wait for it."""
FOR_EVER = 0

_WAVES = (
    select(trigger_wave.c.rule, trigger_wave.c.last)
    .where(trigger_wave.c.rule.in_(bindparam("rules", expanding=True)))
    .order_by(trigger_wave.c.rule)
    .with_for_update()
)
_SET_WAVE = (
    update(trigger_wave)
    .where(trigger_wave.c.rule == bindparam("of"))
    .values(last=bindparam("reached"), scene=bindparam("in_scene"))
)
_OVER = (
    select(fire.c.subscriber_key, fire.c.rule, fire.c.period)
    .where(fire.c.forget_at > FOR_EVER, fire.c.forget_at <= bindparam("now"))
    .order_by(fire.c.forget_at)
    .limit(PRUNE_ROWS)
)
_FORGET = delete(fire).where(
    fire.c.subscriber_key == bindparam("key"), fire.c.rule == bindparam("of"), fire.c.period == bindparam("in_period")
)
_COUNTS = (
    select(fire.c.rule, fire.c.fate, func.count())
    .where(fire.c.fired_at >= bindparam("since"))
    .group_by(fire.c.rule, fire.c.fate)
)


def waves(connection: Connection, rules: Sequence[str]) -> dict[str, int]:
    """The last wave of each rule; until the transaction ends nobody else hands over any of them."""
    names = sorted(set(rules))
    # All of them, and before any is locked: whoever came between would hold one and wait for another.
    bulk.insert_new(connection, trigger_wave, {"rule": names, "last": [0] * len(names)})
    return {row.rule: row.last for row in connection.execute(_WAVES, {"rules": names})}


def set_wave(connection: Connection, rule: TriggerRule, reached: int) -> None:
    connection.execute(_SET_WAVE, {"of": rule.name, "reached": reached, "in_scene": rule.scene})


def known(connection: Connection, firing: Firing) -> Mask:
    """Which fires, in order, are here already."""
    found = bulk.lookup(connection, fire, "subscriber_key", np.unique(firing.keys), ("period", "rule"))
    stored = {(key, period) for key, period, rule in found if rule == firing.rule.name}
    identities = zip(firing.keys.tolist(), firing.periods.tolist(), strict=True)
    return np.fromiter((each in stored for each in identities), dtype=np.bool_, count=len(firing))


def put(connection: Connection, firing: Firing, fates: Codes, in_waves: Sequence[int], channel: str, now: int) -> int:
    """`in_waves`: of the request that asks for each, 0 where none does. Answers how many were new."""
    kept = KEPT_SECONDS.get(firing.rule.period)
    forget_at = np.zeros(len(firing), dtype=np.int64) if kept is None else firing.event_at // 1000 + kept
    columns: dict[str, bulk.Column] = {
        "subscriber_key": firing.keys,
        "rule": [firing.rule.name] * len(firing),
        "period": firing.periods,
        "event_at": firing.event_at,
        "fired_at": np.full(len(firing), now),
        "channel": [channel] * len(firing),
        "wave": in_waves,
        "fate": fates,
        "forget_at": forget_at,
    }
    return bulk.insert_new(connection, fire, columns)


def prune(connection: Connection, now: int) -> int:
    """Forget some of those whose period is long over; answers how many."""
    over = connection.execute(_OVER, {"now": now}).all()
    if over:
        connection.execute(_FORGET, [{"key": key, "of": rule, "in_period": period} for key, rule, period in over])
    return len(over)


def counts(connection: Connection, since: int) -> dict[str, dict[Fate, int]]:
    """By rule: what became of the fires handed over since then (milliseconds)."""
    told: dict[str, dict[Fate, int]] = {}
    for rule, fate, times in connection.execute(_COUNTS, {"since": since}):
        told.setdefault(rule, {})[Fate(fate)] = times
    return told
