"""What only a province keeps."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, MetaData, SmallInteger, String, Table, Text

metadata = MetaData()

pending_command = Table(
    "pending_command",
    metadata,
    Column("work_order", String(200), primary_key=True),
    Column("state", SmallInteger, nullable=False),
    Column("version", Integer, nullable=False),
)
"""The newest command for a work order that is not wholly here yet: the control lane overtakes bulk."""

local_request = Table(
    "local_request",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("asked_at", BigInteger, nullable=False),
    Column("channel", String(32), nullable=False),
    Column("offer", String(64), nullable=False),
    Column("product_line", String(64), nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("end_at", BigInteger, nullable=False),
    Column("ask_hq", Boolean, nullable=False, doc="What own tokens do not cover is asked of HQ."),
    Column("keys", LargeBinary, nullable=False, doc="int64, ascending, unique."),
    Column("scores", LargeBinary, nullable=False, doc="float64; empty: all alike."),
    Column("texts", Text, nullable=False, doc="JSON list."),
    Column("text_refs", LargeBinary, nullable=False, doc="uint32."),
    Column("outcome", Text, nullable=False, doc="JSON: counts by verdict; empty while it waits."),
)
"""Contacts this province asks for itself, from the moment they are asked to their admission."""

retold = Table(
    "retold",
    metadata,
    Column("hq_incarnation", BigInteger, primary_key=True, autoincrement=False),
)
"""One row: the HQ that was told everything."""
