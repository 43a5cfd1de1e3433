"""Whom HQ's own code leaves of a simulated campaign's people once it has drawn who is held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa

from common.kernel.tag import KEY, ORDINAL, PROVINCE, Catalogue
from common.rules.rule_language import Rule, everyone
from deploy.simulation.people import Person
from deploy.simulation.plans import Plan
from hq.audience import HoldOut, build_audience
from hq.planner import contactable_keys

OFTEN = 0.4
"""Of the seeds in which campaigns may hold people out."""
SHARES = (0.0, 0.2, 0.5)


def federation_key(seed: int) -> bytes:
    return b"federation %d" % seed


def share_held_out(seed: int, campaign: str) -> float:
    """Drawn apart, so that a seed that holds nobody out is as if there were no hold-outs."""
    if Random(f"hold-outs {seed}").random() >= OFTEN:  # noqa: S311 - a seed must give the same run every time
        return 0.0
    return Random(f"hold-outs {seed} {campaign}").choice(SHARES)  # noqa: S311


def approved(plan: Plan, seed: int, people: Sequence[Person]) -> Plan:
    """As it is sent: those held out are in none of its shares."""
    if not plan.holdout:
        return plan
    targets = {key for share in plan.shares for key in share.keys}
    warehouse: Any = _Warehouse([person for person in people if person.key in targets])
    audience = build_audience(warehouse, everyone(), HoldOut(plan.holdout, plan.campaign, federation_key(seed)))
    left = {key for keys in contactable_keys(warehouse, audience) for key in keys.tolist()}
    kept = [replace(share, keys=tuple(key for key in share.keys if key in left)) for share in plan.shares]
    return replace(plan, shares=tuple(share for share in kept if share.keys))


@dataclass(frozen=True, slots=True)
class _Warehouse:
    """Of the port, what hold-outs are drawn from."""

    people: Sequence[Person]
    version = 1
    sha256 = ""
    catalogue = Catalogue(())

    def select(self, rule: Rule) -> Iterator[pa.RecordBatch]:
        del rule
        columns = {
            KEY: np.array([person.key for person in self.people], dtype=np.int64),
            ORDINAL: np.arange(len(self.people), dtype=np.uint32),
            PROVINCE: np.array([int(person.home) for person in self.people], dtype=np.int16),
        }
        yield pa.RecordBatch.from_pydict(columns)
