from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from adapters.warehouse.duckdb_warehouse import DuckDbWarehouse
from adapters.warehouse.snapshots import Snapshots
from common.delivery.tables import metadata
from common.kernel.tag import Catalogue, Tag
from common.runtime.database import Database

FEDERATION_KEY = b"a key for tests, 32 bytes long .."


@pytest.fixture
def telco() -> Path:
    path = Path(__file__).parents[2].parent / "shared" / "data" / "ibm_telco_churn.csv"
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    return path


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/node.db")
    database.create(metadata)
    yield database
    database.close()


@pytest.fixture
def snapshots(tmp_path: Path) -> Snapshots:
    return Snapshots(tmp_path / "people")


MakeWarehouse = Callable[[dict[str, pa.Array], list[Tag]], DuckDbWarehouse]


@pytest.fixture
def make_warehouse(snapshots: Snapshots) -> MakeWarehouse:
    """A warehouse of made-up people with just these tag columns; every third lives in province 13."""

    def make(columns: dict[str, pa.Array], tags: list[Tag]) -> DuckDbWarehouse:
        rows = len(next(iter(columns.values())))
        identity = {
            "subscriber_key": pa.array(np.arange(rows, dtype=np.int64) * 977 + 5),
            "ordinal": pa.array(np.arange(rows, dtype=np.uint32)),
            "province": pa.array(np.where(np.arange(rows) % 3 == 0, 13, 45).astype(np.int16)),
        }
        people = pa.table(identity | columns).to_batches()
        snapshots.publish(people, Catalogue(tuple(tags)), snapshots.latest())
        return DuckDbWarehouse.open(snapshots)

    return make
