"""Reads what evaluation needs: the campaign, its people, its tasks a block at a time, and the orders of its offer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
from sqlalchemy import Connection, select

from common.delivery import ledger
from common.delivery.orders import orders_of_offer
from common.delivery.tables import work_order
from common.kernel.refusal import conflict
from common.kernel.tag import KEY, PROVINCE
from common.kernel.task import CONTACTED, TaskReason, TaskState
from common.rules.rule_language import check_rule
from hq.attribution import Contacts, settle
from hq.audience import HoldOut, Manifest, Warehouse
from hq.campaign_file import load
from hq.campaigns import Campaign
from hq.evaluation import Issued, People, Plan, evaluate, with_others
from hq.report import UNKNOWN_CONTACTS_MAX, Document, UnknownContact, WaveStanding, report_of
from hq.selection import Selection
from hq.store import campaigns, erased
from hq.store.campaigns import StoredWave, WaveState


def report(connection: Connection, warehouse: Warehouse, federation_key: bytes, name: str, now: int) -> Document:
    """The campaign's report at `now`; see docs/report.md. `connection` must see one snapshot.

    Raises Refusal NOT_FOUND, or STATE_CONFLICT before approval; SumsOpenError where the ledger is damaged.
    """
    stored = campaigns.get(connection, name)
    if not stored.manifest:
        raise conflict(f"campaign {name} has no audience yet; approve it first", state=stored.state.name)
    campaign, manifest = load(stored.yaml), Manifest.from_json(stored.manifest)
    waves = campaigns.waves(connection, name)
    places = _places(connection, campaign.offer.code)
    found = evaluate(
        with_others(_people(warehouse, manifest, federation_key), erased.members(connection, name)),
        [
            Issued(order, places[order.name], ledger.blocks(connection, order.name))
            for order in ledger.work_orders(connection, campaign=name)
        ],
        settle(orders_of_offer(connection, campaign.offer.code)),
        _elsewhere(connection, places, name),
        _plan(campaign, waves),
        now,
    )
    unknown = list(islice(_unknown(connection, name), UNKNOWN_CONTACTS_MAX))
    return report_of(campaign, stored.state, manifest, [_standing(wave) for wave in waves], found, unknown, now)


def _people(warehouse: Warehouse, manifest: Manifest, federation_key: bytes) -> Iterator[People]:
    """The approved audience again, from the snapshot it was made from."""
    snapshot = warehouse.at(manifest.snapshot_version)
    holdout = HoldOut(manifest.holdout_share, manifest.campaign, federation_key)
    for batch in snapshot.select(check_rule(manifest.rule, snapshot.catalogue)):
        keys = batch.column(KEY).to_numpy()
        yield People(keys, batch.column(PROVINCE).to_numpy().astype(np.int64), holdout.drawn(keys))


def _places(connection: Connection, offer: str) -> dict[str, int]:
    """Every work order that sells the offer, with its rank by name."""
    query = select(work_order.c.name).where(work_order.c.offer == offer).order_by(work_order.c.name)
    return {name: place for place, name in enumerate(sorted(connection.execute(query).scalars()))}


def _elsewhere(connection: Connection, places: dict[str, int], campaign: str) -> Iterator[Contacts]:
    for name, place in places.items():
        if not name.startswith(f"{campaign}/"):
            for block in ledger.blocks(connection, name):
                rows = np.flatnonzero(np.isin(block.states, CONTACTED))
                yield Contacts(place, block.keys[rows], block.first_task + rows, block.submitted_at[rows])


def _unknown(connection: Connection, campaign: str) -> Iterator[UnknownContact]:
    """By work order and task."""
    for order in ledger.work_orders(connection, campaign=campaign):
        for number in ledger.block_numbers(connection, order.name, with_state=TaskState.UNKNOWN):
            block = ledger.load_block(connection, order.name, number)
            assert block is not None, "the snapshot has it"  # noqa: S101
            for row in np.flatnonzero(block.states == TaskState.UNKNOWN).tolist():
                reason = TaskReason(int(block.reasons[row])).name
                yield UnknownContact(order.name, block.first_task + row, reason, int(block.submitted_at[row]))


def _plan(campaign: Campaign, waves: list[StoredWave]) -> Plan:
    return Plan(
        waved=bool(waves) and waves[0].state is WaveState.CUT,
        start_at=campaign.schedule.start,
        until=campaign.attribution_over_at,
        respond_seconds=campaign.respond_seconds,
        attribution_days=campaign.attribution_days,
        price_fen=campaign.offer.price_fen,
        costs_fen={choice.channel: campaign.cost_fen(choice.channel) for w in campaign.waves for choice in w.channels},
    )


def _standing(wave: StoredWave) -> WaveStanding:
    selection = Selection.from_json(wave.selection) if wave.selection else None
    return WaveStanding(
        number=wave.number,
        name=wave.name,
        state=wave.state.name.lower(),
        select_at=wave.select_at,
        selected=selection.selected if selection else 0,
        unreachable=selection.unreachable if selection and wave.state is WaveState.CUT else None,
    )
