"""Events of a few types made by Hypothesis or by hand, as columns and as plain rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from common.kernel.event import ABSENT, FLAG_ABSENT, Column, Events, Field, Kind, Texts
from common.kernel.event_catalogue import BY_NAME
from common.kernel.trigger_rule import Offer

Row = Mapping[str, Any]
"""An event: its `type`, `id`, `key`, `at` and `position`, and its fields; what is absent is None or not there."""

OFFER = Offer("data_10gb", "", ("local_sms",), "流量不足", 50, "", 600)


def events_of(rows: Sequence[Row]) -> tuple[Events, ...]:
    """One batch a type."""
    names = dict.fromkeys(row["type"] for row in rows)
    return tuple(_events(name, [row for row in rows if row["type"] == name]) for name in names)


def _events(name: str, rows: Sequence[Row]) -> Events:
    kind = BY_NAME[name]
    return Events(
        kind,
        np.array([row["id"] for row in rows], dtype=np.uint64),
        np.array([row["key"] for row in rows], dtype=np.int64),
        np.array([row["at"] for row in rows], dtype=np.int64),
        np.array([row["position"] for row in rows], dtype=np.int64),
        {field.name: column(field, [row.get(field.name) for row in rows]) for field in kind.fields},
    )


def column(field: Field, values: Sequence[Any]) -> Column:
    if field.kind in (Kind.TEXT, Kind.CODE):
        words = list(dict.fromkeys(value or "" for value in values))
        return Texts(np.array([words.index(value or "") for value in values], dtype=np.uint32), tuple(words))
    if field.kind is Kind.NUMBER:
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    if field.kind is Kind.FLAG:
        return np.array([FLAG_ABSENT if value is None else value for value in values], dtype=np.int8)
    return np.array([ABSENT if value is None else value for value in values], dtype=np.int64)


CELLS = ("a", "b", "c")
HOSTS = ("v.example.com", "EXAMPLE.com.", "example.com:8080", "badexample.com", "sub.v.example.com", "x.org", "中国.cn")


def values_of(field: Field) -> st.SearchStrategy[Any]:
    if field.name == "cell_id":
        found: st.SearchStrategy[Any] = st.sampled_from(CELLS)
    elif field.name == "host":
        found = st.sampled_from(HOSTS)
    elif field.one_of:
        found = st.sampled_from(field.one_of)
    elif field.kind in (Kind.TEXT, Kind.CODE):
        found = st.sampled_from(("x", "xy", "Ä", "z%"))
    elif field.kind is Kind.FLAG:
        found = st.booleans()
    elif field.kind is Kind.NUMBER:
        found = st.sampled_from((0.0, 0.5, 1.5, 23.0))
    elif field.kind is Kind.TIME:
        found = st.integers(1_772_000_000_000, 1_772_400_000_000)
    else:
        found = st.integers(-3 if (field.low or 0) < 0 else 0, 12)
    return found if field.required else st.none() | found


def rows_of(*names: str, least: int = 0, size: int = 12) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Events in the partition's order."""
    one = st.one_of([_row(name) for name in names])
    return st.lists(one, min_size=least, max_size=size).map(
        lambda rows: [{**row, "position": i} for i, row in enumerate(rows)]
    )


def _row(name: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "type": st.just(name), "id": st.integers(0, 2**64 - 1), "key": st.integers(1, 4),
            "at": st.integers(1_772_000_000_000, 1_772_000_009_000),
            **{field.name: values_of(field) for field in BY_NAME[name].fields},
        }
    )  # fmt: skip
