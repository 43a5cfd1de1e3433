"""A table somebody exported: a CSV or Parquet file read as typed Arrow columns, every record accepted or rejected.

Cells are data: nothing in them is a formula, a path or code. Blank cells are NULL; blank lines are no records.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet

from adapters.warehouse.cell_type import ARROW, blank_to_null, narrow, parse
from adapters.warehouse.rejects import Rejects
from adapters.warehouse.text_form import COLUMNS_MAX, TextForm, repaired, survey
from adapters.warehouse.text_records import Block, blocks
from common.kernel.columns import Mask, Rows
from common.kernel.refusal import invalid
from common.kernel.tag import Tag, TagType

CELL_BYTES_MAX = 64 * 1024
BATCH_ROWS = 65_536

_WANTED = {
    TagType.INTEGER: "is no whole number",
    TagType.NUMBER: "is no number",
    TagType.BOOLEAN: "is neither true nor false",
    TagType.DATE: "is no date such as 2026-01-31",
    TagType.TIMESTAMP: "is no time such as 2026-01-31 08:00:00",
}


@dataclass(frozen=True, slots=True)
class Batch:
    """`lines` are where each row begins in the file, from 1 (of Parquet the row's number, from 1)."""

    columns: pa.RecordBatch
    lines: Rows


@dataclass(frozen=True, slots=True)
class TableFile:
    path: Path
    tags: tuple[Tag, ...]
    """In file order, names made usable and distinct, types found or declared."""
    notes: tuple[str, ...]
    """What the owner of the file should know: encoding and separator found, names changed, columns left out."""
    form: TextForm | None
    """None for Parquet."""
    declared: frozenset[str] = frozenset()

    def batches(self, rejects: Rejects) -> Iterator[Batch]:
        """Typed rows in file order; records that do not fit go to `rejects`. Memory is bounded by the batch."""
        if self.form is None:
            yield from _parquet_batches(self)
            return
        for block in blocks(self.path, self.form, rejects):
            yield _typed(self, block, rejects)


def open_table(path: Path, types: Mapping[str, TagType] | None = None, encoding: str | None = None) -> TableFile:
    """Find how the file is written and the type of each column; `types` declares types by column name.

    A type is found from every value of the column. Raises Refusal where the file is no table.
    """
    if not path.is_file():
        raise invalid(f"there is no file {path}; check the path")
    with path.open("rb") as file:
        is_parquet = file.read(4) == b"PAR1"
    if is_parquet:
        return _open_parquet(path)
    return _open_text(path, types or {}, encoding)


def first_rows(table: TableFile, count: int) -> pa.RecordBatch | None:
    """A look at the typed values; None where no line is fit."""
    first = next(table.batches(Rejects()), None)
    return first.columns.slice(0, count) if first else None


def _open_text(path: Path, types: Mapping[str, TagType], encoding: str | None) -> TableFile:
    form = survey(path, encoding)
    names, notes = repaired(form.header, ())
    declared = {name.casefold(): kind for name, kind in types.items()}
    unknown = declared.keys() - {name.casefold() for name in names}
    if unknown:
        raise invalid(f"{path.name} has no column {', '.join(sorted(unknown))}; it has {', '.join(names)}")
    found: list[TagType | None] = [declared.get(name.casefold()) for name in names]
    open_columns = [i for i, kind in enumerate(found) if kind is None]
    for block in blocks(path, form, Rejects()) if open_columns else ():
        for i in open_columns:
            found[i] = narrow(found[i], blank_to_null(block.cells[i]))
    tags = tuple(Tag(name, kind or TagType.TEXT) for name, kind in zip(names, found, strict=True))
    separator = {"\t": "tab"}.get(form.separator, form.separator)
    return TableFile(
        path, tags, (f"encoding {form.encoding}, separator {separator}", *notes), form, frozenset(declared)
    )


def _typed(table: TableFile, block: Block, rejects: Rejects) -> Batch:
    good = np.ones(len(block.lines), dtype=np.bool_)
    for tag, cells in zip(table.tags, block.cells, strict=True):
        if (pc.max(pc.binary_length(cells)).as_py() or 0) > CELL_BYTES_MAX:
            long = pc.greater(pc.binary_length(cells), CELL_BYTES_MAX).to_numpy(zero_copy_only=False)
            reason = f"the cell is longer than {CELL_BYTES_MAX} bytes"
            _reject(block.lines, np.flatnonzero(long), good, tag.name, reason, rejects)
    columns = []
    for tag, cells in zip(table.tags, block.cells, strict=True):
        values, rows = parse(blank_to_null(cells), tag.type)
        if len(rows):
            how = "declared" if tag.name.casefold() in table.declared else "found in nearly every line"
            _reject(block.lines, rows, good, tag.name, f"the cell {_WANTED[tag.type]}, the type {how}", rejects)
        columns.append(values)
    batch = pa.RecordBatch.from_arrays(columns, names=[tag.name for tag in table.tags])
    if good.all():
        return Batch(batch, block.lines)
    return Batch(batch.filter(pa.array(good)), block.lines[good])


def _reject(lines: Rows, rows: Rows, good: Mask, column: str, reason: str, rejects: Rejects) -> None:
    """A record is rejected once, for the first reason found."""
    fresh = rows[good[rows]]
    good[fresh] = False
    rejects.add(lines[fresh], column, reason)


def _open_parquet(path: Path) -> TableFile:
    try:
        schema = parquet.read_schema(path)
    except pa.ArrowInvalid as error:
        raise invalid(f"{path.name} is a damaged Parquet file ({error}); export it again") from error
    if len(schema) > COLUMNS_MAX:
        raise invalid(f"{path.name} has {len(schema)} columns, at most {COLUMNS_MAX} are taken; split the file")
    names, notes = repaired(schema.names, ())
    kinds = [_tag_type(column.type) for column in schema]
    left_out = [
        f"column {name} of type {column.type} is left out"
        for name, column, kind in zip(names, schema, kinds, strict=True)
        if kind is None
    ]
    tags = tuple(Tag(name, kind) for name, kind in zip(names, kinds, strict=True) if kind)
    return TableFile(path, tags, (*notes, *left_out), None)


def _tag_type(kind: pa.DataType) -> TagType | None:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = (
        (TagType.INTEGER, lambda t: pa.types.is_integer(t) and t != pa.uint64()),
        (TagType.NUMBER, lambda t: pa.types.is_floating(t) or pa.types.is_decimal(t) or t == pa.uint64()),
        (TagType.BOOLEAN, pa.types.is_boolean),
        (TagType.DATE, pa.types.is_date),
        (TagType.TIMESTAMP, pa.types.is_timestamp),
        (TagType.TEXT, lambda t: pa.types.is_string(t) or pa.types.is_large_string(t) or pa.types.is_string_view(t)),
    )
    return next((tag_type for tag_type, test in tests if test(kind)), None)


def _parquet_batches(table: TableFile) -> Iterator[Batch]:
    first = 1
    file = parquet.ParquetFile(table.path)
    places = [i for i, column in enumerate(file.schema_arrow) if _tag_type(column.type)]
    for batch in file.iter_batches(BATCH_ROWS):
        columns = [_plain(batch.column(i), tag.type) for i, tag in zip(places, table.tags, strict=True)]
        lines = np.arange(first, first + batch.num_rows, dtype=np.int64)
        yield Batch(pa.RecordBatch.from_arrays(columns, names=[tag.name for tag in table.tags]), lines)
        first += batch.num_rows


def _plain(values: pa.Array, kind: TagType) -> pa.Array:
    if pa.types.is_timestamp(values.type) and values.type.tz:
        values = pc.local_timestamp(values)
    plain = pc.cast(values, ARROW[kind], safe=kind is not TagType.TIMESTAMP)
    if kind is TagType.TEXT:
        return blank_to_null(plain)
    if kind is TagType.NUMBER:
        return pc.if_else(pc.is_finite(plain), plain, pa.scalar(None, pa.float64()))
    return plain
