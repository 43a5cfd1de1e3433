"""The report of a campaign that ran: it closes at every moment, and says what the data can carry and no more."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from common.kernel.refusal import Refusal
from common.runtime.database import Database
from deploy.report_view import PARTS, show, show_unknown
from deploy.words import WORDS
from hq.audience import HoldOut
from hq.report import Document
from tests.campaigns.conftest import FEDERATION_KEY, START, WAVE_TWO_AT
from tests.evaluation.conftest import Campaign

DOCS = Path(__file__).parents[2] / "docs" / "report.md"


def _willing(keys: NDArray[np.int64]) -> NDArray[np.float64]:
    """Three in a hundred, and eight of those not held out."""
    held_out = HoldOut(0.1, "spring", FEDERATION_KEY).drawn(keys)
    return np.where(held_out, 0.03, 0.08)


def _closes(report: Document) -> None:
    assert [name for name, holds in report["checks"].items() if not holds] == []
    people = report["people"]
    assert people["unaccounted"] == 0
    assert people["target"] == sum(people[part] for part in PARTS)
    for row in (*report["rows"], *report["waves"], *report["channels"], *report["provinces"], report["total"]):
        fates = ("open", "in_flight", "delivered", "suppressed", "expired", "failed", "unknown")
        assert row["issued"] == sum(row[fate] for fate in fates)
    for name in ("issued", "contacted", "ordered", "cost_fen"):
        for group in ("rows", "waves", "channels", "provinces"):
            assert sum(row[name] for row in report[group]) == report["total"][name]


def test_it_closes_at_every_moment_of_a_campaign(campaign: Campaign) -> None:
    report = campaign.report()
    _closes(report)
    assert report["people"]["not_yet_waved"] == report["people"]["target"] - report["people"]["held_out"] > 9_000
    campaign.plan(START + 60)
    _closes(campaign.report())
    campaign.deliver()
    _closes(campaign.report())
    ordered = campaign.order(_willing)
    report = campaign.report()
    _closes(report)
    assert report["orders"]["taken"] == ordered
    campaign.plan(WAVE_TWO_AT)
    campaign.deliver()
    ordered += campaign.order(lambda keys: np.full(len(keys), 0.01))
    report = campaign.report()
    _closes(report)
    assert report["orders"]["taken"] == ordered
    assert report["orders"]["attributed"] == report["total"]["ordered"] > 0
    assert [wave["state"] for wave in report["waves"]] == ["cut", "cut"]
    assert report["total"]["income_fen"] == 3000 * report["orders"]["attributed"] == report["orders"]["attributed_fen"]
    assert json.loads(json.dumps(report)) == report


def test_a_true_effect_is_found_within_its_interval(campaign: Campaign) -> None:
    campaign.plan(START + 60)
    campaign.deliver()
    campaign.order(_willing)
    effect = campaign.report()["effect"]
    assert effect["stated"]
    assert effect["low"] < 0.05 < effect["high"]
    assert effect["low"] > 0
    assert effect["contactable"]["people"] + effect["held_out"]["people"] == campaign.report()["people"]["target"]


def test_a_small_hold_out_gets_no_effect(tmp_path: Path, database: Database) -> None:
    small = Campaign(tmp_path, database, 600)
    small.plan(START + 60)
    report = small.report()
    _closes(report)
    assert not report["effect"]["stated"]
    assert "difference" not in report["effect"]
    for language, said in (("zh", "不给出效果"), ("en", "no effect stated")):
        assert said in _printed(report, language)


def test_a_lost_block_is_told(campaign: Campaign, database: Database) -> None:
    campaign.plan(START + 60)
    with database.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM task_block WHERE work_order = 'spring/1/app_push/hq' AND number = 0")
    checks = campaign.report()["checks"]
    assert (checks["work_orders_whole"], checks["unreachable_as_recorded"]) == (False, False)


def test_a_campaign_nobody_approved_or_wrote_is_refused(database: Database, campaign: Campaign) -> None:
    from hq.store.evaluation import report

    with database.snapshot() as connection, pytest.raises(Refusal) as refused:
        report(connection, campaign._warehouse, FEDERATION_KEY, "autumn", START)
    assert refused.value.reason == "NOT_FOUND"


def _printed(report: Document, language: str, width: int = 160, view: Any = show) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    view(report, language, console)
    return console.export_text()


@pytest.mark.parametrize("language", ["zh", "en"])
def test_it_fits_one_screen_and_ends_its_sum_with_a_tick(campaign: Campaign, language: str) -> None:
    campaign.plan(START + 60)
    campaign.deliver()
    campaign.order(_willing)
    campaign.plan(WAVE_TWO_AT)
    printed = _printed(campaign.report(), language)
    assert len(printed.splitlines()) <= 35
    assert f"✓ {WORDS['closes'].said(language)} · {WORDS['unaccounted'].said(language)} 0" in printed
    assert WORDS["unknown_line"].said(language) in printed
    assert bool(re.search("[一-鿿]", printed.replace("春季", ""))) == (language == "zh")


def test_contacts_of_unknown_fate_are_listed_up_to_a_thousand(campaign: Campaign) -> None:
    campaign.plan(START + 60)
    assert "listed: 0/0" in _printed(campaign.report(), "en", view=show_unknown)
    campaign.deliver()
    report = campaign.report()
    listed = report["unknown_contacts"]
    assert len(listed) == min(report["total"]["unknown"], 1_000) > 100
    assert listed == sorted(listed, key=lambda each: (each["work_order"], each["task"]))
    assert {each["reason"] for each in listed} == set(report["total"]["unknown_by"])
    assert {each["submitted_at"] for each in listed} == {START + 60}
    printed = _printed(report, "en", view=show_unknown)
    assert printed.count("no answer from the vendor") == len(listed)
    assert f"listed: {len(listed):,}/{report['total']['unknown']:,}" in printed
    assert "liandong report spring --unknown" in _printed(report, "en")


def test_a_list_of_unknown_contacts_is_cut_and_says_so(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("hq.report", "hq.store.evaluation"):
        monkeypatch.setattr(f"{module}.UNKNOWN_CONTACTS_MAX", 7)
    campaign.plan(START + 60)
    campaign.deliver()
    report = campaign.report()
    assert len(report["unknown_contacts"]) == 7
    assert report["checks"]["unknown_listed"]
    assert f"listed: 7/{report['total']['unknown']:,}" in _printed(report, "en", view=show_unknown)


def test_a_sum_that_stays_open_is_shouted(campaign: Campaign) -> None:
    report = campaign.report()
    report["people"]["unaccounted"] = 7
    report["checks"]["people_close"] = False
    printed = _printed(report, "en")
    assert "✗ the parts do NOT add up to the target · unaccounted for 7" in printed
    assert "✗ checks that do not hold: people_close" in printed


def test_every_field_is_described(campaign: Campaign) -> None:
    campaign.plan(START + 60)
    campaign.deliver()
    campaign.order(_willing)
    described = set(re.findall(r"`([a-z_]+)`", DOCS.read_text(encoding="utf-8")))
    assert _fields(campaign.report()) - described == set()


def _fields(value: object, inside: str = "") -> set[str]:
    if isinstance(value, list):
        return set().union(*(_fields(each, inside) for each in value)) if value else set()
    if not isinstance(value, dict) or inside.endswith("_by"):
        return set()
    return set(value).union(*(_fields(each, name) for name, each in value.items()))


@pytest.mark.parametrize("language", ["zh", "en"])
def test_no_number_is_cut_off_on_a_narrow_screen(campaign: Campaign, language: str) -> None:
    campaign.plan(START + 60)
    campaign.deliver()
    report = campaign.report()
    printed = _printed(report, language, width=80)
    fates = ("issued", "delivered", "suppressed", "expired", "failed", "unknown", "contacted", "responded")
    for name in fates:
        assert f"{report['total'][name]:,}" in printed, name
