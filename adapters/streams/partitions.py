"""Which partition a record belongs to: every event of a person is in the same one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adapters.streams import packed
from adapters.streams.cells import decimals, filled_up, is_text, whole_numbers
from adapters.streams.json_rows import flat, parse
from common.kernel.columns import Keys, Rows
from common.kernel.keyed_hash import mix, salt

_SALT = salt("event partition")
_SUBJECT = pa.schema([("subject", pa.string())])


def of_keys(keys: Keys, partitions: int) -> NDArray[np.int64]:
    return (mix(keys, _SALT) % np.uint64(partitions)).astype(np.int64)


def split_json(values: Sequence[bytes], partitions: int) -> Iterator[tuple[int, list[bytes]]]:
    """Structured events by partition, in their order. What names nobody goes to partition 0, to be refused there."""
    places = np.zeros(len(values), dtype=np.int64)
    if partitions > 1 and values:
        parsed = parse(values, _SUBJECT)
        keys = filled_up(decimals(flat(parsed.table["subject"])), -1) if len(parsed.rows) else np.zeros(0, np.int64)
        places[parsed.rows] = np.where(keys < 0, 0, of_keys(keys, partitions))
    for number in np.unique(places).tolist():
        yield number, [values[row] for row in np.flatnonzero(places == number).tolist()]


def split_packed(value: bytes, partitions: int) -> Iterator[tuple[int, bytes]]:
    """One packed record as one for each partition. What cannot be read goes to partition 0, to be refused there."""
    if partitions == 1:
        yield 0, value
        return
    try:
        batch = packed.next_batch(value)
        subjects = batch["subject"]
    except (*packed.UNREADABLE, KeyError):
        yield 0, value
        return
    keys = filled_up(decimals(subjects) if is_text(subjects.type) else whole_numbers(subjects), -1)
    for number, rows in _rows(np.where(keys < 0, 0, of_keys(keys, partitions))):
        yield number, packed.encode(batch.take(pa.array(rows)))


def _rows(places: NDArray[np.int64]) -> Iterator[tuple[int, Rows]]:
    for number in np.unique(places).tolist():
        yield number, np.flatnonzero(places == number)
