"""How bad it gets: the rates of every fault, drawn anew for each seed, so that each is tried alone and in crowds."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from random import Random


@dataclass(frozen=True, slots=True)
class Weather:
    """Chances; 0 where a seed does without that fault. Those a day are how many to expect at one node."""

    loss: float = 0.0
    """Of a message between nodes."""
    repeat: float = 0.0
    late: float = 0.0
    """Of a message to arrive minutes or hours later than it should."""
    crash: float = 0.0
    """Of a process to die before or after one of its commits."""
    vendor_refuses: float = 0.0
    vendor_throttles: float = 0.0
    vendor_away: float = 0.0
    """Of a call that definitely does not arrive."""
    question_lost: float = 0.0
    answer_lost: float = 0.0
    """Of a call the vendor obeyed and whose answer never comes."""
    report_lost: float = 0.0
    report_repeated: float = 0.0
    report_late: float = 0.0
    cuts_a_day: float = 0.0
    pauses_a_day: float = 0.0
    kills_a_day: float = 0.0
    restores_a_day: float = 0.0
    clock_steps_a_day: float = 0.0


CALM = Weather()

_MOST = Weather(
    loss=0.3,
    repeat=0.3,
    late=0.1,
    crash=0.04,
    vendor_refuses=0.2,
    vendor_throttles=0.3,
    vendor_away=0.3,
    question_lost=0.2,
    answer_lost=0.3,
    report_lost=0.2,
    report_repeated=0.3,
    report_late=0.3,
    cuts_a_day=4.0,
    pauses_a_day=3.0,
    kills_a_day=3.0,
    restores_a_day=1.0,
    clock_steps_a_day=1.0,
)


def drawn(random: Random) -> Weather:
    """Each fault is absent from half of the seeds, and rare in many of the others."""
    rates = {}
    for field in fields(Weather):
        share = random.random()
        rates[field.name] = getattr(_MOST, field.name) * max(0.0, 2 * share - 1) ** 2
    return replace(CALM, **rates)
