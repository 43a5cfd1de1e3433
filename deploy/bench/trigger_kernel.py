"""What the counting of trigger rules carries, against the plain reference."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.kernel.columns import Rows
from common.kernel.trigger_rule import Crosses, Each, Form, Offer, Period, Stays, Sum, Surge, TriggerRule
from province.triggers.counting.forms import state_for
from province.triggers.counting.observed import Fired, Observed
from province.triggers.counting.reference import Fire, Reference
from province.triggers.counting.state import State

SEED = 1
BEGUN_AT = 1_830_000_000_000
EVENTS_A_SECOND = 20_000
DELAY_MILLIS_MAX = 2_000
LATENESS_SECONDS = 60
REPEATED_SHARE = 0.01
WARM_SHARE = 1 / 3
"""Of the events: both count them before the clock starts, so that most people are known by then."""
AMOUNT_MAX = 50_000_000
DATA_USE = "sum"
"""The form whose rates are the headline: how much somebody used in a month."""
FORMS: dict[str, tuple[Form, Period]] = {
    "each": (Each(), Period.DAY),
    DATA_USE: (Sum("bytes", 1.5e8), Period.MONTH),
    "surge": (Surge("bytes", 60, 1e8), Period.HOUR),
    "crosses": (Crosses("area", True), Period.DAY),
    "stays": (Stays(30), Period.HOUR),
}
OFFER = Offer("bench", "5g", ("local_sms",), "", 50, "", 600)

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    people: int
    events: int
    run: int
    """Events given to the states at once."""


@dataclass(frozen=True, slots=True)
class Counted:
    """One form, over the whole log."""

    events_per_second: float
    reference_events_per_second: float
    fires: int
    differ: int
    """Fires of the one that are not the other's."""
    bytes_per_subscriber: float
    bytes_per_event_held: float
    """Of the ids, for each event within the lateness."""


def counting(sizes: Sizes, tell: Tell) -> dict[str, Counted]:
    log = _log(np.random.default_rng(SEED), sizes)
    active = len(np.unique(log.keys))
    counted = {}
    for place, (name, (form, period)) in enumerate(FORMS.items(), start=1):
        counted[name] = _measured(
            TriggerRule(name, 1, name, (), "", form, period, 1, LATENESS_SECONDS, OFFER), log, sizes, active
        )
        tell("counting, by form", place, len(FORMS))
    return counted


def document(counted: dict[str, Counted]) -> dict[str, Any]:
    """The fields that `--json` has of it."""
    main = counted[DATA_USE]
    return {
        "kernel_events_per_second": round(main.events_per_second),
        "reference_events_per_second": round(main.reference_events_per_second),
        "kernel_vs_reference": round(main.events_per_second / main.reference_events_per_second, 1),
        "kernel_events_per_second_by_form": {name: round(each.events_per_second) for name, each in counted.items()},
        "kernel_fires": sum(each.fires for each in counted.values()),
        "fires_differ": sum(each.differ for each in counted.values()),
        "bytes_per_subscriber_and_rule": {name: round(each.bytes_per_subscriber, 1) for name, each in counted.items()},
        "bytes_per_event_within_lateness": round(main.bytes_per_event_held, 1),
    }


def _log(dice: np.random.Generator, sizes: Sizes) -> Observed:
    """Events of the people at random, a little out of order, some of them twice."""
    count = sizes.events
    people = dice.integers(0, 1 << 62, sizes.people)
    at = BEGUN_AT + np.arange(count) * 1000 // EVENTS_A_SECOND - dice.integers(0, DELAY_MILLIS_MAX, count)
    repeated = np.flatnonzero(dice.random(count) < REPEATED_SHARE)
    from_row = np.arange(count)
    from_row[repeated] = np.maximum(repeated - dice.integers(0, EVENTS_A_SECOND, len(repeated)), 0)
    return Observed(
        ids=dice.integers(0, 1 << 64, count, dtype=np.uint64)[from_row],
        keys=people[dice.integers(0, len(people), count)][from_row],
        at=at[from_row],
        newest=np.maximum.accumulate(at[from_row]),
        amounts=dice.integers(0, AMOUNT_MAX, count).astype(np.float64)[from_row],
        limits=np.zeros(0),
        sides=dice.integers(0, 2, count).astype(np.int8)[from_row],
        rows=np.arange(count),
    )


def _measured(rule: TriggerRule, log: Observed, sizes: Sizes, active: int) -> Counted:
    state, reference = state_for(rule), Reference(rule)
    warm = int(len(log) * WARM_SHARE)
    fires = [*_take(state, log[:warm], sizes.run)]
    begun = time.perf_counter()
    fires += _take(state, log[warm:], sizes.run)
    seconds = time.perf_counter() - begun
    reference.take(log[:warm])
    begun = time.perf_counter()
    reference.take(log[warm:])
    reference_seconds = time.perf_counter() - begun
    return Counted(
        (len(log) - warm) / seconds,
        (len(log) - warm) / reference_seconds,
        len(reference.fires),
        _differing(rule, fires, reference.fires),
        (state.bytes - state.id_bytes) / active,
        state.id_bytes / _held(log),
    )


def _take(state: State, log: Observed, run: int) -> Iterator[Fired]:
    for start in range(0, len(log), run):
        yield state.take(log[start : start + run])


def _held(log: Observed) -> int:
    return int(np.count_nonzero(log.at >= log.newest[-1] - LATENESS_SECONDS * 1000))


def _differing(rule: TriggerRule, fires: list[Fired], wanted: list[Fire]) -> int:
    got = {fire for each in fires for fire in _spelled(each)}
    plain = set(wanted)
    if isinstance(rule.form, Stays):  # its event is told only while its run is there
        got, plain = ({fire._replace(row=-1) for fire in every} for every in (got, plain))
    return len(got ^ plain)


def _spelled(fired: Fired) -> Iterator[Fire]:
    columns: tuple[Rows, ...] = (fired.keys, fired.periods, fired.at, fired.rows)
    return map(Fire, *(column.tolist() for column in columns))
