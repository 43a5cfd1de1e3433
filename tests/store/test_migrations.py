"""A migrated store is the store the code declares."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import MetaData, text

from common.courier import tables as courier_tables
from common.delivery import tables as delivery_tables
from common.kernel.refusal import Refusal
from common.runtime.database import Database
from common.runtime.migrate import check_schema, migrate, newest
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
    assert reached == {newest(Path(scripts))}
    assert differences == []


@pytest.mark.parametrize(
    ("schema", "says"), [("0000", "this version needs .*run `migrate it`"), ("9999", "newer than this version's")]
)
def test_a_node_starts_on_its_own_schema_only(database_url: str, schema: str, says: str) -> None:
    with pytest.raises(Refusal, match=r"not ready .*run `migrate it`"):
        check_schema(database_url, HQ_MIGRATIONS, "migrate it")
    database = Database(database_url)
    migrate(database, HQ_MIGRATIONS)
    check_schema(database_url, HQ_MIGRATIONS, "migrate it")
    with database.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :schema"), {"schema": schema})
    database.close()
    with pytest.raises(Refusal, match=says):
        check_schema(database_url, HQ_MIGRATIONS, "migrate it")
