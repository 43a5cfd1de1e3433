"""The engine over a journal, in this process: cuts, restarts from any checkpoint, sums that close, changed rules."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from adapters.streams import journal
from adapters.streams.journal import JournalSource, Writer
from common.kernel.dead_letter import DeadReason
from province.triggers.checkpoint import Checkpoints
from province.triggers.dead_letters import DeadLetterBox
from province.triggers.engine import Engine
from tests.triggers.engine_world import EDGE, Log, Sink, append, engine, expected, log_of

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
        for rule in rules.values():
            assert rule["seen"] == counts["events"]
            assert rule["seen"] == rule["late"] + rule["duplicates"] + rule["counted"] + rule["passed_over"]
            assert rule["counted"] > 0
        assert any(rule["late"] for rule in rules.values())
        assert any(rule["duplicates"] for rule in rules.values())
    box = DeadLetterBox(tmp_path / "checkpoints")
    assert sum(box.by_reason().values()) == sum(each["counts"]["dead"] for each in told.values())
    assert {DeadReason.TRUNCATED, DeadReason.FAR_FUTURE, DeadReason.TIME_INVALID, DeadReason.WRONG_TYPE,
            DeadReason.OUT_OF_RANGE, DeadReason.FIELD_MISSING, DeadReason.UNKNOWN_TYPE,
        } <= set(box.by_reason())  # fmt: skip
    assert all(each.letter.why for each in box.newest(100))
    box.close()


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
        running._ports.source._lock and __import__("os").close(running._ports.source._lock)  # type: ignore[attr-defined]
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
