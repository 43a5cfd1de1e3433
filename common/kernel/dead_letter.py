"""Dead letters: records that were refused as events, each with its reason, its place and what it said."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum, unique

RAW_BYTES_MAX = 4 * 1024


@unique
class DeadReason(IntEnum):
    """Public and permanent: numbers are stored and never used again for another meaning."""

    TRUNCATED = 1
    NOT_JSON = 2
    UNKNOWN_TYPE = 3
    FIELD_MISSING = 4
    WRONG_TYPE = 5
    OUT_OF_RANGE = 6
    SUBJECT_INVALID = 7
    TIME_INVALID = 8
    FAR_FUTURE = 9
    TOO_LARGE = 10
    SCHEMA_MISMATCH = 11
    """The record as a whole is not of the form its source has."""
    UNKNOWN_SUBSCRIBER = 12
    NOT_CLOUDEVENT = 13
    ID_INVALID = 14


@dataclass(frozen=True, slots=True)
class DeadLetter:
    position: int
    """Where the record stood: its number in the batch from 0, or its line in a file from 1."""
    reason: DeadReason
    why: str
    """What is wrong and where; never a value of the record."""
    raw: bytes
    """The record's first bytes, without anybody's number."""


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Ascending by position."""

    letters: tuple[DeadLetter, ...] = ()

    def __len__(self) -> int:
        return len(self.letters)

    def __iter__(self) -> Iterator[DeadLetter]:
        return iter(self.letters)

    def by_reason(self) -> dict[DeadReason, int]:
        """The most frequent first."""
        return dict(Counter(letter.reason for letter in self.letters).most_common())


def gathered(letters: Iterable[DeadLetter]) -> DeadLetters:
    return DeadLetters(tuple(sorted(letters, key=lambda letter: letter.position)))


def dead_letter(position: int, reason: DeadReason, why: str, raw: bytes) -> DeadLetter:
    # Masked before it is cut, so that no number loses the digits it is known by.
    return DeadLetter(position, reason, why, masked(raw[: RAW_BYTES_MAX + _NUMBER_BYTES_MAX])[:RAW_BYTES_MAX])


_NUMBER_BYTES_MAX = 64
_DIGIT = rb"(?:\d|\\u003\d|\xef\xbc[\x90-\x99])"
_GAP = rb"[\s\-.()\x00]{0,2}"
_NUMBER = re.compile(
    rb"(?<!\d)(?:" + _DIGIT + _GAP + rb"){0,5}(?:1|\\u0031|\xef\xbc\x91)" + _GAP
    + rb"(?:[3-9]|\\u003[3-9]|\xef\xbc[\x93-\x99])(?:" + _GAP + _DIGIT + rb"){9}(?!\d)"
)  # fmt: skip
_MASK = b"***********"


def masked(raw: bytes) -> bytes:
    """`raw` with stars for whatever reads like a mobile number, however it is prefixed, spaced or escaped."""
    return _NUMBER.sub(_MASK, raw)
