"""Rules over columns: which events of a run each rule looks at, and what it needs to know of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.kernel.area import Area
from common.kernel.columns import Mask, Rows
from common.kernel.event import ABSENT, Millis, Texts
from common.kernel.trigger_rule import Crosses, Stays, Sum, Surge, TriggerRule
from common.rules.event_condition import check_condition
from province.triggers.counting.observed import Observed, Sides
from province.triggers.matching.areas import Areas
from province.triggers.matching.condition import Condition
from province.triggers.matching.hosts import Hosts
from province.triggers.matching.profile import MemoryProfile, Profile
from province.triggers.matching.run import Run
from province.triggers.matching.view import View

Amounts = NDArray[np.float64]

_NO_NUMBERS: Amounts = np.zeros(0)
_NO_SIDES: Sides = np.zeros(0, dtype=np.int8)


class Matcher:
    """Raises Refusal TRIGGER_INVALID where a rule names what is not there. Paused rules are observed like any other."""

    def __init__(
        self,
        rules: Sequence[TriggerRule],
        areas: Mapping[str, Area] | None = None,
        hosts: Mapping[str, Iterable[str]] | None = None,
        profile: Profile | None = None,
    ) -> None:
        lists = hosts or {}
        self._profile = profile or MemoryProfile()
        self._areas, self._hosts = Areas(areas or {}), Hosts(lists)
        names = (frozenset(areas or ()), frozenset(lists))
        self._rules = [_compiled(rule, *names, self._profile) for rule in rules]

    @property
    def rules(self) -> tuple[TriggerRule, ...]:
        return tuple(each.rule for each in self._rules)

    @property
    def tags(self) -> frozenset[str]:
        """Those that its conditions look at, home province included."""
        return frozenset().union(*(each.tags for each in self._conditions()))

    @property
    def offers(self) -> frozenset[str]:
        """Those that its conditions ask for owners of."""
        return frozenset().union(*(each.offers for each in self._conditions()))

    def _conditions(self) -> Iterator[Condition]:
        return (each for rule in self._rules for each in (rule.begins, rule.ends) if each is not None)

    def of(self, some: Sequence[TriggerRule]) -> Matcher:
        """For these of its rules alone."""
        matcher = copy(self)
        matcher._rules = [each for each in self._rules if each.rule in some]
        return matcher

    def observe(self, run: Run) -> list[tuple[TriggerRule, Observed]]:
        """What each rule looks at, in the order of the rules; a rule that looks at nothing of the run is left out."""
        views = [View(events, self._areas, self._hosts, self._profile) for events in run.types]
        parts = {
            view.events.type.name: _Part(view, rows, run.newest) for view, rows in zip(views, run.rows, strict=True)
        }
        found = []
        for each in self._rules:
            observed = [parts[name].observed(each) for name in each.rule.events if name in parts]
            kept = [one for one in observed if len(one)]
            if kept:
                found.append((each.rule, kept[0] if len(kept) == 1 else _merged(kept)))
        return found


@dataclass(frozen=True, slots=True, eq=False)
class _Compiled:
    rule: TriggerRule
    begins: Condition | None
    """None: every event."""
    ends: Condition | None


def _compiled(rule: TriggerRule, areas: frozenset[str], hosts: frozenset[str], profile: Profile) -> _Compiled:
    def condition(text: str) -> Condition:
        return Condition(check_condition(text, rule.events, areas, hosts, profile.catalogue))

    begins = condition(rule.condition) if rule.condition.strip() else None
    ends = condition(rule.form.ends) if isinstance(rule.form, Stays) and rule.form.ends is not None else None
    return _Compiled(rule, begins, ends)


class _Part:
    """One type's events of a run; what several rules ask for is worked out once."""

    def __init__(self, view: View, rows: Rows, newest: Millis) -> None:
        self._view, self._rows, self._newest = view, rows, newest
        self._truths: dict[str, Mask] = {}
        self._plain: dict[str, Observed] = {}

    def observed(self, compiled: _Compiled) -> Observed:
        form = compiled.rule.form
        if isinstance(form, Sum):
            return self._added(compiled, form.of, self._limits(form))
        if isinstance(form, Surge):
            return self._added(compiled, form.of, _NO_NUMBERS)
        if isinstance(form, Crosses | Stays):
            return self._sided(compiled, form)
        key = compiled.begins.text if compiled.begins else ""
        if key not in self._plain:
            self._plain[key] = self._gathered(self._holds(compiled.begins))
        return self._plain[key]

    def _holds(self, condition: Condition | None) -> Mask:
        if condition is None:
            return np.ones(len(self._rows), dtype=np.bool_)
        if condition.text not in self._truths:
            self._truths[condition.text] = condition.holds(self._view)
        return self._truths[condition.text]

    def _added(self, compiled: _Compiled, field: str | None, limits: Amounts) -> Observed:
        """What says no amount, or one below nothing, adds nothing."""
        mask = self._holds(compiled.begins)
        if field is None:
            return self._gathered(mask, np.ones(len(mask)), limits)
        amounts = self._numbers(field)
        return self._gathered(mask & (amounts >= 0), amounts, limits)

    def _limits(self, form: Sum) -> Amounts:
        """A share of nothing is never reached: whoever has no allowance has used up none of it."""
        if form.ratio is None or form.ratio_of is None:
            return np.full(len(self._rows), np.nan if form.reaches is None else form.reaches)
        limits = self._numbers(form.ratio_of) * form.ratio
        limits[limits <= 0] = np.nan
        return limits

    def _numbers(self, field: str) -> Amounts:
        """NaN where the event does not say it."""
        column = self._view.events.columns[field]
        if isinstance(column, Texts):
            raise TypeError(f"{field} is no number")
        return column if column.dtype == np.float64 else np.where(column == ABSENT, np.nan, column)

    def _sided(self, compiled: _Compiled, form: Crosses | Stays) -> Observed:
        begins = self._holds(compiled.begins)
        if form.area is None:
            ends = self._holds(compiled.ends)
            return self._gathered(begins | ends, sides=~ends)
        inside = self._view.inside(form.area)
        known = np.broadcast_to(inside.yes | inside.no, len(begins))
        return self._gathered(begins & known, sides=np.broadcast_to(inside.yes, len(begins)))

    def _gathered(
        self, mask: Mask, amounts: Amounts = _NO_NUMBERS, limits: Amounts = _NO_NUMBERS, sides: Mask | None = None
    ) -> Observed:
        events, kept = self._view.events, slice(None) if mask.all() else np.flatnonzero(mask)
        rows = self._rows[kept]
        return Observed(
            ids=events.ids[kept],
            keys=events.keys[kept],
            at=events.at[kept],
            newest=self._newest[rows],
            amounts=amounts[kept] if len(amounts) else amounts,
            limits=limits[kept] if len(limits) else limits,
            sides=_NO_SIDES if sides is None else sides[kept].astype(np.int8),
            rows=rows,
        )


def _merged(parts: Sequence[Observed]) -> Observed:
    """One rule's events of several types, in the partition's order."""
    order = np.argsort(np.concatenate([part.rows for part in parts]), kind="stable")

    def column(name: str) -> Any:
        joined = np.concatenate([getattr(part, name) for part in parts])
        return joined[order] if len(joined) else joined

    return Observed(**{each.name: column(each.name) for each in fields(Observed)})
