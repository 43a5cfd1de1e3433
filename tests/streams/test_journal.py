"""The local journal: what it acknowledged it keeps, in order, through kills and torn tails; damage is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.streams import journal
from adapters.streams.cloudevents import CONTENT_TYPE
from adapters.streams.journal import Block, Form, JournalSource, Reader, Writer
from common.kernel.refusal import Refusal
from common.runtime import failpoint
from tests.faults.points import points
from tests.streams.journal_writer import PARTITIONS, SEGMENT_BYTES
from tests.streams.world import EDGE

ROOT = Path(__file__).parents[2]


class Owner:
    def __init__(self, **begins: int) -> None:
        self.begins, self.given = begins, list[str]()

    def assigned(self, partition: str, end: int | None = None) -> int | None:
        return self.begins.get(partition.replace(":", "_"))

    def revoked(self, partition: str) -> None:
        self.given.append(partition)

    def lost(self, partition: str) -> None:
        raise AssertionError(partition)


def values(count: int, start: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(start, start + count)]


def read(directory: Path, partition: int = 0, offset: int = 0) -> list[tuple[int, bytes]]:
    reader, found = Reader(directory / str(partition), "p", offset, lambda: EDGE), []
    while (stretch := reader.read()) is not None:
        found += list(zip(stretch.offsets.tolist(), stretch.values, strict=True))
        assert stretch.next == found[-1][0] + 1
    reader.close()
    return found


@pytest.mark.parametrize("read_bytes", [1, 300, 1 << 20])
def test_what_goes_in_comes_out_from_any_offset(
    read_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "READ_BYTES", read_bytes)
    writer = Writer(tmp_path, 1, segment_bytes=500)
    for start in range(0, 300, 10):
        writer.append([Block(0, Form.JSON, values(10, start))])
    wanted = list(enumerate(values(300)))
    assert len(list(tmp_path.glob("0/*.seg"))) > 3
    for offset in (0, 1, 10, 137, 299, 300):
        assert read(tmp_path, 0, offset) == wanted[offset:]
    writer.close()


def test_a_reader_follows_a_writer_and_packed_records_say_so(tmp_path: Path) -> None:
    writer = Writer(tmp_path, 1, segment_bytes=200)
    reader = Reader(tmp_path / "0", "p", 0, lambda: EDGE)
    for number in range(20):
        assert reader.read() is None
        writer.append([Block(0, Form.JSON, values(3)), Block(0, Form.PACKED, values(2))])
        assert reader.lag() == 5
        stretch = reader.read()
        assert stretch is not None
        assert (stretch.first, stretch.next) == (5 * number, 5 * number + 5)
        assert stretch.headers is not None
        assert [headers[0][0] if headers else None for headers in stretch.headers] == [None] * 3 + [CONTENT_TYPE] * 2
    reader.close()
    writer.close()


@pytest.mark.parametrize(
    "tail", [b"", b"LDEV", b"\x00" * 100, b"LDEV" + b"\xff" * 60], ids=["none", "head", "zeros", "nonsense"]
)
def test_a_torn_tail_is_cut_off_and_never_read(tail: bytes, tmp_path: Path) -> None:
    writer = Writer(tmp_path, 1)
    writer.append([Block(0, Form.JSON, values(5))])
    writer.append([Block(0, Form.JSON, values(5, 5))])
    writer.close()
    (segment,) = tmp_path.glob("0/*.seg")
    whole = segment.read_bytes()
    for cut in range(len(whole) // 2, len(whole)):
        segment.write_bytes(whole[:cut] + tail)
        assert read(tmp_path) == list(enumerate(values(5)))
        again = Writer(tmp_path, 1)
        again.append([Block(0, Form.JSON, values(2, 100))])
        again.close()
        assert read(tmp_path) == list(enumerate([*values(5), *values(2, 100)]))


def test_damage_before_whole_records_is_refused(tmp_path: Path) -> None:
    writer = Writer(tmp_path, 1)
    for start in (0, 5):
        writer.append([Block(0, Form.JSON, values(5, start))])
    writer.close()
    (segment,) = tmp_path.glob("0/*.seg")
    raw = bytearray(segment.read_bytes())
    raw[40] ^= 1
    segment.write_bytes(raw)
    with pytest.raises(Refusal, match="damaged from byte 0 on"):
        Writer(tmp_path, 1)


def test_old_segments_go_by_size_and_age_and_a_reader_goes_on_after_them(tmp_path: Path) -> None:
    writer = Writer(tmp_path, 1, keep_bytes=1_500, keep_seconds=3_600, segment_bytes=400)
    for start in range(0, 300, 10):
        writer.append([Block(0, Form.JSON, values(10, start))])
    writer.sweep()
    assert sum(path.stat().st_size for path in tmp_path.glob("0/*.seg")) <= 1_500
    left = read(tmp_path)
    assert left == list(enumerate(values(300)))[left[0][0] :]
    assert 0 < left[0][0] < 290
    for path in tmp_path.glob("0/*.seg"):
        os.utime(path, (0, 0))
    writer.sweep()
    assert len(list(tmp_path.glob("0/*.seg"))) == 1
    writer.close()


def test_one_writer_one_engine_and_the_same_number_of_partitions(tmp_path: Path) -> None:
    writer, source = Writer(tmp_path, 2), JournalSource(tmp_path, lambda: EDGE)
    with pytest.raises(Refusal, match="being written by another process"):
        Writer(tmp_path, 2)
    with pytest.raises(Refusal, match="being read by another engine"):
        JournalSource(tmp_path, lambda: EDGE)
    writer.append([Block(1, Form.JSON, values(3))])
    owner = Owner(journal_1=2)
    (stretch,) = source.poll(owner, 0.0)
    assert (stretch.partition, stretch.first, stretch.values) == ("journal:1", 2, [b"2"])
    source.close(owner)
    assert owner.given == ["journal:0", "journal:1"]
    writer.close()
    with pytest.raises(Refusal, match="has 2 partitions, the settings ask for 3"):
        Writer(tmp_path, 3)


@pytest.mark.slow
def test_a_writer_killed_at_every_durable_step_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    acknowledged, begin, hit = set[int](), 0, list[str]()
    wanted = [*points("event_journal"), *points("event_journal"), ""]
    for nth, point in enumerate(wanted):
        armed = f"{point}:{1 + nth % 3 * ('append' in point)}:kill" if point else ""
        environment = os.environ | {failpoint.TESTING: "1", failpoint.VARIABLE: armed,
                                    "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'proto' / 'gen'}"}  # fmt: skip
        at = tmp_path / ("once" if "open" in point else "journal")
        if "open" in point:
            (at / "partitions").unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.streams.journal_writer", str(at), str(begin)]
        ran = subprocess.run(command, capture_output=True, cwd=ROOT, env=environment, text=True, check=False)
        assert ran.returncode == (-9 if point else 0), ran.stderr
        hit += [ran.stderr.removeprefix("failpoint ").strip()]
        if at.name == "journal":
            acknowledged |= set(map(int, ran.stdout.split()))
        begin += 60
    assert hit == wanted
    assert len(acknowledged) > 60
    for partition in range(PARTITIONS):
        found = read(tmp_path / "journal", partition)
        assert [offset for offset, _ in found] == list(range(len(found)))
        numbers = [int(value.split(b".")[0]) for _, value in found]
        assert numbers == sorted(numbers)
        assert acknowledged <= set(numbers)
        assert all(numbers.count(number) == 9 for number in acknowledged)
    assert SEGMENT_BYTES < 5_000
