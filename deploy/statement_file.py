"""A CSV file of people's wishes: who consented to what, who withdrew it, who is to be left alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from common.kernel.refusal import invalid
from common.kernel.statement import STATEMENTS_MAX, Change, Statement, refuse
from common.kernel.subscriber import normalise_msisdn

COLUMNS = ("msisdn", "purpose", "evidence", "given_at", "expires_at", "change")


def statements(file: Path, text: str) -> list[Statement]:
    """Every row, in order. Raises Refusal CONSENT_INVALID with the rows that cannot be read; 1 is the first one below
    the header."""
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    if rows.fieldnames is None or set(rows.fieldnames) != set(COLUMNS):
        raise invalid(f"{file}: the first line must name the columns {','.join(COLUMNS)}", "CONSENT_INVALID")
    read, faults = list[Statement](), list[tuple[int, str]]()
    count = 0
    for count, row in enumerate(rows, 1):
        try:
            read.append(_statement(row))
        except ValueError as why:
            faults.append((count, str(why)))
    if faults:
        raise refuse(str(file), faults, count)
    if not 0 < count <= STATEMENTS_MAX:
        raise invalid(f"{file} has {count} rows; give 1 to {STATEMENTS_MAX}, and split what is more", "CONSENT_INVALID")
    return read


def _statement(row: Mapping[str, str | None]) -> Statement:
    if None in row or None in row.values():
        raise ValueError(f"it has not {len(COLUMNS)} cells; quote what holds a comma")
    cells = {name: (row[name] or "").strip() for name in COLUMNS}
    msisdn = normalise_msisdn(cells["msisdn"])
    if msisdn is None:
        raise ValueError("msisdn is no mainland mobile number")
    if cells["change"].upper() not in Change.__members__:
        raise ValueError(
            f"change {cells['change']!r} is not known; use {', '.join(each.lower() for each in Change.__members__)}"
        )
    return Statement(
        msisdn=msisdn,
        purpose=cells["purpose"].lower(),
        evidence=cells["evidence"],
        given_at=_moment("given_at", cells["given_at"]),
        expires_at=_moment("expires_at", cells["expires_at"]),
        change=Change[cells["change"].upper()],
    )


def _moment(column: str, cell: str) -> int:
    """Unix seconds; 0 where nothing is written."""
    if cell.isascii() and cell.isdigit() and len(cell) <= 10:
        return int(cell)
    try:
        moment = datetime.fromisoformat(cell) if cell else datetime.fromtimestamp(0, UTC)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or moment.timestamp() < 0:
        raise ValueError(f"{column} {cell!r} is no time with a zone; write it as 2026-03-01T09:00:00+08:00")
    return int(moment.timestamp())
