"""What tests of event streams share: an edge, and events compared by what they say."""

from __future__ import annotations

import json
from typing import Any

from adapters.streams.cloudevents import decode_structured
from adapters.streams.simulator import EXAMPLE_AT
from adapters.streams.standard import Decoded, Edge
from common.kernel.dead_letter import DeadReason
from common.kernel.event import Events, Texts
from province.triggers.matching.run import run_of

NOW = EXAMPLE_AT + 90 * 86_400_000
EDGE = Edge(NOW)


def told(events: Events) -> dict[str, Any]:
    """All that events say, to be compared with ==."""
    columns = {name: _plain(column) for name, column in events.columns.items()}
    rows = {"ids": events.ids.tolist(), "keys": events.keys.tolist(), "at": events.at.tolist()}
    return {"type": events.type.name, **rows, **columns}


def by_type(found: Decoded) -> dict[str, dict[str, Any]]:
    """All that its events say, of each type together."""
    return {events.type.name: told(events) for events in run_of(found.events).types}


def _plain(column: Any) -> Any:
    if isinstance(column, Texts):
        return column.spelled()
    return (str(column.dtype), [None if value != value else value for value in column.tolist()])


def event(name: str = "data_used", data: Any = None, **attributes: Any) -> dict[str, Any]:
    plain = {"specversion": "1.0", "id": "e-1", "source": "gx/pgw-3", "type": f"liandong.{name}.v1", "subject": "42",
             "time": "2026-03-01T08:00:00+08:00", "data": {"used_bytes": 7} if data is None else data}  # fmt: skip
    return {key: value for key, value in (plain | attributes).items() if value is not ...}


def line(name: str = "data_used", data: Any = None, **attributes: Any) -> bytes:
    """An event as JSON; an attribute of ... is left out."""
    return json.dumps(event(name, data, **attributes)).encode()


def decoded(*values: bytes) -> Decoded:
    return decode_structured(values, EDGE)


def refused(*values: bytes) -> list[DeadReason]:
    """The reasons, where each of the values is refused."""
    found = decoded(*values)
    assert found.events == ()
    return [letter.reason for letter in found.dead]
