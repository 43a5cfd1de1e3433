from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from adapters.warehouse.duckdb_warehouse import DuckDbWarehouse
from common.kernel.refusal import Refusal
from common.kernel.tag import Sensitivity, Tag, TagType
from common.rules.rule_language import check_rule, everyone
from hq.audience import (
    PREVIEW_ROWS_MAX,
    HoldOut,
    Warehouse,
    build_audience,
    count_audience,
    load_audience,
    preview,
    save_audience,
)

PEOPLE = 30_000
KEY = b"a key for tests, 32 bytes long .."
HOLDOUT = HoldOut(0.1, "spring", KEY)
TAGS = [
    Tag("tenure", TagType.INTEGER),
    Tag("plan", TagType.TEXT),
    Tag("name", TagType.TEXT, sensitivity=Sensitivity.PERSONAL),
]


def columns(count: int) -> dict[str, pa.Array]:
    places = np.arange(count)
    return {
        "tenure": pa.array(places % 50, mask=places % 11 == 0),
        "plan": pa.array(np.where(places % 4 == 0, "gold", "silver")),
        "name": pa.array([f"n{place}" for place in places]),
    }


@pytest.fixture
def warehouse(make_warehouse: Any) -> Warehouse:
    made: DuckDbWarehouse = make_warehouse(columns(PEOPLE), TAGS)
    return made


def expected(holdout: HoldOut | None = None) -> dict[int, list[int]]:
    """The keys of tenure <= 12 by province, straight from how the people were made."""
    places = np.arange(PEOPLE)
    chosen = places[(places % 50 <= 12) & (places % 11 != 0)]
    keys = chosen.astype(np.int64) * 977 + 5
    kept = ~holdout.drawn(keys) if holdout else np.ones(len(keys), dtype=bool)
    return {code: keys[kept & ((chosen % 3 == 0) == (code == 13))].tolist() for code in (13, 45)}


def keys_of(batches: Any) -> list[int]:
    return [key for batch in batches for key in batch.column("subscriber_key").to_pylist()]


def test_counts_are_right_to_the_person(warehouse: Warehouse) -> None:
    rule = check_rule("tenure <= 12", warehouse.catalogue)
    assert warehouse.count(rule) == {code: len(keys) for code, keys in expected().items()}
    counts = count_audience(warehouse, rule, HOLDOUT)
    left = expected(HOLDOUT)
    assert {c.province: c.target - c.held_out for c in counts} == {code: len(keys) for code, keys in left.items()}
    assert [(c.province, c.target, c.held_out) for c in count_audience(warehouse, rule)] == [
        (code, len(keys), 0) for code, keys in expected().items()
    ]


def test_people_come_ascending_with_what_was_asked_for(warehouse: Warehouse) -> None:
    batches = list(warehouse.select(check_rule("tenure <= 12", warehouse.catalogue), ["PLAN"]))
    assert batches[0].schema.names == ["subscriber_key", "ordinal", "province", "plan"]
    assert keys_of(batches) == sorted(key for keys in expected().values() for key in keys)
    with pytest.raises(Refusal, match="no column plam; did you mean plan"):
        list(warehouse.select(everyone(), ["plam"]))


def test_an_audience_is_target_and_held_out_and_its_sums_close(warehouse: Warehouse) -> None:
    rule = check_rule("tenure <= 12", warehouse.catalogue)
    audience = build_audience(warehouse, rule, HOLDOUT)
    assert audience.held_out <= audience.target
    assert len(audience.target) == audience.manifest.target == sum(map(len, expected().values()))
    assert len(audience.held_out) == audience.manifest.held_out
    assert len(audience.contactable) + len(audience.held_out) == len(audience.target)
    assert audience.manifest.snapshot_sha256 == warehouse.sha256
    assert audience == build_audience(warehouse, rule, HOLDOUT)


def test_the_hold_out_is_the_share_asked_for(warehouse: Warehouse) -> None:
    for share in (0.0, 0.05, 0.5):
        held = len(build_audience(warehouse, everyone(), HoldOut(share, "c", KEY)).held_out)
        assert abs(held - share * PEOPLE) <= 4 * math.sqrt(share * (1 - share) * PEOPLE)


def test_the_hold_out_stays_when_people_and_rule_change(make_warehouse: Any, warehouse: Warehouse) -> None:
    before = build_audience(warehouse, check_rule("tenure <= 12", warehouse.catalogue), HOLDOUT)
    more = make_warehouse(columns(PEOPLE + 5000), TAGS)
    after = build_audience(more, everyone(), HOLDOUT)
    assert (more.version, warehouse.version) == (2, 1)
    assert before.held_out == after.held_out & before.target


def test_another_campaign_holds_out_other_people(warehouse: Warehouse) -> None:
    one = build_audience(warehouse, everyone(), HOLDOUT).held_out
    other = build_audience(warehouse, everyone(), HoldOut(0.1, "summer", KEY)).held_out
    assert len(one & other) < 0.2 * len(one)


def test_the_manifest_does_not_give_the_salt_away(warehouse: Warehouse) -> None:
    from common.kernel.keyed_hash import salt

    text = build_audience(warehouse, everyone(), HOLDOUT).manifest.to_json()
    secret = int(salt(KEY, "holdout", "spring"))
    assert str(secret) not in text
    assert f"{secret:016x}" not in text


def test_an_empty_audience_is_refused(warehouse: Warehouse) -> None:
    with pytest.raises(Refusal, match=r"nobody .* widen the rule") as refusal:
        build_audience(warehouse, check_rule("tenure > 1000", warehouse.catalogue), HOLDOUT)
    assert refusal.value.reason == "CAMPAIGN_INVALID"


@pytest.mark.parametrize("share", [-0.1, 1.0, math.nan])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(Refusal, match="hold-out share"):
        HoldOut(share, "spring", KEY)


def test_an_audience_is_saved_and_loaded_whole(warehouse: Warehouse, tmp_path: Path) -> None:
    audience = build_audience(warehouse, everyone(), HOLDOUT)
    with pytest.raises(Refusal, match="approve it first"):
        load_audience(tmp_path, "spring")
    save_audience(tmp_path, audience)
    save_audience(tmp_path, audience)
    assert load_audience(tmp_path, "spring") == audience
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_damaged_audience_is_refused(warehouse: Warehouse, tmp_path: Path) -> None:
    audience = build_audience(warehouse, everyone(), HOLDOUT)
    save_audience(tmp_path, audience)
    file = next(tmp_path.rglob(f"{audience.manifest.held_out_sha256}*"))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(Refusal, match="damaged or missing"):
        load_audience(tmp_path, "spring")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 101])
def test_a_campaign_name_is_no_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refusal, match="no campaign name"):
        load_audience(tmp_path, name)


def test_everybody_gets_the_first_choice_that_holds(warehouse: Warehouse) -> None:
    rule = check_rule("tenure <= 12", warehouse.catalogue)
    choices = [check_rule("plan = 'gold' AND province = 45", warehouse.catalogue), None]
    batches = list(warehouse.assign(rule, choices, ["tenure", "plan"]))
    assert batches[0].schema.names == ["choice", "province", "subscriber_key", "tenure", "plan"]
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert [(r["choice"], r["province"], r["subscriber_key"]) for r in rows] == sorted(
        (r["choice"], r["province"], r["subscriber_key"]) for r in rows
    )
    assert {r["subscriber_key"] for r in rows} == {key for keys in expected().values() for key in keys}
    assert all((r["choice"] == 0) == (r["plan"] == "gold" and r["province"] == 45) for r in rows)


def test_whom_no_choice_takes_is_left_out(warehouse: Warehouse) -> None:
    gold = check_rule("plan = 'gold'", warehouse.catalogue)
    rows = list(warehouse.assign(everyone(), [gold]))
    assert sum(batch.num_rows for batch in rows) == PEOPLE // 4


def test_a_second_wave_takes_only_the_people_given(warehouse: Warehouse) -> None:
    wanted = np.sort(np.array([*expected()[45][::7], 1, 2, 3], dtype=np.int64))
    rule = check_rule("tenure <= 12", warehouse.catalogue)
    assert keys_of(warehouse.assign(rule, [None], keys=wanted)) == expected()[45][::7]
    assert keys_of(warehouse.assign(rule, [None], keys=wanted[:0])) == []


def test_a_preview_masks_who_and_hides_what_is_personal(warehouse: Warehouse) -> None:
    rows = preview(warehouse, check_rule("tenure <= 12 AND name <> 'x'", warehouse.catalogue), rows=3)
    assert len(rows) == 3
    assert all(row.keys() == {"subscriber", "province", "tenure"} for row in rows)
    assert all(len(row["subscriber"]) == 7 for row in rows)
    for wrong in (0, PREVIEW_ROWS_MAX + 1):
        with pytest.raises(Refusal, match="a preview shows"):
            preview(warehouse, everyone(), rows=wrong)


def test_a_warehouse_without_people_says_what_to_run(snapshots: Any) -> None:
    with pytest.raises(Refusal, match="run liandong import subscribers"):
        DuckDbWarehouse.open(snapshots)


def test_an_older_snapshot_answers_as_it_did(make_warehouse: Any, warehouse: Warehouse) -> None:
    newer = make_warehouse(columns(PEOPLE + 9), TAGS)
    assert sum(newer.count(everyone()).values()) == PEOPLE + 9
    assert sum(newer.at(1).count(everyone()).values()) == PEOPLE
    assert newer.at(1).sha256 == warehouse.sha256
    assert warehouse.at().version == 2
