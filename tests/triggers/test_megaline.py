"""A year of real mobile data: who has used 80, 90 and 100 % of their plan is noticed, and told once a day at most."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from adapters.streams.file_source import FileSource
from adapters.streams.mapping import read
from common.rules.trigger_document import parsed
from province.fire import Fate
from province.store import fires
from province.triggers.engine.partition import Rules
from province.triggers.matching.matcher import Matcher
from tests.triggers.living import Day, Province, noon
from tests.triggers.megaline import (
    MAPPING,
    PRESENT,
    SHARES,
    Session,
    event_of,
    key_of,
    reached,
    sessions,
    users,
    written,
)

pytestmark = [PRESENT, pytest.mark.slow, pytest.mark.timeout(300)]
USER_MONTHS = {80: 240, 90: 212, 100: 180}
YEAR = [date(2018, 1, 1) + timedelta(days) for days in range(365)]
_RULE = """\
  - name: data-{share}
    scene: data_use
    when: data_used
    adds_up: {{field: used_bytes, to: {share}%, of: allowance_bytes}}
    once_a: month
    lateness: 1d
    offer: {{offer: pack-{share}, channels: [local_sms], text: "{share}", priority: {share}, valid_for: 1d}}
"""
RULES = "rules:\n" + "".join(_RULE.format(share=share) for share in SHARES)
Fires = set[tuple[int, int, int]]
Contacts = Counter[tuple[int, int, date]]


def by_day(some: Iterable[Session]) -> dict[date, list[Session]]:
    found = defaultdict[date, list[Session]](list)
    for each in some:
        found[each.day].append(each)
    return {day: found[day] for day in YEAR}


def mixed(seed: int = 5) -> list[Session]:
    return [sessions()[place] for place in np.random.default_rng(seed).permutation(len(sessions()))]


def twice() -> dict[date, list[Session]]:
    """Each again on its day, and once more on the next."""
    days = by_day(sessions())
    return {day: days[day] * 2 + days.get(day - timedelta(1), []) for day in YEAR}


def province_of(directory: Path, people: Iterable[int]) -> Province:
    return Province(directory, [users()[user].number for user in people], {"own": RULES})


def lived(directory: Path, arriving: Mapping[date, Sequence[Session]], people: Sequence[int]) -> Province:
    province, there = province_of(directory, people), set(people)
    days = [
        Day(
            day,
            [event_of(each) for each in some if each.user in there],
            [users()[user].number for user in people if users()[user].left == day],
        )
        for day, some in arriving.items()
    ]
    asyncio.run(province.live(days))
    return province


def fired(province: Province) -> Fires:
    """By share, user and month."""
    user_of = {key: user for user, key in key_of().items()}
    return {(int(rule[5:]), user_of[key], period % 12 + 1) for rule, key, period in province.fires()}


def contacted(province: Province) -> Contacts:
    """By share, user and day."""
    user_of = {said.number: user for user, said in users().items()}
    told = province.contacts().items()
    return Counter({(int(rule[5:]), user_of[number], day): times for (rule, number, day), times in told})


def expected_contacts() -> Contacts:
    """The largest share reached on a day, of whoever has a contract still."""
    largest = dict[tuple[int, date], int]()
    for (share, user, _), day in reached().items():
        largest[user, day] = max(share, largest.get((user, day), 0))
    return Counter(
        (share, user, day)
        for (user, day), share in largest.items()
        if (left := users()[user].left) is None or day < left
    )


def test_what_the_data_say() -> None:
    """So that what follows is of the size it should be."""
    assert (len(users()), len(sessions())) == (100, 19_343)
    assert Counter(share for share, _, _ in reached()) == USER_MONTHS
    gone = [(user, day) for (_, user, _), day in reached().items() if (left := users()[user].left) and day >= left]
    assert len(gone) == 11
    assert sum(user.left is not None for user in users().values()) == 6
    days = Counter((user, day) for (_, user, _), day in reached().items())
    assert sum(times > 1 for times in days.values()) == 32


@pytest.mark.parametrize(
    ("arriving", "provinces"),
    [(lambda: by_day(sessions()), 1), (lambda: by_day(mixed()), 2), (twice, 1)],
    ids=["as filed", "shuffled, over two provinces", "twice"],
)
def test_everybody_is_told_once_a_day_by_the_rule_that_matters_most(
    arriving: Callable[[], dict[date, list[Session]]], provinces: int, tmp_path: Path
) -> None:
    """And nobody whose contract has ended."""
    fires_of, contacts = Counter[tuple[int, int, int]](), Contacts()
    for number in range(provinces):
        province = lived(tmp_path / str(number), arriving(), list(users())[number::provinces])
        fires_of.update(fired(province))
        contacts.update(contacted(province))
    assert Counter(share for share, _, _ in fires_of) == USER_MONTHS
    assert fires_of == Counter(set(reached()))
    assert contacts == expected_contacts()


@pytest.mark.parametrize(
    "lines", [sessions, mixed, lambda: sessions() * 2, lambda: mixed(6) + mixed(7)[:9_000]],
    ids=["as filed", "shuffled", "twice", "shuffled and some twice"],
)  # fmt: skip
def test_a_file_played_by_time_says_the_same_whatever_its_order(
    lines: Callable[[], Sequence[Session]], tmp_path: Path
) -> None:
    """Long after, so that nobody is told."""
    province = province_of(tmp_path / "p", users())
    province.wall.time = noon(date(2019, 2, 1))
    file = written(tmp_path / "usage.csv", lines())
    province.play(FileSource(file, province.edge, read(MAPPING), by_time=True))
    assert fired(province) == set(reached())
    with province.store.snapshot() as connection:
        assert fires.counts(connection, 0) == {f"data-{share}": {Fate.LATE: USER_MONTHS[share]} for share in SHARES}


def test_a_file_sorted_by_customer_needs_that_or_as_much_lateness_as_it_has_disorder(tmp_path: Path) -> None:
    file = written(tmp_path / "usage.csv", sessions())
    as_written, patient = (province_of(tmp_path / name, users()) for name in ("p", "q"))
    for province, book in ((as_written, None), (patient, Patient())):
        province.wall.time = noon(date(2019, 2, 1))
        province.play(FileSource(file, province.edge, read(MAPPING)), book)
    assert fired(as_written) < set(reached())
    assert fired(patient) == set(reached())


class Patient:
    """The rules with more lateness than documents may ask for."""

    def edition(self) -> int:
        return 1

    def rules(self) -> Rules:
        patient = [replace(rule, lateness_seconds=400 * 86_400) for rule in parsed(RULES, 1).rules]
        return Rules(1, tuple(patient), (Matcher(patient),))
