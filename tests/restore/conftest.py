from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert

from common.courier import tables as courier_tables
from common.delivery import tables as delivery_tables
from hq.store import tables as hq_tables
from province.store import tables as province_tables
from tests.restore.machine import NOON, Node


@pytest.fixture
def node(database_url: str, tmp_path: Path) -> Iterator[Node]:
    """An empty store, as migrated and never run."""
    made = Node(database_url, tmp_path)
    tables = (courier_tables, delivery_tables, hq_tables, province_tables)
    made.database.create(*(each.metadata for each in tables))
    yield made
    made.database.close()


@pytest.fixture
def policy() -> Callable[[Connection, str], None]:
    """Put a contact policy in force."""

    def put(connection: Connection, document: str) -> None:
        row = {"version": 1, "document": f"mode: shared\n{document}\n", "received_at": NOON, "objection": ""}
        connection.execute(insert(delivery_tables.policy).values(row))

    return put
