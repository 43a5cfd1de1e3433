"""History once more through a rule: what it would have looked at, and whom it would have fired for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Refs
from common.kernel.refusal import missing
from common.kernel.trigger_rule import TriggerRule
from province.fire import Firing
from province.triggers.engine.partition import DEAD, EVENTS, MISSED, Partition, Rules
from province.triggers.engine.source import Stretch

IN = "in"
MATCHED, NOT_MATCHED, DUPLICATES, LATE = "matched", "not_matched", "duplicates", "late"


@dataclass(frozen=True, slots=True, eq=False)
class Replayed:
    """`counts[IN]` is matched, not matched, dead and late together; duplicates are among the matched."""

    rule: TriggerRule
    counts: Mapping[str, int]
    dead: Mapping[str, int]
    """By reason."""
    firing: Firing


def only(rules: Rules, name: str) -> Rules:
    """That rule alone. Raises Refusal where it is not there."""
    found = tuple(rule for rule in rules.rules if rule.name == name)
    if not found:
        known = ", ".join(sorted(rule.name for rule in rules.rules)) or "none"
        raise missing(f"there is no rule {name} here; the rules are: {known}")
    matcher = next(each for each in rules.matchers if found[0] in each.rules)
    return Rules(rules.edition, found, (matcher.of(found),))


def replay(stretches: Iterable[Stretch], rules: Rules) -> Replayed:
    """With the one rule of `rules`, through the matching and counting of the engine, each partition from nothing.

    What still lasts when the history ends has not fired.
    """
    (rule,) = rules.rules
    partitions, fired, reasons = dict[str, Partition](), list[Firing](), Counter[str]()
    for stretch in stretches:
        partition = partitions.setdefault(stretch.partition, Partition(stretch.partition, rules))
        taken = partition.take(stretch.decoded(), stretch.first, stretch.next)
        fired += taken.firings
        reasons.update({reason.name: times for reason, times in taken.dead.by_reason().items()})
    counts = Counter[str]()
    for partition in partitions.values():
        counts.update(_counts(partition, rule.name))
    return Replayed(rule, counts, dict(reasons.most_common()), _joined(rule, fired))


def _counts(partition: Partition, rule: str) -> dict[str, int]:
    told, counts = partition.counted(rule), partition.counts
    looked_at = told["duplicates"] + told["counted"]
    return {
        IN: counts[EVENTS] + counts[DEAD],
        MATCHED: looked_at,
        DUPLICATES: told["duplicates"],
        NOT_MATCHED: told["passed_over"],
        LATE: told["late"],
        DEAD: counts[DEAD],
        MISSED: counts[MISSED],
    }


def _joined(rule: TriggerRule, fired: list[Firing]) -> Firing:
    """Ascending by time, then by person."""
    none: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
    if not fired:
        return Firing(rule, none, none, none, (), none.astype(np.uint32))
    words: dict[str, int] = {}
    refs: list[Refs] = []
    for each in fired:
        places = np.array([words.setdefault(text, len(words)) for text in each.texts], dtype=np.uint32)
        refs.append(places[each.text_refs])
    keys, periods, event_at = (
        np.concatenate([getattr(each, name) for each in fired]) for name in ("keys", "periods", "event_at")
    )
    joined = Firing(rule, keys, periods, event_at, tuple(words), np.concatenate(refs))
    return joined.take(np.lexsort((joined.keys, joined.event_at)))
