"""A migrated store is the store the code declares."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import MetaData

from common.courier import tables as courier_tables
from common.delivery import tables as delivery_tables
from common.runtime.database import Database
from common.runtime.migrate import migrate
from hq.__main__ import MIGRATIONS as HQ_MIGRATIONS
from hq.store import tables as hq_tables
from province.__main__ import MIGRATIONS as PROVINCE_MIGRATIONS
from province.store import tables as province_tables

NODES = {
    "hq": (HQ_MIGRATIONS, hq_tables.metadata),
    "province": (PROVINCE_MIGRATIONS, province_tables.metadata),
}


def _declared(own: MetaData) -> MetaData:
    whole = MetaData()
    for part in (courier_tables.metadata, delivery_tables.metadata, own):
        for table in part.sorted_tables:
            table.to_metadata(whole)
    return whole


@pytest.mark.parametrize("node", NODES)
def test_migrations_reach_the_declared_tables_and_repeating_them_changes_nothing(node: str, database_url: str) -> None:
    scripts, own = NODES[node]
    database = Database(database_url)
    reached: set[str] = {migrate(database, Path(scripts)) for _ in range(2)}
    with database.transaction() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), _declared(own))
    database.close()
    assert len(reached) == 1
    assert "" not in reached
    assert differences == []
