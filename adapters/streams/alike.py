"""JSON objects that are written alike, as Arrow columns: what one source writes differs in its values alone.

One value is the pattern: texts that are the same in every value, and between them what differs. Whatever has
the same quotation marks, the same texts between and well-formed values is taken, several times as fast as a parser
would; all else is left to the parser, so that what is taken, and how, is the same with and without this.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adapters.streams.json_rows import RECORD_BYTES_MAX

MEMBERS_MAX = 64
"""Of a pattern, nested ones among them."""
_QUOTE, _BLANK = b'" '
_PIECE = re.compile(rb"( *: *)(-?[0-9][0-9.eE+-]*)?([ ,{}]*)")
_NUMBER = r"^-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?$"
"""The usual ones; exponents and more digits are left to the parser."""

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Member:
    path: tuple[str, ...]
    number: bool


@dataclass(frozen=True, slots=True)
class _Block:
    """A text that is the same in all: its first quotation mark is the record's `quote`th, `before` bytes into it."""

    text: bytes
    quote: int
    before: int


@dataclass(frozen=True, slots=True)
class Pattern:
    """Blocks and members take turns; a block comes first and one comes last."""

    blocks: tuple[_Block, ...]
    members: tuple[Member, ...]
    constants: dict[tuple[str, ...], str]
    """Members whose values are part of the blocks."""
    quotes: int


@dataclass(frozen=True, slots=True)
class Alike:
    """`rows` are the positions, among the values, of those of the pattern; `rest` those of the others. Both ascend."""

    constants: dict[tuple[str, ...], str]
    columns: dict[tuple[str, ...], pa.Array]
    """By path: texts, and numbers as float64. Aligned with `rows`."""
    rows: Rows
    rest: Rows


def alike(values: Sequence[bytes], fixed: frozenset[tuple[str, ...]]) -> Alike | None:
    """Of those in `fixed` the value is part of the pattern. None where there is no pattern, or any value holds what
    a pattern is not made for."""
    pattern = _usual(values, fixed) if values else None
    if pattern is None:
        return None
    sizes = np.fromiter(map(len, values), dtype=np.int64, count=len(values))
    data = b"\n".join([*values, bytes([_BLANK]) * max(len(block.text) for block in pattern.blocks)])
    if b"\\" in data or int(sizes.max()) > RECORD_BYTES_MAX or not (data.isascii() or _is_utf8(data)):
        return None
    signs = np.frombuffer(data, dtype=np.uint8)
    low = np.flatnonzero(signs <= _QUOTE)
    kinds = signs[low]
    if np.count_nonzero(kinds < _BLANK) != len(values):  # control characters, but for what joins the values
        return None
    starts = np.concatenate([[0], np.cumsum(sizes + 1)])
    return _Match(pattern, data, starts, low[kinds == _QUOTE]).found()


def _usual(values: Sequence[bytes], fixed: frozenset[tuple[str, ...]]) -> Pattern | None:
    """One odd value among many must not be the pattern."""
    tried = [pattern_of(values[place], fixed) for place in (len(values) // 2, 0, len(values) - 1)]
    found = [each for each in tried if each is not None]
    return max(found, key=lambda each: sum(each.blocks == other.blocks for other in found), default=None)


def _is_utf8(data: bytes) -> bool:
    try:
        str(data, "utf-8")
    except UnicodeDecodeError:
        return False
    return True


def pattern_of(value: bytes, fixed: frozenset[tuple[str, ...]]) -> Pattern | None:
    """None where the value has more than texts and plain numbers, at most one level down, each once."""
    if len(value) > RECORD_BYTES_MAX or b"\\" in value:
        return None
    pieces = value.split(b'"')
    read = list(_members(pieces)) if len(pieces) % 2 and len(pieces) <= 4 * MEMBERS_MAX else []
    try:
        told = _flat(json.loads(value, object_pairs_hook=tuple))
    except (ValueError, RecursionError, TypeError):
        return None
    if not read or told is None or [(each.path, each.value) for each in read] != told:
        return None
    return _cut(value, read, fixed, len(pieces) - 1)


@dataclass(frozen=True, slots=True)
class _Read:
    """A member of the first value, and where its value stands in it."""

    path: tuple[str, ...]
    value: str | float
    begin: int
    end: int


def _members(pieces: Sequence[bytes]) -> Iterator[_Read]:
    """As far as they are understood: pieces outside of quotation marks, and inside, take turns."""
    within: tuple[str, ...] = ()
    at, key, is_value = len(pieces[0]) + 1, "", False
    for place in range(1, len(pieces) - 1, 2):
        text, outside = pieces[place], pieces[place + 1]
        spelled, begin, at = str(text, "utf-8", "replace"), at, at + len(text) + 1
        if is_value:
            yield _Read((*within, key), spelled, begin, begin + len(text))
            is_value, within = False, _closed(within, outside)
        elif (found := _PIECE.fullmatch(outside)) is None:
            return
        else:
            key, number, after = spelled, found[2], found[3]
            if number is not None:
                yield _Read((*within, key), float(number), at + len(found[1]), at + len(found[1]) + len(number))
                within = _closed(within, after)
            elif b"{" in after:
                within = (*within, key)
            else:
                is_value = True
        at += len(outside) + 1


def _closed(within: tuple[str, ...], after: bytes) -> tuple[str, ...]:
    return within[: max(0, len(within) - after.count(b"}"))]


def _flat(told: object, within: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], str | float]] | None:
    """Members in their order; None where one comes twice, or is neither a text nor a number nor an object of these."""
    if not isinstance(told, tuple) or len(within) > 1 or len({name for name, _ in told}) != len(told):
        return None
    found: list[tuple[tuple[str, ...], str | float]] = []
    for name, value in told:
        if isinstance(value, tuple):
            inner = _flat(value, (*within, name))
            if inner is None:
                return None
            found += inner
        elif isinstance(value, bool) or not isinstance(value, str | int | float):
            return None
        else:
            found.append(((*within, name), value if isinstance(value, str) else float(value)))
    return found


def _cut(value: bytes, read: Sequence[_Read], fixed: frozenset[tuple[str, ...]], quotes: int) -> Pattern | None:
    blocks, members, begin = list[_Block](), list[Member](), 0
    constants = {each.path: each.value for each in read if each.path in fixed and isinstance(each.value, str)}
    for each in read:
        if each.path not in constants:
            blocks.append(_block(value, begin, each.begin))
            members.append(Member(each.path, not isinstance(each.value, str)))
            begin = each.end
    blocks.append(_block(value, begin, len(value)))
    if not members or any(block.before < 0 for block in blocks[:-1]):
        return None
    return Pattern(tuple(blocks), tuple(members), constants, quotes)


def _block(value: bytes, begin: int, end: int) -> _Block:
    text = value[begin:end]
    return _Block(text, value.count(b'"', 0, begin), text.find(b'"'))


class _Match:
    """The values that have the pattern."""

    def __init__(self, pattern: Pattern, data: bytes, starts: Rows, quotes: Rows) -> None:
        self._pattern, self._data = pattern, data
        self._count = len(starts) - 1
        self._rows, self._quotes = self._quoted(starts, quotes)
        self._begins, self._ends = starts[:-1][self._rows], starts[1:][self._rows] - 1

    def found(self) -> Alike:
        begins = [self._begin(block) for block in self._pattern.blocks]
        kept = np.flatnonzero(self._fits(begins))
        texts, columns = self._texts(self._spans(begins), kept), {}
        wrong = np.zeros(len(kept), dtype=np.bool_)
        for member, text in zip(self._pattern.members, texts, strict=True):
            columns[member.path], bad = _numbers(text) if member.number else (text, None)
            if bad is not None:
                wrong |= bad
        if wrong.any():
            columns = {path: column.filter(pa.array(~wrong)) for path, column in columns.items()}
            kept = kept[~wrong]
        rows = self._rows[kept]
        rest = np.ones(self._count, dtype=np.bool_)
        rest[rows] = False
        return Alike(self._pattern.constants, columns, rows, np.flatnonzero(rest))

    def _quoted(self, starts: Rows, places: Rows) -> tuple[Rows, NDArray[np.int64]]:
        """The rows with as many quotation marks as the pattern, and where these are: a row each."""
        wanted = self._pattern.quotes
        if len(places) == self._count * wanted:
            table = places.reshape(self._count, wanted)
            if (table[:, 0] >= starts[:-1]).all() and (table[:, -1] < starts[1:]).all():
                return np.arange(self._count), table
        begins = np.searchsorted(places, starts)
        rows = np.flatnonzero(np.diff(begins) == wanted)
        return rows, places[begins[rows][:, np.newaxis] + np.arange(wanted)]

    def _begin(self, block: _Block) -> Rows:
        if block.before < 0:  # the last, without any
            return self._ends - len(block.text)
        return self._quotes[:, block.quote] - block.before

    def _fits(self, begins: Sequence[Rows]) -> Mask:
        """Whether the blocks say what they should, the first where the record begins, the last where it ends, and none
        before the one before it: then all of them are in the record, with all of its quotation marks."""
        last = self._pattern.blocks[-1]
        good: Mask = (begins[0] == self._begins) & (begins[-1] + len(last.text) == self._ends)
        for block, begin in zip(self._pattern.blocks, begins, strict=True):
            good &= self._says(block.text, begin)
        for begin, end in self._spans(begins):
            good &= begin <= end
        return good

    def _says(self, text: bytes, begin: Rows) -> Mask:
        # Some may begin outside of the record, or before all of them: they are found to be wrong otherwise.
        found = np.ndarray(len(self._data) - len(text) + 1, f"S{len(text)}", self._data, strides=(1,))[begin]
        good: Mask = found == text
        return good

    def _spans(self, begins: Sequence[Rows]) -> list[tuple[Rows, Rows]]:
        """Of each member, where its values begin and end."""
        ends = [begin + len(block.text) for begin, block in zip(begins, self._pattern.blocks, strict=True)]
        return list(zip(ends[:-1], begins[1:], strict=True))

    def _texts(self, spans: Sequence[tuple[Rows, Rows]], rows: Rows) -> list[pa.Array]:
        """Every second part of one array is a member's text, where it stands; what is between is passed over."""
        edges = np.empty((len(rows), 2 * len(spans)), dtype=np.int32)
        for place, (begin, end) in enumerate(spans):
            edges[:, 2 * place], edges[:, 2 * place + 1] = begin[rows], end[rows]
        flat = edges.reshape(-1)
        parts = pa.Array.from_buffers(
            pa.string(), max(0, len(flat) - 1), [None, pa.py_buffer(flat), pa.py_buffer(self._data)]
        )
        first = np.arange(len(rows), dtype=np.int64) * edges.shape[1]
        return [parts.take(pa.array(first + 2 * place)) for place in range(len(spans))]


def _numbers(texts: pa.Array) -> tuple[pa.Array, Mask | None]:
    """As float64, and which are none that is taken here."""
    good = pc.match_substring_regex(texts, _NUMBER)
    if pc.all(good).as_py():
        return pc.cast(texts, pa.float64()), None
    taken = pc.if_else(good, texts, "0")
    return pc.cast(taken, pa.float64()), ~good.to_numpy(zero_copy_only=False)
