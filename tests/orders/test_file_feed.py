"""A file drop is read line by line, and what cannot be read is named."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from adapters.bss.file_feed import FileFeed, order_pages
from common.kernel.bss import BssOrder, OrderPage
from common.kernel.order import OrderChange
from common.kernel.refusal import Refusal

HEADER = "order_number,revision,msisdn,offer,change,amount_fen,accepted_at\n"
GOOD = "a1,1,138 0000 0001,5g,subscribed,5900,2026-03-02T10:00:00+08:00\n"
ORDER = BssOrder("a1", 1, 8613800000001, "5g", OrderChange.SUBSCRIBED, 5900, 1772416800)


def _read(directory: Path, token: str = "", size: int = 1000) -> OrderPage:
    return asyncio.run(FileFeed(directory).list_orders(token, size))


def test_times_numbers_and_changes_are_read_as_people_write_them(tmp_path: Path) -> None:
    (tmp_path / "orders-1.csv").write_text(HEADER + GOOD + "a1,2,8613800000001,5g,REVERSED,-5900,1772416801\n")
    first, second = _read(tmp_path).orders
    assert first == ORDER
    assert (second.change, second.amount_fen, second.accepted_at) == (OrderChange.REVERSED, -5900, 1772416801)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("a1,1,13800000001,5g,bought,1,1", "change 'bought' is none of SUBSCRIBED, UNSUBSCRIBED, REVERSED"),
        ("a1,0,13800000001,5g,subscribed,1,1", "revision: 0 is not from 1 to"),
        ("a1,1,13800000001,5g,subscribed,99999999999999999999,1", "amount_fen: 99999999999999999999 is not from"),
        ("a1,1,13800000001,5g,subscribed,1,4294967296", "accepted_at: 4294967296 is not from 0 to"),
        ("a1,1,13800000001," + "x" * 65 + ",subscribed,1,1", "characters of offer: 65 is not from 1 to 64"),
        ("a1,1,12345,5g,subscribed,1,1", "msisdn is no mobile number"),
        ("a1,1,13800000001,5g,subscribed,1.5,1", "amount_fen '1.5' is no whole number"),
        (",1,13800000001,5g,subscribed,1,1", "order_number is empty"),
        ("a1,1,13800000001,5g,subscribed,1,2026-03-02 10:00", "accepted_at '2026-03-02 10:00' is neither Unix"),
        ("a1,1,13800000001", "3 fields where the header has 7"),
    ],
)
def test_a_bad_line_is_named_and_the_rest_is_taken(tmp_path: Path, line: str, why: str) -> None:
    (tmp_path / "orders.csv").write_text(f"{HEADER}{line}\n\n{GOOD}")
    page = _read(tmp_path)
    assert page.orders == (ORDER,)
    assert len(page.rejects) == 1
    assert page.rejects[0].startswith(f"orders.csv line 2: {why}")


def test_no_number_is_ever_in_a_reject(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(HEADER + "a1,1,13800000001x,5g,subscribed,1,1\n")
    assert "1380000" not in str(_read(tmp_path).rejects)


def test_a_file_that_comes_later_is_read_from_the_old_place(tmp_path: Path) -> None:
    (tmp_path / "orders-1.csv").write_text(HEADER + GOOD)
    token = _read(tmp_path).next_page_token
    assert token == "orders-1.csv:2"  # noqa: S105
    (tmp_path / "orders-2.csv").write_text(HEADER + GOOD.replace("a1", "a2"))
    (tmp_path / "orders-3.part").write_text("half a fi")
    assert [order.order_number for order in _read(tmp_path, token).orders] == ["a2"]


def test_gb18030_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    text = HEADER + GOOD.replace("5g", "流量包")
    (tmp_path / "orders-1.csv").write_bytes(text.encode("gb18030"))
    (tmp_path / "orders-2.csv").write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
    assert [order.offer for order in _read(tmp_path).orders] == ["流量包"] * 2


def test_a_file_without_a_column_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("order_number,msisdn\n")
    with pytest.raises(Refusal, match=r"orders.csv line 1: columns missing: revision, offer"):
        _read(tmp_path)


def test_one_file_by_hand_is_read_whole_in_pages(tmp_path: Path) -> None:
    path = tmp_path / "march.csv"
    path.write_text(HEADER + "".join(GOOD.replace("a1", f"a{n}") for n in range(25)))
    pages = list(order_pages(path, 10))
    assert [len(page.orders) for page in pages] == [10, 10, 5]
    assert pages[-1].caught_up


def test_an_empty_directory_is_caught_up(tmp_path: Path) -> None:
    assert _read(tmp_path) == OrderPage((), "", caught_up=True)
