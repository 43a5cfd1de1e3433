"""Rules and fires made up for tests, and a province that is handed them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy import select

from common.delivery import ledger, vault
from common.kernel.channel import CHANNELS
from common.kernel.trigger_rule import Each, Offer, Period, TriggerRule
from common.runtime.database import Database
from province import admission
from province.fire import Firing
from province.store import coordination
from province.store.tables import fire
from province.triggers.hand_over import Counts, hand_over
from province.uplink import HqOutlet

NOW = 1_800_000_000
HOUR, DAY = 3_600, 86_400
CODE = "45"
HERE = {"local_sms": CHANNELS["local_sms"]}
OFFER = Offer("gb10", "data", ("toolbar", "local_sms"), "流量快用完了", 50, "", HOUR)


def rule(name: str = "r", *, period: Period = Period.DAY, paused: bool = False, **offer: object) -> TriggerRule:
    offered = replace(OFFER, **offer)  # type: ignore[arg-type]
    return TriggerRule(name, 1, "data", ("usage",), "", Each(), period, 1, 60, offered, paused)


def firing(
    of: TriggerRule,
    keys: Sequence[int],
    periods: Sequence[int] | int = 7,
    at: Sequence[int] | int = NOW,
    texts: tuple[str, ...] = ("您好",),
    refs: Sequence[int] | int = 0,
) -> Firing:
    """`at` in seconds."""
    people = np.array(keys, dtype=np.int64)
    columns = (np.broadcast_to(np.asarray(each, dtype=np.int64), people.shape).copy() for each in (periods, at, refs))
    numbers, moments, chosen = columns
    return Firing(of, people, numbers, moments * 1000, texts, chosen.astype(np.uint32))


@dataclass
class Node:
    """A province whose rules fire, and that admits what waits."""

    store: Database
    outlet: HqOutlet

    def home(self, keys: Sequence[int], province: int = int(CODE)) -> None:
        people = np.array(keys, dtype=np.int64)
        with self.store.transaction() as connection:
            vault.put_subscribers(connection, people, people + 8_613_800_000_000, province)

    def hand(self, *fired: Firing, now: int = NOW) -> Counts:
        with self.store.transaction() as connection:
            return hand_over(connection, fired, HERE, int(CODE), now * 1000)

    def admit(self, now: int = NOW) -> None:
        with self.store.transaction() as connection:
            assert admission.admit(connection, coordination.books(connection, now), CODE, self.outlet, now)

    def reasons(self) -> dict[str, list[int]]:
        """By work order, those of its people."""
        with self.store.snapshot() as connection:
            orders = ledger.work_orders(connection)
            return {
                each.name: [int(why) for block in ledger.blocks(connection, each.name) for why in block.reasons]
                for each in orders
            }

    def fires(self) -> list[tuple[str, int, int]]:
        with self.store.snapshot() as connection:
            rows = connection.execute(select(fire.c.rule, fire.c.subscriber_key, fire.c.period))
            return sorted((rule, key, period) for rule, key, period in rows)
