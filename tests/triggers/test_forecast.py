"""The usage forecast: better than the rate so far on real people it never saw, and counted like everything else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pytest

from adapters.streams.cloudevents import decode_structured
from adapters.streams.standard import Edge
from common.kernel.event import Events
from province.triggers.forecast.forecast import ROWS_MIN, forecast, learn, run_rate
from province.triggers.forecast.usage import LEARNERS_MAX, PersonMonths, Usage, begin_of
from province.triggers.matching.run import run_of
from tests.triggers.engine_world import event
from tests.triggers.megaline import MEBIBYTE, PRESENT, Session, event_of, sessions

GIB = 1 << 30
EDGE = Edge(1_900_000_000_000)


def events_of(values: Sequence[bytes]) -> tuple[Events, ...]:
    found = decode_structured(list(values), EDGE, np.arange(len(values)))
    assert not len(found.dead)
    return found.events


def fed(usage: Usage, values: Sequence[bytes], cut: int = 5_000) -> Usage:
    for first in range(0, len(values), cut):
        usage.take(run_of(events_of(values[first : first + cut]), usage.newest))
    return usage


def used(key: int, day: int, month: int = 1, gib: float = 1.0, number: int = 0, clock: str = "08:00") -> bytes:
    return event(
        "data_used", f"{key}-{month}-{day}-{number}", key, f"2026-{month:02}-{day:02}T{clock}:00+08:00",
        used_bytes=round(gib * GIB), allowance_bytes=30 * GIB,
    )  # fmt: skip


def now(usage: Usage) -> PersonMonths:
    (some,) = usage.now()
    return some[np.argsort(some.keys)]


def test_days_are_added_up_and_a_month_becomes_the_past_once_nothing_of_it_can_come() -> None:
    january = [used(1, day) for day in (3, 10)] + [used(2, 20, gib=2)]
    usage = fed(Usage(), [*january, used(1, 1, 2, 0.5, clock="00:05"), used(1, 31, gib=4, clock="23:58")])
    assert now(usage).days[0, 0] == GIB / 2
    assert len(usage.past) == 0
    fed(usage, [used(1, 2, 2, number=1), used(1, 31, gib=4, number=7, clock="23:59")])
    assert usage.late == 1
    assert usage.past.days.sum(axis=1).tolist() == [6 * GIB, 2 * GIB]
    assert usage.past.since.tolist() == [2, 19]
    assert np.isnan(usage.past.usual).all()
    (only,) = usage.now()
    assert only.usual.tolist() == [6 * GIB / 29]
    assert (only.since.tolist(), usage.days_done) == ([0], 1)


def test_who_used_nothing_for_as_long_as_it_looks_back_is_forgotten() -> None:
    usage = fed(Usage(), [used(1, 2), used(2, 2)] + [used(3, 2, month) for month in range(2, 8)])
    assert len(usage) == 3
    fed(usage, [used(2, 3, 7), used(3, 2, 8)])
    assert len(usage) == 2
    fed(usage, [used(key, 3, 8) for key in range(10, 1_000)])
    assert len(usage) == 992
    year = [event("data_used", f"{month}", 3, f"2027-{month:02}-02T08:00:00+08:00", used_bytes=1, allowance_bytes=GIB)
            for month in range(1, 6)]  # fmt: skip
    fed(usage, year, cut=1)
    assert len(usage) == 1
    restored = Usage.restored(usage.newest, usage.columns())
    assert len(restored) == 1
    back = event("data_used", "back", 1, "2027-05-03T08:00:00+08:00", used_bytes=GIB, allowance_bytes=2 * GIB)
    assert now(fed(restored, [back])).since.tolist() == [2, 0]


def test_twice_out_of_order_and_cut_anyhow_it_is_the_same(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    plain = [used(key, day, month, float(draw.random()), n, f"08:0{n}")
             for month in (1, 2) for day in range(1, 29) for key in range(1, 9) for n in range(2)]  # fmt: skip
    by_day = [plain[first : first + 16] for first in range(0, len(plain), 16)]
    awkward = [value for some in by_day for value in draw.permutation(np.array([*some, *some[:3]]))]
    once = fed(Usage(), plain)
    other = Usage()
    for first in range(0, len(awkward), 37):
        other = Usage.restored(other.newest, {name: np.array(c) for name, c in other.columns().items()})
        fed(other, [bytes(value) for value in awkward[first : first + 37]])
    assert (other.duplicates, other.counted) == (len(awkward) - len(plain), once.counted)
    for mine, theirs in (
        (once.past[np.argsort(once.past.keys)], other.past[np.argsort(other.past.keys)]),
        (now(once), now(other)),
    ):
        for each in fields(PersonMonths):
            np.testing.assert_allclose(getattr(mine, each.name), getattr(theirs, each.name), rtol=1e-6)


def test_of_the_past_only_so_many_people_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("province.triggers.forecast.usage.LEARNERS_MAX", 3)
    usage = fed(Usage(), [*(used(key, 5) for key in range(1, 9)), used(1, 5, 2)])
    assert usage.past.keys.tolist() == [1, 2, 3]
    assert LEARNERS_MAX >= 100 * ROWS_MIN


def person_months(count: int, month: int, rates: np.ndarray) -> PersonMonths:
    days = np.repeat(rates[:, np.newaxis], 31, axis=1).astype(np.float32)
    zeros = np.zeros(count, dtype=np.int32)
    months = np.full(count, month, dtype=np.int32)
    return PersonMonths(months, np.arange(count), days, zeros, rates.copy(), np.full(count, 30.0))


def test_who_goes_on_as_ever_is_foretold_and_too_few_teach_nothing() -> None:
    rates = np.random.default_rng(1).uniform(0.2, 2, 500)
    past = person_months(500, 2026 * 12, rates)
    model = learn(past, 10)
    assert model is not None
    said = forecast(model, past)
    np.testing.assert_allclose(said.ratios, rates * 31 / 30, rtol=0.02)
    assert ((said.scores > 0.5) == (rates * 31 > 30)).mean() > 0.98
    assert model.version == "2026-01.10"
    assert learn(past[np.arange(ROWS_MIN - 1)], 10) is None


def test_nothing_is_said_of_whose_allowance_nobody_told() -> None:
    past = person_months(100, 2026 * 12, np.full(100, 1.0))
    model = learn(past, 10)
    unknown = PersonMonths(past.months, past.keys, past.days, past.since, past.usual, np.zeros(100))
    assert model is not None
    assert np.isnan(forecast(model, unknown).scores).all()


@dataclass
class Errors:
    """Gigabytes between what was foretold and what came, of each person-month."""

    model: list[float]
    naive: list[float]
    since_there: list[float]
    briers: list[float]

    @staticmethod
    def mean(errors: Iterable[float]) -> float:
        return float(np.mean(list(errors)))


def by_time(some: Iterable[Session]) -> list[Session]:
    return sorted(some, key=lambda session: (session.day, session.id))


def snapshots(some: list[Session], months: Sequence[int], done: int) -> Iterator[PersonMonths]:
    """As it stood on the morning after so many whole days of each month."""
    usage, last = Usage(), 0
    for month in months:
        end = sum((each.day.month, each.day.day) <= (month, done + 1) for each in some)
        fed(usage, [event_of(each) for each in some[last:end]])
        last = end
        (so_far,) = usage.now()
        assert (usage.days_done, so_far.months[0] % 12 + 1) == (done, month)
        yield so_far


@PRESENT
@pytest.mark.slow
def test_it_beats_the_rate_so_far_on_people_and_months_it_never_saw(capsys: pytest.CaptureFixture[str]) -> None:
    """Half of the people teach it from May to October; of the other half November and December are foretold."""
    total = dict[tuple[int, int], float]()
    for each in sessions():
        place = event_key(each.user), each.day.month
        total[place] = total.get(place, 0.0) + each.megabytes * MEBIBYTE
    pooled, lines = Errors([], [], [], []), []
    for done in (5, 10, 15, 20, 25):
        errors = Errors([], [], [], [])
        for half in (0, 1):
            teaching = by_time(each for each in sessions() if each.user // 5 % 2 == half and each.day.month <= 11)
            past = fed(Usage(), [event_of(each) for each in teaching]).past
            model = learn(past, done)
            assert model is not None
            assert sorted(set((past.months % 12 + 1).tolist())) == [5, 6, 7, 8, 9, 10]
            others = by_time(each for each in sessions() if each.user // 5 % 2 != half)
            for so_far in snapshots(others, (11, 12), done):
                add(errors, so_far, done, model, total)
        for name in ("model", "naive", "since_there", "briers"):
            getattr(pooled, name).extend(getattr(errors, name))
        lines.append(told(f"after {done} days", errors))
        assert Errors.mean(errors.model) < Errors.mean(errors.naive)
    lines.append(told("all", pooled))
    with capsys.disabled():
        print("\n" + "\n".join(lines))
    assert Errors.mean(pooled.model) < 0.8 * Errors.mean(pooled.naive)
    assert Errors.mean(pooled.model) < 0.85 * Errors.mean(pooled.since_there)
    assert Errors.mean(pooled.briers) < 0.15


def add(errors: Errors, so_far: PersonMonths, done: int, model: object, total: dict[tuple[int, int], float]) -> None:
    said = forecast(model, so_far)  # type: ignore[arg-type]
    rows = np.flatnonzero(~np.isnan(said.ratios) & (so_far.days[:, :done].sum(axis=1) > 0))
    month = int(so_far.months[0]) % 12 + 1
    length = begin_of(int(so_far.months[0]) + 1) - begin_of(int(so_far.months[0]))
    came = np.array([total[key, month] for key in so_far.keys[rows].tolist()])
    naive = so_far.days[rows, :done].sum(axis=1) / done * length
    allowances = so_far.allowances[rows]
    errors.model += (np.abs(said.ratios[rows] * allowances - came) / GIB).tolist()
    errors.naive += (np.abs(naive - came) / GIB).tolist()
    errors.since_there += (np.abs(run_rate(so_far, done)[rows] - came) / GIB).tolist()
    errors.briers += ((said.scores[rows] - (came > allowances)) ** 2).tolist()


def told(when: str, errors: Errors) -> str:
    return (
        f"{when}: mean error {Errors.mean(errors.model):.2f} GB, rate so far {Errors.mean(errors.naive):.2f}, "
        f"since they were there {Errors.mean(errors.since_there):.2f}; Brier score {Errors.mean(errors.briers):.3f} "
        f"({len(errors.model)} person-months)"
    )


def event_key(user: int) -> int:
    return int(json.loads(event_of(Session("x", user, sessions()[0].day, 0.0)))["subject"])
