"""Bringing people and their tags in from a file: numbers to the vault, everything else to a new snapshot.

Nothing is written before the whole file has been read and judged. Importing a file again changes nothing, so an
import that was interrupted is simply run again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from adapters.warehouse.cell_type import ARROW
from adapters.warehouse.duckdb_warehouse import connect, quoted
from adapters.warehouse.people_rules import (
    COLLISION,
    DUPLICATE,
    ERASED,
    NUMBERS_NOTE,
    duplicates,
    holds_numbers,
    msisdns,
    province_codes,
    snapshot_tags,
)
from adapters.warehouse.rejects import Rejects
from adapters.warehouse.snapshots import Snapshot, Snapshots
from adapters.warehouse.table_file import Batch, TableFile, first_rows, open_table
from common.delivery import erasures, vault
from common.kernel.columns import Keys, Mask, Rows, in_sorted
from common.kernel.province import PROVINCES
from common.kernel.refusal import invalid, missing
from common.kernel.subscriber import subscriber_keys
from common.kernel.tag import KEY, ORDINAL, PROVINCE, RESERVED, Catalogue, Sensitivity, Tag, TagType, merge
from common.runtime.database import Database

VAULT_ROWS = 100_000
"""People in one vault transaction."""
NUMBERS_LOOK = 1_000
"""Rows looked at to tell a column of phone numbers."""

Progress = Callable[[int], None]
"""Called with how many records were read so far."""


@dataclass(frozen=True, slots=True)
class Imported:
    """accepted + len(rejects) is every record of the file."""

    accepted: int
    added: int
    """How many of them were new here."""
    rejects: Rejects
    notes: tuple[str, ...]
    snapshot: Snapshot | None
    """None where a province takes numbers only."""


@dataclass(frozen=True, slots=True)
class Home:
    """A province that keeps tags of its own people: those in its vault."""

    code: int
    database: Database


@dataclass(slots=True)
class _Staged:
    """The file judged line by line: whose line each is, with the tags set aside in a file of the same row order."""

    numbers: NDArray[np.int64]
    provinces: NDArray[np.int16]
    keys: Keys
    lines: Rows
    tags_path: Path
    good: Mask = field(init=False)

    def __post_init__(self) -> None:
        self.good = np.ones(len(self.keys), dtype=np.bool_)

    def reject(self, rows: Mask, column: str, reason: str, rejects: Rejects) -> None:
        fresh = rows & self.good
        self.good &= ~fresh
        rejects.add(self.lines[fresh], column, reason)


def import_subscribers(
    file: Path,
    *,
    number: str,
    province: str,
    federation_key: bytes,
    database: Database,
    snapshots: Snapshots | None,
    home: int | None = None,
    types: Mapping[str, TagType] | None = None,
    encoding: str | None = None,
    progress: Progress = lambda _: None,
) -> Imported:
    """Add people, or replace the tags and home of those known; people not in the file stay as they are.

    `number` and `province` name the file's columns. HQ passes `snapshots`; a province passes `home`, its own code,
    and takes only its own people. Raises Refusal where the file or a named column is not there.
    """
    table = _open(file, {number: TagType.TEXT, province: TagType.TEXT}, types, encoding)
    number, province = _name(table, number), _name(table, province)
    tags, notes = tags_of(table, (number, province)) if snapshots else ([], [])
    rejects = Rejects()
    with tempfile.TemporaryDirectory() as scratch:
        staged = _stage(table, number, province, tags, federation_key, Path(scratch), rejects, progress)
        _judge_repeats(staged, number, rejects)
        if home is not None:
            reason = f"belongs to another province than {home} {PROVINCES[home].name_zh}; import it there"
            staged.reject(staged.provinces != home, province, reason, rejects)
        staged.reject(_known_otherwise(database, staged), number, COLLISION, rejects)
        staged.reject(_erased(database, staged), number, ERASED, rejects)
        _refuse_nothing(table, staged, rejects)
        added = _fill_vault(database, staged)
        snapshot = _publish(snapshots, staged, tags, Path(scratch), new_people=True) if snapshots else None
    return Imported(int(staged.good.sum()), added, rejects, (*table.notes, *notes), snapshot)


def import_tags(
    file: Path,
    *,
    number: str,
    federation_key: bytes,
    snapshots: Snapshots,
    home: Home | None = None,
    types: Mapping[str, TagType] | None = None,
    sensitive: Mapping[str, Sensitivity] | None = None,
    encoding: str | None = None,
    progress: Progress = lambda _: None,
) -> Imported:
    """Join the file's columns to people already known, as new tags or new values of known ones.

    People not in the file keep what they have, NULL for a new tag. HQ knows those in its newest snapshot, a `home`
    those in its vault.
    """
    known = _keys_known(snapshots, home)
    table = _open(file, {number: TagType.TEXT}, types, encoding)
    number = _name(table, number)
    tags, notes = tags_of(table, (number,))
    if not tags:
        raise invalid(f"{file.name} has no column beside {number}; there is no tag to join")
    tags = _sensitive(tags, sensitive or {}, file)
    rejects = Rejects()
    with tempfile.TemporaryDirectory() as scratch:
        staged = _stage(table, number, None, tags, federation_key, Path(scratch), rejects, progress)
        _judge_repeats(staged, number, rejects)
        reason = "nobody with this number is known; import subscribers first"
        staged.reject(~in_sorted(staged.keys, known), number, reason, rejects)
        staged.provinces[:] = home.code if home else 0
        _refuse_nothing(table, staged, rejects)
        snapshot = _publish(snapshots, staged, tags, Path(scratch), new_people=home is not None)
    return Imported(int(staged.good.sum()), 0, rejects, (*table.notes, *notes), snapshot)


def _keys_known(snapshots: Snapshots, home: Home | None) -> Keys:
    """Ascending."""
    if home is not None:
        with home.database.snapshot() as connection:
            return vault.keys_of_province(connection, home.code)
    last = snapshots.latest()
    if last is None:
        raise missing("no people are known yet; run liandong import subscribers FILE first")
    keys: Keys = parquet.read_table(last.path, columns=[KEY]).column(KEY).to_numpy()
    return keys


def _sensitive(tags: list[tuple[str, Tag]], said: Mapping[str, Sensitivity], file: Path) -> list[tuple[str, Tag]]:
    wanted = {name.casefold(): kind for name, kind in said.items()}
    unknown = wanted.keys() - {tag.name.casefold() for _, tag in tags}
    if unknown:
        raise invalid(
            f"{file.name} has no tag {', '.join(sorted(unknown))}; it has {', '.join(t.name for _, t in tags)}"
        )
    return [(name, replace(tag, sensitivity=wanted.get(tag.name.casefold(), tag.sensitivity))) for name, tag in tags]


def tags_of(
    table: TableFile, apart: Sequence[str], taken: Sequence[str] = RESERVED
) -> tuple[list[tuple[str, Tag]], list[str]]:
    """(name in the file, tag) of the columns that may be tags, and notes on those renamed or left out."""
    rows = first_rows(table, NUMBERS_LOOK)
    phones = [name for name in rows.schema.names if holds_numbers(rows.column(name))] if rows else []
    notes = [NUMBERS_NOTE.format(name) for name in phones if name not in apart]
    tags, renamed = snapshot_tags(table.tags, (*apart, *phones), taken)
    return tags, [*notes, *renamed]


def _open(file: Path, own: dict[str, TagType], types: Mapping[str, TagType] | None, encoding: str | None) -> TableFile:
    return open_table(file, {**(types or {}), **own}, encoding)


def _name(table: TableFile, column: str) -> str:
    found = next((tag.name for tag in table.tags if tag.name.casefold() == column.casefold()), None)
    if found is None:
        names = ", ".join(tag.name for tag in table.tags)
        raise invalid(f"{table.path.name} has no column {column}; it has {names}")
    return found


def _refuse_nothing(table: TableFile, staged: _Staged, rejects: Rejects) -> None:
    if staged.good.any():
        return
    if not len(rejects):
        raise invalid(f"{table.path.name} has a header and no lines; nothing was imported")
    worst = next(iter(rejects.by_reason()))
    raise invalid(
        f"{table.path.name}: all {len(rejects)} lines were rejected, most for: {worst}; nothing was imported",
        rejects=str(len(rejects)),
    )


def _stage(
    table: TableFile,
    number: str,
    province: str | None,
    tags: list[tuple[str, Tag]],
    federation_key: bytes,
    scratch: Path,
    rejects: Rejects,
    progress: Progress,
) -> _Staged:
    path = scratch / "tags.parquet"
    numbers, provinces, lines, read = [], [], [], 0
    with parquet.ParquetWriter(path, _tags_schema(tags), compression="lz4") as writer:
        for batch in table.batches(rejects):
            whose, home, good = _identify(batch, number, province, rejects)
            numbers.append(whose[good])
            provinces.append(home[good])
            lines.append(batch.lines[good])
            kept = batch.columns.select([name for name, _ in tags]).filter(pa.array(good))
            columns = [kept.column(i) for i in range(kept.num_columns)]
            writer.write_batch(_tags_batch(columns, tags, int(good.sum())))
            read += batch.columns.num_rows
            progress(read)
    every = np.concatenate([np.zeros(0, dtype=np.int64), *numbers])
    keys = subscriber_keys(federation_key, every.tolist())
    homes = np.concatenate([np.zeros(0, dtype=np.int16), *provinces])
    return _Staged(every, homes, keys, np.concatenate([np.zeros(0, dtype=np.int64), *lines]), path)


_ROW = "row"


def _tags_schema(tags: list[tuple[str, Tag]]) -> pa.Schema:
    return pa.schema([(f"t{i}", ARROW[tag.type]) for i, (_, tag) in enumerate(tags)] or [(_ROW, pa.bool_())])


def _tags_batch(columns: list[pa.Array], tags: list[tuple[str, Tag]], rows: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(columns or [pa.nulls(rows, pa.bool_())], schema=_tags_schema(tags))


def _identify(
    batch: Batch, number: str, province: str | None, rejects: Rejects
) -> tuple[NDArray[np.int64], NDArray[np.int16], Mask]:
    """Whose row each is and where they live; rows that do not say are rejected and masked out."""
    texts = pc.cast(batch.columns.column(number), pa.string())
    whose, good = msisdns(texts), np.ones(len(batch.lines), dtype=np.bool_)
    _drop(batch, _blank(texts), good, number, "the number is missing", rejects)
    _drop(batch, whose == 0, good, number, "no mainland mobile number", rejects)
    if province is None:
        return whose, np.zeros(len(whose), dtype=np.int16), good
    places = pc.cast(batch.columns.column(province), pa.string())
    home = province_codes(places)
    _drop(batch, _blank(places), good, province, "the province is missing", rejects)
    reason = "no province; write a code such as 45 or a name such as 广西 or Guangxi"
    _drop(batch, home == 0, good, province, reason, rejects)
    return whose, home, good


def _blank(texts: pa.Array) -> Mask:
    blank: Mask = pc.is_null(texts).to_numpy(zero_copy_only=False)
    return blank


def _drop(batch: Batch, rows: Mask, good: Mask, column: str, reason: str, rejects: Rejects) -> None:
    fresh = rows & good
    good &= ~fresh
    rejects.add(batch.lines[fresh], column, reason)


def _judge_repeats(staged: _Staged, number: str, rejects: Rejects) -> None:
    repeats, collisions = duplicates(staged.keys, staged.numbers)
    staged.reject(collisions, number, COLLISION, rejects)
    staged.reject(repeats, number, DUPLICATE, rejects)


def _known_otherwise(database: Database, staged: _Staged) -> Mask:
    """Lines whose key the vault already has under another number."""
    clashing = np.zeros(len(staged.keys), dtype=np.bool_)
    with database.snapshot() as connection:
        for start in range(0, len(clashing), VAULT_ROWS):
            part = slice(start, start + VAULT_ROWS)
            numbers, known = vault.numbers(connection, staged.keys[part])
            clashing[part] = known & (numbers != staged.numbers[part])
    return clashing


def _erased(database: Database, staged: _Staged) -> Mask:
    """Lines of people whose data was erased."""
    with database.snapshot() as connection:
        parts = [staged.keys[start : start + VAULT_ROWS] for start in range(0, len(staged.keys), VAULT_ROWS)]
        marks = [erasures.erased(connection, part) for part in parts]
    return np.concatenate([np.zeros(0, dtype=np.bool_), *marks])


def _fill_vault(database: Database, staged: _Staged) -> int:
    rows = np.flatnonzero(staged.good)
    rows = rows[np.argsort(staged.keys[rows])]
    added = 0
    for start in range(0, len(rows), VAULT_ROWS):
        part = rows[start : start + VAULT_ROWS]
        with database.transaction("subscriber_import.fill_vault") as connection:
            new, _ = vault.put_subscribers(connection, staged.keys[part], staged.numbers[part], staged.provinces[part])
        added += new
    return added


def _publish(
    snapshots: Snapshots, staged: _Staged, tags: list[tuple[str, Tag]], scratch: Path, *, new_people: bool
) -> Snapshot:
    last = snapshots.latest()
    catalogue = _merged(last.catalogue if last else Catalogue(()), [tag for _, tag in tags])
    with connect(scratch) as connection:
        connection.register("fresh", pa.RecordBatchReader.from_batches(_fresh_schema(tags), _fresh(staged, tags)))
        connection.execute(f"CREATE TABLE staged AS SELECT * FROM fresh ORDER BY {KEY}")  # noqa: S608
        known: dict[str, str] = {}
        if last:
            connection.read_parquet(str(last.path)).create_view("known")
            known = {tag.name.casefold(): tag.name for tag in last.catalogue}
        query = _merge_query(catalogue, known, tags, has_known=last is not None, new_people=new_people)
        people = connection.sql(query).to_arrow_reader(VAULT_ROWS)
        return snapshots.publish(_numbered(people, last.ordinals if last else 0), catalogue, last)


def _merged(old: Catalogue, tags: list[Tag]) -> Catalogue:
    merged = merge(old, tags)
    if isinstance(merged, Tag):
        new = next(tag for tag in tags if tag.name.casefold() == merged.name.casefold())
        raise invalid(
            f"column {merged.name} is {merged.type} in the catalogue and {new.type} in the file; "
            f"declare --type {merged.name}={merged.type}, or give the column another name"
        )
    return merged


def _fresh_schema(tags: list[tuple[str, Tag]]) -> pa.Schema:
    return pa.schema([(KEY, pa.int64()), (PROVINCE, pa.int16()), *_tags_schema(tags)])


def _fresh(staged: _Staged, tags: list[tuple[str, Tag]]) -> Iterator[pa.RecordBatch]:
    """The good lines with their tags, in file order."""
    start = 0
    for batch in parquet.ParquetFile(staged.tags_path).iter_batches():
        part = slice(start, start + batch.num_rows)
        columns = [pa.array(staged.keys[part]), pa.array(staged.provinces[part]), *batch.columns]
        whole = pa.RecordBatch.from_arrays(columns, schema=_fresh_schema(tags))
        yield whole.filter(pa.array(staged.good[part]))
        start = part.stop


def _merge_query(
    catalogue: Catalogue, known: dict[str, str], tags: list[tuple[str, Tag]], *, has_known: bool, new_people: bool
) -> str:
    fresh = {tag.name.casefold(): f"s.t{i}" for i, (_, tag) in enumerate(tags)}
    if not has_known:
        names = ", ".join(f"{fresh[tag.name.casefold()]} AS {quoted(tag.name)}" for tag in catalogue)
        return f"SELECT {KEY}, NULL::UINTEGER AS {ORDINAL}, {PROVINCE}{', ' + names if names else ''} FROM staged s ORDER BY {KEY}"  # noqa: E501, S608
    columns = [
        f"coalesce(s.{KEY}, k.{KEY}) AS {KEY}",
        f"k.{ORDINAL} AS {ORDINAL}",
        f"{f'coalesce(s.{PROVINCE}, k.{PROVINCE})' if new_people else f'k.{PROVINCE}'} AS {PROVINCE}",
    ]
    for tag in catalogue:
        name = tag.name.casefold()
        old = f"k.{quoted(known[name])}" if name in known else "NULL"
        value = f"CASE WHEN s.{KEY} IS NOT NULL THEN {fresh[name]} ELSE {old} END" if name in fresh else old
        columns.append(f"{value} AS {quoted(tag.name)}")
    join = "FULL" if new_people else "LEFT"
    return f"SELECT {', '.join(columns)} FROM known k {join} JOIN staged s ON s.{KEY} = k.{KEY} ORDER BY 1"  # noqa: S608


def _numbered(people: pa.RecordBatchReader, next_ordinal: int) -> Iterator[pa.RecordBatch]:
    """New people take the next ordinals in the order of their keys; an ordinal once given stays."""
    for batch in people:
        place = batch.schema.get_field_index(ORDINAL)
        ordinals = batch.column(place)
        new = pc.is_null(ordinals).to_numpy(zero_copy_only=False)
        filled = pc.fill_null(ordinals, 0).to_numpy().astype(np.uint32)
        filled[new] = next_ordinal + np.arange(new.sum(), dtype=np.uint32)
        next_ordinal += int(new.sum())
        yield batch.set_column(place, ORDINAL, pa.array(filled))
