"""Whatever dies, and whenever: every fire of the plain reference is handed over, and nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from adapters.streams.journal import Writer
from common.runtime import failpoint
from deploy.local.kafka import Broker
from tests.faults.points import points
from tests.triggers.engine_process import HAND_OVER
from tests.triggers.engine_world import Log, Sink, append_some, expected, kept, log_of, produce

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
PARTITIONS = 3
SECONDS = 240.0
POLL_SECONDS = 0.05


@pytest.fixture(scope="module")
def log() -> Log:
    return log_of(PARTITIONS, 12_000, seed=11, people=150)


class Process:
    def __init__(self, directory: Path, told: dict[str, str], armed: str = "") -> None:
        settings = directory / "engine.json"
        settings.write_text(json.dumps(told | {"directory": str(directory)}))
        self.log = directory / f"engine-{time.monotonic_ns()}.log"
        environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'proto' / 'gen'}"}
        environment |= {failpoint.TESTING: "1", failpoint.VARIABLE: armed}
        with self.log.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.triggers.engine_process", str(settings)],
                cwd=ROOT, env=environment, stdout=out, stderr=out,
            )  # fmt: skip

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def died(self) -> str | None:
        """Where; None while it lives. It must not die of anything else."""
        if self._process.poll() is None:
            return None
        said = self.log.read_text()
        assert self._process.returncode == -signal.SIGKILL, said[-3000:]
        return said.rpartition("failpoint ")[2].split("\n")[0]

    def _end(self, number: signal.Signals) -> None:
        self._process.send_signal(number)
        self._process.wait(60)


@contextmanager
def running(*arguments: object) -> Iterator[Process]:
    process = Process(*arguments)  # type: ignore[arg-type]
    try:
        yield process
    finally:
        process.kill()


def until(done: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(POLL_SECONDS)


def feed(at: Path, log: Log) -> Iterator[int]:
    """A journal that grows a little at each step; the last step is where all of it is there."""
    writer, begins = Writer(at, len(log), segment_bytes=60_000), [0] * len(log)
    steps = 3 * len(points("engine"))
    for step in range(1, steps + 1):
        for number, records in enumerate(log):
            end = len(records) * step // steps
            append_some(writer, number, records[begins[number] : end])
            begins[number] = end
        yield step
    writer.close()


def test_an_engine_killed_at_every_durable_step_keeps_its_word(log: Log, tmp_path: Path) -> None:
    told = {"journal": str(tmp_path / "journal")}
    wanted = [*points("engine"), *HAND_OVER]
    grown, hit, draw = feed(tmp_path / "journal", log), list[str](), np.random.default_rng(2)
    next(grown)
    for point in wanted:
        with running(tmp_path, told, f"{point}:{draw.integers(1, 3)}:kill") as process:
            deadline = time.monotonic() + SECONDS
            while (where := process.died()) is None:
                assert time.monotonic() < deadline, f"{point} was never reached"
                next(grown, None)
                time.sleep(POLL_SECONDS)
            hit.append(where)
    for _ in grown:
        pass
    assert hit == wanted
    with running(tmp_path, told) as process:
        until(lambda: kept(tmp_path, log, "journal"), "the end was never reached")
        process.stop()
    assert Sink(tmp_path / "fires.db").fires() == expected(log)


def test_an_engine_killed_at_any_time_keeps_its_word(log: Log, tmp_path: Path) -> None:
    grown, draw = feed(tmp_path / "journal", log), np.random.default_rng(4)
    next(grown)
    for _ in range(8):
        with running(tmp_path, {"journal": str(tmp_path / "journal")}) as process:
            until(lambda: (tmp_path / "fires.db").exists(), "it never began")
            for _ in range(int(draw.integers(1, 8))):
                next(grown, None)
                time.sleep(draw.uniform(0, 0.3))
            assert process.died() is None
    for _ in grown:
        pass
    with running(tmp_path, {"journal": str(tmp_path / "journal")}) as process:
        until(lambda: kept(tmp_path, log, "journal"), "the end was never reached")
        process.stop()
    assert Sink(tmp_path / "fires.db").fires() == expected(log)


def parts(log: Log, count: int) -> Iterator[Log]:
    for step in range(count):
        yield [r[len(r) * step // count : len(r) * (step + 1) // count] for r in log]


def test_two_consumers_one_killed_and_the_broker_too(
    log: Log, new_topic: Callable[[Broker, int], str], tmp_path: Path
) -> None:
    """One takes all; another joins and takes some; the first is killed, comes back, and the broker dies meanwhile."""
    with Broker(tmp_path / "kafka") as broker:
        topic = new_topic(broker, PARTITIONS)
        told = {"brokers": broker.address, "topic": topic, "group": "engines"}
        fed = parts(log, 12)

        def goes_on(behind: int) -> None:
            produce(broker.address, topic, next(fed))
            time.sleep(behind)

        with running(tmp_path, told) as first:
            goes_on(3)
            with running(tmp_path, told) as second:
                goes_on(2)
                until(lambda: "partitions taken" in second.log.read_text(), "no partition was given to the second")
                goes_on(0)
                first.kill()
                goes_on(1)
                with running(tmp_path, told) as third:
                    goes_on(8)
                    broker.kill()
                    time.sleep(1)
                    broker.start()
                    goes_on(2)
                    second.kill()
                    goes_on(1)
                    third.stop()
                    goes_on(0)
        with running(tmp_path, told) as last, running(tmp_path, told) as other:
            for rest in fed:
                produce(broker.address, topic, rest)
            until(lambda: kept(tmp_path, log, topic), "the end was never reached")
            assert last.died() is other.died() is None
            last.stop()
            other.stop()
    assert Sink(tmp_path / "fires.db").fires() == expected(log)
