"""Dead letters as they are kept: beside the checkpoints, once for each place in a partition, the newest of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
)

from common.kernel.dead_letter import DeadLetter, DeadLetters, DeadReason
from common.runtime.database import Database

LETTERS_MAX = 100_000
"""The oldest go; the counts are in the checkpoints."""
SPARE = LETTERS_MAX // 10
FILE = "dead_letters.db"

metadata = MetaData()
dead_letter = Table(
    "dead_letter", metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("partition", String, nullable=False),
    Column("offset", Integer, nullable=False),
    Column("reason", Integer, nullable=False),
    Column("why", String, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("kept_at", Integer, nullable=False),
    Index("dead_letter_place", "partition", "offset"),
    sqlite_autoincrement=True,
)  # fmt: skip
_FROM = delete(dead_letter).where(
    dead_letter.c.partition == bindparam("of"), dead_letter.c.offset >= bindparam("first")
)
_INSERT = insert(dead_letter)
_SPAN = select(func.min(dead_letter.c.number), func.max(dead_letter.c.number))
_OLDEST = delete(dead_letter).where(dead_letter.c.number <= bindparam("last"))
_NEWEST = select(dead_letter).order_by(dead_letter.c.number.desc()).limit(bindparam("count"))
_REASONS = select(dead_letter.c.reason, func.count()).group_by(dead_letter.c.reason)


@dataclass(frozen=True, slots=True)
class KeptLetter:
    partition: str
    letter: DeadLetter
    """Its position is the offset."""
    kept_at: int


class DeadLetterBox:
    def __init__(self, directory: Path, letters_max: int = LETTERS_MAX) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._database, self._max = Database(f"sqlite:///{directory / FILE}"), letters_max
        self._database.create(metadata)

    def begin(self, partition: str, offset: int) -> None:
        """What comes from `offset` on comes again."""
        with self._database.transaction("dead_letters.begin") as connection:
            connection.execute(_FROM, {"of": partition, "first": offset})

    def keep(self, partition: str, first: int, letters: DeadLetters, now: int) -> None:
        """All there are from offset `first` on; durable when it returns. Kept twice is as once."""
        rows = [
            {"partition": partition, "offset": letter.position, "reason": int(letter.reason), "why": letter.why,
             "raw": letter.raw, "kept_at": now}
            for letter in letters.letters[-self._max :]
        ]  # fmt: skip
        with self._database.transaction("dead_letters.keep") as connection:
            connection.execute(_FROM, {"of": partition, "first": first})
            connection.execute(_INSERT, rows)
            self._make_room(connection)

    def newest(self, count: int) -> Sequence[KeptLetter]:
        """The latest first."""
        with self._database.snapshot() as connection:
            rows = connection.execute(_NEWEST, {"count": count}).mappings().all()
        return [
            KeptLetter(
                r["partition"], DeadLetter(r["offset"], DeadReason(r["reason"]), r["why"], r["raw"]), r["kept_at"]
            )
            for r in rows
        ]

    def by_reason(self) -> dict[DeadReason, int]:
        """Of those kept, the most frequent first."""
        with self._database.snapshot() as connection:
            rows = connection.execute(_REASONS).all()
        return dict(Counter({DeadReason(reason): count for reason, count in rows}).most_common())

    def close(self) -> None:
        self._database.close()

    def _make_room(self, connection: Connection) -> None:
        first, last = connection.execute(_SPAN).one()
        if last - first >= self._max + min(SPARE, self._max):
            connection.execute(_OLDEST, {"last": last - self._max})
