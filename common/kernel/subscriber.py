"""Who a person is: the subscriber key, made from the number alone, the same at every node."""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Iterable

import numpy as np

from common.kernel.columns import Keys

KEY_BITS = 63
FEDERATION_KEY_BYTES_MIN = 32
_NOISE = re.compile(r"[\s\-()]+")
_MOBILE = re.compile(r"(?:\+?86|0086)?(1[3-9]\d{9})")


def normalise_msisdn(text: str) -> int | None:
    """The E.164 number without the plus sign, or None where `text` is no mainland mobile number.

    Takes full-width digits, blanks, hyphens and the prefixes 86, +86 and 0086.
    """
    plain = _NOISE.sub("", unicodedata.normalize("NFKC", text))
    match = _MOBILE.fullmatch(plain) if plain.isascii() else None
    return int("86" + match.group(1)) if match else None


def subscriber_keys(federation_key: bytes, msisdns: Iterable[int]) -> Keys:
    """63 bits of HMAC-SHA-256(federation key, E.164 number with its plus sign), one for each number."""
    seed = hmac.new(federation_key, digestmod=hashlib.sha256)

    def digest(msisdn: int) -> bytes:
        one = seed.copy()
        one.update(b"+%d" % msisdn)
        return one.digest()[:8]

    raw = np.frombuffer(b"".join(map(digest, msisdns)), dtype=">u8")
    return (raw >> np.uint64(64 - KEY_BITS)).astype(np.int64)
