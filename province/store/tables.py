"""What only a province keeps."""

from __future__ import annotations

from sqlalchemy import Column, Integer, MetaData, SmallInteger, String, Table

metadata = MetaData()

pending_command = Table(
    "pending_command",
    metadata,
    Column("work_order", String(200), primary_key=True),
    Column("state", SmallInteger, nullable=False),
    Column("version", Integer, nullable=False),
)
"""The newest command for a work order that is not wholly here yet: the control lane overtakes bulk."""
