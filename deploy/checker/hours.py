"""I3: nothing is sent in quiet hours, before a work order begins or after it ended."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from deploy.checker import policies
from deploy.checker.columns import first_true
from deploy.checker.finding import Finding, Tally, moment
from deploy.checker.joined import Joined
from deploy.checker.policies import InForce
from deploy.checker.stops import SUBMIT_SECONDS
from deploy.checker.world import NEVER, Channel, Ints, Mask, Policy

DAY = 86_400
SATURDAY = 5


def check(joined: Joined) -> Iterator[Finding]:
    yield _quiet(joined)
    yield _valid(joined)


def _valid(joined: Joined) -> Finding:
    """Nothing is sent before a work order's start or after its end, which the vendor was told."""
    known, margin = joined.orders >= 0, joined.world.margin_seconds
    start, end = joined.order_values(lambda order: order.start_at), joined.order_values(lambda order: order.end_at)
    sent = joined.accepted_at
    broken = known & ((sent < start - margin) | (sent > end + margin) | (joined.expire_at > end))
    broken |= sent > joined.expire_at + margin
    tally = Tally("I3", "validity_kept")
    if tally.note(len(joined), int(broken.sum())):
        row = first_true(broken)
        tally.first = f"{joined.say(row)}; valid from {moment(start[row])} to {moment(end[row])}"
    return tally.finding


def _quiet(joined: Joined) -> Finding:
    """By every policy that can have been in force at the node; which were before a restore, it does not know."""
    tally = Tally("I3", "quiet_hours_kept")
    for place, node in enumerate(joined.world.nodes):
        spans = policies.at_node(node) or [InForce(Policy(0, 0), 0, NEVER)]
        for name, channel in joined.world.channels.items():
            on_channel = np.array([line[0] == name for line in joined.lines] or [False])[joined.refs]
            rows = np.flatnonzero((joined.nodes == place) & joined.marketing & on_channel)
            broken = rows[_in_quiet(joined, spans, rows, name, channel) & ~joined.excused[rows]]
            if tally.note(len(rows), len(broken)):
                tally.first = joined.say(int(broken[0]))
    return tally.finding


def _in_quiet(joined: Joined, spans: list[InForce], rows: Ints, name: str, channel: Channel) -> Mask:
    sent, homes, mask = joined.accepted_at[rows], joined.homes[rows], np.ones(len(rows), dtype=np.bool_)
    for span in spans:
        around = policies.relevant(span, sent - SUBMIT_SECONDS, sent, joined.world.margin_seconds)
        mask &= ~around | quiet(span.policy, name, channel, sent, homes, joined.world.margin_seconds)
    return mask


def quiet(policy: Policy, name: str, channel: Channel, times: Ints, homes: Ints, margin: int) -> Mask:
    """Which moments are quiet where these people live, and a margin before and after as well.

    The second a quiet window begins in is not: what was sent before may be taken in it.
    """
    mask = _quiet_around(policy, name, channel, times, margin, channel.zone)
    for province, zone in policy.zones.items():
        rows = np.flatnonzero(homes == province)
        mask[rows] = _quiet_around(policy, name, channel, times[rows], margin, zone)
    return mask


def _quiet_around(policy: Policy, name: str, channel: Channel, times: Ints, margin: int, zone: str) -> Mask:
    before, after = (_quiet_there(policy, name, channel, times + shift, zone) for shift in (-1 - margin, margin))
    mask: Mask = before & after
    return mask


def _quiet_there(policy: Policy, name: str, channel: Channel, times: Ints, zone: str) -> Mask:
    local = local_times(zone, times)
    days, seconds = local // DAY, local % DAY
    windows = policy.quiet.get(name, channel.quiet)
    working, rest = _within(seconds, windows.working), _within(seconds, windows.rest)
    found, places = np.unique(days, return_inverse=True)
    kinds = np.array([_kind(policy, date(1970, 1, 1) + timedelta(days=day)) for day in found.tolist()], dtype=np.int64)
    return np.choose(kinds[places], [working, rest, working | rest])


def _kind(policy: Policy, day: date) -> int:
    """0 a working day, 1 a day of rest, 2 nobody knows."""
    if policy.quiet and day.year not in policy.years:
        return 2
    return int(day in policy.rest_days or (day.weekday() >= SATURDAY and day not in policy.make_up_days))


def _within(seconds: Ints, window: tuple[int, int]) -> Mask:
    begins, ends = window
    after, before = seconds >= begins, seconds < ends
    mask: Mask = (after & before) if begins <= ends else (after | before)
    return mask


def local_times(zone: str, times: Ints) -> Ints:
    """What the clocks of the zone show, as seconds since the epoch would there."""
    hours, places = np.unique(times // 3600, return_inverse=True)
    info = ZoneInfo(zone)
    found = [datetime.fromtimestamp(hour * 3600, UTC).astimezone(info).utcoffset() for hour in hours.tolist()]
    offsets = np.array([int(each.total_seconds()) if each else 0 for each in found], dtype=np.int64)
    return times + offsets[places]
