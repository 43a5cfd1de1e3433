"""How far each source system has been read."""

from __future__ import annotations

from sqlalchemy import Connection, and_, select
from sqlalchemy.sql import ColumnElement

from common.delivery.tables import source_place
from common.runtime import bulk


def place(connection: Connection, source_system: str, feed: str) -> str:
    """The page token to ask `source_system` for next; empty at the start. `feed` is "orders" or "pool"."""
    token = connection.execute(select(source_place.c.page_token).where(_is_place(source_system, feed))).scalar()
    return token or ""


def set_place(connection: Connection, source_system: str, feed: str, page_token: str) -> None:
    row = {"source_system": [source_system], "feed": [feed], "page_token": [page_token]}
    bulk.upsert(connection, source_place, row)


def _is_place(source_system: str, feed: str) -> ColumnElement[bool]:
    return and_(source_place.c.source_system == source_system, source_place.c.feed == feed)
