"""What follows in a node's store when a person is erased, or their number is given to somebody new.

What stays of somebody erased is the key with its contacts, so that no cap is passed and every sum still closes, the
erasure itself, and the blacklist.
"""

from __future__ import annotations

import numpy as np
from sqlalchemy import Connection

from common.delivery import consents, erasures, ledger, orders, stops, vault
from common.kernel.erasure import Erasures
from common.kernel.task_block import without_texts


def take(connection: Connection, said: Erasures) -> Erasures:
    """Record erasures and numbers given anew, in any order and repeated, and forget; answers what is news here."""
    news = said.take(erasures.put_erasures(connection, said))
    stops.void(connection, news.keys, news.erased_at)
    consents.void(connection, news.keys, news.erased_at)
    gone = news.take(np.flatnonzero(~news.lifted))
    erasures.keep_homes(connection, gone.keys)
    vault.remove(connection, gone.keys)
    for key in gone.keys.tolist():
        orders.unlink(connection, key)
        _forget_texts(connection, key, float("inf"), unsent=True)
    for key, at in zip(*(column[news.lifted].tolist() for column in (news.keys, news.erased_at)), strict=True):
        # What is still open was written to who had the number before, and without a text it is not sent.
        _forget_texts(connection, key, at, unsent=True)
    _take_late(connection, said)
    return news


def _take_late(connection: Connection, said: Erasures) -> None:
    """Of an erasure that comes after the number was given to somebody new, only what is older than it is forgotten."""
    times, lifted, _ = erasures.marks(connection, np.unique(said.keys))
    places = np.searchsorted(np.unique(said.keys), said.keys)
    late = ~said.lifted & lifted[places] & (said.erased_at < times[places])
    for row in np.flatnonzero(late).tolist():
        key, at = int(said.keys[row]), int(said.erased_at[row])
        orders.unlink(connection, key, at)
        _forget_texts(connection, key, at, unsent=False)


def _forget_texts(connection: Connection, key: int, through: float, *, unsent: bool) -> None:
    """Those sent or given up `through` that moment, and maybe those still open."""
    for block, row in ledger.tasks_of(connection, key):
        happened = min((int(at) for at in (block.submitted_at[row], block.settled_at[row]) if at), default=None)
        if unsent if happened is None else happened <= through:
            ledger.save_texts(connection, without_texts(block, np.array([row])))
