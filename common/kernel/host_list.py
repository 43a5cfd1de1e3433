"""A long list of hosts as it is kept and as it travels: by its digest, in parts that any message can carry."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from common.kernel.refusal import invalid

PART_BYTES_MAX = 512 * 1024
PARTS_MAX = 64
TEXT_BYTES_MAX = 64 << 20
"""Unpacked: a million names are some 20 MB."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class HostPart:
    """Part `number` from 0 of `count` of the packed list."""

    digest: str
    number: int
    count: int
    content: bytes


def parts_of(names: Iterable[str]) -> list[HostPart]:
    """Of host names in their one form; the same names make the same parts, in whatever order they come."""
    text = "\n".join(sorted(set(names))).encode()
    if len(text) > TEXT_BYTES_MAX:
        raise invalid(f"a list of hosts has {len(text):,} bytes; {TEXT_BYTES_MAX:,} are taken. Split it into several")
    digest, packed = sha256(text).hexdigest(), zlib.compress(text, 6)
    starts = range(0, len(packed), PART_BYTES_MAX)
    count = len(starts)
    if count > PARTS_MAX:
        raise invalid(f"a list of hosts has {len(packed):,} bytes when packed. Split it into several")
    return [HostPart(digest, number, count, packed[at : at + PART_BYTES_MAX]) for number, at in enumerate(starts)]


def names_in(digest: str, contents: Sequence[bytes]) -> tuple[str, ...]:
    """The names, ascending, of all parts in order. Raises Refusal where they are not what `digest` says."""
    unpacked = zlib.decompressobj()
    try:
        text = unpacked.decompress(b"".join(contents), TEXT_BYTES_MAX)
    except zlib.error:
        text = b""
    if not unpacked.eof or sha256(text).hexdigest() != digest:
        raise invalid(
            f"the list of hosts {digest[:12]}… is damaged; withdraw its document at HQ if it is in force, and apply it"
        )
    return tuple(text.decode().split("\n"))


def problem(part: HostPart) -> str:
    """What no part has; empty where it may be one."""
    if not _DIGEST.fullmatch(part.digest):
        return "the digest is no SHA-256 in hexadecimal"
    if not 0 <= part.number < part.count <= PARTS_MAX:
        return f"part {part.number} of {part.count}; there are at most {PARTS_MAX}"
    return (
        "" if 0 < len(part.content) <= PART_BYTES_MAX else f"{len(part.content)} bytes, 1 to {PART_BYTES_MAX} are taken"
    )
