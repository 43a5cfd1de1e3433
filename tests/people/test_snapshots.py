from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from adapters.warehouse import snapshots as module
from adapters.warehouse.snapshots import Snapshots
from common.kernel.refusal import Refusal
from common.kernel.tag import Catalogue, Sensitivity, Tag, TagClass, TagType

TAGS = Catalogue((Tag("plan", TagType.TEXT, True, TagClass.BUSINESS, Sensitivity.PERSONAL),))


def table(count: int, plan: str = "gold") -> pa.Table:
    return pa.table(
        {
            "subscriber_key": pa.array(np.arange(count, dtype=np.int64) * 3),
            "ordinal": pa.array(np.arange(count, dtype=np.uint32)),
            "province": pa.array(np.full(count, 45, dtype=np.int16)),
            "plan": pa.array([plan] * count),
        }
    )


def test_a_snapshot_is_read_back_as_published(snapshots: Snapshots) -> None:
    assert snapshots.latest() is None
    published = snapshots.publish(table(5).to_batches(), TAGS)
    assert published == snapshots.latest() == Snapshots(snapshots.directory).open(1)
    assert (published.version, published.rows, published.catalogue) == (1, 5, TAGS)
    assert parquet.read_table(published.path).equals(table(5))


def test_versions_stay_and_equal_people_make_no_new_one(snapshots: Snapshots) -> None:
    first = snapshots.publish(table(5).to_batches(), TAGS)
    assert snapshots.publish(table(5).to_batches(max_chunksize=2), TAGS, first) == first
    second = snapshots.publish(table(5, "silver").to_batches(), TAGS, first)
    assert (second.version, snapshots.versions()) == (2, [1, 2])
    assert snapshots.open(1) == first
    assert first.path.exists()


def test_the_file_is_the_same_however_the_batches_came(
    snapshots: Snapshots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROW_GROUP_ROWS", 100)
    first = snapshots.publish(table(1234).to_batches(max_chunksize=7), TAGS)
    second = Snapshots(tmp_path / "other").publish(table(1234).to_batches(max_chunksize=1000), TAGS)
    assert first.sha256 == second.sha256


def test_people_out_of_order_are_never_published(snapshots: Snapshots) -> None:
    for wrong in (table(5).take([1, 0, 2]), pa.concat_tables([table(2), table(2)])):
        with pytest.raises(ValueError, match="ascending"):
            snapshots.publish(wrong.to_batches(), TAGS)
    assert list(snapshots.directory.iterdir()) == []


def test_a_crash_while_publishing_leaves_the_last_version(
    snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = snapshots.publish(table(5).to_batches(), TAGS)

    def power_cut(*_: object) -> None:
        raise OSError("power cut")

    monkeypatch.setattr(module.os, "link", power_cut)
    with pytest.raises(OSError, match="power cut"):
        snapshots.publish(table(6).to_batches(), TAGS, first)
    monkeypatch.undo()
    assert snapshots.latest() == first
    assert snapshots.publish(table(7).to_batches(), TAGS, first).version == 2


def test_of_two_publishers_one_wins_and_the_other_is_told(snapshots: Snapshots) -> None:
    rival = Snapshots(snapshots.directory)

    def slowly() -> object:
        yield from table(3).to_batches()
        rival.publish(table(4).to_batches(), TAGS)

    with pytest.raises(Refusal, match="run this one again"):
        snapshots.publish(slowly(), TAGS)  # type: ignore[arg-type]
    latest = snapshots.latest()
    assert latest is not None
    assert (latest.rows, parquet.read_metadata(latest.path).num_rows) == (4, 4)


def test_people_made_from_an_old_version_are_not_published(snapshots: Snapshots) -> None:
    first = snapshots.publish(table(5).to_batches(), TAGS)
    snapshots.publish(table(6).to_batches(), TAGS, first)
    with pytest.raises(Refusal, match="run this one again"):
        snapshots.publish(table(7).to_batches(), TAGS, first)
    assert snapshots.versions() == [1, 2]


def test_a_version_that_is_not_there_is_refused(snapshots: Snapshots) -> None:
    with pytest.raises(Refusal, match="no people snapshot 3"):
        snapshots.open(3)
