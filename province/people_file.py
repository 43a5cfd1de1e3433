"""The file of people a province wants contacted: a CSV table with a number in each line, and maybe a score."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.kernel.refusal import Refusal, invalid, missing
from common.kernel.subscriber import normalise_msisdn
from province.local_request import PEOPLE_MAX

NUMBER, SCORE = "msisdn", "score"
LINES_TOLD_MAX = 5


@dataclass(frozen=True, slots=True)
class People:
    """Columns in the order of the file; `lines` says where each stands."""

    msisdns: NDArray[np.int64]
    scores: NDArray[np.float64]
    lines: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.msisdns)


def read_people(path: Path) -> People:
    """Refused whole, with the lines at fault, where any line is wrong or two hold one number."""
    if not path.is_file():
        raise missing(f"{path}: no such file; give a CSV file with a column {NUMBER!r}")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            people = _parsed(path, csv.DictReader(file, strict=True))
    except UnicodeDecodeError as error:
        raise invalid(f"{path}: not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from None
    except csv.Error as error:
        raise invalid(f"{path}: no CSV table ({error}); write one number in each line") from None
    if len(people) == 0:
        raise invalid(f"{path}: nobody in it")
    first = np.unique(people.msisdns, return_index=True)[1]
    repeated = np.setdiff1d(np.arange(len(people)), first)
    refuse_lines(path, people.lines[repeated], "a number that is in the file before", "leave it there once")
    return people


def refuse_lines(path: Path, lines: NDArray[np.int64] | Sequence[int], what: str, remedy: str) -> None:
    """Does nothing where there are none. Never tells what is in a line: that is somebody's number."""
    if len(lines):
        raise _at_lines(path, lines, what, remedy)


def _at_lines(path: Path, lines: NDArray[np.int64] | Sequence[int], what: str, remedy: str) -> Refusal:
    told = ", ".join(str(line) for line in lines[:LINES_TOLD_MAX]) + (", …" if len(lines) > LINES_TOLD_MAX else "")
    return invalid(f"{path}: {len(lines)} lines hold {what} (lines {told}); {remedy}. Nothing was taken")


def _parsed(path: Path, table: csv.DictReader[str]) -> People:
    names = table.fieldnames or ()
    if NUMBER not in names:
        raise invalid(f"{path}: no column {NUMBER!r} among {', '.join(names) or 'none'}; name the numbers' column so")
    rows = list(_numbered(path, table))
    lines = [line for line, _ in rows]
    msisdns = _column(path, rows, NUMBER, normalise_msisdn, "no mainland mobile number")
    scores = _column(path, rows, SCORE, _score, "no finite score") if SCORE in names else [0.0] * len(rows)
    return People(np.array(msisdns, dtype=np.int64), np.array(scores, dtype=np.float64), np.array(lines))


def _numbered(path: Path, table: csv.DictReader[str]) -> Iterator[tuple[int, dict[str, str]]]:
    for count, row in enumerate(table, start=1):
        if count > PEOPLE_MAX:
            raise invalid(f"{path}: more than {PEOPLE_MAX} people; split it into several requests")
        yield table.line_num, row


def _column(
    path: Path, rows: list[tuple[int, dict[str, str]]], name: str, parse: Callable[[str], float | None], what: str
) -> list[float | None]:
    values = [parse(row[name] or "") for _, row in rows]
    wrong = [line for (line, _), value in zip(rows, values, strict=True) if value is None]
    refuse_lines(path, wrong, what, f"correct column {name!r}")
    return values


def _score(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
