"""`liandong events`: the catalogue, a look at a file, made-up events; and the page that describes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from common.kernel.dead_letter import DeadReason
from common.kernel.event_catalogue import CATALOGUE
from common.kernel.reasons import DEAD_REASONS
from common.kernel.refusal import Refusal
from deploy.cli.root import app
from deploy.events_view import markdown
from tests.streams.test_files import HEADER, MAPPING
from tests.streams.world import line

PAGE = Path(__file__).parents[2] / "docs/events.md"


def run(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["events", *map(str, words)])
    if isinstance(done.exception, Refusal):
        raise done.exception
    return done.exit_code, done.stdout


def document(*words: object) -> tuple[int, Any]:
    code, text = run(*words, "--json")
    return code, json.loads(text)


def test_the_catalogue_is_listed_on_one_screen() -> None:
    for language in ("zh", "en"):
        code, text = run("types", "--lang", language)
        assert code == 0
        assert all(each.name in text for each in CATALOGUE)
        assert len(text.splitlines()) <= 40
    assert len(document("types")[1]) == 50


def test_a_type_is_shown_with_its_fields_and_an_example() -> None:
    _, told = document("types", "data_used")
    assert told["fields"][0] == {"name": "used_bytes", "kind": "int", "required": True, "low": 0, "high": 2**53 - 1,
                                 "unit": "bytes"}  # fmt: skip
    assert told["example"]["type"] == "liandong.data_used.v1"
    _, text = run("types", "data_used", "--lang", "zh")
    assert "流量使用" in text
    with pytest.raises(Refusal, match="did you mean data_used"):
        run("types", "data_use")


@pytest.mark.parametrize("form", ["jsonl", "arrows"])
def test_what_is_generated_is_clean(tmp_path: Path, form: str) -> None:
    file = tmp_path / f"made.{form}"
    assert run("generate", "--mixture", "--count", 2000, "--out", file)[0] == 0
    code, told = document("lint", file)
    assert (code, told["records"], told["events"], told["dead"]) == (0, 2000, 2000, 0)
    assert len(told["types"]) > 40
    again = tmp_path / f"again.{form}"
    run("generate", "--mixture", "--count", 2000, "--out", again)
    assert again.read_bytes() == file.read_bytes()


def test_types_can_be_chosen(tmp_path: Path) -> None:
    file = tmp_path / "made.jsonl"
    _, told = document("generate", "--type", "subway", "--type", "url_visit", "--count", 100, "--out", file)
    assert told["events"] == 100
    assert document("lint", file)[1]["types"].keys() == {"subway", "url_visit"}


def test_what_is_asked_for_wrongly_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no file is begun, nor one that is there emptied."""
    monkeypatch.chdir(tmp_path)
    for words, told_as in (
        (("--out", "x.jsonl"), "say which events"),
        (("--type", "nonsense", "--out", "x.jsonl"), "there is no event type"),
        (("--mixture", "--out", "x.csv"), "FILE.jsonl"),
        (("--mixture", "--out", "x.jsonl", "--start", "2026-03-01"), "with its offset"),
    ):
        with pytest.raises(Refusal, match=told_as):
            run("generate", *words)
    assert list(tmp_path.iterdir()) == []


def test_lint_tells_what_is_wrong_where_and_exits_1(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join([line(), b"{", line(), line(subject="13812345678x"), b"{"]))
    code, told = document("lint", file)
    assert code == 1
    assert (told["records"], told["events"], told["dead"]) == (5, 2, 3)
    assert told["reasons"] == {"TRUNCATED": 2, "SUBJECT_INVALID": 1}
    assert [(each["line"], each["reason"]) for each in told["first"]] == [
        (2, "TRUNCATED"), (4, "SUBJECT_INVALID"), (5, "TRUNCATED"),
    ]  # fmt: skip
    _, text = run("lint", file, "--lang", "zh")
    assert "行 2, 5" in text
    assert "5 条记录 = 2 事件 + 3 死信" in text
    assert "1381234" not in text


def test_lint_reads_a_foreign_file_by_its_mapping(tmp_path: Path) -> None:
    file, mapping = tmp_path / "cdr.csv", tmp_path / "old-billing.yaml"
    file.write_text(HEADER + "1,a,D,13812345678,20260301080000,0.5,5,,\n2,a,D,1,20260301080000,0.5,5,,\n")
    mapping.write_text(MAPPING)
    code, told = document("lint", file, "--mapping", mapping)
    assert code == 1
    assert told["types"] == {"data_used": 1}
    assert told["first"][0]["line"] == 3
    assert "12345678" not in json.dumps(told)


def test_every_reason_has_its_words() -> None:
    assert set(DEAD_REASONS) == set(DeadReason)


def test_the_page_shows_the_catalogue_as_it_is() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert markdown() in page, "docs/events.md: paste the output of `liandong events types --markdown`"
    for reason, words in DEAD_REASONS.items():
        assert f"| {int(reason)} | `{reason.name}` | {words.zh} | {words.en} |" in page


def test_the_command_is_part_of_the_whole() -> None:
    assert "events" in typer.main.get_command(app).commands  # type: ignore[attr-defined]
