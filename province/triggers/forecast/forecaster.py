"""The forecast's own reader of events: it keeps what people used, and tells once a month whose allowance will not do.

Whom it is about to tell of is in the checkpoint before anything is told, with the very events: told again after a crash
they are the same events, and told never they are told at the next start.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Keys
from common.kernel.event import ABSENT, Millis
from province.triggers.engine import status
from province.triggers.engine.checkpoint import Checkpoint, Checkpoints, KeptRule
from province.triggers.engine.source import Source, another_log
from province.triggers.forecast.forecast import DAYS_MIN, NAME, Model, forecast, learn
from province.triggers.forecast.usage import Amounts, PersonMonths, Usage, joined
from province.triggers.matching.run import run_of

WAIT_SECONDS = 0.5
STATUS_SECONDS = 1.0
FIRST_SECONDS = 10.0
"""After a start, so that what came meanwhile is read before anybody is told of."""
BEHIND_MAX = 100_000
"""Messages: further behind, what is known is too old to tell."""
RETRY_SECONDS = 5.0
_FORM = "usage 2"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """Whose allowance will not last the month. Aligned columns."""

    keys: Keys
    months: NDArray[np.int32]
    at: Millis
    scores: Amounts
    ratios: Amounts
    versions: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.keys)


NONE = Hits(
    np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0),
    np.zeros(0, dtype="U16"),
)  # fmt: skip
Tell = Callable[[Hits], bool]
"""Durable when it answers True; False where it cannot be told just now. Telling again changes nothing."""


@dataclass(frozen=True, slots=True)
class Terms:
    at_least: float
    """Of the score: who is below is not told of."""
    refresh_seconds: float
    first_seconds: float = FIRST_SECONDS


@dataclass(frozen=True, slots=True)
class Teller:
    """Where the forecast says how it stands, and the clock it says it by."""

    path: Path
    milliseconds: Callable[[], int]


@dataclass(slots=True, eq=False)
class _Held:
    usage: Usage = field(default_factory=Usage)
    next: int | None = None
    pending: Hits = NONE

    def told(self, name: str, lag: int | None) -> dict[str, object]:
        """`untold`: whom it is still about to tell of."""
        return {
            "partition": name,
            "next": self.next,
            "newest": self.usage.newest if self.next is not None else None,
            "lag": lag,
            "people": len(self.usage),
            "untold": len(self.pending),
            "counted": self.usage.counted,
            "late": self.usage.late,
            "duplicates": self.usage.duplicates,
            "bytes": self.usage.bytes,
        }


class Forecaster:
    """One thread's. Partitions come and go as the source says."""

    def __init__(
        self, source: Source, checkpoints: Checkpoints, tell: Tell, terms: Terms, teller: Teller | None = None
    ) -> None:
        self._source, self._checkpoints, self._tell, self._terms = source, checkpoints, tell, terms
        self._held: dict[str, _Held] = {}
        self._due = time.monotonic() + terms.first_seconds
        self._teller, self._said = teller, -STATUS_SECONDS
        self._refreshed: dict[str, object] | None = None

    def run(self, told: threading.Event) -> None:
        """Until `told`; then what is held is kept."""
        while not told.is_set():
            taken = self.turn()
            if time.monotonic() >= self._due and taken + sum(self._source.lag().values()) <= BEHIND_MAX:
                done = self.refresh()
                self._due = time.monotonic() + (self._terms.refresh_seconds if done else RETRY_SECONDS)
            if time.monotonic() - self._said >= STATUS_SECONDS:
                self._say()
        self.close()

    def once(self) -> bool:
        """Read all there is, and refresh; False where not everybody was told of."""
        until = time.monotonic() + self._terms.first_seconds
        while self.turn() or sum(self._source.lag(sure=True).values()) or self._waits(until):
            pass
        done = self.refresh()
        self.close()
        return done

    def turn(self, wait_seconds: float = WAIT_SECONDS) -> int:
        """One poll; how many messages it brought."""
        stretches = self._source.poll(self, wait_seconds)
        for stretch in stretches:
            held = self._held.get(stretch.partition)
            if held is None or (held.next is not None and stretch.next <= held.next):
                continue
            new = stretch if held.next is None else stretch.since(held.next)
            held.usage.take(run_of(new.decoded().events, held.usage.newest))
            held.next = new.next
        return sum(map(len, stretches))

    def refresh(self) -> bool:
        """Learn, score everybody in batches, keep it all, and tell; False where not everybody was told of."""
        begun = time.monotonic()
        models: dict[int, Model | None] = {}
        for name, held in self._held.items():
            held.pending = _joined(held.pending, self._hits(held.usage, models))
            self._save(name, held)
        hits = sum(len(held.pending) for held in self._held.values())
        told = [self._told(held) for held in self._held.values()]
        took = time.monotonic() - begun
        log.info("forecast of %d partitions in %.1f s", len(told), took)
        self._note(hits, took, [model for model in models.values() if model is not None])
        return all(told)

    def close(self) -> None:
        self._say(runs=False)
        self._source.close(self)

    def assigned(self, partition: str, end: int | None = None) -> int | None:
        kept = self._checkpoints.take_over(partition)
        self._held[partition] = held = _Held()
        rules = [rule for rule in kept.rules if rule.counted == _FORM] if kept else []
        if kept is not None and rules:
            columns = rules[0].columns
            held.usage, held.next = Usage.restored(kept.newest, columns), kept.next
            held.pending = Hits(**{each.name: columns[f"pending.{each.name}"] for each in fields(Hits)})
        if another_log(partition, held.next, end):
            held.next = None
        return held.next

    def revoked(self, partition: str) -> None:
        held = self._held.pop(partition, None)
        if held is not None:
            self._save(partition, held)

    def lost(self, partition: str) -> None:
        self._held.pop(partition, None)

    def _note(self, hits: int, took: float, models: list[Model]) -> None:
        if self._teller is not None:
            self._refreshed = {
                "at": self._teller.milliseconds(),
                "seconds": round(took, 3),
                "hits": hits,
                "learnt_from": max((model.rows for model in models), default=0),
            }
            self._say()

    def _say(self, runs: bool = True) -> None:
        if self._teller is None:
            return
        self._said, lag = time.monotonic(), self._source.lag()
        told = {
            "runs": runs,
            "at": self._teller.milliseconds(),
            "refreshed": self._refreshed,
            "partitions": [held.told(name, lag.get(name)) for name, held in sorted(self._held.items())],
        }
        status.tell(self._teller.path, told)

    def _waits(self, until: float) -> bool:
        """A group takes its time to say which partitions are whose."""
        return not self._held and time.monotonic() < until

    def _hits(self, usage: Usage, models: dict[int, Model | None]) -> Hits:
        if usage.newest == ABSENT or usage.days_done < DAYS_MIN:
            return NONE
        model = self._model(usage.days_done, models)
        if model is None:
            return NONE
        return _joined(NONE, *(self._chosen(usage, model, some) for some in usage.now()))

    def _chosen(self, usage: Usage, model: Model, some: PersonMonths) -> Hits:
        """Who has used all of it already is for rules over what was used to tell."""
        said = forecast(model, some)
        lasts = some.days.sum(axis=1, dtype=np.float64) < some.allowances
        rows = np.flatnonzero((said.scores >= self._terms.at_least) & lasts & ~usage.told(some.keys))
        usage.tell(some.keys[rows])
        at, version = np.full(len(rows), usage.newest), np.full(len(rows), model.version, dtype="U16")
        return Hits(some.keys[rows], some.months[rows], at, said.scores[rows], said.ratios[rows], version)

    def _model(self, days_done: int, models: dict[int, Model | None]) -> Model | None:
        """From what every partition here has of past months."""
        if days_done not in models:
            models[days_done] = learn(joined([held.usage.past for held in self._held.values()]), days_done)
        return models[days_done]

    def _save(self, name: str, held: _Held) -> None:
        if held.next is None:
            return
        pending: Mapping[str, NDArray[Any]] = {
            f"pending.{each.name}": getattr(held.pending, each.name) for each in fields(Hits)
        }
        kept = KeptRule(NAME, _FORM, {}, {**held.usage.columns(), **pending})
        self._checkpoints.save(Checkpoint(name, held.next, held.usage.newest, {}, (kept,)))
        self._source.kept(name, held.next)

    def _told(self, held: _Held) -> bool:
        if len(held.pending) and not self._tell(held.pending):
            return False
        held.pending = NONE
        return True


def _joined(*parts: Hits) -> Hits:
    return Hits(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Hits)))
