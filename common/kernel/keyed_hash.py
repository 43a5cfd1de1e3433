"""A keyed hash over whole columns: hold-outs and simulators draw from it, so the same seed draws the same people."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def salt(*parts: str | bytes | int) -> np.uint64:
    """64 bits that depend on every part and on their order."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        raw = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(raw).to_bytes(4, "big") + raw)
    return np.uint64(int.from_bytes(digest.digest(), "big"))


def mix(values: NDArray[np.int64], key: np.uint64) -> NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele, Lea and Flood 2014) over `values` offset by `key`."""
    with np.errstate(over="ignore"):
        z = values.astype(np.uint64)
        z ^= key
        z += _GOLDEN
        z ^= z >> np.uint64(30)
        z *= _MIX_1
        z ^= z >> np.uint64(27)
        z *= _MIX_2
        z ^= z >> np.uint64(31)
        return z


def uniform(values: NDArray[np.int64], key: np.uint64) -> NDArray[np.float64]:
    """A number in [0, 1) for each value, the same for ever under the same key."""
    return (mix(values, key) >> np.uint64(11)).astype(np.float64) / float(1 << 53)
