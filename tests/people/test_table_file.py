from __future__ import annotations

import csv
import re
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.warehouse import text_form, text_records
from adapters.warehouse.rejects import Reject, Rejects
from adapters.warehouse.table_file import CELL_BYTES_MAX, TableFile, open_table
from common.kernel.refusal import Refusal
from common.kernel.tag import TagType


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(table: TableFile) -> tuple[list[dict[str, Any]], list[int], list[Reject]]:
    rejects, rows, lines = Rejects(), [], []
    for batch in table.batches(rejects):
        rows += batch.columns.to_pylist()
        lines += batch.lines.tolist()
    return rows, lines, list(rejects)


def types(table: TableFile) -> dict[str, str]:
    return {tag.name: str(tag.type) for tag in table.tags}


def test_a_real_customer_file_is_read_to_the_last_cell(telco: Path) -> None:
    table = open_table(telco)
    rows, lines, rejects = read(table)
    with telco.open(newline="") as file:
        plain = list(csv.DictReader(file))
    assert len(rows) == len(plain) == 7043
    assert not rejects
    assert lines == list(range(2, 7045))
    assert types(table)["TotalCharges"] == types(table)["MonthlyCharges"] == "number"
    assert types(table)["tenure"] == types(table)["SeniorCitizen"] == "integer"
    assert types(table)["Partner"] == "text"
    for row, one in zip(rows, plain, strict=True):
        assert row["customerID"] == one["customerID"]
        assert row["tenure"] == int(one["tenure"])
        assert row["TotalCharges"] == (float(one["TotalCharges"]) if one["TotalCharges"].strip() else None)
    assert sum(row["TotalCharges"] is None for row in rows) == 11


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_encoding_and_separator_is_found(tmp_path: Path, encoding: str, separator: str, end: str) -> None:
    lines = [["编号", "套餐", "月租"], ["1", '畅享|档, "大;王"\t卡', "19.5"], ["2", "冰激凌", ""], ["3", "囧碁", "7"]]
    quoted = [[f'"{cell.replace(chr(34), chr(34) * 2)}"' if "|" in cell else cell for cell in line] for line in lines]
    text = end.join(separator.join(line) for line in quoted) + end
    table = open_table(write(tmp_path / "a.csv", text.encode(encoding)))
    assert table.form is not None
    assert table.form.separator == separator
    rows, numbers, rejects = read(table)
    assert [list(map(str, row.values())) for row in rows] == [
        ["1", lines[1][1], "19.5"],
        ["2", "冰激凌", "None"],
        ["3", "囧碁", "7.0"],
    ]
    assert (numbers, rejects) == ([2, 3, 4], [])


def test_types_come_from_every_value(tmp_path: Path) -> None:
    content = (
        "i,n,b,d,s,t,mixed,code,yes,long,hex,inf,blank\n"
        "1,1,true,2026-01-31,2026-01-31 08:00:00,x,1,007,Yes,123456789012345678901,0x1F,1,\n"
        " -2 ,2.5,FALSE,2026/02/28,2026-01-31,y,a,12,No,1,2,inf,\n"
        ",,,,,,,,,,,, \n"
    )
    table = open_table(write(tmp_path / "a.csv", content))
    assert list(types(table).values()) == [
        *("integer", "number", "boolean", "date", "timestamp", "text", "text", "text", "text", "number", "text"),
        *("text", "text"),
    ]
    rows, _, rejects = read(table)
    assert not rejects
    assert list(rows[1].values())[:6] == [-2, 2.5, False, date(2026, 2, 28), datetime(2026, 1, 31), "y"]  # noqa: DTZ001
    assert set(rows[2].values()) == {None}


def test_a_column_that_turns_into_text_late_is_text_and_nobody_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_records, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(text_form, "READ_BYTES", 700)
    cells = [str(i) for i in range(2000)] + ["1.5"] * 200 + ["many"] * 200
    table = open_table(write(tmp_path / "a.csv", "\n".join(["id,n", *(f"{i},{c}" for i, c in enumerate(cells))])))
    rows, lines, rejects = read(table)
    assert types(table) == {"id": "integer", "n": "text"}
    assert [row["n"] for row in rows] == cells
    assert (lines, rejects) == (list(range(2, 2402)), [])


def test_one_odd_cell_in_thousands_rejects_its_line_not_the_type(tmp_path: Path) -> None:
    content = "id,n\n" + "".join(f"{i},{'?' if i == 1234 else i}\n" for i in range(5000))
    table = open_table(write(tmp_path / "a.csv", content))
    rows, _, rejects = read(table)
    assert types(table)["n"] == "integer"
    assert len(rows) == 4999
    assert [(r.line, r.column) for r in rejects] == [(1236, "n")]
    assert "no whole number" in rejects[0].reason


def test_a_declared_type_rejects_the_lines_that_do_not_fit(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "id,Born\n1,2000-01-31\n2,2001-02-29\n3,\n4,soon\n")
    rows, lines, rejects = read(open_table(file, {"born": TagType.DATE}))
    assert [row["Born"] for row in rows] == [date(2000, 1, 31), None]
    assert lines == [2, 4]
    assert [(r.line, r.column, r.reason) for r in rejects] == [
        (3, "Born", "the cell is no date such as 2026-01-31, the type declared"),
        (5, "Born", "the cell is no date such as 2026-01-31, the type declared"),
    ]
    with pytest.raises(Refusal, match="no column age; it has id, Born"):
        open_table(file, {"age": TagType.INTEGER})


def test_ragged_lines_are_rejected_with_their_line_and_the_rest_is_kept(tmp_path: Path) -> None:
    rows, lines, rejects = read(open_table(write(tmp_path / "a.csv", "a,b\n1,x\n2\n3,y,z\n\n4,w\n")))
    assert [row["a"] for row in rows] == [1, 4]
    assert lines == [2, 6]
    assert [(r.line, r.reason) for r in rejects] == [
        (3, "1 cells where the header has 2"),
        (4, "3 cells where the header has 2"),
    ]


def test_quoted_cells_may_hold_separators_quotes_and_line_ends(tmp_path: Path) -> None:
    content = 'a,b\n1,"x,\ny"\n2,"say ""hi"""\n3,"\r\n"\n4,plain\n5\n'
    rows, lines, rejects = read(open_table(write(tmp_path / "a.csv", content)))
    assert [row["b"] for row in rows] == ["x,\ny", 'say "hi"', None, "plain"]
    assert lines == [2, 4, 5, 7]
    assert [r.line for r in rejects] == [8]


def test_an_open_quote_costs_its_own_line_only(tmp_path: Path) -> None:
    content = 'a,b\n1,x\n2,"never closed\n3,y\n4,"z"\n5,w\n'
    rows, lines, rejects = read(open_table(write(tmp_path / "a.csv", content)))
    assert [row["a"] for row in rows] == [1, 3, 4, 5]
    assert lines == [2, 4, 5, 6]
    assert [(r.line, "quote" in r.reason) for r in rejects] == [(3, True)]


def test_an_open_quote_swallows_nothing_up_to_the_end(tmp_path: Path) -> None:
    rows, lines, rejects = read(open_table(write(tmp_path / "a.csv", 'a,b\n1,x\n2,"open\n3,y\n4,z\n')))
    assert ([row["b"] for row in rows], lines) == (["x", "y", "z"], [2, 4, 5])
    assert [r.line for r in rejects] == [3]


def test_a_line_with_two_unfit_cells_is_rejected_once(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "a,b\n1,2\nx,y\n")
    rows, _, rejects = read(open_table(file, {"a": TagType.INTEGER, "b": TagType.INTEGER}))
    assert (len(rows), [(r.line, r.column) for r in rejects]) == (1, [(3, "a")])


def test_a_quote_inside_a_cell_is_just_a_character(tmp_path: Path) -> None:
    rows, _, rejects = read(open_table(write(tmp_path / "a.csv", 'a,b\n1,5" pipe\n2,"a ""b"""\n3,it"s\n')))
    assert [row["b"] for row in rows] == ['5" pipe', 'a "b"', 'it"s']
    assert not rejects


def test_line_ends_of_an_old_mac_are_line_ends(tmp_path: Path) -> None:
    rows, lines, _ = read(open_table(write(tmp_path / "a.csv", "a,b\r1,x\r2,y\r")))
    assert ([row["a"] for row in rows], lines) == ([1, 2], [2, 3])


def test_a_damaged_character_rejects_its_line(tmp_path: Path) -> None:
    content = "a,b\n1,广西\n2,".encode() + b"\xff\xfe" + ",\n3,河北\n4,桂林\n".replace(",\n", "\n", 1).encode()
    rows, _, rejects = read(open_table(write(tmp_path / "a.csv", content)))
    assert [row["b"] for row in rows] == ["广西", "河北", "桂林"]
    assert rejects == [Reject(3, "", "a character is not UTF-8")]


def test_odd_headers_are_repaired_and_reported(tmp_path: Path) -> None:
    table = open_table(write(tmp_path / "a.csv", "\ufeff id ,Name,,name,a\u200bb\n1,2,3,4,5\n"))
    assert list(types(table)) == ["id", "Name", "column_3", "name_2", "ab"]
    assert [note for note in table.notes if note.startswith("column")] == [
        "column 1: ' id ' is called id here",
        "column 3: '' is called column_3 here",
        "column 4: 'name' is called name_2 here",
        "column 5: 'a\\u200bb' is called ab here",
    ]


def test_a_header_met_again_is_no_record_and_spoils_no_type(tmp_path: Path) -> None:
    table = open_table(write(tmp_path / "a.csv", "id,n\n1,2\nid,n\n3,4\n"))
    rows, _, rejects = read(table)
    assert types(table) == {"id": "integer", "n": "integer"}
    assert rows == [{"id": 1, "n": 2}, {"id": 3, "n": 4}]
    assert rejects == [Reject(3, "", "the header again")]


def test_the_separator_line_of_a_spreadsheet_is_understood(tmp_path: Path) -> None:
    rows, lines, _ = read(open_table(write(tmp_path / "a.csv", "sep=;\na;b\n1;x,y\n")))
    assert (rows, lines) == ([{"a": 1, "b": "x,y"}], [3])


def test_a_huge_cell_rejects_its_line(tmp_path: Path) -> None:
    at, over = "x" * CELL_BYTES_MAX, "x" * (CELL_BYTES_MAX + 1)
    rows, _, rejects = read(open_table(write(tmp_path / "a.csv", f"a,b\n1,{at}\n2,{over}\n3,z\n")))
    assert [row["a"] for row in rows] == [1, 3]
    assert [(r.line, r.column) for r in rejects] == [(3, "b")]


def test_a_header_and_no_lines_is_an_empty_table(tmp_path: Path) -> None:
    assert read(open_table(write(tmp_path / "a.csv", "a,b\n"))) == ([], [], [])
    assert read(open_table(write(tmp_path / "b.csv", "a,b"))) == ([], [], [])


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        (b"", "is empty; export it again"),
        (b"\n \n", "only blank lines"),
        (b"PK\x03\x04rest", "save it as CSV"),
        (b"a,b\n\x00\x01,\x02\n", "no text table"),
        (b",,\n1,2,3\n", "names no column"),
        (b'"a,b\n1,2\n', "open quote; close it"),
        ((",".join(f"c{i}" for i in range(text_form.COLUMNS_MAX + 1))).encode() + b"\n", "split the file"),
        (b"a" * (text_form.HEADER_BYTES_MAX // 4) + b"," + b"b" * text_form.HEADER_BYTES_MAX + b"\n", "header"),
        (b"PAR1 and nothing else", "damaged Parquet"),
    ],
)
def test_what_is_no_table_is_refused_with_a_remedy(tmp_path: Path, content: bytes, remedy: str) -> None:
    with pytest.raises(Refusal, match=remedy) as refusal:
        open_table(write(tmp_path / "a.csv", content))
    assert refusal.value.reason == "ARGUMENT_INVALID"


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="there is no file"):
        open_table(tmp_path / "nothing.csv")


def test_cells_are_never_code(tmp_path: Path) -> None:
    nasty = ["=1+1", "@SUM(A1)", "'; DROP TABLE people; --", "${HOME}", "{{7*7}}", "read_csv('/etc/passwd')"]
    rows, _, _ = read(open_table(write(tmp_path / "a.csv", "a\n" + "\n".join(f'"{cell}"' for cell in nasty))))
    assert [row["a"] for row in rows] == nasty


def test_parquet_keeps_its_types_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    columns = {
        "i": pa.array([1, None], pa.int16()),
        "n": pa.array([1.5, float("nan")]),
        "b": pa.array([True, None]),
        "t": pa.array(["x", " "]).dictionary_encode(),
        "d": pa.array([date(2026, 1, 31), None]),
        "list": pa.array([[1], []]),
    }
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    table = open_table(tmp_path / "a.parquet")
    rows, lines, rejects = read(table)
    assert list(types(table).values()) == ["integer", "number", "boolean", "text", "date"]
    assert table.notes == ("column list of type list<element: int64> is left out",)
    assert rows[0] == {"i": 1, "n": 1.5, "b": True, "t": "x", "d": date(2026, 1, 31)}
    assert set(rows[1].values()) == {None}
    assert (lines, rejects) == ([1, 2], [])


def test_rejects_are_written_by_line_without_the_cells(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "id,n\n1,secret\n2\n3,4\n")
    rejects = Rejects()
    list(open_table(file, {"n": TagType.INTEGER}).batches(rejects))
    rejects.write(tmp_path / "a.csv.rejects.csv")
    written = (tmp_path / "a.csv.rejects.csv").read_text()
    assert [row["line"] for row in csv.DictReader(written.splitlines())] == ["2", "3"]
    assert "secret" not in written


CELLS = st.text(st.sampled_from('ab1,;"\n\r é广'), max_size=4)


@given(rows=st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=8), data=st.data())
def test_whatever_a_csv_writer_wrote_is_read_back(
    rows: list[list[str]], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        # Only with CRLF does the writer quote a CR that is part of a cell.
        quoting, end = data.draw(st.sampled_from([(csv.QUOTE_ALL, "\n"), (csv.QUOTE_MINIMAL, "\r\n")]))
        csv.writer(file, quoting=quoting, lineterminator=end).writerows([["p", "q"], *rows])
    read_rows, lines, rejects = read(open_table(path, {"p": TagType.TEXT, "q": TagType.TEXT}))
    assert [[row["p"], row["q"]] for row in read_rows] == [[c if c.strip() else None for c in row] for row in rows]
    assert not rejects
    assert lines == sorted(set(lines))


@given(raw=st.binary(max_size=60), cut=st.integers(1, 50))
def test_every_record_of_any_bytes_is_accepted_or_rejected(
    raw: bytes, cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write(tmp_path_factory.mktemp("any") / "a.csv", b"a,b\n" + raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_records, "CHUNK_BYTES", cut)
        patch.setattr(text_form, "READ_BYTES", cut)
        try:
            rows, lines, rejects = read(open_table(path))
        except Refusal as refusal:
            assert "save it as" in refusal.message  # noqa: PT017
            return
    told = [*lines, *(reject.line for reject in rejects)]
    assert len(told) == len(set(told))
    assert len(rows) == len(lines)
    if b'"' not in raw and b"\0" not in raw:
        assert len(told) == sum(line != b"" for line in re.split(rb"\r\n|\r|\n", raw))
