"""One source's column, whatever way it wrote it, as a column of the catalogue's kind, and the rows that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from common.kernel.columns import Mask, Refs
from common.kernel.event import ABSENT, EXACT_MAX, FLAG_ABSENT, TEXT_CHARS_MAX, Column, Field, Kind, Texts

MILLIS = pa.timestamp("ms", "UTC")
_CALENDAR = Field("", Kind.TIME, low=-62_135_596_800_000, high=253_402_300_799_999)
"""The years 1 to 9999, which is what RFC 3339 can write."""
_RFC_3339 = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$"
_WHOLE = r"^[+-]?\d{1,18}$"
_DECIMAL = r"^[+-]?\d{1,18}(\.\d{1,18})?([eE][+-]?\d{1,3})?$"
_NO_CONTROL = r"^[^\x00-\x1f\x7f]*$"
_PRINTABLE = r"^[!-~]*$"
REMEMBERED_WORDS = 64


@dataclass(frozen=True, slots=True)
class Cells:
    """`there` and `misfit` are None where they hold of every row and of none."""

    column: Column
    there: Mask | None = None
    misfit: Mask | None = None
    out: Mask | None = None
    """Of the kind, but out of bounds."""


def convert(field: Field, cells: pa.Array) -> Cells:
    return _CONVERTERS[field.kind](field, cells)


def absent(field: Field, count: int) -> Cells:
    """The cells of a column the source does not have."""
    nobody = _everywhere(np.False_, count)
    if field.kind in (Kind.TEXT, Kind.CODE):
        return Cells(Texts(_everywhere(np.uint32(0), count), ("",)), nobody)
    if field.kind is Kind.NUMBER:
        return Cells(_everywhere(np.float64("nan"), count), nobody)
    if field.kind is Kind.FLAG:
        return Cells(_everywhere(np.int8(FLAG_ABSENT), count), nobody)
    return Cells(_everywhere(np.int64(ABSENT), count), nobody)


def _everywhere(value: np.generic, count: int) -> NDArray[Any]:
    """One cell, seen so many times."""
    return np.broadcast_to(np.asarray(value), count)


def cast_or_null(cells: pa.Array, cast: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """`cast` of every cell it takes, NULL for the others, found by halving."""
    try:
        return cast(cells)
    except pa.ArrowInvalid:
        if len(cells) == 1:
            return pa.nulls(1, cast(cells.slice(0, 0)).type)
    middle = len(cells) // 2
    return pa.concat_arrays([cast_or_null(cells.slice(0, middle), cast), cast_or_null(cells.slice(middle), cast)])


def there(cells: pa.Array) -> Mask | None:
    return cells.is_valid().to_numpy(zero_copy_only=False) if cells.null_count else None


def times(cells: pa.Array) -> pa.Array:
    """Texts of RFC 3339, or timestamps with a zone, as milliseconds; NULL for what is neither."""
    if cells.type == MILLIS:
        return cells
    if pa.types.is_timestamp(cells.type) and cells.type.tz:
        return pc.cast(cells, MILLIS, safe=False)
    if not is_text(cells.type):
        return pa.nulls(len(cells), MILLIS)
    try:
        found = pc.cast(cells, MILLIS)
    except pa.ArrowInvalid:
        written = _matching(cells, _RFC_3339)
        found = cast_or_null(pc.utf8_upper(written), lambda some: pc.cast(some, pa.timestamp("us", "UTC")))
        return pc.cast(found, MILLIS, safe=False)
    return found if _all_full(cells) else _strict(cells, found)


def _all_full(cells: pa.Array) -> bool:
    """The cast also takes times without seconds and offsets without minutes: their ends and lengths tell them."""
    if cells.null_count:
        return False
    places, data = buffers(cells)
    sizes, ends = np.diff(places), places[1:]
    if int(sizes.min(initial=20)) < 20:
        return False
    return bool(((data[ends - 1] == ord("Z")) | ((data[ends - 3] == ord(":")) & (sizes >= 25))).all())


def buffers(texts: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Where each text begins, and one past the last, in the bytes; NULL is an empty one."""
    texts = pc.fill_null(texts, "") if texts.null_count else texts
    texts = texts if pa.types.is_string(texts.type) else pc.cast(texts, pa.string())
    _, offsets, data = texts.buffers()
    places = np.frombuffer(offsets, dtype=np.int32, count=len(texts) + 1, offset=texts.offset * 4)
    return places.astype(np.int64), np.frombuffer(data if data is not None else b"", dtype=np.uint8)


def is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _strict(cells: pa.Array, found: pa.Array) -> pa.Array:
    return pc.if_else(pc.match_substring_regex(cells, _RFC_3339), found, pa.scalar(None, MILLIS))


def _matching(cells: pa.Array, pattern: str) -> pa.Array:
    return pc.if_else(pc.match_substring_regex(cells, pattern), cells, pa.scalar(None, cells.type))


def _time(_field: Field, cells: pa.Array) -> Cells:
    found = times(cells)
    return _bounded(_CALENDAR, cells, found, found.view(pa.int64()), ABSENT)


def _int(field: Field, cells: pa.Array) -> Cells:
    if is_text(cells.type):
        values = pc.cast(_matching(cells, _WHOLE), pa.int64())
    elif pa.types.is_floating(cells.type):
        return _whole_floats(field, cells)
    else:
        values = whole_numbers(cells)
    return _bounded(field, cells, values, values, ABSENT)


def whole_numbers(cells: pa.Array) -> pa.Array:
    """Integers of any width; NULL for what does not fit into 64 bits, and for all else."""
    if cells.type == pa.int64():
        return cells
    if not pa.types.is_integer(cells.type):
        return pa.nulls(len(cells), pa.int64())
    return cast_or_null(cells, lambda some: pc.cast(some, pa.int64()))


def decimals(texts: pa.Array) -> pa.Array:
    """Texts of digits as int64; NULL for all else."""
    places, data = buffers(texts)
    used = data[places[0] : places[-1]]
    # A cast alone would take signs and hexadecimal digits too.
    if not texts.null_count and len(used) and used.min() >= ord("0") and used.max() <= ord("9"):
        return cast_or_null(texts, lambda some: pc.cast(some, pa.int64()))
    return cast_or_null(_matching(texts, r"^\d{1,19}$"), lambda some: pc.cast(some, pa.int64()))


def _whole_floats(field: Field, cells: pa.Array) -> Cells:
    """JSON has one kind of number: up to 2^53 - 1 a double holds whole ones exactly."""
    values, filled = filled_up(cells, 0.0), there(cells)
    with np.errstate(invalid="ignore"):
        exact = np.abs(values) <= EXACT_MAX
        whole = values.astype(np.int64)
        misfit = exact & (whole != values)
        misfit |= np.isnan(values)
    out = ~exact & ~misfit | _outside(field, values)
    if filled is not None:
        whole[~filled] = ABSENT
        out, misfit = out & filled, misfit & filled
    return Cells(whole, filled, _some(misfit), _some(out))


def _number(field: Field, cells: pa.Array) -> Cells:
    if is_text(cells.type):
        values = pc.cast(_matching(cells, _DECIMAL), pa.float64())
    elif cells.type == pa.float64():
        values = cells
    elif pa.types.is_floating(cells.type) or pa.types.is_integer(cells.type) or pa.types.is_decimal(cells.type):
        values = pc.cast(cells, pa.float64(), safe=False)
    else:
        values = pa.nulls(len(cells), pa.float64())
    return _bounded(field, cells, values, values, float("nan"))


def _bounded(field: Field, cells: pa.Array, found: pa.Array, values: pa.Array, filler: float) -> Cells:
    filled = there(cells)
    fits = filled if found is cells else there(found)
    misfit = None if fits is None or fits is filled else ~fits & (True if filled is None else filled)
    column = filled_up(values, filler)
    out = None if _within(field, values) else _outside(field, column)
    if out is not None and fits is not None:
        out &= fits
    return Cells(column, filled, _some(misfit), _some(out))


def _within(field: Field, values: pa.Array) -> bool:
    """Whether all are, by the smallest and the greatest of them."""
    if field.low is None or field.high is None:
        return field.low is field.high and not pa.types.is_floating(values.type)
    found = filled_up(values, field.low)
    # NaN is its column's smallest, and no bound holds for it.
    return not len(found) or bool(field.low <= found.min() and found.max() <= field.high)


def _outside(field: Field, values: Any) -> Mask:
    outside = ~np.isfinite(values) if values.dtype.kind == "f" else np.zeros(len(values), dtype=np.bool_)
    if field.low is not None:
        outside |= values < field.low
    if field.high is not None:
        outside |= values > field.high
    return outside


def _flag(field: Field, cells: pa.Array) -> Cells:
    if is_text(cells.type):
        lower = pc.utf8_lower(cells)
        told = pc.is_in(lower, pa.array(["true", "false", "0", "1"], cells.type))
        values = pc.if_else(told, pc.is_in(lower, pa.array(["true", "1"], cells.type)), pa.scalar(None, pa.bool_()))
    elif pa.types.is_boolean(cells.type):
        values = cells
    else:
        values = pa.nulls(len(cells), pa.bool_())
    return _bounded(field, cells, values, pc.cast(values, pa.int8()), FLAG_ABSENT)


def _text(field: Field, cells: pa.Array) -> Cells:
    if pa.types.is_dictionary(cells.type) and is_text(cells.type.value_type):
        coded = cells
    elif is_text(cells.type):
        coded = pc.dictionary_encode(cells)
    else:
        empty = Texts(np.zeros(len(cells), dtype=np.uint32), ("",))
        return Cells(empty, there(cells), _some(_or_all(there(cells), len(cells))))
    return _text_cells(field, *_coded(coded))


def _coded(coded: pa.Array) -> tuple[Refs, tuple[str, ...]]:
    """Positions and words; NULL is a last, empty word."""
    words, indices = tuple(coded.dictionary.to_pylist()), coded.indices
    if coded.dictionary.null_count:
        words = tuple(word or "" for word in words)
    if indices.null_count:
        words = (*words, "")
        return filled_up(pc.cast(indices, pa.int32()), len(words) - 1).astype(np.uint32), words
    return indices.to_numpy(zero_copy_only=False).astype(np.uint32), words


def _text_cells(field: Field, refs: Refs, words: tuple[str, ...]) -> Cells:
    """An empty text counts as absent."""
    judge = _judged if len(words) <= REMEMBERED_WORDS else _judged.__wrapped__
    filled, misfit, out = judge(field, words)
    return Cells(Texts(refs, words), None if filled is None else filled[refs], _of(misfit, refs), _of(out, refs))


def _of(by_word: Mask | None, refs: Refs) -> Mask | None:
    return None if by_word is None else _some(by_word[refs])


@lru_cache(maxsize=1024)
def _judged(field: Field, words: tuple[str, ...]) -> tuple[Mask | None, Mask | None, Mask | None]:
    """Which words are there, which are not of the kind, which are out of bounds; None as in `Cells`.

    Batches of one source have the same few words again and again.
    """
    spelled = pa.array(words, pa.string())
    lengths = pc.utf8_length(spelled).to_numpy(zero_copy_only=False)
    printable = pc.match_substring_regex(spelled, _PRINTABLE if field.kind is Kind.CODE else _NO_CONTROL)
    out = lengths > (TEXT_CHARS_MAX if field.high is None else field.high)
    if field.one_of:
        out |= ~pc.is_in(spelled, pa.array([*field.one_of, ""])).to_numpy(zero_copy_only=False)
    filled = None if lengths.all() else lengths > 0
    return filled, _some(~printable.to_numpy(zero_copy_only=False)), _some(out)


def _or_all(mask: Mask | None, count: int) -> Mask:
    return np.ones(count, dtype=np.bool_) if mask is None else mask


def _some(mask: Mask | None) -> Mask | None:
    return mask if mask is not None and mask.any() else None


def filled_up(values: pa.Array, filler: float) -> Any:
    """As numpy, `filler` where there is NULL."""
    if not values.null_count:
        return values.to_numpy(zero_copy_only=False)
    kind = np.dtype(values.type.to_pandas_dtype())
    written = np.frombuffer(values.buffers()[1], dtype=kind, count=len(values), offset=values.offset * kind.itemsize)
    filled = values.is_valid().to_numpy(zero_copy_only=False)
    return np.where(filled, written, kind.type(filler))


_CONVERTERS: dict[Kind, Callable[[Field, pa.Array], Cells]] = {
    Kind.INT: _int,
    Kind.NUMBER: _number,
    Kind.TEXT: _text,
    Kind.CODE: _text,
    Kind.TIME: _time,
    Kind.FLAG: _flag,
}
