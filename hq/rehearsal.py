"""A campaign's next wave by the code that would send it, on the same people, writing nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, func, select

from common.delivery import facts, ledger, policies, vault
from common.delivery.claim import ending
from common.delivery.tables import order_record
from common.kernel.channel import CHANNELS
from common.kernel.columns import Codes, Keys
from common.kernel.contact_rules import AT_CLAIM, Considered, reasons
from common.kernel.order import OrderChange
from common.kernel.policy import Policy, quiet_until
from common.kernel.refusal import conflict
from common.kernel.task import TaskReason
from common.kernel.task_block import BLOCK_ROWS, TaskBlock, open_block
from common.kernel.work_order import HQ_NODE, WorkOrder
from common.rules.rule_language import check_rule, everyone
from hq.audience import Audience, HoldOut, Manifest, Warehouse, build_audience, load_audience
from hq.campaign_file import load
from hq.campaigns import Campaign, CampaignState
from hq.dry_run import Document, Tally, Wave, Whose, dry_run_of
from hq.planner import AUDIENCES, BLOCKS_A_TRANSACTION, contactable_keys, divided, with_erased
from hq.store import campaigns, coordination, erased, leases, provinces, work_orders
from hq.store.campaigns import StoredCampaign, WaveState
from hq.work_orders import Share, planned

MORE_THAN_PEOPLE = 1 << 40
"""How many tasks a work order is taken to have while they are still being counted: of a channel's places that others
ask for as well, it gets as many as it then turns out to ask for."""
_TAKEN = select(func.count(order_record.c.subscriber_key.distinct())).where(
    order_record.c.offer == bindparam("of_offer"),
    order_record.c.change == int(OrderChange.SUBSCRIBED),
    order_record.c.accepted_at > bindparam("since"),
    order_record.c.accepted_at <= bindparam("until"),
)


class Rehearsal:
    """`warehouse` answers the current one; audiences are in a folder of `directory`."""

    def __init__(self, warehouse: Callable[[], Warehouse], directory: Path, federation_key: bytes) -> None:
        self._warehouse = warehouse
        self._audiences = directory / AUDIENCES
        self._federation_key = federation_key

    def dry_run(self, connection: Connection, campaign: Campaign, stored: StoredCampaign | None, now: int) -> Document:
        """What the next wave would do when it is due, or now where that is past. `stored` is None for a file that is
        not. Raises Refusal STATE_CONFLICT where no wave is to come. `connection` must see one snapshot."""
        wave = _next_wave(connection, campaign, stored, now)
        warehouse, audience = self._people(campaign, stored)
        keys, whose = _chosen(connection, campaign, wave, warehouse, audience)
        tally = Tally(policies.in_force(connection))
        for count, shares in divided(warehouse, campaign, wave.number, keys, provinces.enrolled(connection)):
            tally.selected += count
            for share in shares:
                _rehearse(connection, campaign, wave, share, tally)
        state = stored.state.name.lower() if stored else "file"
        told = dry_run_of(campaign, state, wave, whose, tally, _base_rate(connection, warehouse, campaign, wave.at))
        return told | {"ahead": _ahead(connection, campaign, wave.at), "waits": leases.fenced(connection, now)}

    def _people(self, campaign: Campaign, stored: StoredCampaign | None) -> tuple[Warehouse, Audience]:
        """The approved audience; before approval the one that approval would make now."""
        if stored is not None and stored.manifest:
            manifest = Manifest.from_json(stored.manifest)
            return self._warehouse().at(manifest.snapshot_version), load_audience(self._audiences, campaign.name)
        warehouse = self._warehouse()
        holdout = HoldOut(campaign.holdout, campaign.name, self._federation_key)
        return warehouse, build_audience(warehouse, check_rule(campaign.audience, warehouse.catalogue), holdout)


def _next_wave(connection: Connection, campaign: Campaign, stored: StoredCampaign | None, now: int) -> Wave:
    number = 1
    if stored is not None and stored.state is not CampaignState.DRAFT:
        uncut = [each for each in campaigns.waves(connection, stored.name) if each.state is not WaveState.CUT]
        if not uncut or stored.state in (CampaignState.CANCELLED, CampaignState.FINISHED):
            raise conflict(f"No wave of {campaign.name} is to come; see `liandong report {campaign.name}`.")
        if uncut[0].state is WaveState.SELECTED:
            what = f"Wave {uncut[0].number} of {campaign.name} is being issued now"
            raise conflict(f"{what}; see `liandong campaign status {campaign.name}`.")
        number = uncut[0].number
    select_at = campaign.select_at(number)
    return Wave(number, select_at, max(now, select_at))


def _chosen(
    connection: Connection, campaign: Campaign, wave: Wave, warehouse: Warehouse, audience: Audience
) -> tuple[Iterable[Keys], Whose]:
    """Whom the wave takes, ascending, and who of the others it does not."""
    manifest = audience.manifest
    meant = (manifest.target - manifest.held_out, manifest.held_out)
    if wave.number == 1:
        # All of them before the first is divided, as when it is sent.
        keys = with_erased(list(contactable_keys(warehouse, audience)), erased.members(connection, campaign.name))
        return keys, Whose(manifest.target, manifest.held_out, 0, meant, warehouse.version)
    chosen = work_orders.chosen_keys(connection, campaign, wave.number, wave.at)
    before = sum(
        ledger.received(connection, order.name)
        for order in ledger.work_orders(connection, campaign=campaign.name)
        if order.wave == wave.number - 1
    )
    return [chosen], Whose(before, 0, before - len(chosen), meant, warehouse.version)


def _ahead(connection: Connection, campaign: Campaign, at: int) -> list[Document]:
    """Waves of other campaigns that will be due by then and go first, or share a channel's places."""
    others = [load(stored.yaml) for stored in campaigns.active(connection) if stored.name != campaign.name]
    return [
        {"campaign": other.name, "wave": each.number, "priority": other.priority}
        for other in sorted(others, key=lambda other: (-other.priority, other.name))
        for each in campaigns.waves(connection, other.name)
        if other.priority >= campaign.priority and each.state is not WaveState.CUT and each.select_at <= at
    ]


def _rehearse(connection: Connection, campaign: Campaign, wave: Wave, share: Share, tally: Tally) -> None:
    """Issue and claim some people of one work order, whose keys rise from each call to the next."""
    place = share.channel, share.node
    (order,) = planned(campaign, wave.number, {place: MORE_THAN_PEOPLE})
    if place not in tally.rooms:
        tally.rooms[place] = coordination.room(connection, order, tally.policy)
    for some in _transactions(order, share.keys):
        room = tally.rooms[place] - tally.issued[place]
        for issued in coordination.decide(connection, order, some, tally.policy, room, wave.at):
            codes = issued.block.reasons.copy()
            contacted = codes == TaskReason.NONE
            tally.issued[place] += int(np.count_nonzero(contacted))
            tally.spend(issued.considered, issued.rivals, contacted)
            codes[contacted] = _claimed(connection, order, issued.block.keys[contacted], tally.policy, wave.at)
            tally.add(place, _homes(connection, order, issued.block.keys), codes)


def _homes(connection: Connection, order: WorkOrder, keys: Keys) -> NDArray[np.int64]:
    if order.node == HQ_NODE:
        return vault.provinces_of(connection, keys)
    return np.full(len(keys), int(order.node), dtype=np.int64)


def _transactions(order: WorkOrder, keys: Keys) -> Iterator[list[TaskBlock]]:
    """The keys in as many blocks as one transaction of the planner issues; nobody reads their texts."""
    size = BLOCK_ROWS * BLOCKS_A_TRANSACTION
    for start in range(0, len(keys), size):
        parts = [keys[at : at + BLOCK_ROWS] for at in range(start, min(start + size, len(keys)), BLOCK_ROWS)]
        yield [open_block(order.name, 0, part, ("",), np.zeros(len(part), dtype=np.uint32)) for part in parts]


def _claimed(connection: Connection, order: WorkOrder, keys: Keys, policy: Policy, at: int) -> Codes:
    """What forbids each contact when its node first may send it, by what HQ knows."""
    at = _sendable(order, policy, at)
    over = ending(order, at)
    if over is not None or len(keys) == 0:
        return np.full(len(keys), TaskReason.NONE if over is None else over[1], dtype=np.uint8)
    _, known = facts.at_claim(connection, order, keys, policy, at)
    return reasons(AT_CLAIM, Considered(len(keys), facts.terms_of(order), policy, known, at))


def _sendable(order: WorkOrder, policy: Policy, at: int) -> int:
    """The first moment outside the channel's quiet hours."""
    begins = max(at, order.start_at)
    return quiet_until(policy, CHANNELS[order.channel], begins) or begins


def _base_rate(connection: Connection, warehouse: Warehouse, campaign: Campaign, at: int) -> float:
    """How many of everybody took the offer in a time as long as the campaign's orders are counted, up to now."""
    span = campaign.attribution_over_at - campaign.schedule.start
    taken = connection.execute(_TAKEN, {"of_offer": campaign.offer.code, "since": at - span, "until": at}).scalar_one()
    return min(1.0, int(taken) / max(1, sum(warehouse.count(everyone()).values())))
