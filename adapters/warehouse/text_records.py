"""The records of a text table as columns of strings, each with the line it begins on.

Chunks in good order go through Arrow whole. A chunk with a ragged line, a damaged character or a blank line, and a
file whose quotes are out of order, go record by record, which finds the line at fault.
"""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from adapters.warehouse.rejects import Rejects
from adapters.warehouse.text_form import TextForm, decode, text_lines, utf8_blocks
from common.kernel.columns import Rows
from common.kernel.refusal import invalid

CHUNK_BYTES = 8 << 20
RECORD_BYTES_MAX = 64 << 20
CELL_CHARS_MAX = 64 * 1024
SLOW_ROWS = 20_000

_DAMAGE = re.compile("[\ud800-\udfff]")
_DAMAGE_UTF16 = re.compile("\ufffd")


@dataclass(frozen=True, slots=True)
class Block:
    cells: list[pa.Array]
    """One string column per column of the header; no NULLs."""
    lines: Rows


def blocks(path: Path, form: TextForm, rejects: Rejects) -> Iterator[Block]:
    """Every record after the header once: in a block, or in `rejects`."""
    source = _cut(path, form, rejects) if form.regular else _by_record_file(path, form, rejects)
    for block in source:
        kept = _without_repeated_header(block, form, rejects)
        if len(kept.lines):
            yield kept


def _cut(path: Path, form: TextForm, rejects: Rejects) -> Iterator[Block]:
    line, header = 1, form.header_lines
    for chunk in _chunks(path, form.encoding):
        newlines = chunk.count(b"\n")
        taken = min(header, newlines)
        header -= taken
        # A header that is not over yet takes all of the chunk: its last line has no line end.
        body = b"" if header else chunk[_after_lines(chunk, taken) :]
        if body.strip(b"\r\n"):
            yield from _chunk(body, form, line + taken, rejects)
        line += newlines


def _chunk(body: bytes, form: TextForm, first: int, rejects: Rejects) -> Iterator[Block]:
    if block := _whole(body, form, first):
        yield block
    else:
        yield from _by_record(io.StringIO(decode(body, "utf-8"), newline=""), form, first, rejects)


def _after_lines(chunk: bytes, count: int) -> int:
    place = 0
    for _ in range(count):
        place = chunk.index(b"\n", place) + 1
    return place


def _chunks(path: Path, encoding: str) -> Iterator[bytes]:
    """UTF-8 bytes that end where a record ends."""
    waiting = b""
    for part in utf8_blocks(path, encoding):
        waiting += part
        if len(waiting) < CHUNK_BYTES:
            continue
        end = _record_end(waiting)
        if end:
            yield waiting[:end]
            waiting = waiting[end:]
        elif len(waiting) > RECORD_BYTES_MAX:
            raise invalid(f"{path.name}: one record is longer than {RECORD_BYTES_MAX} bytes; is a quote left open?")
    if waiting:
        yield waiting


def _record_end(data: bytes) -> int:
    """Just after the last line end outside quotes; 0 where there is none."""
    quotes = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == ord('"'))
    place = data.rfind(b"\n")
    while place >= 0 and np.searchsorted(quotes, place) % 2:
        place = data.rfind(b"\n", 0, place)
    return place + 1


def _whole(body: bytes, form: TextForm, first: int) -> Block | None:
    """The chunk through Arrow, or None where a record in it needs a closer look."""
    body = body.rstrip(b"\r\n")
    names = [str(i) for i in range(len(form.header))]
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(body),
            arrow_csv.ReadOptions(column_names=names, block_size=max(1 << 20, _longest_line(body))),
            arrow_csv.ParseOptions(delimiter=form.separator, newlines_in_values=b'"' in body),
            arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
        )
    except pa.ArrowInvalid:
        return None
    cells = [pa.chunked_array(column).combine_chunks() for column in table.columns]
    cells = [c.combine_chunks() if isinstance(c, pa.ChunkedArray) else c for c in cells]
    lines = _lines(cells, first, body.count(b"\n") + 1)
    return None if lines is None else Block(cells, lines)


def _longest_line(body: bytes) -> int:
    ends = np.flatnonzero(np.frombuffer(body, dtype=np.uint8) == ord("\n"))
    return 2 * int(np.diff(ends, prepend=-1, append=len(body)).max())


def _lines(cells: list[pa.Array], first: int, count: int) -> Rows | None:
    """Where each row begins; None where `count` lines are not just these rows (blank lines between them)."""
    rows = len(cells[0])
    if rows == count:
        return np.arange(first, first + rows, dtype=np.int64)
    inner = np.zeros(rows, dtype=np.int64)
    for column in cells:
        inner += pc.count_substring(column, "\n").to_numpy()
    if rows + int(inner.sum()) != count:
        return None
    return first + np.arange(rows, dtype=np.int64) + np.cumsum(inner) - inner


def _by_record_file(path: Path, form: TextForm, rejects: Rejects) -> Iterator[Block]:
    lines = text_lines(path, form.encoding)
    for _ in range(form.header_lines):
        next(lines)
    yield from _by_record(lines, form, form.header_lines + 1, rejects)


def _by_record(lines: Iterator[str], form: TextForm, first: int, rejects: Rejects) -> Iterator[Block]:
    rows: list[list[str]] = []
    starts: list[int] = []
    for line, cells, problem in _records(lines, form, first):
        if problem:
            rejects.add(np.array([line], dtype=np.int64), "", problem)
            continue
        rows.append(cells)
        starts.append(line)
        if len(rows) == SLOW_ROWS:
            yield _block(rows, starts)
            rows, starts = [], []
    if rows:
        yield _block(rows, starts)


def _block(rows: list[list[str]], starts: list[int]) -> Block:
    return Block([pa.array(c, pa.string()) for c in zip(*rows, strict=True)], np.array(starts, dtype=np.int64))


def _records(lines: Iterator[str], form: TextForm, first: int) -> Iterator[tuple[int, list[str], str]]:
    """(line, cells, what is wrong or ""). A record over several lines that does not fit is its first line's fault:
    the quote it opens and does not close must not swallow the good lines after it."""
    width, line = len(form.header), first
    damage = _DAMAGE_UTF16 if form.encoding.startswith("utf-16") else _DAMAGE
    again: deque[str] = deque()
    taken: list[str] = []

    def feed() -> Iterator[str]:
        while True:
            one = again.popleft() if again else next(lines, None)
            if one is None:
                return
            taken.append(one)
            yield one

    csv.field_size_limit(CELL_CHARS_MAX)
    reader = csv.reader(feed(), delimiter=form.separator, strict=True)
    while True:
        taken.clear()
        cells, problem = _next_record(reader, width)
        if not taken:
            return
        count = len(taken)
        if problem and count > 1:
            again.extendleft(reversed(taken[1:]))
            reader = csv.reader(feed(), delimiter=form.separator, strict=True)
            count, problem = 1, f"{problem}; a quote opened here is not closed"
        if not problem and damage.search("".join(taken[:count])):
            problem = f"a character is not {form.encoding.upper()}"
        if problem or cells:
            yield line, cells, problem
        line += count


def _next_record(reader: Iterator[list[str]], width: int) -> tuple[list[str], str]:
    try:
        cells = next(reader, [])
    except csv.Error as error:
        return [], str(error)
    if cells and len(cells) != width:
        return [], f"{len(cells)} cells where the header has {width}"
    return cells, ""


def _without_repeated_header(block: Block, form: TextForm, rejects: Rejects) -> Block:
    same = pc.equal(block.cells[0], form.header[0])
    for cells, name in zip(block.cells[1:], form.header[1:], strict=True):
        if not pc.any(same).as_py():
            return block
        same = pc.and_(same, pc.equal(cells, name))
    repeated = same.to_numpy(zero_copy_only=False)
    rejects.add(block.lines[repeated], "", "the header again")
    kept = pc.invert(same)
    return Block([cells.filter(kept) for cells in block.cells], block.lines[~repeated])
