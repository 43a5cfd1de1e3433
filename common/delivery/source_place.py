"""How far each source system has been read."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select

from common.delivery.tables import source_place
from common.runtime import bulk

_TOKEN = select(source_place.c.page_token).where(
    source_place.c.source_system == bindparam("of_system"), source_place.c.feed == bindparam("of_feed")
)


def place(connection: Connection, source_system: str, feed: str) -> str:
    """The page token to ask `source_system` for next; empty at the start. `feed` is "orders" or "pool"."""
    return connection.execute(_TOKEN, {"of_system": source_system, "of_feed": feed}).scalar() or ""


def set_place(connection: Connection, source_system: str, feed: str, page_token: str) -> None:
    row = {"source_system": [source_system], "feed": [feed], "page_token": [page_token]}
    bulk.upsert(connection, source_place, row)


def know(connection: Connection, source_system: str) -> None:
    """Its orders are this node's own to tell, though it is not followed."""
    row = {"source_system": [source_system], "feed": ["orders"], "page_token": [""]}
    bulk.insert_new(connection, source_place, row)
