"""What an operator sees: one screen, in either language, and a command to go on with."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from common.kernel.refusal import Refusal
from common.kernel.stop import StopScope
from common.kernel.task import Response
from deploy.cli.why import moment_of, subscriber_of
from deploy.why_view import show

START, HOUR, DAY = 1_772_326_800, 3_600, 86_400
LINES_MAX, COLUMNS = 40, 120
TIGHT = "mode: shared\ncaps:\n  - {scope: all, contacts: 1, per: 2d}\ncooling: 3d\n"


def shown(document: dict[str, Any], language: str) -> str:
    out = io.StringIO()
    show(document, language, "13800000000", Console(file=out, width=COLUMNS, color_system=None))
    assert len(out.getvalue().splitlines()) <= LINES_MAX
    return out.getvalue()


@pytest.fixture
def told(hq: Any, kinds: Any, file_of: Any) -> dict[str, dict[str, Any]]:
    """Documents of every kind."""
    hq.apply_policy(1, TIGHT)
    hq.approve(file_of("rival", priority=90, offer="other", audience="age > 30"))
    hq.approve(file_of(holdout="30%", audience="age >= 20"))
    hq.plan(START)
    waiting = {str(key): hq.why(key, "spring") for key in range(1_000, 40_000, 1_000)}
    hq.stop([kinds.local], START + 5, StopScope.REFUSED)
    hq.send(START + 60)
    hq.receive(START + 90, responses={kinds.texted: Response.INTERESTED})
    hq.order(kinds.texted, START + HOUR, offer="other")
    hq.plan(START + 3 * DAY)
    later = {f"later {key}": hq.why(key) for key in range(1_000, 40_000, 1_000)}
    return waiting | later | {"rival": hq.why(kinds.texted, "rival"), "rested": hq.why(kinds.local, "spring"),
                              "then": hq.why(kinds.texted, "rival", START + 60)}  # fmt: skip


def test_every_document_fits_one_screen_in_both_languages(told: dict[str, dict[str, Any]]) -> None:
    for document in told.values():
        for language in ("zh", "en"):
            page = shown(document, language)
            assert page.splitlines()[-1].startswith(("next: liandong ", "下一步: liandong "))


def test_a_contact_reads_from_audience_to_order(told: dict[str, dict[str, Any]]) -> None:
    page = shown(told["rival"], "en")
    for part in ("✓ Spring (rival): contacted", "age > 30", "SMS", "sent 2026-03-01 09:01:00", "reply interested",
                 "credited to rival/1/sms/hq", "next: liandong replay --campaign rival"):  # fmt: skip
        assert part in page, page


def test_silence_reads_with_its_reason_and_what_would_change_it(told: dict[str, dict[str, Any]]) -> None:
    page = shown(told["rested"], "en")
    assert "✗ resting after a refusal or an order 2026-03-01 09:00:05, until 2026-03-04 09:00:05" in page
    assert "What would change it  rest after refusal or order · allowed from 2026-03-04 09:00:05" in page
    assert "冷静期" in shown(told["rested"], "zh")


def test_who_lost_to_whom_is_named(told: dict[str, dict[str, Any]]) -> None:
    pages = [shown(document, "en") for document in told.values()]
    capped = [page for page in pages if "contact cap reached 1/1 (all marketing, 2d): rival/1/" in page]
    assert capped
    assert all("lost to rival/1/" in page for page in capped)


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("13800000000", {"msisdn": 8613800000000}),
        ("+86 138-0000-0000", {"msisdn": 8613800000000}),
        ("00000000000000ff", {"subscriber_key": 255}),
        ("7fffffffffffffff", {"subscriber_key": (1 << 63) - 1}),
        ("255", {"subscriber_key": 255}),
    ],
)
def test_a_person_is_named_by_number_or_key(text: str, who: dict[str, int]) -> None:
    assert subscriber_of(text) == who


@pytest.mark.parametrize("text", ["", "ffffffffffffffff", "nobody", "9" * 19, "12345678901234567890"])
def test_what_names_nobody_is_refused(text: str) -> None:
    with pytest.raises(Refusal, match="no mobile number and no subscriber key"):
        subscriber_of(text)


def test_a_time_without_a_zone_is_beijings() -> None:
    assert moment_of("2026-03-01T09:00") == moment_of("2026-03-01T01:00:00+00:00") == START
    with pytest.raises(Refusal, match="write it as"):
        moment_of("yesterday")
