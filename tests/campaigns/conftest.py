from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from adapters.warehouse.duckdb_warehouse import DuckDbWarehouse
from adapters.warehouse.snapshots import Snapshots
from common.kernel.tag import Catalogue, Tag, TagType
from common.rules.rule_language import check_rule
from common.runtime.database import Database
from hq.audience import Audience, HoldOut, build_audience, save_audience
from hq.campaign_file import check
from hq.planner import AUDIENCES
from hq.store import campaigns

FILE = """\
name: spring
title: {zh: 春季, en: Spring}
offer: {code: data_30g, title: {zh: 流量, en: Data}, price_fen: 3000}
audience: age >= 20
holdout: 10%
schedule: {start: 2026-03-01T09:00:00+08:00, end: 2026-03-15T21:00:00+08:00}
respond_hours: 48
attribution_days: 7
parameters:
  plan: {column: plan, fallback: 当前套餐, kind: text}
  spent: {column: arpu, fallback: 若干, kind: yuan}
content:
  app_push: {zh: 流量不够用？点击办理}
  sms: {zh: "您的${plan}上月${spent}元，回复Y办理，TD退订"}
  local_sms: {zh: "您的${plan}可升级，TD退订"}
waves:
  - name: first
    after: 0d
    channels:
      - {channel: app_push, when: app}
      - {channel: local_sms, when: age < 40}
      - {channel: sms}
  - name: second
    after: 3d 20h
    select: [no_response]
    channels:
      - {channel: local_sms, when: age > 30}
"""
START, END = 1_772_326_800, 1_773_579_600
"""Of the schedule above, in Unix seconds."""
WAVE_TWO_AT = START + 3 * 86_400 + 20 * 3_600

CATALOGUE = Catalogue(
    (
        Tag("age", TagType.INTEGER, nullable=False),
        Tag("app", TagType.BOOLEAN),
        Tag("plan", TagType.TEXT),
        Tag("arpu", TagType.NUMBER),
        Tag("joined", TagType.DATE),
        Tag("language", TagType.TEXT),
    )
)


@pytest.fixture
def file() -> str:
    return FILE


@pytest.fixture
def catalogue() -> Catalogue:
    return CATALOGUE


def people(count: int) -> pa.Table:
    """Made-up people, some values unknown, keys ascending; provinces 45, 13 and 11."""
    draw = np.random.default_rng(7)
    unknown = draw.random(count) < 0.2
    return pa.table(
        {
            "subscriber_key": np.cumsum(draw.integers(1, 1_000, count)),
            "ordinal": pa.array(np.arange(count, dtype=np.uint32)),
            "province": pa.array(draw.choice([45, 13, 11], count, p=[0.5, 0.4, 0.1]).astype(np.int16)),
            "age": draw.integers(16, 80, count),
            "app": pa.array(draw.random(count) < 0.3, mask=unknown),
            "plan": pa.array(draw.choice(["畅享19元", "冰激凌59元"], count), mask=unknown),
            "arpu": pa.array(draw.integers(10, 40, count).astype(np.float64), mask=unknown),
            "joined": pa.array(draw.integers(15_000, 20_000, count).astype("datetime64[D]")),
            "language": pa.array(draw.choice(["zh", "en"], count), mask=unknown),
        }
    )


MakeWarehouse = Callable[[int], DuckDbWarehouse]


@pytest.fixture
def make_warehouse(tmp_path: Path) -> MakeWarehouse:
    def make(count: int) -> DuckDbWarehouse:
        snapshots = Snapshots(tmp_path / "people")
        snapshots.publish(people(count).to_batches(), CATALOGUE)
        return DuckDbWarehouse.open(snapshots)

    return make


FEDERATION_KEY = b"a key for tests, 32 bytes long .."


class SetClock:
    """A clock that stands where it is put."""

    def __init__(self, now: int) -> None:
        self.at = now
        self.elapsed = 0.0

    def now(self) -> int:
        return self.at

    def monotonic(self) -> float:
        return self.elapsed


@pytest.fixture
def clock() -> SetClock:
    return SetClock(START - 3_600)


@pytest.fixture
def approve(tmp_path: Path) -> Callable[[Database, DuckDbWarehouse, str], Audience]:
    """Applies and approves a campaign file as the operators' API does."""

    def approved(database: Database, warehouse: DuckDbWarehouse, text: str) -> Audience:
        checked = check(text, warehouse.catalogue)
        rule = check_rule(checked.audience, warehouse.catalogue)
        audience = build_audience(warehouse, rule, HoldOut(checked.holdout, checked.name, FEDERATION_KEY))
        save_audience(tmp_path / AUDIENCES, audience)
        with database.transaction() as connection:
            campaigns.apply(connection, checked, text, "li")
            campaigns.approve(connection, checked, 1, "chen", audience.manifest.to_json())
        return audience

    return approved
