"""64 bits of a text, for whole columns at once: the same at every node, on every engine and for ever."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.kernel.keyed_hash import mix

WORD_BYTES = 8
_LENGTHS = np.uint64(0x9E3779B97F4A7C15)

Hashes = NDArray[np.uint64]


def text_hashes(data: NDArray[np.uint8], offsets: NDArray[np.int64], seeds: Hashes) -> Hashes:
    """One hash for each text; text i is `data[offsets[i]:offsets[i + 1]]` in UTF-8, hashed under its own seed.

    Eight bytes are taken at a time, as a little-endian word, the last filled up with zeros.
    """
    starts, sizes = offsets[:-1], np.diff(offsets)
    padded = np.concatenate([data[: offsets[-1]], np.zeros(WORD_BYTES, dtype=np.uint8)])
    with np.errstate(over="ignore"):
        hashes = seeds ^ (sizes.astype(np.uint64) * _LENGTHS)
    longest = int(sizes.max(initial=0))
    if longest and int(sizes.min()) == longest:
        for begin in range(0, longest, WORD_BYTES):
            words = _words(padded, int(starts[0]) + begin, longest, len(sizes))
            hashes = _mixed(words & _kept(np.int64(longest - begin)), hashes)
        return hashes
    words = _words(padded, 0, 1, len(padded) - WORD_BYTES + 1)
    for begin in range(0, longest, WORD_BYTES):
        rows = np.flatnonzero(sizes > begin)
        hashes[rows] = _mixed(words[starts[rows] + begin] & _kept(sizes[rows] - begin), hashes[rows])
    return hashes


def _words(data: NDArray[np.uint8], first: int, apart: int, count: int) -> Hashes:
    """So many words, each beginning so many bytes after the one before."""
    return np.ndarray(count, dtype="<u8", buffer=data.data, offset=first, strides=(apart,))


def _kept(left: NDArray[np.int64] | np.int64) -> Hashes:
    """A mask for the bytes of a word that belong to a text of which `left` bytes are left."""
    beyond = ((WORD_BYTES - np.minimum(left, WORD_BYTES)) * 8).astype(np.uint64)
    mask: Hashes = np.uint64(0xFFFFFFFFFFFFFFFF) >> beyond
    return mask


def _mixed(words: Hashes, hashes: Hashes) -> Hashes:
    return mix((words ^ hashes).view(np.int64), np.uint64(0))
