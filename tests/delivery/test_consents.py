"""What people agreed to: the latest says, whatever the order it came in."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.delivery import consents
from common.kernel.consent import Consents
from common.runtime.database import Database

PURPOSES = ("location", "call", "email")
entries = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.sampled_from(PURPOSES),
        st.sampled_from(["form 1", "录音 2", ""]),
        st.integers(100, 103),
        st.sampled_from([200, 300]),
        st.booleans(),
    ),
    min_size=1,
    max_size=25,
)
conforms = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def consents_from(rows: Any) -> Consents:
    """Rows of (key, purpose, evidence, given_at, expires_at, withdrawn)."""
    keys, purposes, evidences, given_at, expires_at, withdrawn = list(zip(*rows, strict=True)) or [()] * 6
    return Consents(
        np.array(keys, dtype=np.int64), list(purposes), list(evidences), np.array(given_at, dtype=np.uint32),
        np.array(expires_at, dtype=np.uint32), np.array(withdrawn, dtype=np.bool_),
    )  # fmt: skip


def rows_of(known: Consents) -> list[tuple[Any, ...]]:
    columns = (known.keys.tolist(), known.purposes, known.evidences, known.given_at.tolist(),
               known.expires_at.tolist(), known.withdrawn.tolist())  # fmt: skip
    return sorted(zip(*columns, strict=True))


@conforms
@given(entries=entries, shuffled=st.randoms(use_true_random=False), cut=st.integers(0, 25))
def test_the_order_consents_arrive_in_is_inert(
    sqlite: Database, undone: Any, entries: Any, shuffled: Any, cut: int
) -> None:
    with undone(sqlite) as connection:
        consents.put_consents(connection, consents_from(entries))
        expected = rows_of(consents.all_consents(connection))
    again = [*entries, *entries[: len(entries) // 2]]
    shuffled.shuffle(again)
    with undone(sqlite) as connection:
        for part in (again[:cut], again[cut:]):
            consents.put_consents(connection, consents_from(part))
        assert rows_of(consents.all_consents(connection)) == expected


@conforms
@given(entries=entries)
def test_the_latest_says_and_of_two_at_once_the_withdrawal(sqlite: Database, undone: Any, entries: Any) -> None:
    said: dict[tuple[int, str], list[Any]] = {}
    for key, purpose, _, given_at, expires_at, withdrawn in entries:
        said.setdefault((key, purpose), []).append((given_at, withdrawn, -expires_at))
    latest = {of: max(every) for of, every in said.items()}
    with undone(sqlite) as connection:
        consents.put_consents(connection, consents_from(entries))
        for purpose in PURPOSES:
            keys, until = consents.until_between(connection, purpose, 2, 3)
            given = {key: -e for (key, to), (_, w, e) in latest.items() if to == purpose and not w and 2 <= key <= 3}
            assert dict(zip(keys.tolist(), until.tolist(), strict=True)) == given


def test_both_stores_keep_the_same(database: Database) -> None:
    rows = [
        (2, "location", "表单 12", 100, 200, False),
        (2, "location", "", 150, 150, True),
        (1, "call", "x", 9, 99, False),
    ]
    with database.transaction() as connection:
        assert consents.put_consents(connection, consents_from(rows)).tolist() == [1, 2]
        assert consents.put_consents(connection, consents_from(rows)).tolist() == []
        assert rows_of(consents.all_consents(connection)) == [rows[2], rows[1]]
        assert consents.until_between(connection, "location", 0, 9)[0].tolist() == []
        assert consents.until_between(connection, "call", 0, 9)[1].tolist() == [99]
        assert consents.put_consents(connection, consents_from([])).tolist() == []
