"""Lines that were not taken in, each with its column and reason."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.kernel.columns import Rows


class Reject(NamedTuple):
    line: int
    column: str
    """Empty where the whole line is at fault."""
    reason: str


@dataclass(slots=True)
class Rejects:
    """Kept as runs of lines sharing a reason, so that a million of them is no more than an array."""

    _runs: list[tuple[Rows, str, str]] = field(default_factory=list)

    def add(self, lines: Rows, column: str, reason: str) -> None:
        if len(lines):
            self._runs.append((lines, column, reason))

    def __len__(self) -> int:
        return sum(len(lines) for lines, _, _ in self._runs)

    def __iter__(self) -> Iterator[Reject]:
        """Ascending by line."""
        if not self._runs:
            return
        lines = np.concatenate([run[0] for run in self._runs])
        runs = np.repeat(np.arange(len(self._runs)), [len(run[0]) for run in self._runs])
        for place in np.argsort(lines, kind="stable").tolist():
            _, column, reason = self._runs[runs[place]]
            yield Reject(int(lines[place]), column, reason)

    def by_reason(self) -> dict[str, int]:
        """How many lines each (column: reason) took, the most frequent first."""
        counts: dict[str, int] = {}
        for lines, column, reason in self._runs:
            name = f"{column}: {reason}" if column else reason
            counts[name] = counts.get(name, 0) + len(lines)
        return dict(sorted(counts.items(), key=lambda item: -item[1]))

    def write(self, path: Path) -> None:
        """A CSV file of line, column, reason. It never holds a cell's value: that may be somebody's number."""
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(Reject._fields)
            writer.writerows(self)
