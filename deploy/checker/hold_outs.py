"""Who is held out of a campaign, drawn once more from the federation key as the design says."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import yaml

from deploy.checker.world import Ints

_GOLDEN, _MIX = 0x9E3779B97F4A7C15, (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def drawn(keys: Ints, federation_key: bytes, campaign: str, share: float) -> Ints:
    """Those of `keys` (ascending) whose keyed hash, as a fraction, is below `share`."""
    salt = _salt(federation_key, b"holdout", campaign.encode())
    with np.errstate(over="ignore"):
        z = (keys.astype(np.uint64) ^ np.uint64(salt)) + np.uint64(_GOLDEN)
        for shift, factor in zip((30, 27), _MIX, strict=True):
            z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
        z ^= z >> np.uint64(31)
    return keys[(z >> np.uint64(11)).astype(np.float64) / float(1 << 53) < share]


def _salt(*parts: bytes) -> int:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(len(part).to_bytes(4, "big") + part)
    return int.from_bytes(digest.digest(), "big")


def shares(campaigns: Mapping[str, str]) -> dict[str, float]:
    """The share each campaign holds out, by its file."""
    return {name: _share(text) for name, text in campaigns.items()}


def _share(text: str) -> float:
    said = str(yaml.load(text, yaml.BaseLoader).get("holdout", "0%"))  # noqa: S506 - makes nothing but text, lists, maps
    return float(said.rstrip("% ")) / (100 if said.rstrip().endswith("%") else 1)
