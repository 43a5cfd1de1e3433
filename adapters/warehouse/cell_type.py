"""What cells of text mean: their type, found from the values, and the values themselves. Pure, over Arrow columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from common.kernel.columns import Rows
from common.kernel.tag import TagType

MISFIT_SHARE_MAX = 0.001
"""A type holds for a block of lines while at most this share of its cells do not fit; those lines are rejected."""

ARROW: dict[TagType, pa.DataType] = {
    TagType.INTEGER: pa.int64(),
    TagType.NUMBER: pa.float64(),
    TagType.BOOLEAN: pa.bool_(),
    TagType.DATE: pa.date32(),
    TagType.TIMESTAMP: pa.timestamp("us"),
    TagType.TEXT: pa.string(),
}
_WIDER: dict[TagType, TagType] = {
    TagType.INTEGER: TagType.NUMBER,
    TagType.DATE: TagType.TIMESTAMP,
}
"""What a column becomes when a later block does not fit; all else becomes text."""
_FIRST_GUESSES = (TagType.INTEGER, TagType.NUMBER, TagType.BOOLEAN, TagType.DATE, TagType.TIMESTAMP)


def blank_to_null(cells: pa.Array) -> pa.Array:
    """Text cells as they are, those that are empty or only blanks as NULL."""
    return pc.if_else(pc.equal(pc.utf8_trim_whitespace(cells), ""), pa.scalar(None, pa.string()), cells)


def narrow(known: TagType | None, cells: pa.Array) -> TagType | None:
    """The type of a column after one more block of blank-free cells; None while there was no value at all."""
    values = pc.utf8_trim_whitespace(pc.drop_null(cells))
    if len(values) == 0:
        return known
    guess: TagType | None
    if known is None:
        return next((guess for guess in _FIRST_GUESSES if _fits(values, guess)), TagType.TEXT)
    guess = known
    while guess is not None and guess is not TagType.TEXT and not _fits(values, guess):
        guess = _WIDER.get(guess)
    return guess or TagType.TEXT


def parse(cells: pa.Array, kind: TagType) -> tuple[pa.Array, Rows]:
    """The typed column, and the rows whose cell does not fit (they are NULL in it)."""
    if kind is TagType.TEXT:
        return cells, np.zeros(0, dtype=np.int64)
    values = pc.utf8_trim_whitespace(cells)
    rows = misfits(values, kind, len(values))
    if len(rows):
        bad = np.zeros(len(values), dtype=np.bool_)
        bad[rows] = True
        values = pc.if_else(pa.array(bad), pa.scalar(None, pa.string()), values)
    return _CASTS[kind](values), rows


def misfits(values: pa.Array, kind: TagType, count_max: int) -> Rows:
    """Positions of the values that are no `kind`, found by halving; stops after `count_max` + 1."""
    found: list[int] = []
    waiting = [(0, len(values))]
    while waiting and len(found) <= count_max:
        start, stop = waiting.pop()
        try:
            _CASTS[kind](values.slice(start, stop - start))
        except pa.ArrowInvalid:
            if stop - start == 1:
                found.append(start)
            else:
                middle = (start + stop) // 2
                waiting += [(middle, stop), (start, middle)]
    return np.array(found, dtype=np.int64)


def _fits(values: pa.Array, kind: TagType) -> bool:
    # Text is told from numbers by its first cells; halving a whole block of it would cost hundreds of casts.
    if len(misfits(values.slice(0, 100), kind, 10)) > 10:
        return False
    allowed = int(len(values) * MISFIT_SHARE_MAX)
    return len(misfits(values, kind, allowed)) <= allowed


def _count(mask: Any) -> int:
    return pc.sum(mask).as_py() or 0


def _refuse_codes(values: pa.Array) -> None:
    """007 and 0x1F are codes: as numbers they would lose what was written."""
    for sign in ("", "-"):
        plain = _count(pc.equal(values, f"{sign}0")) + _count(pc.starts_with(values, f"{sign}0."))
        if _count(pc.starts_with(values, f"{sign}0")) != plain:
            raise pa.ArrowInvalid("leading zero")


def _integers(values: pa.Array) -> pa.Array:
    _refuse_codes(values)
    return pc.cast(values, pa.int64())


def _numbers(values: pa.Array) -> pa.Array:
    _refuse_codes(values)
    numbers = pc.cast(values, pa.float64())
    if pc.all(pc.is_finite(numbers)).as_py() not in (True, None):
        raise pa.ArrowInvalid("not finite")
    return numbers


def _booleans(values: pa.Array) -> pa.Array:
    lower = pc.utf8_lower(values)
    if not pc.all(pc.is_in(lower, pa.array(["true", "false", None]))).as_py():
        raise pa.ArrowInvalid("neither true nor false")
    return pc.equal(lower, "true")


def _dates(values: pa.Array) -> pa.Array:
    return pc.cast(pc.replace_substring(values, "/", "-"), pa.date32())


def _timestamps(values: pa.Array) -> pa.Array:
    return pc.cast(pc.replace_substring(values, "/", "-"), pa.timestamp("us"))


_CASTS: dict[TagType, Callable[[pa.Array], pa.Array]] = {
    TagType.INTEGER: _integers,
    TagType.NUMBER: _numbers,
    TagType.BOOLEAN: _booleans,
    TagType.DATE: _dates,
    TagType.TIMESTAMP: _timestamps,
}
