"""What the people of a partition have used day by day: this month's, and of the months before what to learn from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Keys, Rows
from common.kernel.event import ABSENT, Events, Millis
from common.kernel.trigger_rule import ZONE_SECONDS, Period
from province.triggers.counting import period
from province.triggers.counting.id_set import IdSet
from province.triggers.counting.ordinals import KEYS, NUMBERS, Ordinals, Places
from province.triggers.matching.run import Run

EVENT = "data_used"
LATENESS_MILLIS = 600_000
"""How much older than the newest of its partition an event may be and still count; a month is closed after it.
The ids of so long a time are held, which at 20,000 events a second is 12 million."""
DAYS = 31
LEARNERS_MAX = 20_000
"""Of a partition and a past month only so many people are kept: those with the lowest keys, which are random."""
MONTHS_KEPT = 6
"""To learn from; who has used nothing in them is forgotten, and new when they come back."""
BATCH_ROWS = 500_000
NEVER = np.iinfo(np.int32).max
_DAY_MILLIS = 86_400_000
_MONTHS_TO_1970 = 1970 * 12

Amounts = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]


def begin_of(month: int) -> int:
    """The day a month begins on; days count from 1970 by China's clock."""
    return int(np.datetime64(month - _MONTHS_TO_1970, "M").astype("M8[D]").astype(np.int64))


def day_of(at: int) -> int:
    return (at + ZONE_SECONDS * 1000) // _DAY_MILLIS


def month_of(at: int) -> int:
    return period.number(Period.MONTH, 1, at)


@dataclass(frozen=True, slots=True, eq=False)
class PersonMonths:
    """A month of a person a row."""

    months: NDArray[np.int32]
    keys: Keys
    days: NDArray[np.float32]
    """Bytes used on each day; the axis has 31."""
    since: NDArray[np.int32]
    """The day of the month, from 0, on which they were there first; 0 where before."""
    usual: Amounts
    """Bytes a day in all the time before that month; NaN where they were not there."""
    allowances: Amounts
    """Bytes a month, as last heard; 0 where never."""

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, rows: object) -> PersonMonths:
        return PersonMonths(*(getattr(self, each.name)[rows] for each in fields(self)))


def joined(parts: Sequence[PersonMonths]) -> PersonMonths:
    every = [NOBODYS, *parts]
    return PersonMonths(
        *(np.concatenate([getattr(part, each.name) for part in every]) for each in fields(PersonMonths))
    )


NOBODYS = PersonMonths(
    np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64), np.zeros((0, DAYS), dtype=np.float32),
    np.zeros(0, dtype=np.int32), np.zeros(0), np.zeros(0),
)  # fmt: skip


class Usage:
    """Of one partition. An event that comes twice counts once."""

    def __init__(self) -> None:
        self.newest = ABSENT
        self.late = self.duplicates = self.counted = 0
        self.past = NOBODYS
        self._ids = IdSet(LATENESS_MILLIS)
        self._months = Ordinals(np.int32, {"days": np.zeros(DAYS, dtype=np.float32)})
        own = {"since": np.int32(NEVER), "before": 0.0, "allowance": 0.0, "told": np.int32(0), "last": np.int32(0)}
        self._people = Ordinals(np.int32, own)

    def __len__(self) -> int:
        """How many people are known."""
        return len(self._people)

    @property
    def bytes(self) -> int:
        kept = sum(getattr(self.past, each.name).nbytes for each in fields(PersonMonths))
        return self._ids.bytes + self._months.bytes + self._people.bytes + int(kept)

    @property
    def month(self) -> int:
        return month_of(self.newest)

    @property
    def days_done(self) -> int:
        """Whole days of the month that are over."""
        return day_of(self.newest) - begin_of(self.month)

    def take(self, run: Run) -> None:
        """`run` begins with this partition's `newest`."""
        if not len(run):
            return
        for events, rows in zip(run.types, run.rows, strict=True):
            if events.type.name == EVENT:
                self._add(self._once(events, run.newest[rows]))
        self.newest = run.newest_after
        self._ids.forget(self.newest)
        self._close(month_of(self.newest - LATENESS_MILLIS))

    def now(self) -> Iterator[PersonMonths]:
        """Of everybody who has used anything this month, in batches."""
        rows = self._rows(self.month)
        for first in range(0, len(rows), BATCH_ROWS):
            yield self._person_months(rows[first : first + BATCH_ROWS])

    def told(self, keys: Keys) -> NDArray[np.bool_]:
        """Whom `tell` has been called for in this month."""
        found: NDArray[np.bool_] = self._people["told"][self._places(keys)] == self.month
        return found

    def tell(self, keys: Keys) -> None:
        self._people["told"][self._places(keys)] = self.month

    def columns(self) -> Columns:
        """All there is to keep; good until the next `take`."""
        kept: Columns = {"counts": np.array([self.late, self.duplicates, self.counted], dtype=np.int64)}
        parts = {"ids": self._ids.columns(), "months": self._months.columns(), "people": self._people.columns()}
        parts["past"] = {each.name: getattr(self.past, each.name) for each in fields(PersonMonths)}
        return kept | {f"{part}.{name}": column for part, own in parts.items() for name, column in own.items()}

    @classmethod
    def restored(cls, newest: int, columns: Mapping[str, NDArray[Any]]) -> Usage:
        usage = cls()
        usage.newest = newest
        usage.late, usage.duplicates, usage.counted = columns["counts"].tolist()
        usage._ids.restore(_of("ids", columns))
        usage._months.restore(_of("months", columns))
        usage._people.restore(_of("people", columns))
        usage.past = PersonMonths(**_of("past", columns))
        return usage

    def _once(self, events: Events, newest: Millis) -> Events:
        in_time = events.at >= newest - LATENESS_MILLIS
        events = events[in_time]
        fresh = self._ids.take(events.ids, events.at)
        self.late += len(in_time) - len(events)
        self.duplicates += len(events) - int(np.count_nonzero(fresh))
        return events[fresh]

    def _add(self, events: Events) -> None:
        if not len(events):
            return
        self.counted += len(events)
        days = (events.at + ZONE_SECONDS * 1000) // _DAY_MILLIS
        months = period.numbers(Period.MONTH, 1, events.at).astype(np.int32)
        begins = (months.astype(np.int64) - _MONTHS_TO_1970).astype("M8[M]").astype("M8[D]").astype(np.int64)
        places, _ = self._months.add(events.keys, months)
        used = np.asarray(events.columns["used_bytes"], dtype=np.float32)
        np.add.at(self._months["days"], (places, days - begins), used)
        people, _ = self._people.add(events.keys, np.zeros(len(events), dtype=np.int32))
        np.minimum.at(self._people["since"], people, days.astype(np.int32))
        allowances = np.asarray(events.columns["allowance_bytes"])
        np.maximum.at(self._people["last"], people, months)
        said = np.flatnonzero(allowances != ABSENT)
        self._people["allowance"][people[said]] = allowances[said]

    def _close(self, month: int) -> None:
        """Of months before that one nothing can come any more: what was used in them is past."""
        numbers = self._months.columns()[NUMBERS]
        over = np.unique(numbers[numbers < month])
        for each in over.tolist():
            rows = self._rows(each)
            held = self._months.columns()
            learners = rows[np.argsort(held[KEYS][rows])[:LEARNERS_MAX]]
            self.past = _recent(joined([self.past, self._person_months(learners)]))
            used = held["days"][rows].sum(axis=1, dtype=np.float64)
            self._people["before"][self._places(held[KEYS][rows])] += used
        if len(over):
            open_ = numbers >= month
            self._months.restore({name: column[open_].copy() for name, column in self._months.columns().items()})
            self._forget(month - MONTHS_KEPT)

    def _forget(self, month: int) -> None:
        """Whoever has used nothing in that month nor since."""
        people = self._people.columns()
        staying = people["last"] >= month
        if not staying.all():
            self._people.restore({name: column[staying].copy() for name, column in people.items()})

    def _rows(self, month: int) -> Rows:
        return np.flatnonzero(self._months.columns()[NUMBERS] == month)

    def _person_months(self, rows: Rows) -> PersonMonths:
        """Of one month."""
        held = self._months.columns()
        month = int(held[NUMBERS][rows[0]])
        keys, begin = held[KEYS][rows], begin_of(month)
        people = self._places(keys)
        first = self._people["since"][people]
        there = np.maximum(begin - first, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            usual = np.where(there > 0, self._people["before"][people] / there, np.nan)
        since = np.clip(first - begin, 0, DAYS).astype(np.int32)
        months = np.full(len(rows), month, dtype=np.int32)
        return PersonMonths(months, keys, held["days"][rows], since, usual, self._people["allowance"][people])

    def _places(self, keys: Keys) -> Places:
        return self._people.find(keys, np.zeros(len(keys), dtype=np.int32))


def _recent(past: PersonMonths) -> PersonMonths:
    months = np.unique(past.months)[-MONTHS_KEPT:]
    return past[past.months >= months[0]] if len(months) else past


def _of(part: str, columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(f"{part}."): column for name, column in columns.items() if name.startswith(f"{part}.")}
