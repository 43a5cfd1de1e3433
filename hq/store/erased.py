"""Who of the approved audiences was erased since, and which campaigns may still hold something of them in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, bindparam, select

from common.runtime import bulk
from hq.audience import Manifest
from hq.evaluation import People
from hq.selection import Selection
from hq.store.campaigns import WaveState
from hq.store.tables import campaign, erased_member, wave

_MEMBERS = (
    select(erased_member.c.subscriber_key, erased_member.c.province, erased_member.c.held_out)
    .where(erased_member.c.campaign == bindparam("of"))
    .order_by(erased_member.c.subscriber_key)
)
_MANIFESTS = select(campaign.c.manifest).where(campaign.c.manifest != "").order_by(campaign.c.name)
_SELECTIONS = select(wave.c.state, wave.c.selection).where(wave.c.selection != "")


@dataclass(frozen=True, slots=True)
class Member:
    campaign: str
    key: int
    province: int
    held_out: bool


def members(connection: Connection, of: str) -> People:
    """Those of one campaign's audience."""
    table = np.array([tuple(row) for row in connection.execute(_MEMBERS, {"of": of})], dtype=np.int64).reshape(-1, 3)
    return People(table[:, 0], table[:, 1], table[:, 2] == 1)


def add(connection: Connection, gone: Sequence[Member]) -> None:
    columns: dict[str, bulk.Column] = {
        "campaign": [each.campaign for each in gone],
        "subscriber_key": [each.key for each in gone],
        "province": [each.province for each in gone],
        "held_out": [each.held_out for each in gone],
    }
    bulk.insert_new(connection, erased_member, columns)


def manifests(connection: Connection) -> list[Manifest]:
    """Of every approved campaign."""
    return [Manifest.from_json(text) for text in connection.execute(_MANIFESTS).scalars()]


def selections(connection: Connection) -> list[tuple[Selection, bool]]:
    """Every frozen selection, and whether its wave is cut, so that its file serves nothing any more."""
    rows = connection.execute(_SELECTIONS).all()
    return [(Selection.from_json(text), state == int(WaveState.CUT)) for state, text in rows]
