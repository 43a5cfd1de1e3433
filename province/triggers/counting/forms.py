"""The state that counts for a rule, by its form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from common.kernel.trigger_rule import Crosses, Each, Stays, Sum, Surge, TriggerRule
from province.triggers.counting.crossings import CrossesState
from province.triggers.counting.each import EachState
from province.triggers.counting.state import State
from province.triggers.counting.stays import StaysState
from province.triggers.counting.sums import SumState
from province.triggers.counting.surges import SurgeState


def state_for(rule: TriggerRule, columns: Mapping[str, NDArray[Any]] | None = None) -> State:
    """Empty, or as it was when its `columns` were taken."""
    state = _empty(rule)
    if columns is not None:
        state.restore(columns)
    return state


def _empty(rule: TriggerRule) -> State:
    match rule.form:
        case Each():
            return EachState(rule)
        case Sum() as form:
            return SumState(rule, form)
        case Surge() as form:
            return SurgeState(rule, form)
        case Crosses() as form:
            return CrossesState(rule, form)
        case Stays() as form:
            return StaysState(rule, form)
