"""A year of a hundred real people's mobile data, with their plans and when their contracts ended."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import pytest

from tests.triggers.living import keys_of

DATA = Path(__file__).parents[3] / "shared/data/megaline_dev"
PRESENT = pytest.mark.skipif(not DATA.exists(), reason="the public data set of usage is beside the checkout only")
SHARES = (80, 90, 100)
MEBIBYTE = 1 << 20
NUMBER = 8_613_800_000_000


@dataclass(frozen=True, slots=True)
class Session:
    id: str
    user: int
    day: date
    megabytes: float


@dataclass(frozen=True, slots=True)
class User:
    number: int
    allowance: int
    """Megabytes a month, of their plan."""
    left: date | None


@cache
def users() -> dict[int, User]:
    with (DATA / "plans.csv").open(encoding="utf-8") as file:
        plans = {row["plan_name"]: int(row["mb_per_month_included"]) for row in csv.DictReader(file)}
    with gzip.open(DATA / "users.csv.gz", "rt", encoding="utf-8") as file:
        return {
            int(row["user_id"]): User(
                NUMBER + int(row["user_id"]),
                plans[row["plan"]],
                date.fromisoformat(row["churn_date"]) if row["churn_date"] else None,
            )
            for row in csv.DictReader(file)
        }


@cache
def sessions() -> tuple[Session, ...]:
    """In the order of the file: by person, their days in no order."""
    with gzip.open(DATA / "internet.csv.gz", "rt", encoding="utf-8") as file:
        return tuple(
            Session(row["id"], int(row["user_id"]), date.fromisoformat(row["session_date"]), float(row["mb_used"]))
            for row in csv.DictReader(file)
        )


@cache
def key_of() -> dict[int, int]:
    return dict(zip(users(), keys_of([user.number for user in users().values()]).tolist(), strict=True))


@cache
def reached() -> dict[tuple[int, int, int], date]:
    """Counted plainly: the day on which a user has used that share of a month's allowance, by (share, user, month)."""
    used, found = Counter[tuple[int, int]](), dict[tuple[int, int, int], date]()
    for each in sorted(sessions(), key=lambda session: session.day):
        used[each.user, each.day.month] += each.megabytes  # type: ignore[assignment]
        for share in SHARES:
            if used[each.user, each.day.month] >= share / 100 * users()[each.user].allowance:
                found.setdefault((share, each.user, each.day.month), each.day)
    return found


def event_of(session: Session) -> bytes:
    """In the morning of the day: the data say no hours."""
    data = {
        "used_bytes": round(session.megabytes * MEBIBYTE),
        "allowance_bytes": users()[session.user].allowance * MEBIBYTE,
    }
    return json.dumps({
        "specversion": "1.0", "id": session.id, "source": "megaline", "type": "liandong.data_used.v1",
        "subject": str(key_of()[session.user]), "time": f"{session.day}T08:00:00+08:00", "data": data,
    }).encode()  # fmt: skip


MAPPING = """\
source: megaline
format: csv
type: data_used
id: [id]
subject: {field: msisdn, as: msisdn}
time: {field: session_date, format: "%Y-%m-%d", zone: Asia/Shanghai}
fields:
  used_bytes: {from: mb_used, times: 1048576}
  allowance_bytes: {from: mb_per_month_included, times: 1048576}
"""


def written(path: Path, some: Iterable[Session]) -> Path:
    """As BSS exports it, with each customer's number and the plan's allowance."""
    lines = [f"{e.id},{users()[e.user].number},{e.day},{e.megabytes},{users()[e.user].allowance}" for e in some]
    path.write_text("\n".join(["id,msisdn,session_date,mb_used,mb_per_month_included", *lines]), encoding="utf-8")
    return path
