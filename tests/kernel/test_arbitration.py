"""The arbitration kernel: exact, greedy, fair; and equal to the plain reference on anything."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from common.kernel import arbitration_reference
from common.kernel.arbitration import NO_POOL, NOBODY, Decisions, Pool, Requests, Verdict, decide, fair_shares
from common.kernel.spend_ledger import KINDS, Cap, Ledger

NOW = 1_800_000_000
HOUR = 3600


@dataclass(frozen=True)
class World:
    """One moment: who asks, what was spent, what is allowed."""

    requests: Requests
    spends: tuple[tuple[int, int, int], ...]
    """(key, date, kind)."""
    caps: tuple[Cap, ...]
    pools: tuple[Pool, ...]

    def decide(self) -> Decisions:
        return decide(self.requests, self.ledger(), self.caps, self.pools, NOW)

    def ledger(self) -> Ledger:
        """Added in parts of two, so that it has several runs."""
        ledger = Ledger()
        for start in range(0, len(self.spends), 2):
            keys, dates, kinds = zip(*self.spends[start : start + 2], strict=True)
            ledger = ledger.add(np.array(keys), np.array(dates, dtype=np.uint32), np.array(kinds, dtype=np.uint8))
        return ledger

    def by_key(self) -> dict[int, list[tuple[int, int]]]:
        found: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for key, date, kind in self.spends:
            found[key].append((date, kind))
        return found


def kinds_of(*kinds: int) -> NDArray[np.bool_]:
    mask = np.zeros(KINDS, dtype=np.bool_)
    mask[list(kinds)] = True
    return mask


ANY = np.ones(KINDS, dtype=np.bool_)


def requests(rows: list[tuple[int, int, float, int, int, int, int]]) -> Requests:
    """Rows of (key, priority, score, id, kind, pool, campaign)."""
    keys, priorities, scores, ids, kinds, pools, campaigns = zip(*rows, strict=True) if rows else ((),) * 7
    return Requests(
        np.array(keys, dtype=np.int64),
        np.array(priorities, dtype=np.int64),
        np.array(scores, dtype=np.float64),
        np.array(ids, dtype=np.int64),
        np.array(kinds, dtype=np.uint8),
        np.array(pools, dtype=np.int32),
        np.array(campaigns, dtype=np.int32),
    )


def ask(key: int, id: int, *, priority: int = 0, score: float = 0.0, kind: int = 0, pool: int = NO_POOL, by: int = 0):  # type: ignore[no-untyped-def]  # noqa: A002
    return key, priority, score, id, kind, pool, by


FAR = st.integers(-(2**62), 2**62) | st.integers(0, 2**31 - 1)
WINDOWS = st.sampled_from([1, HOUR, 24 * HOUR, 2 * NOW, NOW, NOW - (2**31)])


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Few people and many ties; dates on the very edges of the windows; ids near and far apart."""
    people = draw(st.lists(st.integers(0, 4) | st.integers(0, 2**63 - 1), min_size=1, max_size=5))
    kinds = st.integers(0, 3)
    caps = draw(
        st.lists(st.builds(Cap, st.integers(1, 3), WINDOWS, st.lists(kinds).map(lambda k: kinds_of(*k))), max_size=5)
    )
    pools = draw(st.lists(st.builds(Pool, st.integers(0, 6)), max_size=3))
    edges = [NOW - cap.window_seconds + step for cap in caps for step in (-1, 0, 1)]
    dates = st.sampled_from([NOW, NOW + HOUR, *(edge for edge in edges if 0 <= edge < 2**32)])
    spends = draw(st.lists(st.tuples(st.sampled_from(people), dates, kinds), max_size=12))
    ids = draw(st.lists(st.integers(0, 40) | FAR, unique=True, max_size=24))
    rows = [
        (
            draw(st.sampled_from(people)),
            draw(st.integers(0, 2) | FAR),
            draw(st.sampled_from([0.0, -0.0, 0.5, 1e-300]) | st.floats(allow_nan=False, allow_infinity=False)),
            each,
            draw(kinds),
            draw(st.integers(-1, len(pools) - 1)),
            draw(st.integers(0, 3)),
        )
        for each in ids
    ]
    return World(requests(rows), tuple(spends), tuple(caps), tuple(pools))


@st.composite
def crowds(draw: st.DrawFn) -> World:
    """A hundred requests or so: every kind of collision at once."""
    dice = np.random.default_rng(draw(st.integers(0, 2**32)))
    people, count = int(dice.integers(1, 40)), int(dice.integers(1, 160))
    caps = tuple(Cap(int(dice.integers(1, 4)), HOUR, dice.random(KINDS) < 0.6) for _ in range(dice.integers(0, 4)))
    pools = tuple(Pool(int(places)) for places in dice.integers(0, 1 + count // 2, dice.integers(1, 4)))
    rows = Requests(
        dice.integers(0, people, count),
        dice.integers(0, 3, count),
        dice.integers(0, 4, count) / 4,
        dice.permutation(count).astype(np.int64),
        dice.integers(0, 4, count).astype(np.uint8),
        dice.integers(-1, len(pools), count).astype(np.int32),
        dice.integers(0, 4, count).astype(np.int32),
    )
    spends = [(int(dice.integers(people)), NOW, int(dice.integers(4))) for _ in range(dice.integers(0, people))]
    return World(rows, tuple(spends), caps, pools)


def used(world: World, row: int, cap: Cap, granted: NDArray[np.bool_]) -> int:
    """Contacts that count against `cap` for the person of `row`."""
    key = world.requests.keys[row]
    asked = granted & (world.requests.keys == key) & cap.kinds[world.requests.kinds]
    spent = [kind for date, kind in world.by_key()[int(key)] if date + cap.window_seconds > NOW and cap.kinds[kind]]
    return int(asked.sum()) + len(spent)


@settings(max_examples=600)
@given(worlds() | crowds())
def test_it_decides_as_the_reference_does(world: World) -> None:
    fast = world.decide()
    plain = arbitration_reference.decide(world.requests, world.by_key(), world.caps, world.pools, NOW)
    assert fast.verdicts.tolist() == plain.verdicts
    assert fast.rivals.tolist() == plain.rivals
    assert fast.caps.tolist() == plain.blocking


@given(worlds() | crowds())
def test_no_cap_and_no_pool_is_ever_exceeded(world: World) -> None:
    granted = world.decide().verdicts == Verdict.GRANTED
    for row in np.flatnonzero(granted):
        for cap in world.caps:
            if cap.kinds[world.requests.kinds[row]]:
                assert used(world, row, cap, granted) <= cap.contacts
    for place, pool in enumerate(world.pools):
        assert (granted & (world.requests.pools == place)).sum() <= pool.capacity


@given(worlds() | crowds())
def test_nobody_is_denied_who_could_be_granted(world: World) -> None:
    granted = world.decide().verdicts == Verdict.GRANTED
    for row in np.flatnonzero(~granted):
        covering = [cap for cap in world.caps if cap.kinds[world.requests.kinds[row]]]
        pool = world.requests.pools[row]
        full = pool != NO_POOL and (granted & (world.requests.pools == pool)).sum() >= world.pools[pool].capacity
        assert full or any(used(world, row, cap, granted) >= cap.contacts for cap in covering)


@given(worlds() | crowds(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(world: World, random: object) -> None:
    rows = np.arange(len(world.requests))
    random.shuffle(rows)  # type: ignore[attr-defined]
    first, second = world.decide(), replace(world, requests=world.requests.take(rows)).decide()
    assert first.verdicts[rows].tolist() == second.verdicts.tolist()
    named = np.append(rows, NOBODY)  # so that NOBODY names nobody
    assert first.rivals[rows].tolist() == named[second.rivals].tolist()


@given(worlds() | crowds())
def test_a_higher_priority_never_loses_to_a_lower_one(world: World) -> None:
    decided = world.decide()
    lost = np.flatnonzero(decided.rivals != NOBODY)
    assert (world.requests.priorities[decided.rivals[lost]] >= world.requests.priorities[lost]).all()


@given(worlds() | crowds())
def test_without_pools_nobody_loses_to_somebody_later_in_order(world: World) -> None:
    alone = replace(world, requests=replace(world.requests, pools=np.full(len(world.requests), NO_POOL)))
    decided, asked = alone.decide(), alone.requests
    turns = list(zip(-asked.priorities, -asked.scores, asked.ids, strict=True))
    for row in np.flatnonzero(decided.rivals != NOBODY):
        rival = decided.rivals[row]
        assert turns[rival] < turns[row]
        assert asked.keys[rival] == asked.keys[row]
        assert decided.verdicts[rival] == Verdict.GRANTED


def test_the_best_score_gets_the_contact_and_the_others_know_who_took_it() -> None:
    rows = [ask(7, 1, score=0.64), ask(7, 2, score=0.71), ask(8, 3)]
    decided = World(requests(rows), (), (Cap(1, HOUR, ANY),), ()).decide()
    assert decided.verdicts.tolist() == [Verdict.OUTRANKED, Verdict.GRANTED, Verdict.GRANTED]
    assert decided.rivals.tolist() == [1, NOBODY, NOBODY]
    assert decided.caps.tolist() == [0, -1, -1]


def test_priorities_and_ids_may_lie_far_apart() -> None:
    far = 2**31 - 1
    decided = World(requests([ask(7, far), ask(7, 0, priority=far)]), (), (Cap(1, HOUR, ANY),), ()).decide()
    assert decided.verdicts.tolist() == [Verdict.OUTRANKED, Verdict.GRANTED]


@pytest.mark.parametrize(("age", "verdict"), [(HOUR - 1, Verdict.CONTACT_CAP), (HOUR, Verdict.GRANTED)])
def test_a_window_ends_to_the_second(age: int, verdict: Verdict) -> None:
    world = World(requests([ask(7, 1)]), ((7, NOW - age, 0),), (Cap(1, HOUR, ANY),), ())
    assert world.decide().verdicts.tolist() == [verdict]


def test_a_denied_request_takes_nothing_from_the_next() -> None:
    """The call is over its own cap, so the contact that all marketing has left is for the message after it."""
    caps = (Cap(1, HOUR, ANY), Cap(1, 24 * HOUR, kinds_of(1)))
    rows = [ask(7, 1, kind=1, priority=9), ask(7, 2, kind=0, priority=1)]
    decided = World(requests(rows), ((7, NOW - 2 * HOUR, 1),), caps, ()).decide()
    assert decided.verdicts.tolist() == [Verdict.CONTACT_CAP, Verdict.GRANTED]
    assert decided.caps.tolist() == [1, -1]


def test_a_small_campaign_gets_what_it_asks_for_beside_a_large_one() -> None:
    large = [ask(key, key, score=0.9, pool=0, by=1) for key in range(100)]
    small = [ask(key, key, score=0.1, pool=0, by=2) for key in range(100, 105)]
    decided = World(requests(large + small), (), (), (Pool(20),)).decide()
    granted = decided.verdicts == Verdict.GRANTED
    assert (granted[:100].sum(), granted[100:].sum()) == (15, 5)
    assert decided.verdicts[~granted].tolist() == [Verdict.CAPACITY] * 85


def test_a_higher_priority_takes_the_whole_pool() -> None:
    rows = [ask(key, key, pool=0, priority=key // 10, by=key // 10) for key in range(20)]
    granted = World(requests(rows), (), (), (Pool(10),)).decide().verdicts == Verdict.GRANTED
    assert np.flatnonzero(granted).tolist() == list(range(10, 20))


def test_places_a_share_cannot_use_go_to_the_others() -> None:
    """Campaign 1 has four requests and one person: the cap forbids three of them once the first is granted."""
    rows = [ask(7, n, pool=0, by=1) for n in range(4)] + [ask(20 + n, 10 + n, pool=0, by=2) for n in range(4)]
    granted = World(requests(rows), (), (Cap(1, HOUR, ANY),), (Pool(4),)).decide().verdicts == Verdict.GRANTED
    assert (granted[:4].sum(), granted[4:].sum()) == (1, 3)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.integers(0, 100))
def test_a_fair_share_is_the_same_for_all_who_want_more(asked: list[int], places: int) -> None:
    shares = fair_shares(np.array(asked), places)
    wanting = {share for share, want in zip(shares.tolist(), asked, strict=True) if share < want}
    assert len(wanting) <= 1
    assert all(share <= max(wanting, default=50) for share in shares.tolist())
    spare = places - int(shares.sum())
    hungry = sum(share < want for share, want in zip(shares.tolist(), asked, strict=True))
    assert 0 <= spare < max(hungry, 1) or not hungry


def test_one_person_asked_for_by_thousands_is_decided_at_once() -> None:
    rows = [ask(7, n, kind=n % 4, priority=n % 7) for n in range(20_000)]
    caps = tuple(Cap(2, HOUR, kinds_of(kind, (kind + 1) % 4)) for kind in range(4))
    world = World(requests(rows), (), caps, ())
    plain = arbitration_reference.decide(world.requests, {}, caps, (), NOW)
    assert world.decide().verdicts.tolist() == plain.verdicts


def test_nobody_asks_and_nobody_is_answered() -> None:
    assert World(requests([]), (), (Cap(1, HOUR, ANY),), ()).decide().verdicts.tolist() == []


def test_a_ledger_of_many_small_additions_stays_a_few_runs() -> None:
    ledger = Ledger()
    for start in range(0, 3000, 3):
        keys = np.arange(start, start + 3)
        ledger = ledger.add(keys, np.full(3, NOW, dtype=np.uint32), np.zeros(3, dtype=np.uint8))
    assert len(ledger) == 3000
    assert len(ledger.runs) <= 11
    assert ledger.spent(np.arange(3000), [Cap(1, HOUR, ANY)], NOW).tolist() == [[1] * 3000]
