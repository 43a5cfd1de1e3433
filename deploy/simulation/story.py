"""What operators and people do in a simulated federation, drawn anew for each seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from common.kernel.channel import CHANNELS, Level
from common.kernel.consent import LOCATION
from common.kernel.order import OrderChange, OrderRecords
from common.kernel.statement import Change, Statement
from deploy.simulation import audience, moves, policies, wishes
from deploy.simulation.kinds import STORY
from deploy.simulation.people import Person
from deploy.simulation.plans import Plan, Share
from deploy.simulation.source import BSS
from hq.campaigns import Step
from province.local_request import LocalRequest

if TYPE_CHECKING:
    from deploy.simulation.world import World

HOUR = 3_600
OFFERS = ("a", "b")
LINES = ("", "fibre")


def plan(world: World, seconds: float) -> None:
    """Plan what happens in the next `seconds`."""
    random = world.random
    for number in range(random.randint(2, 6)):
        world.timeline.after(seconds * random.random(), _campaign, world, f"c{number}")
    for number in range(random.randint(2, 6)):
        world.timeline.after(seconds * random.random(), local_request, world, f"r{number}")
    if random.random() < 0.8:
        world.hq.receive(world.hq.apply_policy, policies.document(random, world.seed))
    else:
        # Before anybody was contacted HQ takes any policy, and of a province's own contacts it may not have heard.
        world.timeline.after(0, _campaign, world, "first")
    for _ in range(random.choice((0, 0, 1, 2))):
        world.timeline.after(seconds * random.random(), _policy, world)
    for number in range(random.randint(1, 3) if world.has_orders else 0):
        world.timeline.after(seconds * random.random(), _order, world, f"o{number}")
    if world.has_wishes:
        wishes.plan(world, seconds)
    if world.someone_moves:
        moves.plan(world, seconds)


def while_cut_off(world: World, home: str) -> None:
    """Somebody at home in a province that is cut off says stop to HQ, and hours later it asks for its people."""
    people = [person for person in world.people if person.home == home]
    if people and world.has_wishes:
        said = Statement(world.random.choice(people).msisdn, "all", "told us", 0, 0, Change.STOPPED)
        world.hq.receive(wishes.write, world, world.hq, [said])
        name = f"m{int(world.timeline.now)}"
        world.timeline.after(world.random.randint(1, 4) * HOUR, local_request, world, name, home)


def _campaign(world: World, name: str) -> None:
    random, now = world.random, int(world.timeline.now)
    start = now + random.choice((0, 0, HOUR))
    plan = Plan(
        campaign=name,
        offer=random.choice(OFFERS),
        start_at=start,
        end_at=start + random.randint(HOUR, 30 * HOUR),
        priority=random.randint(0, 2),
        shares=_shares(world),
        product_line=random.choice(LINES),
        service=random.random() < 0.1,
        purpose=_purpose(world),
        holdout=audience.share_held_out(world.seed, name),
    )
    if not plan.shares:
        return
    world.plans.append(plan)
    world.hq.receive(world.hq.issue, plan)
    for _ in range(random.choice((0, 0, 1, 2))):
        step = random.choice((Step.PAUSE, Step.RESUME, Step.RESUME, Step.CANCEL))
        world.timeline.after(world.spread(1, 20 * HOUR), _command, world, name, step)


def _purpose(world: World) -> str:
    """What consent it needs, where people give any."""
    return LOCATION if world.has_wishes and world.random.random() < 0.25 else ""


def _shares(world: World) -> tuple[Share, ...]:
    """Each person on one channel, of HQ's or of the home province's."""
    random = world.random
    channels = random.sample(sorted(policies.CHANNELS), random.randint(1, 2))
    chosen: dict[tuple[str, str], list[int]] = {}
    for person in world.people:
        if random.random() < 0.7:
            channel = random.choice(channels)
            node = world.hq.name if CHANNELS[channel].level is Level.ONE else person.home
            chosen.setdefault((channel, node), []).append(person.key)
    return tuple(Share(channel, node, tuple(keys)) for (channel, node), keys in sorted(chosen.items()))


def _policy(world: World) -> None:
    world.hq.receive(world.hq.apply_policy, policies.document(world.random, world.seed))


def local_request(world: World, name: str, of: str = "") -> None:
    """What a province asks for itself, of some of those at home there."""
    random, now = world.random, int(world.timeline.now)
    home = of or random.choice(world.people).home
    keys = sorted(person.key for person in world.people if person.home == home and random.random() < 0.8)
    if not keys:
        return
    request = LocalRequest(
        name=name,
        asked_at=now,
        channel=random.choice(("local_sms", "outbound_call")),
        offer=random.choice(OFFERS),
        product_line=random.choice(LINES),
        purpose=_purpose(world),
        priority=random.randint(0, 2),
        end_at=now + random.randint(HOUR // 4, 10 * HOUR),
        ask_hq=random.random() < 0.5,
        texts=("text",),
        keys=np.array(keys, dtype=np.int64),
        scores=np.array([random.random() for _ in keys]),
        text_refs=np.zeros(len(keys), dtype=np.uint32),
    )
    province = world.province(home)
    province.receive(province.ask, request)


def _command(world: World, name: str, step: Step) -> None:
    world.hq.receive(world.hq.command, name, step)


def _order(world: World, number: str) -> None:
    """From cBSS or from the home's BSS; some are reversed later."""
    random = world.random
    person, offer = random.choice(world.people), random.choice(OFFERS)
    system = "cbss" if random.random() < 0.5 else f"{BSS}{person.home}"
    _take_order(world, system, number, person, offer, 1)
    if random.random() < 0.3:
        world.timeline.after(10 * HOUR * random.random(), _take_order, world, system, number, person, offer, 2)


def _take_order(world: World, system: str, number: str, person: Person, offer: str, revision: int) -> None:
    change = OrderChange.SUBSCRIBED if revision == 1 else OrderChange.REVERSED
    world.kinds[f"{STORY}{change.name.lower()}"] += 1
    records = OrderRecords(
        source_systems=[system],
        order_numbers=[number],
        revisions=np.array([revision]),
        keys=np.array([person.key]),
        offers=[offer],
        changes=np.array([change], dtype=np.uint8),
        amounts_fen=np.array([100]),
        accepted_at=np.array([int(world.timeline.now)], dtype=np.uint32),
    )
    if system == "cbss":
        world.hq.cbss.records.append(records)
        world.hq.receive(world.hq.follow_sources)
    else:
        seller = world.province(system.removeprefix(BSS))
        seller.orders.records.append(records)
        seller.receive(seller.follow_sources)
