"""I1: no rolling window holds more contacts than its cap. I12: no day holds more than a channel's capacity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from deploy.checker import policies
from deploy.checker.columns import first_true
from deploy.checker.finding import Finding, Tally, moment
from deploy.checker.hours import local_times
from deploy.checker.joined import Joined
from deploy.checker.policies import InForce
from deploy.checker.world import CLASS_SCOPES, Cap, Ints, Mask

DAY = 86_400


def check(joined: Joined) -> Iterator[Finding]:
    spans = policies.everywhere(joined.world)
    yield _caps_hold(joined, spans)
    yield _capacities(joined, spans)


def _caps_hold(joined: Joined, spans: list[InForce]) -> Finding:
    tally = Tally("I1", "caps_hold")
    marketing = np.flatnonzero(joined.marketing)
    by_person = marketing[np.lexsort((joined.accepted_at[marketing], joined.keys[marketing]))]
    tally.seen = len(by_person)
    for scope, value in dict.fromkeys((cap.scope, cap.value) for span in spans for cap in span.policy.caps):
        rows = by_person[_covered(joined, by_person, scope, value)]
        over = _over(joined, spans, rows, scope, value)
        if tally.note(0, int(over.sum())):
            tally.first = _say(joined, spans, rows, first_true(over), scope, value)
    return tally.finding


def _covered(joined: Joined, rows: Ints, scope: str, value: str) -> Mask:
    if scope == "all":
        return np.ones(len(rows), dtype=np.bool_)
    if scope == "channel_class":
        mask: Mask = joined.class_scopes[rows] == CLASS_SCOPES.get(value, -1)
    else:
        mask = joined.orders_with("product_line", value, rows)
    return mask


def _over(joined: Joined, spans: list[InForce], rows: Ints, scope: str, value: str) -> Mask:
    """Which contacts, with those before them, exceed the cap by every policy that can have decided any of them.

    `rows` are ordered by person and time. A policy change loosens: of the versions in force over the window, one that
    allows the contact is enough.
    """
    windows = [_Window(joined.keys[rows], joined.accepted_at[rows], _caps(span, scope, value)) for span in spans]
    longest = max(window.longest_seconds for window in windows)
    verdict, judged = np.ones(len(rows), dtype=np.bool_), np.zeros(len(rows), dtype=np.bool_)
    for span, window in zip(spans, windows, strict=True):
        deciding = _deciding(joined, span, rows, longest)
        verdict &= window.over() | ~deciding
        judged |= deciding
    return verdict & judged


def _caps(span: InForce, scope: str, value: str) -> list[Cap]:
    return [cap for cap in span.policy.caps if (cap.scope, cap.value) == (scope, value)]


@dataclass(frozen=True, slots=True)
class _Window:
    """Contacts ordered by person and time, and the caps of one scope in one policy."""

    keys: Ints
    times: Ints
    caps: list[Cap]

    @property
    def longest_seconds(self) -> int:
        return max((cap.window_seconds for cap in self.caps), default=0)

    def over(self) -> Mask:
        over = np.zeros(len(self.keys), dtype=np.bool_)
        for cap in self.caps:
            later, earlier = slice(cap.contacts, None), slice(0, max(len(over) - cap.contacts, 0))
            same = self.keys[later] == self.keys[earlier]
            over[later] |= same & (self.times[later] - self.times[earlier] < cap.window_seconds)
        return over


def _deciding(joined: Joined, span: InForce, rows: Ints, window_seconds: int) -> Mask:
    """Where the policy was in force over the window that ends with the contact, or a contact in it was issued by it."""
    keys, times = joined.keys[rows], joined.accepted_at[rows]
    mask = policies.relevant(span, times - window_seconds, times, joined.world.margin_seconds)
    if mask.all():
        return mask
    issued = joined.orders_with("policy_version", span.policy.version, rows)
    return mask | _in_window(keys, times, issued, window_seconds)


def _in_window(keys: Ints, times: Ints, wanted: Mask, window_seconds: int) -> Mask:
    """Whether a wanted contact of the same person is in the window that ends with each contact: two pointers."""
    counted = np.concatenate([np.zeros(1, np.int64), np.cumsum(wanted)])
    people = np.cumsum(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    # Each person's times are moved past all times of the person before, so that one search serves all.
    stride = int(times.max(initial=0) - times.min(initial=0)) + window_seconds + 1
    line = times - (times.min() if len(times) else 0) + people * stride
    begins = np.searchsorted(line, line - window_seconds, "right")
    mask: Mask = counted[1:] > counted[begins]
    return mask


def _say(joined: Joined, spans: list[InForce], rows: Ints, last: int, scope: str, value: str) -> str:
    caps = [(cap, span) for span in spans for cap in _caps(span, scope, value)]
    for cap, span in caps:
        begin = last - cap.contacts
        held = rows[max(begin, 0) : last + 1]
        times = joined.accepted_at[held]
        if begin >= 0 and joined.keys[held[0]] == joined.keys[held[-1]] and times[-1] - times[0] < cap.window_seconds:
            rule = f"{value or scope}: {cap.contacts} in {cap.window_seconds} s, policy {span.policy.version}"
            return f"{len(held)} contacts ({rule}): " + "; ".join(joined.say(row) for row in held)
    return joined.say(int(rows[last]))


def _capacities(joined: Joined, spans: list[InForce]) -> Finding:
    """Each contact with those before it on its civil day at that node and channel.

    By the largest capacity in force in the day before it: what a vendor recognises may be sent again so long after it
    was booked.
    """
    tally = Tally("I12", "capacity_kept")
    for channel in dict.fromkeys(channel for span in spans for channel in span.policy.capacities):
        mine = np.flatnonzero(np.array([line[0] == channel for line in joined.lines] or [False])[joined.refs])
        for place, node in enumerate(joined.world.nodes):
            rows, days = _by_day(joined, channel, mine[joined.nodes[mine] == place])
            numbers = np.arange(len(rows)) - np.searchsorted(days, days) + 1
            over = numbers > _most(spans, channel, joined.accepted_at[rows])
            if tally.note(len(rows), int(over.sum())):
                at = first_true(over)
                tally.first = (
                    f"{numbers[at]} contacts on {channel} of {node.name} by {moment(joined.accepted_at[rows[at]])}"
                )
    return tally.finding


def _by_day(joined: Joined, channel: str, rows: Ints) -> tuple[Ints, Ints]:
    """In order of time, with the day of each; without those so near its end that its node may call it the next."""
    known = joined.world.channels.get(channel)
    rows = rows[np.argsort(joined.accepted_at[rows], kind="stable")]
    local = local_times(known.zone if known else "Asia/Shanghai", joined.accepted_at[rows])
    clear = local % DAY < DAY - joined.world.margin_seconds
    return rows[clear], local[clear] // DAY


def _most(spans: list[InForce], channel: str, moments: Ints) -> Ints:
    """The largest capacity by any policy in force in the day before; without limit where one in force sets none."""
    most = np.full(len(moments), -1, dtype=np.int64)
    for span in spans:
        there = policies.relevant(span, moments - DAY, moments, 0)
        limit = span.policy.capacities.get(channel, np.iinfo(np.int64).max)
        most[there] = np.maximum(most[there], limit)
    return np.where(most < 0, np.iinfo(np.int64).max, most)
