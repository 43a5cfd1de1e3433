from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from adapters.warehouse import subscriber_import
from adapters.warehouse.people_rules import duplicates, msisdns
from adapters.warehouse.snapshots import Snapshot, Snapshots
from adapters.warehouse.subscriber_import import Imported, import_subscribers, import_tags
from common.delivery.tables import vault
from common.kernel.refusal import Refusal
from common.kernel.subscriber import normalise_msisdn, subscriber_keys
from common.kernel.tag import TagType
from common.runtime.database import Database

FEDERATION_KEY = b"a key for tests, 32 bytes long .."
GOOD = "number,省份,tenure,plan\n13800000001,45,12,gold\n+86 138-0000-0002,广西,,silver\n8613800000003,Hebei,3,\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def bring(file: Path, database: Database, snapshots: Snapshots | None, **options: Any) -> Imported:
    return import_subscribers(
        file,
        number="number",
        province="省份",
        federation_key=FEDERATION_KEY,
        database=database,
        snapshots=snapshots,
        **options,
    )


def join(file: Path, snapshots: Snapshots, **options: Any) -> Imported:
    return import_tags(file, number="number", federation_key=FEDERATION_KEY, snapshots=snapshots, **options)


def numbers(database: Database) -> dict[int, int]:
    with database.snapshot() as connection:
        return {row.msisdn: row.province for row in connection.execute(select(vault))}


def key(msisdn: int) -> int:
    return int(subscriber_keys(FEDERATION_KEY, [msisdn])[0])


def people(snapshot: Snapshot | None) -> dict[int, dict[str, Any]]:
    assert snapshot is not None
    return {row["subscriber_key"]: row for row in parquet.read_table(snapshot.path).to_pylist()}


def test_hq_keeps_numbers_in_the_vault_and_everything_else_in_a_snapshot(
    tmp_path: Path, database: Database, snapshots: Snapshots
) -> None:
    done = bring(write(tmp_path / "a.csv", GOOD), database, snapshots)
    assert (done.accepted, done.added, len(done.rejects)) == (3, 3, 0)
    assert numbers(database) == {8613800000001: 45, 8613800000002: 45, 8613800000003: 13}
    rows = people(done.snapshot)
    assert list(rows) == sorted(map(key, numbers(database)))
    assert {row["ordinal"] for row in rows.values()} == {0, 1, 2}
    first = rows[key(8613800000001)]
    assert (first["province"], first["tenure"], first["plan"]) == (45, 12, "gold")
    assert rows[key(8613800000002)]["tenure"] is None
    assert b"13800000001" not in Path(done.snapshot.path if done.snapshot else "").read_bytes()
    assert set(first) == {"subscriber_key", "ordinal", "province", "tenure", "plan"}


def test_importing_a_file_again_changes_nothing(tmp_path: Path, database: Database, snapshots: Snapshots) -> None:
    file = write(tmp_path / "a.csv", GOOD)
    first, kept = bring(file, database, snapshots), numbers(database)
    again = bring(file, database, snapshots)
    assert (again.accepted, again.added, again.snapshot) == (3, 0, first.snapshot)
    assert numbers(database) == kept
    assert snapshots.versions() == [1]


def test_ordinals_stay_and_new_people_take_the_next(
    tmp_path: Path, database: Database, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriber_import, "VAULT_ROWS", 50)
    before = people(bring(write(tmp_path / "a.csv", GOOD), database, snapshots).snapshot)
    more = GOOD + "".join(f"1390000{i:04d},13,{i},new\n" for i in range(200))
    after = people(bring(write(tmp_path / "b.csv", more), database, snapshots).snapshot)
    assert {k: row["ordinal"] for k, row in before.items()}.items() <= {
        k: r["ordinal"] for k, r in after.items()
    }.items()
    assert sorted(row["ordinal"] for row in after.values()) == list(range(203))


def test_a_later_file_replaces_tags_and_homes_of_its_people_only(
    tmp_path: Path, database: Database, snapshots: Snapshots
) -> None:
    bring(write(tmp_path / "a.csv", GOOD), database, snapshots)
    later = write(tmp_path / "b.csv", "number,省份,TENURE,vip\n13800000001,13,99.5,true\n")
    done = bring(later, database, snapshots)
    rows = people(done.snapshot)
    moved, other = rows[key(8613800000001)], rows[key(8613800000003)]
    assert (moved["province"], moved["tenure"], moved["plan"], moved["vip"]) == (13, 99.5, "gold", True)
    assert (other["tenure"], other["vip"]) == (3.0, None)
    assert numbers(database)[8613800000001] == 13
    assert len(rows) == 3


def test_each_unfit_line_is_rejected_with_its_reason(tmp_path: Path, database: Database, snapshots: Snapshots) -> None:
    bad = (
        "number,省份,tenure\n"
        "13800000001,45,1\n"
        ",45,1\n"
        "02012345678,45,1\n"
        "13800000002,,1\n"
        "13800000003,Texas,1\n"
        "+8613800000001,13,2\n"
        "13800000004,45\n"
        "13800000005,45,2\n"
    )
    done = bring(write(tmp_path / "a.csv", bad), database, snapshots)
    assert [(r.line, r.column, r.reason.split(";")[0]) for r in done.rejects] == [
        (3, "number", "the number is missing"),
        (4, "number", "no mainland mobile number"),
        (5, "省份", "the province is missing"),
        (6, "省份", "no province"),
        (7, "number", "duplicate: the number is on an earlier line"),
        (8, "", "2 cells where the header has 3"),
    ]
    assert (done.accepted, done.accepted + len(done.rejects)) == (2, 8)
    assert numbers(database) == {8613800000001: 45, 8613800000005: 45}


def test_a_province_takes_its_own_people_only(tmp_path: Path, database: Database) -> None:
    done = bring(write(tmp_path / "a.csv", GOOD), database, None, home=45)
    assert numbers(database) == {8613800000001: 45, 8613800000002: 45}
    assert [(r.line, r.column) for r in done.rejects] == [(4, "省份")]
    assert "another province than 45 广西" in next(iter(done.rejects)).reason
    assert done.snapshot is None


def test_two_numbers_with_one_key_are_quarantined(
    tmp_path: Path, database: Database, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crowded(_key: bytes, numbers: list[int]) -> Any:
        return np.array([7 if n % 10 in (1, 2) else n % 10 for n in numbers], dtype=np.int64)

    monkeypatch.setattr(subscriber_import, "subscriber_keys", crowded)
    done = bring(write(tmp_path / "a.csv", GOOD), database, snapshots)
    assert [(r.line, "share one subscriber key" in r.reason) for r in done.rejects] == [(2, True), (3, True)]
    assert numbers(database) == {8613800000003: 13}
    clash = write(tmp_path / "b.csv", "number,省份\n13900000003,45\n13900000005,45\n")
    done = bring(clash, database, snapshots)
    assert [(r.line, "share one subscriber key" in r.reason) for r in done.rejects] == [(2, True)]
    assert numbers(database) == {8613800000003: 13, 8613900000005: 45}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("number,省份\n", "has a header and no lines; nothing was imported"),
        ("phone,省份\n1,2\n", "has no column number; it has phone, 省份"),
        ("number,province\n13800000001,45\n", "has no column 省份; it has number, province"),
        ("number,省份\nx,45\ny,45\n", "all 2 lines were rejected, most for: number: no mainland mobile number"),
    ],
)
def test_a_file_without_people_is_refused_and_changes_nothing(
    tmp_path: Path, database: Database, snapshots: Snapshots, content: str, message: str
) -> None:
    with pytest.raises(Refusal, match=message):
        bring(write(tmp_path / "a.csv", content), database, snapshots)
    assert (numbers(database), snapshots.versions()) == ({}, [])


def test_a_tag_that_changes_its_type_is_refused(tmp_path: Path, database: Database, snapshots: Snapshots) -> None:
    bring(write(tmp_path / "a.csv", GOOD), database, snapshots)
    other = write(tmp_path / "b.csv", "number,省份,plan\n13800000001,45,7\n")
    with pytest.raises(
        Refusal, match="plan is text in the catalogue and integer in the file; declare --type plan=text"
    ):
        bring(other, database, snapshots)
    assert snapshots.versions() == [1]
    done = bring(other, database, snapshots, types={"plan": TagType.TEXT})
    assert people(done.snapshot)[key(8613800000001)]["plan"] == "7"


def test_columns_may_not_pass_for_the_warehouses_own(tmp_path: Path, database: Database, snapshots: Snapshots) -> None:
    file = write(tmp_path / "a.csv", "number,省份,ordinal,Subscriber_Key,province\n13800000001,45,5,6,7\n")
    done = bring(file, database, snapshots)
    row = people(done.snapshot)[key(8613800000001)]
    assert (row["ordinal"], row["province"]) == (0, 45)
    assert (row["ordinal_2"], row["Subscriber_Key_2"], row["province_2"]) == (5, 6, 7)
    assert sum("is called" in note for note in done.notes) == 3


def test_a_column_of_phone_numbers_never_becomes_a_tag(
    tmp_path: Path, database: Database, snapshots: Snapshots
) -> None:
    file = write(tmp_path / "a.csv", "number,省份,home,friend\n13800000001,45,1,13900000001\n13800000002,45,2,\n")
    done = bring(file, database, snapshots)
    assert done.snapshot is not None
    assert [tag.name for tag in done.snapshot.catalogue] == ["home"]
    assert "column friend holds phone numbers and is left out: a number lives in the vault only" in done.notes


def test_tags_are_joined_to_people_known(tmp_path: Path, database: Database, snapshots: Snapshots) -> None:
    bring(write(tmp_path / "a.csv", GOOD), database, snapshots)
    tags = write(tmp_path / "t.csv", "score;number;plan\n0,5;13800000001;x\n0.75;13800000003;\n1;13999999999;y\n")
    done = join(tags, snapshots, types={"score": TagType.TEXT})
    rows = people(done.snapshot)
    assert rows[key(8613800000001)] | {"score": "0,5", "plan": "x"} == rows[key(8613800000001)]
    assert (rows[key(8613800000002)]["score"], rows[key(8613800000002)]["plan"]) == (None, "silver")
    assert rows[key(8613800000003)]["plan"] is None
    assert [(r.line, r.reason.split(";")[0]) for r in done.rejects] == [(4, "nobody with this number is known")]
    assert (len(rows), done.accepted) == (3, 2)
    assert join(tags, snapshots, types={"score": TagType.TEXT}).snapshot == done.snapshot


def test_tags_need_people_first(tmp_path: Path, snapshots: Snapshots) -> None:
    with pytest.raises(Refusal, match="run liandong import subscribers FILE first"):
        join(write(tmp_path / "t.csv", "number,score\n13800000001,1\n"), snapshots)


def test_who_left_stays_away_whatever_a_file_says(tmp_path: Path, database: Database, snapshots: Snapshots) -> None:
    file = write(tmp_path / "a.csv", GOOD)
    bring(file, database, snapshots)
    with database.transaction() as connection:
        connection.execute(update(vault).where(vault.c.msisdn == 8613800000001).values(active=False))
    bring(file, database, snapshots)
    with database.snapshot() as connection:
        left = connection.execute(select(vault.c.active).where(vault.c.msisdn == 8613800000001)).scalar_one()
    assert left is False


NUMBERS = st.lists(
    st.sampled_from(
        ["13800000001", "+86 13800000001", "１３８００００００１２", "0086-13800000003", "", "1380000", "x", "86"]
    )
    | st.text(st.sampled_from("0136８ +-()x"), max_size=14)
)


@given(NUMBERS)
def test_columns_of_numbers_are_read_as_single_ones_are(texts: list[str]) -> None:
    assert msisdns(pa.array(texts, pa.string())).tolist() == [normalise_msisdn(text) or 0 for text in texts]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1)), max_size=30))
def test_repeats_and_collisions_are_told_apart(pairs: list[tuple[int, int]]) -> None:
    keys = np.array([k for k, _ in pairs], dtype=np.int64)
    whose = np.array([10 * k + n for k, n in pairs], dtype=np.int64)
    repeats, collisions = duplicates(keys, whose)
    clashing = {k for k, _ in pairs if len({n for key, n in pairs if key == k}) > 1}
    assert collisions.tolist() == [k in clashing for k, _ in pairs]
    assert repeats.tolist() == [k not in clashing and (k, n) in pairs[:i] for i, (k, n) in enumerate(pairs)]
