"""I1: no rolling window holds more contacts than its cap. I12: no day holds more than a channel's capacity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np

from deploy.checker import policies
from deploy.checker.columns import first_true
from deploy.checker.finding import Finding, moment
from deploy.checker.joined import Joined
from deploy.checker.policies import InForce
from deploy.checker.world import Cap, Ints, Mask

DAY = 86_400


def check(joined: Joined) -> Iterator[Finding]:
    spans = policies.everywhere(joined.world)
    marketing = np.flatnonzero(joined.marketing)
    by_person = marketing[np.lexsort((joined.accepted_at[marketing], joined.keys[marketing]))]
    broken, first = 0, ""
    for scope, value in dict.fromkeys((cap.scope, cap.value) for span in spans for cap in span.policy.caps):
        rows = by_person[_covered(joined, by_person, scope, value)]
        over = _over(joined, spans, rows, scope, value)
        broken += int(over.sum())
        if over.any() and not first:
            first = _say(joined, spans, rows, first_true(over), scope, value)
    yield Finding("I1", "caps_hold", len(by_person), broken, first)
    yield _capacities(joined, spans)


def _covered(joined: Joined, rows: Ints, scope: str, value: str) -> Mask:
    if scope == "all":
        return np.ones(len(rows), dtype=np.bool_)
    held = joined.channel_classes if scope == "channel_class" else joined.order_column("product_line")
    mask: Mask = held[rows] == value
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
        deciding = _deciding(joined, span, rows, longest) if len(spans) > 1 else np.ones(len(rows), dtype=np.bool_)
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
    issued = joined.order_column("policy_version")[rows] == span.policy.version
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
    """Per node, channel and civil day, by the largest capacity in force that day."""
    seen, broken, first = 0, 0, ""
    for channel in dict.fromkeys(channel for span in spans for channel in span.policy.capacities):
        mine = np.flatnonzero(np.array([line[0] == channel for line in joined.lines] or [False])[joined.refs])
        days = _days(joined, channel, mine)
        for node in np.unique(joined.nodes[mine]).tolist():
            found, counts = np.unique(days[joined.nodes[mine] == node], return_counts=True)
            most = _most(spans, channel, found * DAY)
            over = counts > most
            seen, broken = seen + int(counts.sum()), broken + int((counts - most)[over].sum())
            if over.any() and not first:
                place = first_true(over)
                first = (
                    f"{counts[place]} contacts on {channel} of {joined.world.nodes[node].name} on "
                    f"{moment(found[place] * DAY)[:10]}, capacity {most[place]}"
                )
    return Finding("I12", "capacity_kept", seen, broken, first)


def _days(joined: Joined, channel: str, rows: Ints) -> Ints:
    zone = joined.world.channels[channel].zone if channel in joined.world.channels else "Asia/Shanghai"
    times = joined.accepted_at[rows]
    hours, places = np.unique(times // 3600, return_inverse=True)
    return (times + offsets(zone, hours)[places]) // DAY


def offsets(zone: str, hours: Ints) -> Ints:
    """The zone's distance from UTC in seconds, at the begin of each hour since the epoch."""
    info = ZoneInfo(zone)
    found = [datetime.fromtimestamp(hour * 3600, UTC).astimezone(info).utcoffset() for hour in hours.tolist()]
    return np.array([int(each.total_seconds()) if each else 0 for each in found], dtype=np.int64)


def _most(spans: list[InForce], channel: str, begins: Ints) -> Ints:
    """The largest capacity by any policy in force on each day; without limit where one in force sets none."""
    most = np.full(len(begins), -1, dtype=np.int64)
    for span in spans:
        there = policies.relevant(span, begins - DAY, begins + 2 * DAY, 0)
        limit = span.policy.capacities.get(channel, np.iinfo(np.int64).max)
        most[there] = np.maximum(most[there], limit)
    return np.where(most < 0, np.iinfo(np.int64).max, most)
