"""Who is foretold to run out is told once a month, whatever happens to the forecast's process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from adapters.streams import partitions
from adapters.streams.cloudevents import encode
from adapters.streams.journal import Form, JournalSource, Writer
from adapters.streams.kafka_source import KafkaSource
from adapters.streams.sinks import KafkaSink
from adapters.streams.standard import Edge
from deploy.local.kafka import Broker
from province.triggers.engine.checkpoint import Checkpoint, Checkpoints
from province.triggers.forecast.forecaster import Forecaster, Hits, Teller, Terms
from province.triggers.forecast.status import SILENT_MS, standing, status_file
from province.triggers.forecast_node import batch_of
from tests.triggers.engine_world import Record, produce
from tests.triggers.living import PARTITIONS, Day, Province, push
from tests.triggers.megaline import PRESENT, event_of, sessions, users
from tests.triggers.test_forecast import used

SCENE = Path(__file__).parents[2] / "deploy" / "scenes" / "model.yaml"
EDGE = Edge(1_900_000_000_000)
TERMS = Terms(0.8, 600.0)
PEOPLE = 60


class Heard:
    """Takes what is told, or fails to; `lost` answers of it are lost though it took them."""

    def __init__(self, refuses: int = 0, lost: int = 0) -> None:
        self.hits: list[tuple[int, int, int, str]] = []
        self._refuses, self._lost = refuses, lost

    def __call__(self, hits: Hits) -> bool:
        if self._refuses:
            self._refuses -= 1
            return False
        columns = (hits.keys.tolist(), hits.months.tolist(), hits.at.tolist(), hits.versions.tolist())
        self.hits += zip(*columns, strict=True)
        self._lost -= 1
        return self._lost < 0


def written(directory: Path, values: list[bytes]) -> Path:
    writer = Writer(directory / "events", PARTITIONS)
    push(writer, values)
    writer.close()
    return directory / "events"


def months() -> list[bytes]:
    """Half of the people use 1.2 GB a day of 30 in a month, the others half of that; February up to the 14th."""
    days = [(1, day) for day in range(1, 32)] + [(2, day) for day in range(1, 15)]
    return [used(key, day, month, 1.2 if key % 2 else 0.6) for month, day in days for key in range(1, PEOPLE + 1)]


def over(events: Path, directory: Path, heard: Callable[[Hits], bool]) -> Forecaster:
    return Forecaster(JournalSource(events, lambda: EDGE, "forecast"), Checkpoints(directory), heard, TERMS)


def test_who_will_run_out_is_told_once(tmp_path: Path) -> None:
    events, heard = written(tmp_path, months()), Heard()
    assert over(events, tmp_path / "kept", heard).once()
    assert sorted(key for key, *_ in heard.hits) == list(range(1, PEOPLE, 2))
    assert {version for *_, version in heard.hits} == {"2026-01.13"}
    assert over(events, tmp_path / "kept", heard).once()
    written(tmp_path, [used(key, 15, 2, 1.2) for key in range(1, PEOPLE + 1)])
    assert over(events, tmp_path / "kept", heard).once()
    assert len(heard.hits) == PEOPLE // 2


def test_who_has_used_it_all_already_is_not_foretold(tmp_path: Path) -> None:
    events, heard = written(tmp_path, [*months(), used(1, 14, 2, 20.0, number=1)]), Heard()
    assert over(events, tmp_path / "kept", heard).once()
    assert sorted(key for key, *_ in heard.hits) == list(range(3, PEOPLE, 2))


def test_it_says_how_it_stands(tmp_path: Path) -> None:
    events, heard, at = written(tmp_path, months()), Heard(PARTITIONS), [5_000]
    assert standing(tmp_path, 0) is None

    def forecaster() -> Forecaster:
        source = JournalSource(events, lambda: EDGE, "forecast")
        teller = Teller(status_file(tmp_path), lambda: at[0])
        return Forecaster(source, Checkpoints(tmp_path / "kept"), heard, Terms(0.8, 600.0, 0.0), teller)

    assert not forecaster().once()
    told = standing(tmp_path, 6_000)
    assert told is not None
    assert (told["runs"], told["silent"], told["age_ms"]) == (False, False, 1_000)
    assert (told["refreshed"]["at"], told["refreshed"]["hits"], told["refreshed"]["learnt_from"]) == (5_000, 30, 60)
    kept = told["partitions"]
    assert [each["lag"] for each in kept] == [0] * PARTITIONS
    sums = {name: sum(each[name] for each in kept) for name in ("people", "untold", "counted", "late", "duplicates")}
    assert (sums["people"], sums["untold"]) == (PEOPLE, PEOPLE // 2)
    assert (sums["counted"], sums["late"] + sums["duplicates"]) == (len(months()), 0)

    at[0], stop = 7_000, threading.Event()
    running = threading.Thread(target=forecaster().run, args=(stop,))
    running.start()
    _until(lambda: (standing(tmp_path, 7_000) or {}).get("runs") is True and len(heard.hits) == PEOPLE // 2)
    told = standing(tmp_path, 7_000 + SILENT_MS + 1)
    assert told is not None
    assert told["silent"]
    stop.set()
    running.join()
    told = standing(tmp_path, 7_000 + SILENT_MS + 1)
    assert told is not None
    assert (told["runs"], told["silent"], sum(each["untold"] for each in told["partitions"])) == (False, False, 0)


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(("refuses", "lost"), [(2, 0), (0, 2), (1, 1)])
def test_what_was_not_told_is_told_again_as_the_same_events(tmp_path: Path, refuses: int, lost: int) -> None:
    events, heard = written(tmp_path, months()), Heard(refuses, lost)
    assert not over(events, tmp_path / "kept", heard).once()
    assert over(events, tmp_path / "kept", heard).once()
    assert {key for key, *_ in heard.hits} == set(range(1, PEOPLE, 2))
    assert len(set(heard.hits)) == PEOPLE // 2


class Died(BaseException):
    """The process ends here."""


@dataclass
class Steps:
    """It dies at the step of that number."""

    fatal: int
    passed: int = 0

    def __call__(self) -> None:
        self.passed += 1
        if self.passed > self.fatal:
            raise Died


class Mortal(Checkpoints):
    def __init__(self, directory: Path, step: Steps) -> None:
        super().__init__(directory)
        self._step = step

    def save(self, checkpoint: Checkpoint) -> int:
        self._step()
        done = super().save(checkpoint)
        self._step()
        return done


def test_whatever_step_it_dies_at_nobody_is_forgotten_nor_told_otherwise(tmp_path: Path) -> None:
    """Before, between and after the checkpoints of its partitions, and before and after it tells; time goes on."""
    events, heard = written(tmp_path, months()), Heard()

    def survives(step: Steps) -> bool:
        written(tmp_path, [used(key, 14, 2, 0.01, 9, f"09:{step.fatal:02}") for key in range(2, PEOPLE, 2)])

        def tell(hits: Hits) -> bool:
            step()
            heard(hits)
            step()
            return True

        source = JournalSource(events, lambda: EDGE, "forecast")
        try:
            return Forecaster(source, Mortal(tmp_path / "kept", step), tell, TERMS).once()
        except Died:
            source.close(Nobody())
            return False

    deaths = next(fatal for fatal in range(100) if survives(Steps(fatal)))
    assert deaths >= 6
    assert {key for key, *_ in heard.hits} == set(range(1, PEOPLE, 2))
    assert len(heard.hits) > len(set(heard.hits)) == PEOPLE // 2


class Nobody:
    """Whoever died keeps nothing."""

    def assigned(self, partition: str, end: int | None = None) -> int | None:
        return None

    def revoked(self, partition: str) -> None: ...

    def lost(self, partition: str) -> None: ...


def test_a_hit_is_an_event_of_the_catalogue() -> None:
    none = {"keys": np.int64(7), "months": np.int32(24314), "at": np.int64(1_767_225_600_000), "scores": 0.9,
            "ratios": 1.2, "versions": np.str_("2026-01.13")}  # fmt: skip
    hits = Hits(**{each.name: np.array([none[each.name]]) for each in fields(Hits)})
    (line,) = encode(batch_of("45", hits)).to_pylist()
    assert '"id":"usage_forecast-24314-7"' in line
    assert '"score":0.9' in line


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_over_kafka_it_reads_and_tells_the_same(
    kafka: Broker, new_topic: Callable[[Broker, int], str], tmp_path: Path
) -> None:
    """In a group of its own, by a timer; what it told is on the topic once more if it is told again."""
    topic = new_topic(kafka, PARTITIONS)
    log: list[list[Record]] = [[] for _ in range(PARTITIONS)]
    for number, values in partitions.split_json(months(), PARTITIONS):
        log[number] = [Record(value, Form.JSON) for value in values]
    produce(kafka.address, topic, log)
    sink = KafkaSink(kafka.address, topic)

    def tell(hits: Hits) -> bool:
        return sink.put([value.encode() for value in encode(batch_of("45", hits)).to_pylist()])

    for _ in range(2):
        source = KafkaSource(kafka.address, [topic], f"{topic}-forecast", lambda: EDGE)
        assert Forecaster(source, Checkpoints(tmp_path / "kept"), tell, TERMS).once()
    assert sorted(_hits_on(kafka, topic)) == list(range(1, PEOPLE, 2))


def _hits_on(kafka: Broker, topic: str) -> list[int]:
    """Whom a reader of the whole topic finds told of."""
    source = KafkaSource(kafka.address, [topic], f"{topic}-look", lambda: EDGE)
    found, until = list[int](), time.monotonic() + 30
    while len(found) < PEOPLE // 2 and time.monotonic() < until:
        for stretch in source.poll(Nobody(), 1.0):
            events = [each for each in stretch.decoded().events if each.type.name == "model_hit"]
            found += [key for each in events for key in each.keys.tolist()]
    for stretch in source.poll(Nobody(), 1.0):
        found += [key for each in stretch.decoded().events for key in each.keys.tolist()]
    source.close(Nobody())
    return found


@PRESENT
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_year_of_the_model_scene(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By a timer, once a day, and a part of the answers it gets is lost."""
    province = Province(
        tmp_path, [user.number for user in users().values()], {"model": SCENE.read_text(encoding="utf-8")}
    )
    told = Counter[tuple[int, int]]()

    def each_day(writer: Writer) -> None:
        def tell(hits: Hits) -> bool:
            told.update(zip(hits.keys.tolist(), hits.months.tolist(), strict=True))
            push(writer, [value.encode() for value in encode(batch_of("45", hits)).to_pylist()])
            return len(told) % 3 > 0

        source = JournalSource(tmp_path / "events", province.edge, "forecast")
        forecaster = Forecaster(source, Checkpoints(tmp_path / "forecast"), tell, TERMS)
        while forecaster.turn(0.0):
            pass
        forecaster.refresh()
        forecaster.close()

    year = [date(2018, 1, 1) + timedelta(days) for days in range(365)]
    days = [
        Day(day, [event_of(each) for each in sessions() if each.day == day],
            [user.number for user in users().values() if user.left == day])
        for day in year
    ]  # fmt: skip
    asyncio.run(province.live(days, each_day))
    assert max(told.values()) > 1
    contacts = province.contacts()
    months = Counter((number, day.month) for (_, number, day) in contacts)
    assert set(months.values()) == {1}
    assert set(contacts.values()) == {1}
    left = {user.number: user.left for user in users().values() if user.left}
    assert not [1 for _, number, day in contacts if number in left and day >= left[number]]
    ran_out, user_of = _ran_out(), {user.number: number for number, user in users().items()}
    known = {(user_of[number], month) for number, month in months}
    right, later = len(known & ran_out), {each for each in ran_out if each[1] >= 5}
    with capsys.disabled():
        print(f"\n{len(known)} contacted, {right} of them ran out; of {len(later)} who did from May on, "
              f"{len(later & known)} were told before")  # fmt: skip
    assert right >= 0.75 * len(known)
    assert len(later & known) >= 0.75 * len(later)


def _ran_out() -> set[tuple[int, int]]:
    used_of = Counter[tuple[int, int]]()
    for each in sessions():
        used_of[each.user, each.day.month] += each.megabytes  # type: ignore[assignment]
    return {place for place, amount in used_of.items() if amount > users()[place[0]].allowance}
