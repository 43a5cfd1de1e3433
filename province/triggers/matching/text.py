"""What an offer says to those it is made to: the words of a rule with what each person's event says put in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Refs, Rows
from common.kernel.event import ABSENT, Events, Field, Kind, Texts
from common.kernel.trigger_rule import ZONE_SECONDS
from common.rules.offer_text import Said, parts_of
from province.triggers.matching.run import Run

Codes = NDArray[np.int64]

_UNITS = ((1 << 40, "TB"), (1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB"))


class OfferText:
    """Values read as people write them: bytes as 1.5GB, fen as yuan, seconds as 1:05:00, times by China's clock."""

    def __init__(self, text: str) -> None:
        self._parts = parts_of(text)

    def texts(self, run: Run, rows: Rows) -> Texts:
        """For each of `rows` of the run its text. Every field must be one that all those events' types have."""
        if not any(isinstance(part, Said) for part in self._parts):
            return Texts(np.zeros(len(rows), dtype=np.uint32), ("".join(map(str, self._parts)),))
        refs, words = np.zeros(len(rows), dtype=np.uint32), list[str]()
        types, places = _found(run, rows)
        for number in np.unique(types).tolist():
            of_type = np.flatnonzero(types == number)
            texts = self._of_type(run.types[number], places[of_type])
            refs[of_type] = texts.refs + np.uint32(len(words))
            words += texts.words
        return Texts(refs, tuple(words))

    @property
    def unsaid(self) -> str:
        """The text of an offer that no one event makes."""
        return "".join(part if isinstance(part, str) else part.otherwise or "" for part in self._parts)

    def _of_type(self, events: Events, places: Rows) -> Texts:
        said = [_spelled(events, part, places) for part in self._parts if isinstance(part, Said)]
        first, refs = _distinct(said)
        return Texts(refs, tuple(self._filled(said, row) for row in first.tolist()))

    def _filled(self, said: Sequence[Texts], row: int) -> str:
        values = iter(said)
        return "".join(part if isinstance(part, str) else _word(next(values), row) for part in self._parts)


def _word(texts: Texts, row: int) -> str:
    return texts.words[int(texts.refs[row])]


def _found(run: Run, rows: Rows) -> tuple[NDArray[np.int64], Rows]:
    """Of which type each row is, and which of its events."""
    types, places = np.empty(len(run), dtype=np.int64), np.empty(len(run), dtype=np.int64)
    for number, of_type in enumerate(run.rows):
        types[of_type] = number
        places[of_type] = np.arange(len(of_type))
    return types[rows], places[rows]


def _distinct(said: Sequence[Texts]) -> tuple[Codes, Refs]:
    """One row of each distinct combination of values, and which combination each row has."""

    def joined(codes: Codes, more: Texts) -> Codes:
        found: Codes = np.unique(codes * max(len(more.words), 1) + more.refs, return_inverse=True)[1]
        return found

    codes = reduce(joined, said, np.zeros(len(said[0]), dtype=np.int64))
    _, first, refs = np.unique(codes, return_index=True, return_inverse=True)
    return first, refs.astype(np.uint32)


def _spelled(events: Events, said: Said, places: Rows) -> Texts:
    """The field's values as people read them, each distinct one written once."""
    column, otherwise = events.columns[said.field][places], said.otherwise or ""
    if isinstance(column, Texts):
        return Texts(column.refs, tuple(word or otherwise for word in column.words))
    field = next(each for each in events.type.fields if each.name == said.field)
    write = _writer(field)
    distinct, refs = np.unique(column, return_inverse=True)
    words = tuple(otherwise if _is_absent(value) else write(value) for value in distinct.tolist())
    return Texts(refs.astype(np.uint32), words)


def _is_absent(value: float) -> bool:
    return value == ABSENT or value != value


def _writer(field: Field) -> Callable[[float], str]:
    if field.kind is Kind.TIME:
        return _moment
    return {"bytes": _bytes, "fen": _yuan, "seconds": _clock}.get(field.unit, _plain)


def _moment(value: float) -> str:
    """Also the end of the year 9999, which is how sources write for ever, and which in China is past it."""
    local = np.datetime64(int(value) + ZONE_SECONDS * 1000, "ms")
    return str(local.astype("M8[m]")).replace("T", " ")


def _bytes(value: float) -> str:
    size, unit = next((each for each in _UNITS if value >= each[0]), (1, "B"))
    return f"{_plain(round(value / size, 1))}{unit}"


def _yuan(value: float) -> str:
    return f"{value / 100:.2f}".removesuffix(".00")


def _clock(value: float) -> str:
    minutes, seconds = divmod(int(value), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def _plain(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
