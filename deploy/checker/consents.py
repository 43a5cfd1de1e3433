"""I3: every consent a contact needs was valid, and held-out people are left alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from deploy.checker import policies
from deploy.checker.columns import among, pairs
from deploy.checker.finding import Finding, Tally
from deploy.checker.joined import Joined
from deploy.checker.policies import InForce
from deploy.checker.stops import SUBMIT_SECONDS, bars, between
from deploy.checker.world import CLASS_SCOPES, Consents, Ints, Mask, Node, Stops


def check(joined: Joined) -> Iterator[Finding]:
    yield _consented(joined)
    yield _held_out(joined)


def _consented(joined: Joined) -> Finding:
    tally = Tally("I3", "consents_held")
    for place, node in enumerate(joined.world.nodes):
        for rows, purpose in _needed(joined, place, node):
            consents = _to(node.consents, purpose)
            broken = rows[~_given(joined, consents, rows) | _withdrawn(joined, consents, rows)]
            if tally.note(len(rows), len(broken)):
                tally.first = f"{joined.say(int(broken[0]))}; no consent to {purpose} was valid there"
    return tally.finding


def _needed(joined: Joined, place: int, node: Node) -> Iterator[tuple[Ints, str]]:
    """Marketing contacts of the node that need a consent, and to what."""
    mine = np.flatnonzero((joined.nodes == place) & joined.marketing)
    for purpose in sorted({order.purpose for order in joined.table if order.purpose}):
        yield mine[joined.orders_with("purpose", purpose, mine)], purpose
    spans = policies.at_node(node)
    for name in sorted({name for span in spans for name in span.policy.consent_classes}):
        rows = mine[joined.class_scopes[mine] == CLASS_SCOPES[name]]
        yield rows[~_exempt(joined, spans, rows, name)], name


def _exempt(joined: Joined, spans: list[InForce], rows: Ints, name: str) -> Mask:
    """Contacts of moments around which a policy was in force there that asks for no such consent."""
    sent, exempt = joined.accepted_at[rows], np.zeros(len(rows), dtype=np.bool_)
    for span in spans:
        if name not in span.policy.consent_classes:
            exempt |= policies.relevant(span, sent - SUBMIT_SECONDS, sent, joined.world.margin_seconds)
    return exempt


def _to(consents: Consents, purpose: str) -> Consents:
    """Those to one purpose, by subscriber."""
    rows = np.flatnonzero(np.array([name == purpose for name in consents.purposes] or [False])[consents.refs])
    rows = rows[np.argsort(consents.keys[rows], kind="stable")]
    names = ("keys", "refs", "given_at", "expires_at", "withdrawn", "heard_at")
    columns = {name: getattr(consents, name)[rows].astype(np.int64) for name in names}
    return Consents((purpose,), **columns, history=consents.history)


def _given(joined: Joined, consents: Consents, rows: Ints) -> Mask:
    """Whether each contact was booked between a consent and its expiry.

    Where only the newest of each is kept, a later consent or a withdrawal leaves open what stood before it.
    """
    margin, sent = joined.world.margin_seconds, joined.accepted_at[rows]
    booked = np.where(joined.booked_at[rows] > 0, np.minimum(joined.booked_at[rows], sent), sent)
    contacts, held = pairs(joined.keys[rows], consents.keys)
    at, given_at, withdrawn = booked[contacts], consents.given_at[held], consents.withdrawn[held] != 0
    good = ~withdrawn & (given_at <= at + margin) & (at < consents.expires_at[held] + margin)
    if not consents.history:
        good |= withdrawn | (given_at > at)
    mask = np.zeros(len(rows), dtype=np.bool_)
    mask[contacts[good]] = True
    return mask


def _withdrawn(joined: Joined, consents: Consents, rows: Ints) -> Mask:
    """Whether the node knew of a withdrawal, which bars like a stop until the next consent lifts it."""
    nothing = np.zeros(len(consents), dtype=np.int64)
    stops = Stops(consents.keys, nothing, consents.given_at, consents.withdrawn == 0, consents.heard_at)
    known = bars(stops, joined.world)
    contacts, held = pairs(joined.keys[rows], known.keys)
    barred = between(joined, rows[contacts], known.since[held], known.until[held])
    mask = np.zeros(len(rows), dtype=np.bool_)
    mask[contacts[barred]] = True
    return mask


def _held_out(joined: Joined) -> Finding:
    tally = Tally("I3", "held_out_left_alone")
    for campaign, keys in joined.world.held_out.items():
        rows = np.flatnonzero(joined.orders_with("campaign", campaign))
        drawn = rows[among(joined.keys[rows], keys)]
        if tally.note(len(rows), len(drawn)):
            tally.first = joined.say(int(drawn[0]))
    return tally.finding
