"""From a fire to a local request: durable together, and each identity (rule, person, period) once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from sqlalchemy import Connection

from common.delivery import erasures, vault
from common.kernel.channel import Channel
from common.kernel.columns import Codes, Rows
from common.kernel.trigger_rule import Offer
from province.fire import Fate, Firing, Person, fates, in_order, joined
from province.local_request import PEOPLE_MAX, VALIDITY_SECONDS_MAX, LocalRequest
from province.store import fires, local_requests

VALIDITY_PARTS = 16
"""Fires whose validity ends in the same sixteenth of the time they may be sent in share a request, which ends with the
first of them."""
KNOWN = "known"

Counts = dict[str, dict[str, int]]


def hand_over(
    connection: Connection, firings: Sequence[Firing], channels: Mapping[str, Channel], province: int, now: int
) -> Counts:
    """Store what is not known and ask for contacts; answers by rule how many met which Fate, or were KNOWN.

    `now` in milliseconds. `channels` are those the province runs. What fires together belongs in one call: only
    requests that wait together are decided by priority.
    """
    rules = {firing.rule.name: firing.rule for firing in firings}
    last = fires.waves(connection, list(rules))
    told: Counts = {}
    for firing in joined(firings):
        name = firing.rule.name
        counted = told.setdefault(name, {})
        last[name] = _hand_over(connection, in_order(firing), channels, province, now, last[name], counted)
    for name, reached in sorted(last.items()):
        fires.set_wave(connection, rules[name], reached)
    return told


def _hand_over(
    connection: Connection,
    firing: Firing,
    channels: Mapping[str, Channel],
    province: int,
    now: int,
    wave: int,
    counted: dict[str, int],
) -> int:
    """Adds to `counted`; answers the rule's last wave."""
    fresh, codes = judged(connection, firing, channels, province, now, counted)
    if len(fresh) == 0:
        return wave
    channel = channel_of(firing.rule.offer, channels)
    on = channel.name if channel else ""
    waves = np.zeros(len(fresh), dtype=np.int64)
    for rows in _parts(fresh, np.flatnonzero(codes == Fate.ASKED)):
        wave += 1
        waves[rows] = wave
        local_requests.put(connection, request_of(fresh.take(rows), on, wave, now))
    fires.put(connection, fresh, codes, waves.tolist(), on, now)
    return wave


def judged(
    connection: Connection,
    firing: Firing,
    channels: Mapping[str, Channel],
    province: int,
    now: int,
    counted: dict[str, int],
) -> tuple[Firing, Codes]:
    """What of fires in order is not known yet, and what is to become of each; nothing is changed but `counted`."""
    fresh = firing.take(np.flatnonzero(~fires.known(connection, firing)))
    _count(counted, KNOWN, len(firing) - len(fresh))
    if len(fresh) == 0:
        return fresh, np.zeros(0, dtype=np.uint8)
    channel = channel_of(firing.rule.offer, channels)
    person = people_of(connection, fresh, province)
    codes = fates(fresh, person, channel.text_chars_max if channel else None, now)
    for code, times in zip(*(column.tolist() for column in np.unique(codes, return_counts=True)), strict=True):
        _count(counted, Fate(code).name.lower(), times)
    return fresh, codes


def _count(counted: dict[str, int], name: str, times: int) -> None:
    if times:
        counted[name] = counted.get(name, 0) + times


def channel_of(offer: Offer, channels: Mapping[str, Channel]) -> Channel | None:
    return next((channels[name] for name in offer.channels if name in channels), None)


def people_of(connection: Connection, firing: Firing, province: int) -> Person:
    keys, places = np.unique(firing.keys, return_inverse=True)
    _, known, active, _ = vault.people(connection, keys)
    here = known & (vault.provinces_of(connection, keys) == province)
    return Person(here[places], active[places], erasures.void_until(connection, firing.keys))


def _parts(firing: Firing, rows: Rows) -> Iterator[Rows]:
    """Of those asked for, by the end of their validity."""
    offer = firing.rule.offer
    width = max(1, (offer.valid_seconds - offer.delay_seconds) // VALIDITY_PARTS)
    ends = (firing.event_at[rows] // 1000 + offer.valid_seconds) // width
    for end in np.unique(ends).tolist():
        part = rows[ends == end]
        for start in range(0, len(part), PEOPLE_MAX):
            yield part[start : start + PEOPLE_MAX]


def request_of(firing: Firing, channel: str, wave: int, now: int) -> LocalRequest:
    offer, seconds = firing.rule.offer, firing.event_at // 1000
    used, refs = np.unique(firing.text_refs, return_inverse=True)
    return LocalRequest(
        name=f"{firing.rule.name}.{wave}",
        asked_at=now // 1000,
        channel=channel,
        offer=offer.offer,
        product_line=offer.product_line,
        purpose=offer.purpose,
        priority=offer.priority,
        end_at=min(int(seconds.min()) + offer.valid_seconds, now // 1000 + VALIDITY_SECONDS_MAX),
        ask_hq=offer.ask_hq,
        texts=tuple(firing.texts[place] for place in used.tolist()),
        keys=firing.keys,
        scores=np.zeros(len(firing)),
        text_refs=refs.astype(np.uint32),
        start_at=int(seconds.max()) + 1 + offer.delay_seconds if offer.delay_seconds else 0,
        rule=firing.rule.name,
        wave=wave,
        event_at=firing.event_at,
        fired_at=now,
    )
