"""A decision as it is kept: the sparse facts it was made of, with the versions of everything it used.

Whoever has it and the policy can make it again; its digest tells whether anything of it has changed since.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass, replace
from datetime import date, time
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Codes, Rows
from common.kernel.contact_rules import STAGES, Considered, Fact, Facts, Terms, reasons
from common.kernel.policy import Policy
from common.kernel.task_block import BLOCK_ROWS

DIGEST_BYTES = 16
FACTS_MAX = 32
RECORD_BYTES_MAX = 8 << 20
"""Of a record before it is compressed; FACTS_MAX facts about everybody in a block stay below it."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The `run`-th decision that a stage made about a block.

    `rows` of the block, ascending, are those it decided, and `facts` are about places among them. Of whom a claim
    could not book yet it says nothing: a later run does.
    """

    work_order: str
    number: int
    stage: str
    """A key of STAGES."""
    run: int
    decided_at: int
    policy_version: int
    rivals: tuple[str, ...]
    """Work orders; facts of rivals are places in it."""
    rows: Rows
    facts: Facts
    digest: bytes = b""


def decided(
    of: tuple[str, int], stage: str, run: int, rows: Rows, considered: Considered, limit: int, rivals: tuple[str, ...]
) -> Decision:
    """What to keep of a decision about `rows` of the block `of`, of which the first `limit` allowed were taken."""
    codes = reasons(STAGES[stage], considered)
    kept = np.flatnonzero((codes > 0) | (np.cumsum(codes == 0) <= limit))
    facts = {name: _among(kept, fact) for name, fact in considered.facts.items()}
    told = {name: fact for name, fact in facts.items() if len(fact.places)}
    policy = considered.policy
    made = Decision(*of, stage, run, considered.now, policy.version, rivals, rows[kept], told)
    return replace(made, digest=_digest(made, policy, codes[kept]))


def remade(decision: Decision, terms: Terms, policy: Policy) -> tuple[Codes, bool]:
    """The reason for each of its rows, by the same rules again; and whether everything is as it was made."""
    considered = Considered(len(decision.rows), terms, policy, decision.facts, decision.decided_at)
    codes = reasons(STAGES[decision.stage], considered)
    return codes, _digest(decision, policy, codes) == decision.digest


def about(decision: Decision, row: int) -> Decision | None:
    """What it says of one row of the block; None where it did not decide it."""
    place = np.flatnonzero(decision.rows == row)
    if len(place) == 0:
        return None
    facts = {name: _among(place, fact) for name, fact in decision.facts.items()}
    told = {name: fact for name, fact in facts.items() if len(fact.places)}
    return replace(decision, rows=decision.rows[place], facts=told)


def _among(kept: Rows, fact: Fact) -> Fact:
    """What it says of those at `kept`, at their new places."""
    places = np.minimum(np.searchsorted(kept, fact.places), max(len(kept) - 1, 0))
    there = kept[places] == fact.places if len(kept) else np.zeros(len(places), dtype=np.bool_)
    return Fact(places[there], fact.values[there])


def _digest(decision: Decision, policy: Policy, codes: Codes) -> bytes:
    """Of what was known, what followed and by which policy."""
    head = (decision.work_order, decision.number, decision.stage, decision.run, decision.decided_at, decision.rivals)
    sizes = [(name, len(decision.facts[name].places)) for name in sorted(decision.facts)]
    seal = blake2b(json.dumps([head, sizes, len(decision.rows)]).encode(), digest_size=DIGEST_BYTES)
    seal.update(_policy_bytes(policy))
    for column in _columns(decision.rows, {name: decision.facts[name] for name, _ in sizes}):
        seal.update(column.astype("<i8").tobytes())
    seal.update(codes.tobytes())
    return seal.digest()


@lru_cache(maxsize=8)
def _policy_bytes(policy: Policy) -> bytes:
    return json.dumps(asdict(policy), default=_plain, sort_keys=True).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset):
        return sorted(map(str, value))
    if isinstance(value, date | time):
        return value.isoformat()
    raise TypeError(f"a policy holds {value!r}, which has no canonical form")


_WIDTHS = ("u1", "<u2", "<u4", "<i8")


def to_bytes(rows: Rows, facts: Facts) -> bytes:
    """Rows and the facts about them. Columns of places are kept as gaps and every column as narrow as it can be; most
    of what is left are runs, and each column is packed by the frequencies of its own values."""
    head = {"rows": len(rows), "facts": {name: len(fact.places) for name, fact in facts.items()}}
    packer = zlib.compressobj(1, strategy=zlib.Z_RLE)
    parts = [packer.compress(json.dumps(head).encode() + b"\n"), packer.flush(zlib.Z_PARTIAL_FLUSH)]
    for place, column in enumerate(_columns(rows, facts)):
        # Rows, then places and values of each fact in turn.
        values = column if place and place % 2 == 0 else np.diff(column, prepend=-1) - 1
        width = _width(values)
        packed = bytes([width]) + values.astype(_WIDTHS[width]).tobytes()
        parts += [packer.compress(packed), packer.flush(zlib.Z_PARTIAL_FLUSH)]
    return b"".join(parts) + packer.flush()


def from_bytes(record: bytes) -> tuple[Rows, dict[str, Fact]]:
    """Raises ValueError where it is no record."""
    try:
        return _read(_unpacked(record))
    except (zlib.error, KeyError, IndexError, AttributeError, TypeError) as error:
        raise ValueError(f"no record of a decision: {error}") from error


def _unpacked(record: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    raw = unpacker.decompress(record, RECORD_BYTES_MAX)
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError(f"no record of a decision: cut short, or over {RECORD_BYTES_MAX} bytes")
    return raw


def _read(raw: bytes) -> tuple[Rows, dict[str, Fact]]:
    start = raw.index(b"\n") + 1
    head = json.loads(raw[:start])
    sizes: dict[str, int] = head["facts"]
    if len(sizes) > FACTS_MAX:
        raise ValueError(f"no record of a decision: {len(sizes)} facts")
    columns = []
    for size in (head["rows"], *(size for size in sizes.values() for _ in range(2))):
        kind = np.dtype(_WIDTHS[raw[start]])
        columns.append(np.frombuffer(raw, kind, size, start + 1).astype(np.int64))
        start += 1 + size * kind.itemsize
    if start != len(raw):
        raise ValueError("no record of a decision: more follows it")
    rows, rest = _from_gaps(columns[0]), iter(columns[1:])
    return rows, {name: Fact(_placed(next(rest), len(rows)), next(rest)) for name in sizes}


def _placed(gaps: NDArray[np.int64], rows: int) -> Rows:
    places = _from_gaps(gaps)
    if len(places) and places[-1] >= rows:
        raise ValueError(f"no record of a decision: a fact about place {places[-1]} of {rows}")
    return places


def _from_gaps(gaps: NDArray[np.int64]) -> Rows:
    if ((gaps < 0) | (gaps >= BLOCK_ROWS)).any():
        raise ValueError("no record of a decision: places that no block has")
    return np.cumsum(gaps + 1) - 1


def _columns(rows: Rows, facts: Facts) -> list[NDArray[np.int64]]:
    return [rows, *(column for fact in facts.values() for column in (fact.places, fact.values))]


def _width(values: NDArray[np.int64]) -> int:
    if len(values) and int(values.min()) < 0:
        return len(_WIDTHS) - 1
    most = int(values.max(initial=0))
    return next(width for width, kind in enumerate(_WIDTHS) if most <= np.iinfo(kind).max)
