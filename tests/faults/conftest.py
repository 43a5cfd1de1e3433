"""One event loop a module, and PostgreSQL databases for the nodes of a federation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from itertools import count

import pytest
from sqlalchemy import create_engine, make_url, text

from deploy.local.federation import NODES

_numbers = count()
Stores = Callable[[str], Mapping[str, str]]


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as loop:
        yield loop


@pytest.fixture
def stores(request: pytest.FixtureRequest) -> Stores:
    """By kind of store, the URL of each node's: none for SQLite, which is in the node's directory."""

    def of(kind: str) -> Mapping[str, str]:
        return {} if kind == "sqlite" else databases(request.getfixturevalue("postgresql"))

    return of


def databases(server: str) -> dict[str, str]:
    """A new database for each node."""
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    made = {node: f"faults_{node}_{next(_numbers)}" for node in NODES}
    with engine.connect() as connection:
        for name in made.values():
            connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return {node: make_url(server).set(database=name).render_as_string(False) for node, name in made.items()}
