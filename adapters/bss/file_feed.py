"""A BSS that drops CSV files into a directory: `orders*.csv` and `pool*.csv`, each complete once it has its name.

Files are read in the order of their names, so a new file must sort after the ones already read. A page token is
`<file>:<lines read>`. A line that cannot be read is named in the page's `rejects` and passed over.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Generic, TypeVar

from common.kernel.bss import PAGE_ROWS_MAX, BssOrder, BssPoolChange, OrderPage, PoolPage
from common.kernel.order import OrderChange, PoolChange
from common.kernel.refusal import invalid, missing
from common.kernel.subscriber import normalise_msisdn

ORDER_COLUMNS = ("order_number", "revision", "msisdn", "offer", "change", "amount_fen", "accepted_at")
POOL_COLUMNS = ("msisdn", "change", "changed_at")
ENCODINGS = ("utf-8-sig", "gb18030")

Row = TypeVar("Row")
Fields = dict[str, str]


class FileFeed:
    """An OrderSource and PoolSource over one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def list_orders(self, page_token: str, page_size: int = PAGE_ROWS_MAX) -> OrderPage:
        cut = _page(self._files("orders"), page_token, page_size, ORDER_COLUMNS, order_of)
        return OrderPage(tuple(cut.rows), cut.token, cut.caught_up, tuple(cut.rejects))

    async def list_pool_changes(self, page_token: str, page_size: int = PAGE_ROWS_MAX) -> PoolPage:
        cut = _page(self._files("pool"), page_token, page_size, POOL_COLUMNS, pool_change_of)
        return PoolPage(tuple(cut.rows), cut.token, cut.caught_up, tuple(cut.rejects))

    def _files(self, kind: str) -> list[Path]:
        return sorted(self._directory.glob(f"{kind}*.csv"), key=lambda path: path.name)


def order_pages(path: Path, page_size: int = PAGE_ROWS_MAX) -> Iterator[OrderPage]:
    """One file of orders as pages, whatever its name; for an import by hand. Raises Refusal where it is not there."""
    if not path.is_file():
        raise missing(f"there is no file {path}; check the path")
    token, caught_up = "", False
    while not caught_up:
        cut = _page([path], token, page_size, ORDER_COLUMNS, order_of)
        token, caught_up = cut.token, cut.caught_up
        yield OrderPage(tuple(cut.rows), token, caught_up, tuple(cut.rejects))


def order_of(fields: Fields) -> BssOrder:
    """Raises ValueError naming the field."""
    return BssOrder(
        order_number=_text(fields, "order_number"),
        revision=_whole(fields, "revision"),
        msisdn=_msisdn(fields),
        offer=_text(fields, "offer"),
        change=_change(fields, OrderChange),
        amount_fen=_whole(fields, "amount_fen"),
        accepted_at=_moment(fields, "accepted_at"),
    )


def pool_change_of(fields: Fields) -> BssPoolChange:
    return BssPoolChange(_msisdn(fields), _change(fields, PoolChange), _moment(fields, "changed_at"))


@dataclass(slots=True)
class _Cut(Generic[Row]):
    rows: list[Row]
    rejects: list[str]
    token: str
    caught_up: bool


def _page(
    files: Sequence[Path], token: str, size: int, columns: tuple[str, ...], read: Callable[[Fields], Row]
) -> _Cut[Row]:
    left = min(size or PAGE_ROWS_MAX, PAGE_ROWS_MAX)
    name, done = _place(token, files)
    cut = _Cut[Row]([], [], token, caught_up=True)
    for path in files:
        if path.name < name:
            continue
        start = done if path.name == name else 1
        lines = _lines(path)
        some = lines[start : start + left]
        _read(path.name, start, _header(path.name, lines, columns), some, read, cut)
        left -= len(some)
        cut.caught_up = start + len(some) == len(lines)
        if not cut.caught_up:
            return cut
    return cut


def _read(
    name: str, start: int, header: list[str], lines: Sequence[str], read: Callable[[Fields], Row], cut: _Cut[Row]
) -> None:
    cut.token = f"{name}:{start + len(lines)}"
    for number, line in enumerate(lines, start + 1):
        if not line.strip():
            continue
        try:
            cut.rows.append(read(_fields(header, line)))
        except ValueError as error:
            cut.rejects.append(f"{name} line {number}: {error}")


def _place(token: str, files: Sequence[Path]) -> tuple[str, int]:
    """The file and how many of its lines are done, the header among them."""
    if not token:
        return "", 1
    name, _, done = token.rpartition(":")
    if not done.isdigit() or name not in {path.name for path in files}:
        raise invalid(f"page token {token!r}: its file is not in the directory; put the file back", token=token)
    return name, int(done)


def _header(name: str, lines: Sequence[str], columns: tuple[str, ...]) -> list[str]:
    header = [field.strip() for field in next(csv.reader(lines[:1]), [])]
    lacking = [column for column in columns if column not in header]
    if lacking:
        raise invalid(
            f"{name} line 1: columns missing: {', '.join(lacking)}; the header must name {', '.join(columns)}"
        )
    return header


def _fields(header: list[str], line: str) -> Fields:
    values = next(csv.reader([line]))
    if len(values) != len(header):
        raise ValueError(f"{len(values)} fields where the header has {len(header)}")
    return dict(zip(header, values, strict=True))


def _lines(path: Path) -> Sequence[str]:
    stat = path.stat()
    return _lines_of(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=2)
def _lines_of(path: Path, _size: int, _changed: int) -> tuple[str, ...]:
    return tuple(_text_of(path).replace("\r\n", "\n").removesuffix("\n").split("\n"))


def _text_of(path: Path) -> str:
    raw = path.read_bytes()
    for encoding in ENCODINGS:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise invalid(f"{path.name}: neither UTF-8 nor GB18030; convert it to UTF-8")


def _text(fields: Fields, name: str) -> str:
    value = fields.get(name, "").strip()
    if not value:
        raise ValueError(f"{name} is empty")
    return value


def _whole(fields: Fields, name: str) -> int:
    value = _text(fields, name)
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"{name} {value!r} is no whole number") from None


def _msisdn(fields: Fields) -> int:
    number = normalise_msisdn(_text(fields, "msisdn"))
    if number is None:
        # Without the value: rejects are logged, and a number never is.
        raise ValueError("msisdn is no mobile number")
    return number


Change = TypeVar("Change", OrderChange, PoolChange)


def _change(fields: Fields, kind: type[Change]) -> Change:
    value = _text(fields, "change")
    try:
        return kind[value.upper()]
    except KeyError:
        raise ValueError(f"change {value!r} is none of {', '.join(each.name for each in kind)}") from None


def _moment(fields: Fields, name: str) -> int:
    """Unix seconds, or ISO 8601 with an offset from UTC."""
    value = _text(fields, name)
    try:
        return int(value) if value.isdigit() else _instant(datetime.fromisoformat(value))
    except ValueError:
        raise ValueError(f"{name} {value!r} is neither Unix seconds nor ISO 8601 with a UTC offset") from None


def _instant(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise ValueError("no offset")
    return int(moment.timestamp())
