from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.isolation.world import Isolation


@pytest.fixture(scope="module")
def isolation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Isolation]:
    world = Isolation(tmp_path_factory.mktemp("isolation") / "federation")
    world.start()
    yield world
    world.close()
