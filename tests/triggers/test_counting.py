"""What a rule counts: the same as the plain reference, however the events come in."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.kernel.trigger_rule import Crosses, Each, Form, Period, Stays, Sum, Surge, TriggerRule
from province.triggers.counting.forms import state_for
from province.triggers.counting.reference import Fire, Reference
from tests.triggers.counting_world import (
    DAY,
    FORMS,
    HOUR,
    NOON,
    RULE,
    SECOND,
    Happening,
    arrivals,
    cuts,
    expected,
    happenings,
    logs,
    observed,
    rules,
    run,
    spelled,
)


@pytest.mark.parametrize("form", FORMS, ids=repr)
@given(data=st.data())
def test_each_run_fires_what_the_reference_says(form: Form, data: st.DataObject) -> None:
    rule, log = data.draw(rules([form])), data.draw(logs())
    events, runs = observed(log), data.draw(cuts(len(log)))
    state, reference = state_for(rule), Reference(rule)
    assert [fires for _, fires in run(state, events, runs)] == expected(rule, events, runs)
    reference.take(events)
    assert (state.late, state.duplicates, state.counted) == (reference.late, reference.duplicates, reference.counted)
    assert state.late + state.duplicates + state.counted == len(log)


@given(rules(), logs(), st.data())
def test_a_state_that_was_kept_and_restored_goes_on_as_before(
    rule: TriggerRule, log: list[Happening], data: st.DataObject
) -> None:
    events, runs = observed(log), data.draw(cuts(len(log)))
    wanted = [fires for _, fires in run(state_for(rule), events, runs)]
    state, got = state_for(rule), []
    for each in runs:
        got.append(spelled(state.take(events[each])))
        kept = {name: column.copy() for name, column in state.columns().items()}
        state = state_for(rule, kept)
        for name, column in state.columns().items():
            np.testing.assert_array_equal(column, kept[name], strict=True)
    assert got == wanted


@given(rules(), st.data())
def test_neither_order_nor_repeats_change_who_fires_when(rule: TriggerRule, data: st.DataObject) -> None:
    made = data.draw(happenings(whole=True))
    told = []
    for _ in range(2):
        log = data.draw(arrivals(made, rule.lateness_seconds))
        state = state_for(rule)
        fires = [*spelled(state.take(observed(log))), *spelled(state.pass_time(NOON + 1000 * DAY))]
        assert state.late == 0
        told.append({(fire.key, fire.period) for fire in fires})
    assert told[0] == told[1]


@given(rules(), logs())
def test_nobody_fires_twice_in_a_period(rule: TriggerRule, log: list[Happening]) -> None:
    state = state_for(rule)
    fires = [fire for row in range(len(log)) for fire in spelled(state.take(observed(log)[row : row + 1]))]
    assert len({(fire.key, fire.period) for fire in fires}) == len(fires)


@given(rules(), logs())
def test_late_events_count_for_nothing(rule: TriggerRule, log: list[Happening]) -> None:
    events = observed(log)
    in_time = events.at >= events.newest - rule.lateness_seconds * SECOND
    state, without = state_for(rule), state_for(rule)
    assert spelled(state.take(events)) == spelled(without.take(events[in_time]))
    assert state.late == np.count_nonzero(~in_time)
    assert without.late == 0


@pytest.mark.parametrize("form", FORMS, ids=repr)
def test_what_nothing_can_reach_is_forgotten(form: Form) -> None:
    """Hundreds of hours of the same few people take little more room than one."""
    rule = replace(RULE, form=form, period=Period.HOUR)
    state, sizes = state_for(rule), []
    for hour in range(300):
        log = [
            Happening(hour * 600 + turn, turn % 100, NOON + hour * HOUR + turn * SECOND, 5.0, 8.0, turn // 100 % 2)
            for turn in range(600)
        ]
        state.take(observed(log))
        sizes.append(state.bytes)
    assert max(sizes) < 3 * max(sizes[:5])


@pytest.mark.parametrize("form", FORMS, ids=repr)
def test_a_period_that_is_over_is_kept_while_it_can_be_reached(form: Form) -> None:
    """Many before the hour, few after it, and the many again from before it: in time, though the hour is over."""
    rule = replace(RULE, form=form, period=Period.HOUR, lateness_seconds=30)
    around = ((-9 * SECOND, 300), (5 * SECOND, 60), (-8 * SECOND, 300), (7 * SECOND, 60))
    turns = [(hour * HOUR + after, people) for hour in range(3) for after, people in around]
    log = [
        Happening(turn * 1000 + key, key, NOON + when, 5.0, 8.0, turn % 2)
        for turn, (when, people) in enumerate(turns)
        for key in range(people)
    ]
    starts = [0, *np.cumsum([people for _, people in turns]).tolist()]
    runs = [slice(first, last) for first, last in pairwise(starts)]
    events = observed(log)
    assert [fires for _, fires in run(state_for(rule), events, runs)] == expected(rule, events, runs)


def test_an_event_as_old_as_the_lateness_is_not_late() -> None:
    state = state_for(_rule(Each(), lateness_seconds=60))
    state.take(observed([_at(60 * SECOND, key=1), _at(0, key=2), _at(-1, key=3)]))
    assert (state.counted, state.late) == (2, 1)


def test_each_person_fires_once_a_period() -> None:
    assert _fires(Each(), _at(0), _at(1), _at(2, key=8), _at(DAY), period=Period.DAY) == [0, 2, 3]


def test_ever_is_one_period() -> None:
    assert _fires(Each(), _at(0), _at(400 * DAY), period=Period.EVER) == [0]


def test_a_sum_fires_at_the_event_that_reaches_the_limit() -> None:
    assert _fires(Sum("bytes", 10.0), _at(0, 4.0), _at(1, 5.0), _at(2, 1.0), _at(3, 90.0)) == [2]


def test_an_event_with_no_limit_counts_and_does_not_fire() -> None:
    nan = float("nan")
    events = [_at(0, 9.0, limit=nan), _at(1, 3.0, limit=nan), _at(2, 0.0, limit=12.0)]
    assert _fires(Sum("bytes", None, 0.8, "allowance"), *events) == [2]


def test_what_is_not_an_amount_adds_nothing() -> None:
    assert _fires(Sum("bytes", 10.0), _at(0, float("nan")), _at(1, -50.0), _at(2, 9.0), _at(3, 1.0)) == [3]


def test_sums_stay_whole_beside_others_that_are_huge() -> None:
    """What one person adds up to does not round away what another does."""
    events = [each for turn in range(100) for each in (_at(turn, 9e15, key=turn), _at(turn, 1.0, key=1000))]
    fires = _fires(Sum("bytes", 100.0), *events)
    assert fires == [*range(0, 200, 2), 199]


def test_an_event_of_last_month_counts_to_last_month() -> None:
    events = [_at(DAY, 9.0), _at(0, 9.0), _at(DAY + 1, 1.0), _at(1, 1.0)]
    assert _fires(Sum("bytes", 10.0), *events, period=Period.MONTH, lateness_seconds=2 * 86_400) == [2, 3]


def test_a_surge_is_within_its_window() -> None:
    far = [_at(0, 3.0), _at(61 * SECOND, 3.0), _at(122 * SECOND, 3.0)]
    near = [_at(200 * SECOND, 3.0), _at(220 * SECOND, 3.0), _at(240 * SECOND, 3.0)]
    assert _fires(Surge("bytes", 60, 9.0), *far, *near) == [5]


def test_an_event_that_comes_late_completes_a_surge_that_ended_after_it() -> None:
    events = [_at(40 * SECOND, 4.0), _at(90 * SECOND, 1.0), _at(20 * SECOND, 5.0)]
    assert _fires(Surge("bytes", 60, 9.0), *events, lateness_seconds=300) == [2]


def test_a_restored_state_knows_what_came_after_an_event_that_comes_late() -> None:
    rule = _rule(Surge("bytes", 60, 9.0), lateness_seconds=300)
    events = observed([replace(_at(65 * SECOND, 5.0), id=1), replace(_at(55 * SECOND, 5.0), id=2)])
    state = state_for(rule)
    state.take(events[:1])
    state = state_for(rule, state.columns())
    assert [fire.row for fire in spelled(state.take(events[1:]))] == [1]


def test_one_event_may_complete_the_surges_of_two_periods() -> None:
    midnight = 12 * HOUR
    events = [_at(midnight - 20 * SECOND, 8.0), _at(midnight + 10 * SECOND, 8.0), _at(midnight - 10 * SECOND, 1.0)]
    state = state_for(_rule(Surge("bytes", 60, 9.0), lateness_seconds=300))
    fires = spelled(state.take(observed([replace(each, id=row) for row, each in enumerate(events)])))
    assert [fire.row for fire in fires] == [1, 2]
    state = state_for(_rule(Surge("bytes", 60, 17.0), lateness_seconds=300))
    assert [fire.row for fire in spelled(state.take(observed([replace(e, id=r) for r, e in enumerate(events)])))] == [2]


@pytest.mark.parametrize(("inwards", "sides", "wanted"), [(True, (1, 0, 1), [2]), (False, (0, 1, 0), [2])])
def test_one_crosses_who_was_on_the_other_side_before(inwards: bool, sides: tuple[int, ...], wanted: list[int]) -> None:
    events = [_at(turn, side=side) for turn, side in enumerate(sides)]
    assert _fires(Crosses("square", inwards), *events) == wanted


def test_being_inside_and_outside_at_one_time_is_no_crossing() -> None:
    assert _fires(Crosses("square", True), _at(0, side=0), _at(0, side=1)) == []


def test_a_crossing_fires_at_the_event_after_such_a_time() -> None:
    assert _fires(Crosses("square", True), _at(0, side=0), _at(0, side=1), _at(1, side=1)) == [2]


def test_a_crossing_is_found_when_its_first_half_comes_last() -> None:
    assert _fires(Crosses("square", True), _at(9, side=1), _at(3, side=0)) == [1]


def test_a_stay_fires_when_it_has_lasted_and_nothing_earlier_can_come() -> None:
    state = state_for(_rule(Stays(30), lateness_seconds=60))
    assert spelled(state.take(observed([_at(0)]))) == []
    assert spelled(state.pass_time(NOON + 90 * SECOND - 1)) == []
    (fire,) = spelled(state.pass_time(NOON + 90 * SECOND))
    assert (fire.at, fire.row) == (NOON + 30 * SECOND, -1)
    assert spelled(state.pass_time(NOON + DAY)) == []


@pytest.mark.parametrize(("ended", "fires"), [(30 * SECOND - 1, 0), (30 * SECOND, 1)])
def test_a_stay_that_ends_too_soon_does_not_fire(ended: int, fires: int) -> None:
    state = state_for(_rule(Stays(30), lateness_seconds=60))
    state.take(observed([replace(_at(ended, side=0), id=1), _at(0)]))
    assert len(state.pass_time(NOON + DAY)) == fires


@given(rules([Stays(1), Stays(30), Stays(7200)]), logs(), st.data())
def test_to_what_lasts_time_passes_by_the_clock_as_by_an_event(
    rule: TriggerRule, log: list[Happening], data: st.DataObject
) -> None:
    events, state, reference, passed, got = observed(log), state_for(rule), Reference(rule), 0, list[Fire]()
    for each in data.draw(cuts(len(log))):
        lifted = replace(events[each], newest=np.maximum(events[each].newest, passed))
        got += spelled(state.take(events[each]))
        state = state_for(rule, state.columns())
        reference.take(lifted)
        passed = int(lifted.newest[-1]) + data.draw(st.sampled_from((0, SECOND, HOUR)))
        got += spelled(state.pass_time(passed))
        reference.pass_time(passed)
    assert {fire[:3] for fire in got} == {fire[:3] for fire in reference.fires}
    assert len(got) == len(reference.fires)
    assert (state.late, state.counted) == (reference.late, reference.counted)


def test_a_stay_that_ends_in_a_later_run_does_not_fire() -> None:
    state = state_for(_rule(Stays(30), lateness_seconds=0))
    for event in (_at(0), _at(10 * SECOND, key=8, side=0), _at(20 * SECOND, side=0)):
        state.take(observed([event]))
    assert len(state.pass_time(NOON + DAY)) == 0


def test_of_two_events_at_one_time_the_lower_id_is_first_whenever_it_comes() -> None:
    state = state_for(_rule(Stays(30), lateness_seconds=60))
    begin, end, other = replace(_at(0), id=5), replace(_at(0, side=0), id=1), _at(60 * SECOND, key=8)
    events = observed([begin, other, end])
    for row in range(3):
        state.take(events[row : row + 1])
    assert [fire.key for fire in spelled(state.pass_time(NOON + 100 * SECOND))] == [begin.key]


def test_a_stay_goes_on_from_when_it_began() -> None:
    state = state_for(_rule(Stays(30), lateness_seconds=0))
    log = [replace(_at(after), id=after) for after in (0, 20 * SECOND, 40 * SECOND)]
    (fire,) = spelled(state.take(observed(log)))
    assert (fire.at, fire.row) == (NOON + 30 * SECOND, 0)


def test_a_run_of_nothing_changes_nothing() -> None:
    for form in FORMS:
        assert len(state_for(_rule(form)).take(observed([]))) == 0


def _rule(form: Form, period: Period = Period.DAY, lateness_seconds: int = 60) -> TriggerRule:
    return replace(RULE, form=form, period=period, lateness_seconds=lateness_seconds)


def _at(after: int, amount: float = 1.0, key: int = 7, limit: float = float("nan"), side: int = 1) -> Happening:
    return Happening(0, key, NOON + after, amount, limit, side)


def _fires(form: Form, *events: Happening, period: Period = Period.DAY, lateness_seconds: int = 60) -> list[int]:
    """Which of the events fire."""
    log = observed([replace(each, id=row) for row, each in enumerate(events)])
    return [fire.row for fire in spelled(state_for(_rule(form, period, lateness_seconds)).take(log))]
