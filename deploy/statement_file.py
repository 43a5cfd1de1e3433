"""A CSV file of people's wishes: who consented to what, who withdrew it, who is to be left alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from common.kernel.refusal import invalid
from common.kernel.statement import SECONDS_MAX, STATEMENTS_MAX, Change, Statement, refuse
from common.kernel.subscriber import normalise_msisdn

BYTES_MAX = 1 << 20
CHANGES = ", ".join(each.lower() for each in Change.__members__)
COLUMNS = ("msisdn", "purpose", "evidence", "given_at", "expires_at", "change")


def statements(file: Path) -> list[Statement]:
    """Every row, in order. Raises Refusal CONSENT_INVALID with the rows that cannot be read; 1 is the first one below
    the header."""
    rows = _rows(file)
    if not 0 < len(rows) <= STATEMENTS_MAX:
        message = f"{file} has {len(rows)} rows; give 1 to {STATEMENTS_MAX}, and split what is more"
        raise invalid(message, "CONSENT_INVALID")
    read, faults = list[Statement](), list[tuple[int, str]]()
    for place, row in enumerate(rows, 1):
        try:
            read.append(_statement(row))
        except ValueError as why:
            faults.append((place, str(why)))
    if faults:
        raise refuse(str(file), faults, len(rows))
    return read


def _rows(file: Path) -> list[dict[str, str | None]]:
    reader = csv.DictReader(io.StringIO(_text(file), newline=""))
    try:
        rows, names = list(reader), reader.fieldnames or ()
    except csv.Error as error:
        raise invalid(f"{file}: line {reader.line_num} is no CSV ({error}); save it as CSV again") from error
    if set(names) != set(COLUMNS):
        raise invalid(f"{file}: the first line must name the columns {','.join(COLUMNS)}", "CONSENT_INVALID")
    return rows


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > BYTES_MAX:
            raise invalid(f"{file} has {file.stat().st_size:,} bytes; {BYTES_MAX:,} are taken. Split it")
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise invalid(f"{file}: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise invalid(f"{file}: byte {error.start} is not UTF-8; save the file as UTF-8") from error


def _statement(row: Mapping[str, str | None]) -> Statement:
    if None in row or None in row.values():
        raise ValueError(f"it has not {len(COLUMNS)} cells; quote what holds a comma")
    cells = {name: (row[name] or "").strip() for name in COLUMNS}
    msisdn = normalise_msisdn(cells["msisdn"])
    if msisdn is None:
        raise ValueError("msisdn is no mainland mobile number")
    if cells["change"].upper() not in Change.__members__:
        raise ValueError(f"change {cells['change']!r} is not known; use {CHANGES}")
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
    plain = cell.isascii() and cell.isdigit()
    seconds = int(cell[:11]) if plain else _instant(cell) if cell else 0
    if not 0 <= seconds <= SECONDS_MAX:
        raise ValueError(f"{column} {cell!r} is no time with a zone; write it as 2026-03-01T09:00:00+08:00")
    return seconds


def _instant(cell: str) -> int:
    try:
        moment = datetime.fromisoformat(cell)
    except ValueError:
        return -1
    return -1 if moment.tzinfo is None else int(moment.timestamp())
