"""Packed repeated fields to numpy columns and back, checked in bulk."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Codes, Keys, Mask, Refs, Rows, Times
from common.kernel.refusal import Refusal, invalid
from common.kernel.task_block import BLOCK_ROWS

MESSAGE_BYTES_MAX = 1 << 20
BLOCK_BYTES_MAX = MESSAGE_BYTES_MAX - (16 << 10)
"""A block in its envelope still fits one message."""
KEY_MAX = (1 << 63) - 1


def malformed(where: str, what: str) -> Refusal:
    return invalid(f"{where}: {what}; do not send it again unchanged", "BLOCK_MALFORMED", detail=f"{where}: {what}")


def check_rows(where: str, rows: int, *others: Sized) -> None:
    """`rows` is the length of the first column; every other must have it too."""
    if rows > BLOCK_ROWS:
        raise invalid(
            f"{where}: {rows} rows, at most {BLOCK_ROWS} are taken; cut the block smaller",
            "BLOCK_TOO_LARGE",
            limit=str(BLOCK_ROWS),
        )
    if rows == 0:
        raise malformed(where, "a block without rows")
    if any(len(column) != rows for column in others):
        raise malformed(where, f"columns of {rows} and {[len(column) for column in others]} rows")


def check_bytes(where: str, size: int) -> None:
    if size > BLOCK_BYTES_MAX:
        raise invalid(
            f"{where}: {size} bytes, at most {BLOCK_BYTES_MAX} are taken; cut the block smaller",
            "BLOCK_TOO_LARGE",
            limit=str(BLOCK_BYTES_MAX),
        )


def codes(where: str, field: Sequence[int], allowed: type[IntEnum]) -> Codes:
    values = np.array(field, dtype=np.int64)
    if not np.isin(values, list(map(int, allowed))).all():
        raise malformed(where, "a code this build does not know")
    return values.astype(np.uint8)


def times(field: Sequence[int]) -> Times:
    return np.array(field, dtype=np.uint32)


def mask(field: Sequence[bool]) -> Mask:
    return np.array(field, dtype=np.bool_)


def refs(where: str, field: Sequence[int], dictionary: Sequence[str]) -> Refs:
    values = np.array(field, dtype=np.uint32)
    if len(values) and int(values.max()) >= len(dictionary):
        raise malformed(where, f"a reference past the {len(dictionary)} entries of its dictionary")
    return values


def keys(where: str, field: Sequence[int]) -> Keys:
    values = np.array(field, dtype=np.int64)
    if (values < 0).any():
        raise malformed(where, "a subscriber key below 0")
    return values


def to_deltas(values: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.diff(values, prepend=np.int64(0))


def from_deltas(where: str, field: Sequence[int], largest: int) -> Rows:
    """Values from the first and its positive differences; refused where they do not rise or pass `largest`."""
    deltas = np.array(field, dtype=np.uint64)
    if (deltas[1:] == 0).any():
        raise malformed(where, "numbers that do not rise")
    with np.errstate(over="ignore"):
        values = np.cumsum(deltas)
    if (deltas > np.uint64(largest)).any() or (values > np.uint64(largest)).any():
        raise malformed(where, "a number out of range")
    return values.astype(np.int64)


def dictionary(values: Sequence[str]) -> tuple[list[str], list[int]]:
    """The distinct values in order of appearance, and where each row points."""
    places: dict[str, int] = {}
    found = [places.setdefault(value, len(places)) for value in values]
    return list(places), found
