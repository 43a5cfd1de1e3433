"""People's wishes, as they were written down, taken into a node's store all together or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from sqlalchemy import Connection

from common.delivery import consents, erasures, stops, vault
from common.kernel.columns import Keys
from common.kernel.consent import Consents
from common.kernel.statement import Change, Statement, columns_of, fault, refuse
from common.kernel.stop import Stops

ALLOWING = (Change.GIVEN, Change.LIFTED)


def record(
    connection: Connection, said: Sequence[Statement], keys: Keys, now: int, home: int | None = None
) -> tuple[Consents, Stops]:
    """`keys` are those of their numbers; a province gives its `home`, and allows contacts only of its own people.

    Answers what was news here. Raises Refusal CONSENT_INVALID with every row that is wrong.
    """
    faults = sorted(_faults(connection, said, keys, now, home))
    if faults:
        raise refuse("the statements", faults, len(said))
    agreed, stopped = columns_of(said, keys, now)
    new_consents = agreed.take(consents.put_consents(connection, agreed, now))
    return new_consents, stopped.take(stops.put_stops(connection, stopped, now))


def _faults(
    connection: Connection, said: Sequence[Statement], keys: Keys, now: int, home: int | None
) -> Iterator[tuple[int, str]]:
    allowing = np.array([each.change in ALLOWING for each in said], dtype=np.bool_)
    erased = allowing & erasures.erased(connection, keys)
    away = allowing & (vault.provinces_of(connection, keys) != home) if home is not None else np.zeros_like(erased)
    for row, each in enumerate(said):
        if why := fault(each, now):
            yield row + 1, why
        elif erased[row]:
            yield row + 1, "this person's data was erased; nothing more is recorded until the number is somebody else's"
        elif away[row]:
            yield row + 1, "this person is not at home in this province; have HQ record it"
