"""Which tags this province has of its people; their values are in the snapshots of its imports."""

from __future__ import annotations

import json
from dataclasses import asdict

from sqlalchemy import Connection, func, insert, select

from common.kernel.tag import Catalogue, tags_of
from province.store.tables import tag_catalogue as table

_NEWEST = select(table.c.tags).order_by(table.c.number.desc()).limit(1)
_COUNT = select(func.count()).select_from(table)
_INSERT = insert(table)


def known(connection: Connection) -> Catalogue:
    found = connection.execute(_NEWEST).scalar_one_or_none()
    return Catalogue(tags_of(json.loads(found)) if found else ())


def put(connection: Connection, catalogue: Catalogue) -> bool:
    """Whether it is another than before."""
    if catalogue == known(connection):
        return False
    told = json.dumps([asdict(tag) for tag in catalogue], ensure_ascii=False)
    connection.execute(_INSERT, {"number": count(connection) + 1, "tags": told})
    return True


def count(connection: Connection) -> int:
    """How often it changed."""
    return int(connection.execute(_COUNT).scalar_one())
