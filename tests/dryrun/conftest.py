from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.explain.one_hq import Hq


@pytest.fixture
def hq(tmp_path: Path) -> Iterator[Hq]:
    node = Hq(tmp_path)
    yield node
    node.database.close()
