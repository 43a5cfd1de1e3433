"""People of every kind, and the one HQ that decides about them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.explain.one_hq import Hq, file_of, people


@dataclass(frozen=True)
class Kinds:
    """A person of each kind the campaign file tells apart."""

    pushed: int
    local: int
    texted: int
    unreachable: int
    too_young: int


@pytest.fixture(scope="session")
def kinds() -> Kinds:
    rows = people().to_pylist()

    def first(holds: Any) -> int:
        return next(row["subscriber_key"] for row in rows if holds(row))

    return Kinds(
        pushed=first(lambda p: p["app"] and p["age"] >= 20),
        local=first(lambda p: not p["app"] and 20 <= p["age"] < 40),
        texted=first(lambda p: not p["app"] and 40 <= p["age"] < 70),
        unreachable=first(lambda p: not p["app"] and p["age"] >= 70),
        too_young=first(lambda p: p["age"] < 20),
    )


@pytest.fixture
def hq(tmp_path: Path) -> Iterator[Hq]:
    node = Hq(tmp_path)
    yield node
    node.database.close()


@pytest.fixture(name="file_of")
def file_of_fixture() -> Any:
    return file_of
