"""The engine over a journal, in this process: cuts, restarts from any checkpoint, sums that close, changed rules."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adapters.streams import journal, packed
from adapters.streams.file_source import FileSource
from adapters.streams.journal import Form, JournalSource, Writer
from adapters.streams.simulator import EXAMPLE_AT
from common.kernel.dead_letter import DeadReason
from common.kernel.trigger_rule import Sum
from common.runtime.outage import StoreUnavailable
from province.fire import Firing
from province.triggers.engine.checkpoint import Checkpoints
from province.triggers.engine.dead_letters import DeadLetterBox
from province.triggers.engine.engine import Engine, Pacing
from tests.triggers.engine_world import (
    EDGE,
    LATENESS,
    RULES,
    Book,
    Log,
    Record,
    Sink,
    append,
    counted,
    engine,
    event,
    expected,
    kept,
    log_of,
    rules,
)

PARTITIONS = 2


@pytest.fixture(scope="module")
def log() -> Log:
    return log_of(PARTITIONS)


def written(directory: Path, log: Log) -> Path:
    writer = Writer(directory / "journal", len(log), segment_bytes=100_000)
    append(writer, log)
    writer.close()
    return directory / "journal"


def over(journal_at: Path, directory: Path, sink: Sink) -> Engine:
    return engine(JournalSource(journal_at, lambda: EDGE), directory, sink)


def until_quiet(running: Engine) -> None:
    while running.turn(0.0):
        pass


def test_an_engine_fires_what_the_plain_reference_fires(log: Log, tmp_path: Path) -> None:
    sink = Sink(tmp_path / "fires.db")
    running = over(written(tmp_path, log), tmp_path, sink)
    until_quiet(running)
    running.close()
    wanted = expected(log)
    assert sink.fires() == wanted
    assert {fire.rule for fire in wanted} == {"each", "sum", "surge", "crosses", "stays"}


@pytest.mark.parametrize("read_bytes", [1, 3_000, 50_000])
def test_how_a_partition_is_cut_into_runs_changes_nothing(
    log: Log, read_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "READ_BYTES", read_bytes)
    sink = Sink(tmp_path / "fires.db")
    running = over(written(tmp_path, log), tmp_path, sink)
    until_quiet(running)
    running.close()
    assert sink.fires() == expected(log)


def test_the_sums_close_and_every_dead_letter_is_kept_with_its_reason(log: Log, tmp_path: Path) -> None:
    running = over(written(tmp_path, log), tmp_path, Sink(tmp_path / "fires.db"))
    until_quiet(running)
    told = running.told()["partitions"]
    running.close()
    for number, records in enumerate(log):
        each = told[f"journal:{number}"]
        counts, rules = each["counts"], each["rules"]
        assert each["next"] == len(records)
        assert sum(times for name, times in counts.items() if name.startswith("dead.")) == counts["dead"] > 10
        assert counts["events"] + counts["dead"] == events_in(records)
        assert {name: {**rule, "bytes": 0} for name, rule in rules.items()} == {
            name: {**rule, "bytes": 0} for name, rule in counted(records).items()
        }
        for rule in rules.values():
            assert rule["seen"] == counts["events"]
            assert min(rule["counted"], rule["passed_over"]) > 0
        assert any(rule["late"] for rule in rules.values())
        assert any(rule["duplicates"] for rule in rules.values())
    box = DeadLetterBox(tmp_path / "checkpoints")
    assert sum(box.by_reason().values()) == sum(each["counts"]["dead"] for each in told.values())
    assert {DeadReason.TRUNCATED, DeadReason.FAR_FUTURE, DeadReason.TIME_INVALID, DeadReason.WRONG_TYPE,
            DeadReason.OUT_OF_RANGE, DeadReason.FIELD_MISSING, DeadReason.UNKNOWN_TYPE,
        } <= set(box.by_reason())  # fmt: skip
    assert all(each.letter.why for each in box.newest(100))
    box.close()


def events_in(records: Sequence[Record]) -> int:
    """A packed record holds several; one that cannot be read counts as one."""
    return sum(
        packed.next_batch(each.value).num_rows if each.form is Form.PACKED and len(each.value) > 50 else 1
        for each in records
    )


def test_from_any_older_checkpoint_the_same_comes_out(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty times the engine is dropped and begins again, from the newest checkpoint or one of any time before."""
    monkeypatch.setattr(journal, "READ_BYTES", 5_000)
    draw, sink, at = np.random.default_rng(3), Sink(tmp_path / "fires.db"), written(tmp_path, log)
    older: list[Path] = []
    for number in range(40):
        running = over(at, tmp_path, sink)
        for _ in range(int(draw.integers(1, 6))):
            running.turn(0.0)
        running._settle()
        os.close(running._ports.source._lock)  # type: ignore[attr-defined]
        older.append(tmp_path / f"older-{number}")
        shutil.copytree(tmp_path / "checkpoints", older[-1], ignore=shutil.ignore_patterns("dead*"))
        for file in older[int(draw.integers(0, len(older)))].iterdir():
            shutil.copy(file, tmp_path / "checkpoints")
    running = over(at, tmp_path, sink)
    until_quiet(running)
    told = running.told()["partitions"]
    running.close()
    assert sink.fires() == expected(log)
    box = DeadLetterBox(tmp_path / "checkpoints")
    assert sum(box.by_reason().values()) == sum(each["counts"]["dead"] for each in told.values())
    box.close()


def test_a_damaged_checkpoint_falls_back_to_the_one_before(log: Log, tmp_path: Path) -> None:
    sink, at = Sink(tmp_path / "fires.db"), written(tmp_path, log)
    for _ in range(2):
        running = over(at, tmp_path, sink)
        until_quiet(running)
        running.close()
        append_more(at, log)
    kept = Checkpoints(tmp_path / "checkpoints")
    newest, path = kept.load("journal:0"), tmp_path / "checkpoints" / "journal:0.checkpoint"
    assert newest is not None
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    older = kept.load("journal:0")
    assert older is not None
    assert older.next < newest.next
    path.with_suffix(".previous").unlink()
    assert kept.load("journal:0") is None


def append_more(at: Path, log: Log) -> None:
    writer = Writer(at, len(log))
    append(writer, log_of(len(log), 500, seed=9))
    writer.close()


def test_a_rule_that_counts_the_same_goes_on_and_another_begins(log: Log, tmp_path: Path) -> None:
    """Half of the log under the first rules, half under the next: all but `sum` say another text only."""
    at, sink, book = tmp_path / "journal", Sink(tmp_path / "fires.db"), Book()
    half = [records[: len(records) // 2] for records in log]
    writer = Writer(at, PARTITIONS)
    append(writer, half)
    running = engine(JournalSource(at, lambda: EDGE), tmp_path, sink, book, Pacing(0.0, None, 0.0, 0.0))
    until_quiet(running)
    more = replace(RULES[1], form=Sum("used_bytes", 8e7))
    said = [replace(each, offer=replace(each.offer, priority=9), version=2) for each in RULES]
    book.now = rules(2, [said[0], more, *said[2:]])
    append(writer, [records[len(records) // 2 :] for records in log])
    until_quiet(running)
    told = running.told()["partitions"]
    running.close()
    writer.close()
    wanted, found = expected(log), sink.fires()
    assert {fire for fire in found if fire.rule != "sum"} == {fire for fire in wanted if fire.rule != "sum"}
    first = {fire for fire in expected(half) if fire.rule == "sum"}
    assert first <= found
    for each in told.values():
        assert each["rules"]["sum"]["seen"] < each["rules"]["surge"]["seen"] == each["counts"]["events"]


def test_a_kept_rule_of_another_form_begins_anew(log: Log, tmp_path: Path) -> None:
    at, sink = written(tmp_path, log), Sink(tmp_path / "fires.db")
    running = over(at, tmp_path, sink)
    until_quiet(running)
    running.close()
    changed = [replace(RULES[1], lateness_seconds=1), *RULES[2:]]
    again = engine(JournalSource(at, lambda: EDGE), tmp_path, sink, Book(rules(3, changed)))
    again.turn(0.0)
    for each in again.told()["partitions"].values():
        assert (each["rules"]["sum"]["counted"], each["rules"]["sum"]["seen"]) == (0, 0)
        assert each["rules"]["surge"]["counted"] > 0
        assert "each" not in each["rules"]
    again.close()


def test_what_lasts_is_noticed_where_no_more_events_come(tmp_path: Path) -> None:
    """By the clock, and only where nothing is left to read."""
    on = event("power_on", "1", 7, "2026-03-01T08:00:00+08:00", cell_id="c", rat="5G")
    at, sink, now = tmp_path / "journal", Sink(tmp_path / "fires.db"), [EXAMPLE_AT]
    writer = Writer(at, 1)
    append(writer, [[Record(on, Form.JSON)]])
    running = engine(JournalSource(at, lambda: EDGE), tmp_path, sink, None, Pacing(0.0, 0.05, 0.0, 0.0), lambda: now[0])
    until_quiet(running)
    time.sleep(0.06)
    now[0] = EXAMPLE_AT + (LATENESS + 15) * 1000
    running.turn(0.0)
    assert sink.fires() == set()
    now[0] += 100
    running.turn(0.0)
    assert {(fire.rule, fire.key, fire.at) for fire in sink.fires()} == {("stays", 7, EXAMPLE_AT + 15_000)}
    running.close()
    writer.close()


def test_the_clock_makes_late_only_what_would_end_a_state_that_has_lasted(tmp_path: Path) -> None:
    """A source may tell of an hour at its end: how old an event may be goes by the others that came."""
    time_of, at = "2026-03-01T08:{:02}:00+08:00".format, tmp_path / "journal"
    on = event("power_on", "1", 7, time_of(0), cell_id="c", rat="5G")
    off = event("power_on", "2", 7, time_of(0).replace("00:00+", "00:01+"), cell_id="c", rat="4G")
    used = [event("data_used", f"u{minute}", 7, time_of(minute), used_bytes=10**7) for minute in (1, 2, 3, 4)]
    now, writer, sink = [EXAMPLE_AT + 3_600_000], Writer(at, 1), Sink(tmp_path / "fires.db")
    append(writer, [[Record(on, Form.JSON)]])
    running = engine(JournalSource(at, lambda: EDGE), tmp_path, sink, None, Pacing(0.0, 0.05, 0.0, 0.0), lambda: now[0])
    until_quiet(running)
    time.sleep(0.06)
    running.turn(0.0)
    append(writer, [[Record(value, Form.JSON) for value in (off, *used)]])
    until_quiet(running)
    (told,) = running.told()["partitions"].values()
    running.close()
    writer.close()
    assert {(fire.rule, fire.at) for fire in sink.fires()} == {
        ("stays", EXAMPLE_AT + 15_000), ("sum", EXAMPLE_AT + 240_000)
    }  # fmt: skip
    assert {name: rule["late"] for name, rule in told["rules"].items()} == {
        "each": 0, "sum": 0, "surge": 0, "crosses": 0, "stays": 1
    }  # fmt: skip


def test_time_does_not_pass_while_the_source_says_nothing_of_its_end(tmp_path: Path) -> None:
    on = event("power_on", "1", 7, "2026-03-01T08:00:00+08:00", cell_id="c", rat="5G")
    writer = Writer(tmp_path / "journal", 1)
    append(writer, [[Record(on, Form.JSON)]])
    writer.close()
    source, sink = JournalSource(tmp_path / "journal", lambda: EDGE), Sink(tmp_path / "fires.db")
    running = engine(source, tmp_path, sink, None, Pacing(0.0, 0.01, 0.0, 0.0), lambda: EDGE.now)
    source.lag = lambda sure=False: {}  # type: ignore[method-assign]
    until_quiet(running)
    time.sleep(0.05)
    running.turn(0.0)
    assert sink.fires() == set()
    running.close()


def test_fires_wait_for_a_store_that_is_away_and_no_checkpoint_is_written_meanwhile(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("province.triggers.engine.engine.RETRY_SECONDS", 0.01)
    sink, away = Sink(tmp_path / "fires.db"), [5]

    def hand_over(firings: Sequence[Firing]) -> None:
        assert not list((tmp_path / "checkpoints").glob("*.checkpoint"))
        if away[0]:
            away[0] -= 1
            raise StoreUnavailable("sqlite:///x", "gone")
        sink(firings)

    source = JournalSource(written(tmp_path, log), lambda: EDGE)
    running = engine(source, tmp_path, hand_over, pacing=Pacing(60.0, None, 0.2))
    running._due += 60
    until_quiet(running)
    running.close()
    assert sink.fires() == expected(log)
    assert away == [0]


def test_no_checkpoint_leaves_behind_what_is_not_handed_over(log: Log, tmp_path: Path) -> None:
    """However long fires might wait to be handed over together."""
    sink, source = Sink(tmp_path / "fires.db"), JournalSource(written(tmp_path, log), lambda: EDGE)
    running = engine(source, tmp_path, sink, pacing=Pacing(0.0, None, 0.2, hand_over_seconds=60.0))
    while not kept(tmp_path, log, "journal"):
        running.turn(0.0)
    assert sink.fires() == expected(log)
    running.close()


def test_a_partition_is_given_back_with_all_that_fired_handed_over(log: Log, tmp_path: Path) -> None:
    sink, source = Sink(tmp_path / "fires.db"), JournalSource(written(tmp_path, log), lambda: EDGE)
    running = engine(source, tmp_path, sink, pacing=Pacing(60.0, None, 0.2, hand_over_seconds=60.0))
    running._due += 60
    until_quiet(running)
    assert sink.fires() == set()
    running.close()
    assert sink.fires() == expected(log)
    assert kept(tmp_path, log, "journal")


def test_a_full_disk_costs_time_and_nothing_else(log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink, at = Sink(tmp_path / "fires.db"), written(tmp_path, log)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "save", full)
        running = over(at, tmp_path, sink)
        until_quiet(running)
        running.close()
    assert sink.fires() == expected(log)
    running = over(at, tmp_path, sink)
    until_quiet(running)
    running.close()
    assert sink.fires() == expected(log)


@pytest.mark.parametrize("saved", [0.0, 0.3])
def test_what_is_written_to_a_journal_put_back_from_a_backup_counts(saved: float, log: Log, tmp_path: Path) -> None:
    """The checkpoint is further on than the journal ends: nothing written there anew may pass for read before."""
    sink, at = Sink(tmp_path / "fires.db"), tmp_path / "journal"

    def write(begin: float, end: float) -> None:
        writer = Writer(at, PARTITIONS)
        append(writer, [records[int(len(records) * begin) : int(len(records) * end)] for records in log])
        writer.close()

    def serve() -> None:
        running = over(at, tmp_path, sink)
        until_quiet(running)
        running.close()

    write(0.0, saved)
    shutil.copytree(at, tmp_path / "backup")
    write(saved, 0.6)
    serve()
    shutil.rmtree(at)
    shutil.copytree(tmp_path / "backup", at)
    write(0.6, 0.8)
    serve()
    write(0.8, 1.0)
    serve()
    assert sink.fires() == expected(log)


def test_an_engine_that_cannot_say_how_it_stands_goes_on(log: Log, tmp_path: Path) -> None:
    sink, source = Sink(tmp_path / "fires.db"), JournalSource(written(tmp_path, log), lambda: EDGE)
    running = engine(source, tmp_path, sink, pacing=Pacing(0.05, None, 0.0))
    (tmp_path / "status.draft").mkdir()
    until_quiet(running)
    running.close()
    assert sink.fires() == expected(log)


def test_what_a_killed_engine_left_half_written_goes(log: Log, tmp_path: Path) -> None:
    at, kept_in = written(tmp_path, log), tmp_path / "checkpoints"
    kept_in.mkdir()
    left = [kept_in / f"journal:0.{process}{ending}" for process in (7, 123456) for ending in ("", ".link")]
    another = [kept_in / "journal:01.7", kept_in / "journal.7"]
    for path in (*left, *another):
        path.write_bytes(b"half")
    running = over(at, tmp_path, Sink(tmp_path / "fires.db"))
    running.turn(0.0)
    running.close()
    assert [path.exists() for path in (*left, *another)] == [False] * 4 + [True] * 2


def test_a_record_of_ten_megabytes_is_a_dead_letter_and_the_engine_goes_on(tmp_path: Path) -> None:
    huge = event("data_used", "x" * 10_000_000, 7, "2026-03-01T08:00:00+08:00", used_bytes=1)
    visit = event("url_visit", "1", 7, "2026-03-01T08:00:00+08:00", host="v.example.com")
    records = [Record(huge, Form.JSON), Record(huge, Form.PACKED), Record(visit, Form.JSON)]
    writer = Writer(tmp_path / "journal", 1)
    append(writer, [records])
    writer.close()
    sink = Sink(tmp_path / "fires.db")
    running = over(tmp_path / "journal", tmp_path, sink)
    until_quiet(running)
    (told,) = running.told()["partitions"].values()
    running.close()
    assert told["counts"] == {"events": 1, "dead": 2, "dead.TOO_LARGE": 2, "missed": 0}
    assert {fire.rule for fire in sink.fires()} == {"each"}


def test_a_file_is_played_like_any_other_source(log: Log, tmp_path: Path) -> None:
    lines = [record.value for record in log[0] if record.form is Form.JSON and record.value.startswith(b'{"')]
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(lines))
    source, sink = FileSource(tmp_path / "events.jsonl", lambda: EDGE), Sink(tmp_path / "fires.db")
    running = engine(source, tmp_path, sink)
    while not source.ended:
        running.turn(0.0)
    running.close()
    assert sink.fires() == expected([[Record(line, Form.JSON) for line in lines]])


def test_by_time_a_file_is_played_alike_whatever_the_order_of_its_lines(log: Log, tmp_path: Path) -> None:
    """As a stream of which nothing is late; what is no event comes last, by its line."""
    lines = [record.value for record in log[0] if record.form is Form.JSON and record.value.startswith(b'{"')]
    mixed = [lines[place] for place in np.random.default_rng(2).permutation(len(lines))]
    fires, counts = [], []
    for name, some in (("a", lines), ("b", mixed)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "events.jsonl").write_bytes(b"\n".join(some))
        source = FileSource(tmp_path / name / "events.jsonl", lambda: EDGE, by_time=True)
        sink = Sink(tmp_path / name / "fires.db")
        running = engine(source, tmp_path / name, sink)
        while not source.ended:
            running.turn(0.0)
        running.turn(0.0)
        (told,) = running.told()["partitions"].values()
        running.close()
        fires.append(sink.fires())
        counts.append(told["counts"])
        assert {rule["late"] for rule in told["rules"].values()} == {0}
    assert fires[0] == fires[1]
    assert counts[0] == counts[1]
    assert counts[0]["events"] + counts[0]["dead"] == len(lines)
    assert counts[0]["dead"] > 0
    assert counts[0]["missed"] == 0
