"""What people agreed to, on what evidence, until when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, bindparam, delete, false, select

from common.delivery import erasures
from common.delivery.tables import consent
from common.kernel.columns import Keys, Rows
from common.kernel.consent import Consents
from common.runtime import bulk

_RANGE = consent.c.subscriber_key.between(bindparam("first"), bindparam("last"))
_COLUMNS = (
    consent.c.subscriber_key,
    consent.c.purpose,
    consent.c.evidence,
    consent.c.given_at,
    consent.c.expires_at,
    consent.c.withdrawn,
)
_BY_KEY = (consent.c.subscriber_key, consent.c.purpose)
_UNTIL = (
    select(consent.c.subscriber_key, consent.c.expires_at)
    .where(_RANGE, consent.c.purpose == bindparam("to"), consent.c.withdrawn == false())
    .order_by(consent.c.subscriber_key)
)
_BETWEEN = select(*_COLUMNS).where(_RANGE).order_by(*_BY_KEY)
_ALL = select(*_COLUMNS).order_by(*_BY_KEY)
_VOID = delete(consent).where(consent.c.subscriber_key == bindparam("of"), consent.c.given_at <= bindparam("through"))


def put_consents(connection: Connection, said: Consents, heard_at: int = 0) -> Rows:
    """Record consents and withdrawals, in any order and repeated: of a subscriber and purpose the latest says, and of
    two at once the withdrawal. What was said before an erasure, or by whoever had the number before, is not recorded.

    Answers the rows that changed what is stored.
    """
    rows = np.flatnonzero(said.given_at.astype(np.int64) > erasures.void_until(connection, said.keys))
    newest: dict[tuple[int, str], tuple[_Rank, int]] = {}
    for row, entry, rank in zip(rows.tolist(), *_ranked(said.take(rows)), strict=True):
        newest[entry] = max(newest.get(entry, (rank, row)), (rank, row))
    known = _known(connection, said.keys[rows])
    news = [row for entry, (rank, row) in newest.items() if entry not in known or rank > known[entry]]
    changed: Rows = np.array(sorted(news), dtype=np.int64)
    kept = said.take(changed)
    columns: dict[str, bulk.Column] = {
        "subscriber_key": kept.keys,
        "purpose": kept.purposes,
        "evidence": kept.evidences,
        "given_at": kept.given_at.astype(np.int64),
        "expires_at": kept.expires_at.astype(np.int64),
        "withdrawn": kept.withdrawn,
        "heard_at": np.full(len(changed), heard_at),
    }
    bulk.upsert(connection, consent, columns)
    return changed


def until_between(connection: Connection, purpose: str, first: int, last: int) -> tuple[Keys, NDArray[np.int64]]:
    """(keys, expiry) of the consents to `purpose` not withdrawn, of keys in [first, last], ascending."""
    rows = connection.execute(_UNTIL, {"to": purpose, "first": first, "last": last}).all()
    table = np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def consents_between(connection: Connection, first: int, last: int) -> Consents:
    """All that is recorded of keys in [first, last], by key and purpose."""
    return _consents(connection.execute(_BETWEEN, {"first": first, "last": last}).all())


def all_consents(connection: Connection) -> Consents:
    """Everything recorded, by key and purpose."""
    return _consents(connection.execute(_ALL).all())


def void(connection: Connection, keys: Keys, through: NDArray[np.integer]) -> None:
    """Drop what `keys` agreed to up to their moments."""
    for key, moment in zip(keys.tolist(), through.tolist(), strict=True):
        connection.execute(_VOID, {"of": key, "through": moment})


_Rank = tuple[int, bool, int, str]
"""What makes one say more than another: later; withdrawn; ending sooner; and the evidence, so that no two are equal."""


def _ranked(said: Consents) -> tuple[list[tuple[int, str]], list[_Rank]]:
    """(key, purpose) of each row, and its rank."""
    entries = list(zip(said.keys.tolist(), said.purposes, strict=True))
    columns = (said.given_at.tolist(), said.withdrawn.tolist(), (-said.expires_at.astype(np.int64)).tolist())
    return entries, list(zip(*columns, said.evidences, strict=True))


def _known(connection: Connection, keys: Keys) -> dict[tuple[int, str], _Rank]:
    """The ranks of what is stored."""
    names = ("purpose", "given_at", "withdrawn", "expires_at", "evidence")
    found = bulk.lookup(connection, consent, "subscriber_key", np.unique(keys), names)
    return {(key, purpose): (at, bool(withdrawn), -expiry, why) for key, purpose, at, withdrawn, expiry, why in found}


def _consents(rows: Sequence[Row[*tuple[Any, ...]]]) -> Consents:
    keys, purposes, evidences, given_at, expires_at, withdrawn = list(zip(*rows, strict=True)) or [()] * len(_COLUMNS)
    return Consents(
        keys=np.array(keys, dtype=np.int64),
        purposes=list(purposes),
        evidences=list(evidences),
        given_at=np.array(given_at, dtype=np.uint32),
        expires_at=np.array(expires_at, dtype=np.uint32),
        withdrawn=np.array(withdrawn, dtype=np.bool_),
    )
