from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from adapters.warehouse import snapshots as module
from adapters.warehouse.snapshots import Snapshot, Snapshots
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
    assert [path.name for path in snapshots.directory.iterdir()] == ["lock"]


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


def _keys(snapshot: Snapshot) -> list[int]:
    keys: list[int] = parquet.read_table(snapshot.path, columns=["subscriber_key"]).column(0).to_pylist()
    return keys


def test_somebody_erased_is_in_no_file_any_more_and_everybody_else_is_as_before(snapshots: Snapshots) -> None:
    first = snapshots.publish(table(5, "gold").to_batches(), TAGS)
    second = snapshots.publish(table(5, "silver").to_batches(), TAGS, first)
    third = snapshots.publish(table(5, "brass").to_batches(), TAGS, second)
    gone = _keys(third)[2]
    assert [ordinal for _, ordinal, _ in snapshots.find(1, np.array([gone, 999_999]))] == [2]
    for _ in range(2):
        snapshots.forget(np.array([gone, 999_999]), keep={1})
    assert snapshots.versions() == [1, 3]
    for before, after in ((first, snapshots.open(1)), (third, snapshots.open(3))):
        assert gone not in _keys(after)
        assert len(_keys(after)) == 4
        assert (after.sha256, after.ordinals, after.rows, after.forgotten) == (before.sha256, 5, 4, 1)
        assert not before.path.exists()
    assert snapshots.find(1, np.array([gone])) == snapshots.find(2, np.array([gone])) == []
    assert len(list(snapshots.directory.glob("people-*.parquet"))) == 2


def test_an_ordinal_of_somebody_erased_is_never_given_again(snapshots: Snapshots) -> None:
    last = snapshots.publish(table(5, "gold").to_batches(), TAGS)
    snapshots.forget(np.array([_keys(last)[4]]), keep=())
    after = snapshots.latest()
    assert after is not None
    later = snapshots.publish(table(4, "silver").to_batches(), TAGS, after)
    assert (after.ordinals, later.rows, later.ordinals) == (5, 4, 5)


def test_an_import_begun_before_an_erasure_is_refused_and_brings_nobody_back(snapshots: Snapshots) -> None:
    before = snapshots.publish(table(5, "gold").to_batches(), TAGS)

    def people() -> Iterator[pa.RecordBatch]:
        yield from table(5, "silver").to_batches()
        snapshots.forget(np.array([_keys(before)[2]]), keep=())

    with pytest.raises(Refusal, match="erased meanwhile") as refused:
        snapshots.publish(people(), TAGS, before)
    assert refused.value.reason == "STATE_CONFLICT"
    assert snapshots.versions() == [1]
    with pytest.raises(Refusal):
        snapshots.publish(table(5, "silver").to_batches(), TAGS, before)


KILLED = """
import os, sys
from pathlib import Path
from adapters.warehouse.snapshots import Snapshots
from tests.people.test_snapshots import TAGS, table

def people():
    yield from table(10).to_batches()
    print("half done", flush=True)
    sys.stdin.read()
    os._exit(9)

Snapshots(Path(sys.argv[1])).publish(people(), TAGS)
"""


def test_what_a_killed_import_left_is_removed_and_what_a_running_one_writes_is_not(snapshots: Snapshots) -> None:
    ours = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", KILLED, str(snapshots.directory)], **ours) as running:  # type: ignore[call-overload]
        assert running.stdout.readline() == "half done\n"
        first = snapshots.publish(table(3).to_batches(), TAGS)
        assert len(list(snapshots.directory.glob("*.tmp"))) == 1
        running.stdin.close()
        assert running.wait() == 9
    assert len(list(snapshots.directory.glob("*.tmp"))) == 1
    snapshots.forget(np.array([10**9]), [first.version])
    assert not list(snapshots.directory.glob("*.tmp"))
    assert snapshots.latest() == first
