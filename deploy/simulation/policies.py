"""Contact policies for simulated federations: tight caps over hours, so that every one is reached."""

from __future__ import annotations

from random import Random

CHANNELS = ("sms", "app_push", "local_sms", "outbound_call")
"""Those the simulation uses: one more would make another history of every seed."""
HOURS = (1, 2, 6, 24)
"""Of the first cap; the second's window is four times as long."""
DIFFERENT, SHARED_BY = 8, 20
CAPACITIES = 0.6, 0.8
"""So many policies have any, and of so many channels."""
PLACES = (0, 1, 1, 2, 2, 3)
"""Contacts a day on a channel that has few."""


QUIET, DEFAULT_QUIET, NEVER = (79_200, 25_200), (75_600, 32_400), (86_400, 0)
"""Seconds of the day: from 22:00 to 7:00, from 21:00 to 9:00, at no time."""


def is_quiet(document: str) -> bool:
    return "22:00-07:00" in document


def document(random: Random, seed: int) -> str:
    """Seeds that run one after the other draw from few, so that reading them is cheap."""
    number = SHARED_BY * (seed // SHARED_BY) + random.randrange(DIFFERENT)
    return _drawn(Random(number)) + _capacities(number)  # noqa: S311 - a number must give the same policy every time


def _drawn(random: Random) -> str:
    hours, contacts = random.choice(HOURS), random.choice((1, 2, 3))
    mode = random.choice(("shared", "shared", "shared", "hq_controlled", "province_local"))
    share = random.randint(0, contacts)
    quiet, cooling, after_order, consent = (random.random() < chance for chance in (0.2, 0.3, 0.3, 0.1))
    return _written(
        mode, hours, contacts, share, quiet=quiet, cooling=cooling, after_order=after_order, consent=consent
    )


def _written(
    mode: str, hours: int, contacts: int, share: int, *, quiet: bool, cooling: bool, after_order: bool, consent: bool
) -> str:
    window = '"22:00-07:00"' if quiet else "none"
    lines = [
        f"mode: {mode}",
        "caps:",
        f"  - {{scope: all, contacts: {contacts}, per: {hours}h, province_share: {share}}}",
        f"  - {{scope: all, contacts: {2 * contacts}, per: {4 * hours}h, province_share: {share}}}",
        f"  - {{scope: channel_class, value: call, contacts: 1, per: {2 * hours}h, province_share: {min(share, 1)}}}",
        f"  - {{scope: product_line, value: fibre, contacts: 1, per: {3 * hours}h}}",
        "cooling: 3h" if cooling else "cooling: 0s",
        "after_order: 6h" if after_order else "after_order: 0s",
        "consent: [call]" if consent else "consent: []",
        "quiet:",
        *(f"  {channel}: {{working: {window}}}" for channel in CHANNELS),
    ]
    return "\n".join(lines) + "\n"


def _capacities(number: int) -> str:
    """Contacts a day on some channels; drawn apart, so that a policy without any is as if there were none."""
    random, (policies, channels) = Random(f"capacities {number}"), CAPACITIES  # noqa: S311
    if random.random() >= policies:
        return ""
    places = {channel: random.choice(PLACES) for channel in CHANNELS if random.random() < channels}
    return f"capacities: {{{', '.join(f'{channel}: {count}' for channel, count in places.items())}}}\n"
