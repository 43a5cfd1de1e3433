from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.isolation.world import Isolation


@pytest.fixture(scope="module")
def isolation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Isolation]:
    with running(tmp_path_factory) as world:
        yield world


@pytest.fixture(scope="module")
def restored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Isolation]:
    """To whose HQ nothing was told yet, so that what a province reads there is not its own."""
    with running(tmp_path_factory) as world:
        yield world


@contextmanager
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Isolation]:
    world = Isolation(tmp_path_factory.mktemp("isolation") / "federation")
    world.start()
    try:
        yield world
    finally:
        world.close()
