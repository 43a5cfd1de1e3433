"""Campaigns and their waves in SQL. Callers own the transactions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from sqlalchemy import Connection, bindparam, exists, func, insert, or_, select, update

from common.delivery.tables import STATE_COLUMNS, task_block, work_order
from common.kernel.refusal import conflict, missing
from common.kernel.task import IN_FLIGHT, TaskState
from hq.campaigns import Campaign, CampaignState, Step, take
from hq.store.tables import campaign, wave

_FIND = select(campaign).where(campaign.c.name == bindparam("of"))
_MOVE = update(campaign).where(campaign.c.name == bindparam("of"))
_UPDATE_WAVE = update(wave).where(wave.c.campaign == bindparam("of"), wave.c.number == bindparam("at"))


class WaveState(IntEnum):
    PLANNED = 1
    SELECTED = 2
    """The selection is frozen in its file."""
    CUT = 3


@dataclass(frozen=True, slots=True)
class StoredCampaign:
    name: str
    version: int
    state: CampaignState
    yaml: str
    applied_by: str
    approved_by: str
    manifest: str
    """JSON of the approved audience; empty before approval."""


@dataclass(frozen=True, slots=True)
class StoredWave:
    campaign: str
    number: int
    name: str
    select_at: int
    state: WaveState
    selection: str
    """JSON of hq.selection.Selection; empty before it is frozen."""


@dataclass(frozen=True, slots=True)
class WaveCounts:
    """From the ledger's counters: `issued` is what the states sum to."""

    work_orders: int
    states: dict[TaskState, int]

    @property
    def issued(self) -> int:
        return sum(self.states.values())

    @property
    def in_flight(self) -> int:
        return sum(self.states[state] for state in IN_FLIGHT)


def apply(connection: Connection, checked: Campaign, yaml: str, operator: str) -> StoredCampaign:
    """Store the file as a draft. The same file again changes nothing; a changed one is a new version.

    Raises Refusal STATE_CONFLICT where the campaign is no draft any more.
    """
    known = find(connection, checked.name)
    if known is not None and known.yaml == yaml:
        return known
    if known is None:
        row = {"name": checked.name, "version": 1, "state": int(CampaignState.DRAFT), "approved_by": "", "manifest": ""}
        connection.execute(insert(campaign).values(row | {"yaml": yaml, "applied_by": operator}))
    elif known.state is CampaignState.DRAFT:
        changed = {"version": known.version + 1, "yaml": yaml, "applied_by": operator}
        connection.execute(update(campaign).where(campaign.c.name == checked.name).values(changed))
    else:
        what = f"Campaign {checked.name} is {known.state.name} and cannot be changed any more."
        raise conflict(f"{what} Copy the file under a new name and apply that.", state=known.state.name)
    return get(connection, checked.name)


def approve(connection: Connection, approved: Campaign, version: int, operator: str, manifest: str) -> StoredCampaign:
    """Approve the version the operator has read, and plan its waves. Repeating it changes nothing."""
    known = get(connection, approved.name)
    state = approvable(known, version)
    if state is known.state:
        return known
    values = {"state": int(state), "approved_by": operator, "manifest": manifest}
    connection.execute(update(campaign).where(campaign.c.name == known.name).values(values))
    waves = [
        {
            "campaign": approved.name,
            "number": number,
            "name": each.name,
            "select_at": approved.select_at(number),
            "state": int(WaveState.PLANNED),
            "selection": "",
        }
        for number, each in enumerate(approved.waves, 1)
    ]
    connection.execute(insert(wave), waves)
    return get(connection, approved.name)


def approvable(known: StoredCampaign, version: int) -> CampaignState:
    """The state approval leads to. Raises Refusal STATE_CONFLICT where `version` is not the stored one."""
    if version != known.version:
        what = f"Campaign {known.name} is at version {known.version}, not {version}."
        raise conflict(
            f"{what} Read that version, then approve it.", state=known.state.name, version=str(known.version)
        )
    return take(Step.APPROVE, known.name, known.state)


def move(connection: Connection, name: str, step: Step) -> tuple[StoredCampaign, bool]:
    """The campaign after the step, and whether the step changed it."""
    known = get(connection, name)
    state = take(step, name, known.state)
    if state is known.state:
        return known, False
    connection.execute(_MOVE, {"of": name, "state": int(state)})
    return get(connection, name), True


def find(connection: Connection, name: str) -> StoredCampaign | None:
    row = connection.execute(_FIND, {"of": name}).one_or_none()
    return None if row is None else _campaign(row._mapping)


def get(connection: Connection, name: str) -> StoredCampaign:
    """Raises Refusal NOT_FOUND."""
    found = find(connection, name)
    if found is None:
        raise missing(f"There is no campaign {name!r}. See `liandong campaign status` for those there are.")
    return found


def page(connection: Connection, after: str, limit: int) -> list[StoredCampaign]:
    """Campaigns by name, those after `after`."""
    query = select(campaign).where(campaign.c.name > after).order_by(campaign.c.name).limit(limit)
    return [_campaign(row._mapping) for row in connection.execute(query)]


def active(connection: Connection) -> list[StoredCampaign]:
    """Campaigns time can change: those that run, and those stopped while a wave was being cut."""
    begun = exists().where(
        wave.c.campaign == campaign.c.name,
        wave.c.state == int(WaveState.SELECTED),
        work_order.c.campaign == wave.c.campaign,
        work_order.c.wave == wave.c.number,
    )
    query = select(campaign).where(or_(campaign.c.state == int(CampaignState.APPROVED), begun))
    return [_campaign(row._mapping) for row in connection.execute(query.order_by(campaign.c.name))]


def uncut_waves(connection: Connection) -> set[tuple[str, int]]:
    """(campaign, number) of those that are yet to be cut, or being cut."""
    told = (wave for each in active(connection) for wave in waves(connection, each.name))
    return {(wave.campaign, wave.number) for wave in told if wave.state is not WaveState.CUT}


def waves(connection: Connection, name: str) -> list[StoredWave]:
    query = select(wave).where(wave.c.campaign == name).order_by(wave.c.number)
    return [StoredWave(**dict(row._mapping) | {"state": WaveState(row.state)}) for row in connection.execute(query)]


def select_wave(connection: Connection, name: str, number: int, selection: str) -> None:
    state = int(WaveState.SELECTED)
    connection.execute(_UPDATE_WAVE, {"of": name, "at": number, "state": state, "selection": selection})


def end_wave(connection: Connection, name: str, number: int) -> None:
    connection.execute(_UPDATE_WAVE, {"of": name, "at": number, "state": int(WaveState.CUT)})


def wave_counts(connection: Connection, name: str) -> dict[int, WaveCounts]:
    """By wave number, of the waves that have work orders."""
    sums = [func.coalesce(func.sum(task_block.c[column]), 0) for column in STATE_COLUMNS.values()]
    query = (
        select(work_order.c.wave, func.count(work_order.c.name.distinct()), *sums)
        .select_from(work_order.outerjoin(task_block, task_block.c.work_order == work_order.c.name))
        .where(work_order.c.campaign == name)
        .group_by(work_order.c.wave)
    )
    return {
        number: WaveCounts(
            orders, {state: int(tasks) for state, tasks in zip(STATE_COLUMNS, tasks_by_state, strict=True)}
        )
        for number, orders, *tasks_by_state in connection.execute(query)
    }


def _campaign(row: Any) -> StoredCampaign:
    return StoredCampaign(**dict(row) | {"state": CampaignState(row["state"])})
