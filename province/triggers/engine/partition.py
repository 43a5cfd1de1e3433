"""One partition as an engine holds it: what each rule has counted, how far it has come, and the sums that close."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from common.kernel.dead_letter import DeadLetters
from common.kernel.event import ABSENT, Texts
from common.kernel.trigger_rule import Stays, TriggerRule
from province.fire import Firing
from province.triggers.counting.forms import state_for
from province.triggers.counting.observed import Fired
from province.triggers.counting.state import State
from province.triggers.engine.checkpoint import Checkpoint, KeptRule
from province.triggers.engine.source import Decoded
from province.triggers.matching.matcher import Matcher
from province.triggers.matching.run import Run, run_of
from province.triggers.matching.text import OfferText

EVENTS, DEAD, MISSED = "events", "dead", "missed"
"""Decoded; refused; gone from the source before they could be read."""
SEEN, FIRED = "seen", "fired"
"""Of a rule: the events decoded since it began, which are late, duplicates, counted, or not what it looks at."""


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """Those in force, each in one of the matchers."""

    edition: int
    rules: tuple[TriggerRule, ...] = ()
    matchers: tuple[Matcher, ...] = ()


@dataclass(slots=True, eq=False)
class _Counting:
    state: State
    text: OfferText
    counts: Counter[str]

    @classmethod
    def of(cls, rule: TriggerRule, kept: KeptRule | None = None) -> _Counting:
        columns, counts = (kept.columns, kept.counts) if kept else (None, {})
        return cls(state_for(rule, columns), OfferText(rule.offer.text), Counter(counts))


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """What came of a stretch."""

    firings: tuple[Firing, ...]
    dead: DeadLetters
    events: int


class Partition:
    def __init__(self, name: str, rules: Rules, kept: Checkpoint | None = None) -> None:
        self.name = name
        self.next = kept.next if kept else None
        """The offset to go on from; None before the first message."""
        self.newest = kept.newest if kept else ABSENT
        self.counts: Counter[str] = Counter(kept.counts if kept else {})
        self._counting: dict[str, _Counting] = {}
        self._matchers = rules.matchers
        there = {each.name: each for each in kept.rules} if kept else {}
        for rule in rules.rules:
            found = there.get(rule.name)
            same = found is not None and found.counted == rule.counted
            self._counting[rule.name] = _Counting.of(rule, found if same else None)

    def change(self, rules: Rules) -> None:
        """A rule that counts what it counted before goes on with it; any other begins."""
        before, self._matchers = self._counting, rules.matchers
        self._counting = {}
        for rule in rules.rules:
            old = before.get(rule.name)
            if old is not None and old.state.rule.same_state(rule):
                self._counting[rule.name] = _Counting.of(rule, _kept(old))
            else:
                self._counting[rule.name] = _Counting.of(rule)

    def take(self, decoded: Decoded, first: int, after: int) -> Taken:
        """The messages from offset `first` up to `after`."""
        if self.next is not None:
            self.counts[MISSED] += first - self.next
        self.next = after
        run = run_of(decoded.events, self.newest)
        self.counts[EVENTS] += len(run)
        self.counts[DEAD] += len(decoded.dead)
        for reason, times in decoded.dead.by_reason().items():
            self.counts[f"{DEAD}.{reason.name}"] += times
        return Taken(tuple(self._count(run)) if len(run) else (), decoded.dead, len(run))

    def pass_time(self, newest: int) -> Sequence[Firing]:
        """No event has come for so long that the clock tells the time: to what lasts. It makes no other event late."""
        if self.newest == ABSENT or newest <= self.newest:
            return ()
        return tuple(self._passed(Run((), (), np.zeros(0, dtype=np.int64)), newest))

    def checkpoint(self) -> Checkpoint | None:
        """A copy: it stays as it is while counting goes on. None before the first message."""
        if self.next is None:
            return None
        rules = tuple(
            KeptRule(name, each.state.rule.counted, dict(each.counts),
                     {column: values.copy() for column, values in each.state.columns().items()})
            for name, each in self._counting.items()
        )  # fmt: skip
        return Checkpoint(self.name, self.next, self.newest, dict(self.counts), rules)

    def told(self) -> Mapping[str, object]:
        """For whoever watches: how far it is, and the sums."""
        rules = {name: self.counted(name) | {"bytes": each.state.bytes} for name, each in self._counting.items()}
        return {"next": self.next, "newest": self.newest, "counts": dict(self.counts), "rules": rules}

    def counted(self, rule: str) -> dict[str, int]:
        """What became of every event decoded since the rule began, and how often it fired."""
        state, counts = self._counting[rule].state, self._counting[rule].counts
        looked = state.late + state.duplicates + state.counted
        return {
            SEEN: counts[SEEN], "late": state.late, "duplicates": state.duplicates, "counted": state.counted,
            "passed_over": counts[SEEN] - looked, FIRED: counts[FIRED],
        }  # fmt: skip

    def _count(self, run: Run) -> Iterator[Firing]:
        self.newest = run.newest_after
        for matcher in self._matchers:
            for rule, observed in matcher.observe(run):
                each = self._counting[rule.name]
                yield from self._fired(each, each.state.take(observed), run)
        for each in self._counting.values():
            each.counts[SEEN] += len(run)
        yield from self._passed(run, self.newest)

    def _passed(self, run: Run, newest: int) -> Iterator[Firing]:
        for each in self._counting.values():
            yield from self._fired(each, each.state.pass_time(newest), run)

    def _fired(self, each: _Counting, fired: Fired, run: Run) -> Iterator[Firing]:
        if len(fired):
            each.counts[FIRED] += len(fired)
            texts = _texts(each, fired, run)
            yield Firing(each.state.rule, fired.keys, fired.periods, fired.at, texts.words, texts.refs)


def _texts(each: _Counting, fired: Fired, run: Run) -> Texts:
    """What lasted is no event's doing: what it says must not depend on how the partition is cut into runs."""
    if isinstance(each.state.rule.form, Stays):
        return Texts(np.zeros(len(fired), dtype=np.uint32), (each.text.unsaid,))
    return each.text.texts(run, fired.rows)


def _kept(each: _Counting) -> KeptRule:
    return KeptRule(each.state.rule.name, each.state.rule.counted, each.counts, each.state.columns())
