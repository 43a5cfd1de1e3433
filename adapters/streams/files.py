"""Events in files, in file order, a batch at a time: JSON Lines, CSV, Parquet, and packed batches one after another.

Without a mapping a file has the catalogue's own form: lines of CloudEvents, or the columns id, source, type, subject,
time and the fields. Positions are lines from 1, of Parquet rows from 1, of packed files events from 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from adapters.streams import packed
from adapters.streams.cloudevents import decode_structured
from adapters.streams.json_rows import RECORD_BYTES_MAX
from adapters.streams.mapped import Table, decode_lines, decoded
from adapters.streams.mapping import SourceMapping
from adapters.streams.standard import Decoded, Edge
from adapters.warehouse.rejects import Rejects
from adapters.warehouse.text_form import repaired, survey
from adapters.warehouse.text_records import blocks
from common.kernel.dead_letter import DeadLetters, DeadReason, dead_letter
from common.kernel.refusal import invalid, missing

BATCH_ROWS = 20_000
READ_BYTES = 4 << 20
SAMPLE_LINES = 64
FORMATS = {".jsonl": "jsonl", ".json": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".txt": "csv", ".parquet": "parquet",
           ".arrows": "packed"}  # fmt: skip


def decode_file(path: Path, edge: Edge, mapping: SourceMapping | None = None) -> Iterator[Decoded]:
    """Raises Refusal where the file is not there, or is none of these."""
    if not path.is_file():
        raise missing(f"there is no file {path}; check the path")
    form = mapping.format if mapping else FORMATS.get(path.suffix.lower())
    if form is None:
        raise invalid(f"{path.name}: how it is written cannot be told; name it {', '.join(FORMATS)} or give a mapping")
    if form == "packed":
        yield from _packed(path, edge)
    elif form == "jsonl":
        yield from _json_lines(path, edge, mapping)
    else:
        tables = _csv(path, mapping) if form == "csv" else _parquet(path)
        for table in tables:
            yield decoded(table, edge, mapping)


def _csv(path: Path, mapping: SourceMapping | None) -> Iterator[Table]:
    form = survey(path, mapping.encoding if mapping else None)
    names, _ = repaired(form.header, ())
    _refuse_lacking(path, names, mapping)
    rejects, told = Rejects(), 0
    for block in blocks(path, form, rejects):
        columns = dict(zip(names, block.cells, strict=True))
        letters = [dead_letter(r.line, DeadReason.SCHEMA_MISMATCH, r.reason, b"") for r in list(rejects)[told:]]
        told += len(letters)
        table = Table(columns, block.lines, DeadLetters(tuple(letters)))
        for first in range(0, len(block.lines), BATCH_ROWS):
            yield _slice(table, first, first + BATCH_ROWS)
    letters = [dead_letter(r.line, DeadReason.SCHEMA_MISMATCH, r.reason, b"") for r in list(rejects)[told:]]
    if letters:
        empty = {name: pa.nulls(0, pa.string()) for name in names}
        yield Table(empty, np.zeros(0, dtype=np.int64), DeadLetters(tuple(letters)))


def _slice(table: Table, first: int, last: int) -> Table:
    columns = {name: cells.slice(first, last - first) for name, cells in table.columns.items()}
    return Table(columns, table.positions[first:last], DeadLetters() if first else table.dead)


def _refuse_lacking(path: Path, names: Sequence[str], mapping: SourceMapping | None) -> None:
    wanted = mapping.columns() if mapping else ["id", "source", "type", "subject", "time"]
    lacking = [name for name in wanted if name not in names]
    if lacking:
        raise invalid(f"{path.name} has no column {', '.join(lacking)}; it has {', '.join(names)[:400]}")


def _parquet(path: Path) -> Iterator[Table]:
    try:
        file, first = parquet.ParquetFile(path), 1
        for batch in file.iter_batches(BATCH_ROWS):
            columns = dict(zip(batch.schema.names, map(_undictionaried, batch.columns), strict=True))
            yield Table(columns, np.arange(first, first + batch.num_rows, dtype=np.int64))
            first += batch.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise invalid(f"{path.name} is a damaged Parquet file; export it again") from error


def _undictionaried(cells: pa.Array) -> pa.Array:
    return pc.cast(cells, cells.type.value_type) if pa.types.is_dictionary(cells.type) else cells


def _packed(path: Path, edge: Edge) -> Iterator[Decoded]:
    """Arrow streams one after another, each a record of packed mode; what follows a damaged one cannot be found."""
    first = 1
    with pa.OSFile(str(path), "rb") as file:
        while file.tell() < file.size():
            begin = file.tell()
            try:
                batch = packed.next_batch(file)
            except packed.UNREADABLE:
                why = f"no whole Arrow stream from byte {begin} of the file on"
                yield Decoded((), DeadLetters((dead_letter(first, DeadReason.TRUNCATED, why, b""),)))
                return
            found = packed.rows_of(batch, first, edge)
            yield found
            first += found.count


def _json_lines(path: Path, edge: Edge, mapping: SourceMapping | None) -> Iterator[Decoded]:
    with path.open("rb") as file:
        for values, lines in _batches_of_lines(file):
            if mapping is None:
                yield decode_structured(values, edge, lines)
            else:
                yield decode_lines(values, lines, edge, mapping)


def _batches_of_lines(file: BinaryIO) -> Iterator[tuple[list[bytes], NDArray[np.int64]]]:
    """Lines that are not blank, and their numbers. Of a line that is too long only the beginning is kept."""
    number, rest = 1, b""
    while raw := file.read(READ_BYTES):
        if number == 1 and not rest:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        *lines, rest = (rest + raw).split(b"\n")
        rest = rest[: RECORD_BYTES_MAX + 1]
        yield from _cut(lines, number)
        number += len(lines)
    yield from _cut([rest], number)


def _cut(lines: list[bytes], number: int) -> Iterator[tuple[list[bytes], NDArray[np.int64]]]:
    for first in range(0, len(lines), BATCH_ROWS):
        some = lines[first : first + BATCH_ROWS]
        kept = [i for i, line in enumerate(some) if line and not line.isspace()]
        if kept:
            yield [some[i] for i in kept], np.array(kept, dtype=np.int64) + (number + first)
