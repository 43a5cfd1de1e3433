"""Events: what happened to subscribers, one type's batch as columns, and the types they come in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Keys, Mask, Refs, Rows

TYPE_PREFIX = "liandong."
TEXT_CHARS_MAX = 512
CODE_CHARS_MAX = 64
EXACT_MAX = (1 << 53) - 1
"""Beyond it JSON's numbers are no longer exact."""

ABSENT = np.iinfo(np.int64).min
"""Stands for an absent whole number or time."""
FLAG_ABSENT = -1

Millis = NDArray[np.int64]
"""Unix milliseconds."""
EventIds = NDArray[np.uint64]


class EventClass(StrEnum):
    SERVICE_HANDLING = "service_handling"
    SERVICE_USE = "service_use"
    SELF_SERVICE = "self_service"
    PERIODIC = "periodic"
    INTERNET_USE = "internet_use"
    LOCATION = "location"
    SOCIAL = "social"
    TERMINAL = "terminal"
    E_CHANNEL = "e_channel"
    PHYSICAL_CHANNEL = "physical_channel"
    DERIVED = "derived"


class EventSensitivity(StrEnum):
    BASIC = "basic"
    SENSITIVE = "sensitive"
    """Location and what somebody reads or looks for: rules over it need consent of its own."""


class Domain(StrEnum):
    """The systems a type comes from: business support, operation support, internet, social."""

    B = "B"
    O = "O"  # noqa: E741 - the trade's own letter
    INTERNET = "internet"
    SOCIAL = "social"


class Kind(StrEnum):
    INT = "int"
    """Whole, exact up to 2^53 - 1; int64 with ABSENT."""
    NUMBER = "number"
    """Finite; float64 with NaN where absent."""
    TEXT = "text"
    """Free text; Texts, empty where absent."""
    CODE = "code"
    """Printable ASCII without blanks; Texts, empty where absent."""
    TIME = "time"
    """Unix milliseconds; int64 with ABSENT."""
    FLAG = "flag"
    """int8: 0, 1, or FLAG_ABSENT."""


@dataclass(frozen=True, slots=True)
class Field:
    """`low` and `high` bound a number's value, or a text's length in characters."""

    name: str
    kind: Kind
    required: bool = True
    low: float | None = None
    high: float | None = None
    unit: str = ""
    one_of: tuple[str, ...] = ()
    """All the words a code may take; empty where any will do."""
    example: Any = None


@dataclass(frozen=True, slots=True)
class EventType:
    """The first field is a required one."""

    name: str
    event_class: EventClass
    sensitivity: EventSensitivity
    domain: Domain
    version: int
    fields: tuple[Field, ...]
    zh: str
    en: str

    @property
    def wire_name(self) -> str:
        """What CloudEvents call `type`."""
        return f"{TYPE_PREFIX}{self.name}.v{self.version}"

    @property
    def example(self) -> dict[str, Any]:
        """An event's data, every field present."""
        return {field.name: field.example for field in self.fields}


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """Row i reads `words[refs[i]]`: a word is matched once, however many rows have it."""

    refs: Refs
    words: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.refs)

    def __getitem__(self, rows: Any) -> Texts:
        return Texts(self.refs[rows], self.words)

    def spelled(self) -> list[str]:
        return [self.words[ref] for ref in self.refs.tolist()]


Column = NDArray[Any] | Texts


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """One type's events, in the order they came in. Every field of the type has a column."""

    type: EventType
    ids: EventIds
    """The same for an event that comes twice."""
    keys: Keys
    at: Millis
    """When it happened, by the source's clock."""
    positions: Rows
    """Where each stood in what came in, ascending: the number of its record, or its line in a file."""
    columns: Mapping[str, Column]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: Any) -> Events:
        """Those of a mask, a slice or an array of positions."""
        columns = {name: column[rows] for name, column in self.columns.items()}
        return Events(self.type, self.ids[rows], self.keys[rows], self.at[rows], self.positions[rows], columns)


def present(kind: Kind, column: Column) -> Mask:
    """Where a column has a value."""
    if isinstance(column, Texts):
        filled = np.array([bool(word) for word in column.words], dtype=np.bool_)
        return filled[column.refs] if len(filled) else np.zeros(len(column), dtype=np.bool_)
    if kind is Kind.NUMBER:
        return ~np.isnan(column)
    there: Mask = column != (FLAG_ABSENT if kind is Kind.FLAG else ABSENT)
    return there


def topic(node: str, event_class: EventClass, version: int = 1) -> str:
    """Where a node's events of a class are on Kafka."""
    return f"ld.{node}.events.{event_class}.v{version}"
