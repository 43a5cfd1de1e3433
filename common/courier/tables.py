"""The durable logs and the receivers' places in them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, String, Table

metadata = MetaData()

log = Table(
    "log",
    metadata,
    Column("peer", String(16), primary_key=True, doc='Who reads it: a province code, or "hq".'),
    Column("stream", String(32), primary_key=True, doc="Feed topic or outbox stream."),
    Column("epoch", BigInteger, nullable=False, doc="Rises when this node was restored from a backup."),
    Column("head", BigInteger, nullable=False, doc="Sequence of the newest entry; 0 while empty."),
    Column("committed", BigInteger, nullable=False, doc="The reader has everything up to here."),
    Column("oldest", BigInteger, nullable=False, doc="Sequence of the oldest entry kept."),
    Column("base_chain", BigInteger, nullable=False, doc="Chain of the entry before the oldest kept; 0 at the start."),
)

log_entry = Table(
    "log_entry",
    metadata,
    Column("peer", String(16), primary_key=True),
    Column("stream", String(32), primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("payload", LargeBinary, nullable=False, doc="A serialised FeedEntry or OutboxEntry, without its number."),
    Column("chain", BigInteger, nullable=False, doc="Digest of this payload and every one before it."),
    Column("appended_at", BigInteger, nullable=False),
)

cursor = Table(
    "cursor",
    metadata,
    Column("peer", String(16), primary_key=True, doc="Who writes the log."),
    Column("stream", String(32), primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False, doc="Everything up to here is applied."),
    Column("chain", BigInteger, nullable=False, doc="The chain the writer gave the entry at `sequence`."),
)
