"""Which lines of a people file are people, and who: pure, over columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adapters.warehouse.text_form import repaired
from common.kernel.columns import Keys, Mask
from common.kernel.province import province_code
from common.kernel.subscriber import normalise_msisdn
from common.kernel.tag import RESERVED, Tag

DUPLICATE = "duplicate: the number is on an earlier line"
COLLISION = "two numbers share one subscriber key; neither can be told apart, report both to HQ"
ERASED = "this person's data was erased; the number comes in again once BSS says it was given to somebody new"
NUMBERS_SHARE = 0.9
NUMBERS_NOTE = "column {} holds phone numbers and is left out: a number lives in the vault only"
_USUAL = r"^(\+?86|0086)?1[3-9][0-9]{9}$"
_COUNTRY = 86 * 10**11


def msisdns(texts: pa.Array) -> NDArray[np.int64]:
    """The number of each cell, 0 where it is blank or no mobile number."""
    usual = pc.fill_null(pc.match_substring_regex(texts, _USUAL), False)
    digits = pc.if_else(usual, pc.utf8_slice_codeunits(texts, -11), "0")
    numbers: NDArray[np.int64] = pc.cast(digits, pa.int64()).to_numpy() + _COUNTRY
    odd = np.flatnonzero(~usual.to_numpy(zero_copy_only=False))
    numbers[odd] = [normalise_msisdn(text) or 0 if text else 0 for text in texts.take(pa.array(odd)).to_pylist()]
    return numbers


def province_codes(texts: pa.Array) -> NDArray[np.int16]:
    """The province of each cell, 0 where it is blank or none of ours."""
    words = texts.dictionary_encode()
    codes = np.array([province_code(word) or 0 for word in words.dictionary.to_pylist()] + [0], dtype=np.int16)
    places = pc.fill_null(words.indices, len(codes) - 1).to_numpy()
    found: NDArray[np.int16] = codes[places]
    return found


def duplicates(keys: Keys, numbers: NDArray[np.int64]) -> tuple[Mask, Mask]:
    """(repeats of a number after its first line, every line whose key stands for two different numbers)."""
    order = np.argsort(keys, kind="stable")
    sorted_keys, sorted_numbers = keys[order], numbers[order]
    starts = np.flatnonzero(np.diff(sorted_keys, prepend=sorted_keys[:1] - 1) != 0)
    group = np.cumsum(np.isin(np.arange(len(keys)), starts)) - 1
    first = sorted_numbers[starts][group] if len(keys) else sorted_numbers
    clashing = np.zeros(len(starts), dtype=np.bool_)
    clashing[group[sorted_numbers != first]] = True
    repeats, collisions = np.zeros(len(keys), dtype=np.bool_), np.zeros(len(keys), dtype=np.bool_)
    if len(keys):
        collisions[order] = clashing[group]
        repeats[order] = ~np.isin(np.arange(len(keys)), starts) & ~clashing[group]
    return repeats, collisions


def holds_numbers(cells: pa.Array) -> bool:
    """Whether nearly all cells that are not blank are mobile numbers."""
    if not (pa.types.is_integer(cells.type) or pa.types.is_string(cells.type)):
        return False
    there = pc.drop_null(cells)
    return len(there) > 0 and float(np.mean(msisdns(pc.cast(there, pa.string())) > 0)) > NUMBERS_SHARE


def snapshot_tags(
    tags: Sequence[Tag], apart: Sequence[str], taken: Sequence[str] = RESERVED
) -> tuple[list[tuple[str, Tag]], list[str]]:
    """(name in the file, tag) of every column but those in `apart`, none with a name in `taken`; and notes."""
    kept = [tag for tag in tags if tag.name not in apart]
    names, notes = repaired([tag.name for tag in kept], taken)
    renamed = [Tag(name, t.type, t.nullable, t.tag_class, t.sensitivity) for name, t in zip(names, kept, strict=True)]
    return [(tag.name, new) for tag, new in zip(kept, renamed, strict=True)], notes
