from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.warehouse.table_file import open_table
from common.kernel.refusal import Refusal
from common.kernel.tag import Catalogue, Tag, TagType
from common.rules.rule_language import IN_LIST_MAX, RULE_CHARS_MAX, RULE_DEPTH_MAX, check_rule, everyone

CATALOGUE = Catalogue(
    (
        Tag("Contract", TagType.TEXT),
        Tag("tenure", TagType.INTEGER),
        Tag("TotalCharges", TagType.NUMBER),
        Tag("app_active", TagType.BOOLEAN),
        Tag("born", TagType.DATE),
        Tag("seen", TagType.TIMESTAMP),
        Tag("套餐", TagType.TEXT),
        Tag("Monthly Charges", TagType.NUMBER),
        Tag("comment", TagType.TEXT),
        Tag('odd"name', TagType.INTEGER),
    )
)


def refusal(text: str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        check_rule(text, CATALOGUE)
    assert caught.value.reason == "CAMPAIGN_INVALID"
    return caught.value


def test_a_rule_names_columns_as_the_file_does_whatever_their_case() -> None:
    rule = check_rule("contract = 'Month-to-month' AND TENURE <= 12 AND \"monthly charges\" > 1", CATALOGUE)
    assert rule.columns == ("Contract", "tenure", "Monthly Charges")
    assert '"Contract"' in rule.sql()
    assert "`Contract`" in rule.sql("spark")


@pytest.mark.parametrize(
    "text",
    [
        "TRUE",
        "app_active",
        "NOT app_active OR app_active = FALSE",
        "tenure BETWEEN 1 AND 12",
        "tenure NOT BETWEEN -1 AND 12.5",
        "tenure IN (1, 2, -3)",
        "套餐 NOT IN ('高档', 'it''s')",
        "套餐 LIKE '高%' AND Contract NOT LIKE '_x'",
        "TotalCharges IS NULL OR TotalCharges IS NOT NULL",
        "born >= DATE '2000-02-29' AND seen < TIMESTAMP '2026-01-31 08:00:00'",
        "born IN (DATE '2000-02-29')",
        "seen > DATE '2026-01-31'",
        "TotalCharges / tenure > 29.85",
        "abs(tenure - 5) * 2 + TotalCharges % 3 <> -1.5e2",
        "length(lower(Contract)) = 3 OR upper(Contract) = 'X'",
        "coalesce(TotalCharges, tenure, 0) > .5",
        "comment = 'show' AND province = 45",
        '"odd""name" = 1',
        "tenure = 1 OR (tenure = 2 AND (app_active))",
        "tenure\n=\t1",
    ],
)
def test_an_allowed_rule_runs(text: str) -> None:
    rule = check_rule(text, CATALOGUE)
    duckdb_types = {"integer": "BIGINT", "number": "DOUBLE", "text": "VARCHAR"}
    columns = ", ".join(
        f'NULL::{duckdb_types.get(tag.type, str(tag.type).upper())} AS "{tag.name.replace(chr(34), chr(34) * 2)}"'
        for tag in (*CATALOGUE, Tag("province", TagType.INTEGER))
    )
    duckdb.sql(f"SELECT count(*) FROM (SELECT {columns}) WHERE {rule.sql()}").fetchall()
    assert check_rule(rule.text, CATALOGUE) == rule


@pytest.mark.parametrize(
    "text",
    [
        *("tenure IN (SELECT 1)", "EXISTS (SELECT 1)", "(SELECT TRUE)", "SELECT 1", "tenure = (SELECT 1)"),
        *("tenure = ANY (SELECT 1)", "FROM people", "WITH x AS (SELECT 1) SELECT 1", "VALUES (1)", "TABLE people"),
        *("read_csv('/etc/passwd')", "read_text('x') = 'y'", "getenv('HOME') = 'x'", "now() > seen", "random() < 1"),
        *("current_user = 'x'", "version() = 'x'", "sleep(1)", "query('SELECT 1')", "regexp_matches(Contract, 'x')"),
        *("tenure = 1; DROP TABLE people", "tenure = 1;", "; tenure = 1", "app_active -- comment"),
        *("app_active /* comment */", "/* c */ app_active", "/*+ hint */ app_active", "-- only a comment"),
        *("x -> x + 1", "{:}", "list_filter([1], x -> x > 0)", "lambda x: x", "[1][1] = 1", "{'a': 1}.a = 1"),
        *("Contract::BLOB = 'x'", "CAST(tenure AS VARCHAR) = '1'", "TRY_CAST(Contract AS INT) = 1", "tenure::INT = 1"),
        *("CAST(born AS DATE) > DATE '2000-01-01'", "CAST('1' AS INTEGER) = 1", "INTERVAL 1 DAY > born"),
        *("*", "COUNT(*) > 1", "people.* = 1", "COLUMNS(*) = 1", "sum(tenure) > 1", "max(tenure) OVER () = 1"),
        *("row_number() OVER () = 1", "rank() OVER (ORDER BY tenure) = 1", "tenure FILTER (WHERE app_active) = 1"),
        *("PRAGMA database_list", "ATTACH 'x'", "INSTALL httpfs", "SET memory_limit = '1TB'", "COPY people TO 'x'"),
        *("CASE WHEN app_active THEN TRUE END", "tenure IS DISTINCT FROM 1", "app_active IS TRUE", "tenure = NULL"),
        *(
            "people.tenure = 1",
            "main.people.tenure = 1",
            "tenure = ?",
            "tenure = $1",
            "tenure = :x",
            "@tenure",
            "#1 = 1",
        ),
        *("Contract || 'x' = 'y'", "Contract ~ 'x'", "Contract SIMILAR TO 'x'", "Contract GLOB 'x'", "tenure & 1 = 1"),
        *("Contract ILIKE 'x'", "Contract LIKE 'a!%' ESCAPE '!'", r"Contract LIKE 'a\%'", "Contract LIKE Contract"),
        *("tenure IN (1, NULL)", "tenure IN (TotalCharges)", "tenure IN ()", "tenure IN tenure", "tenure IN 5"),
        *("Contract COLLATE NOCASE = 'x'", "(tenure, tenure) = (1, 1)", "Contract[1] = 'x'", "tenure ** 2 > 1"),
        *("tenure // 2 = 1", "tenure BETWEEN SYMMETRIC 2 AND 1", "tenure AS x", "DISTINCT tenure", "tenure 1"),
        *(
            "app_active) OR (app_active",
            "((app_active)",
            "app_active)",
            "tenure <",
            "= 1",
            "AND",
            "'open",
            '"open',
            "()",
        ),
        *("length(Contract, Contract) = 1", "lower() = 'x'", "abs(tenure, 1) = 1", "E'\\x41' = Contract"),
        *("$$x$$ = Contract", "X'41' = Contract", "tenure = 0x1F", "tenure = 1e999", "tenure = 9999999999999999999"),
        *("", "  ", "\n", "!", "tenure = 1 LIMIT 1", "app_active UNION SELECT 1", "app_active ORDER BY 1", "\x00"),
    ],
)
def test_a_forbidden_rule_is_refused_and_says_where(text: str) -> None:
    caught = refusal(text)
    assert re.match(r"rule, line \d+ column \d+: ", caught.message)
    assert {"line", "column"} <= caught.metadata.keys()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tenur > 1", "line 1 column 1: there is no column tenur; did you mean tenure?"),
        ("app_active AND\n  contrat = 'x'", "line 2 column 3: there is no column contrat; did you mean Contract?"),
        ("tenure <= '12'", "tenure is a number and '12' is text; write a number without quotes"),
        ("'12' >= tenure", "tenure is a number and '12' is text; write a number without quotes"),
        ("Contract = 5", "Contract is text and 5 is a number; write text in single quotes"),
        ('Contract = "gold"', "no column gold; .*text is written in single quotes"),
        ("born > '2000-01-01'", "born is a date and '2000-01-01' is text; write DATE '2026-01-31'"),
        ("born > DATE '2001-02-29'", "column 13: '2001-02-29' is not a date; write DATE"),
        ("app_active = 1", "app_active is true or false and 1 is a number; write TRUE or FALSE"),
        ("app_active > FALSE", "has no order; use = or <>"),
        ("tenure", "gives a number, not true or false; compare it"),
        ("tenure AND app_active", "tenure is a number, not true or false; compare it"),
        ("Contract + 1 > 2", "Contract is text; arithmetic takes numbers only"),
        ("tenure LIKE '1%'", "tenure is a number; LIKE takes text"),
        ("lower(tenure) = 'x'", "tenure is a number; lower takes text"),
        ("tenure IN (1, 'x')", "tenure is a number and 'x' is text"),
        ("tenure BETWEEN 1 AND 'x'", "tenure is a number and 'x' is text"),
        ("coalesce(tenure, 'x') = 1", "tenure is a number and 'x' is text"),
        ("tenure = NULL", "write IS NULL or IS NOT NULL"),
        ("tenure = 1; x", "column 11: .*remove the semicolon"),
        ("tenure <\n", "not understood"),
    ],
)
def test_a_refusal_names_the_place_and_the_remedy(text: str, message: str) -> None:
    assert re.search(message, refusal(text).message)


def test_the_limits_hold_exactly() -> None:
    padding = " " * (RULE_CHARS_MAX - len("app_active"))
    check_rule("app_active" + padding, CATALOGUE)
    assert f"longer than {RULE_CHARS_MAX}" in refusal("app_active " + padding).message
    check_rule("(" * RULE_DEPTH_MAX + "app_active" + ")" * RULE_DEPTH_MAX, CATALOGUE)
    assert "deeper" in refusal("(" * (RULE_DEPTH_MAX + 1) + "app_active" + ")" * (RULE_DEPTH_MAX + 1)).message
    check_rule("NOT " * RULE_DEPTH_MAX + "app_active", CATALOGUE)
    assert "deeper" in refusal("NOT " * (RULE_DEPTH_MAX + 1) + "app_active").message
    assert "deeper" in refusal("NOT " * 500 + "app_active").message
    assert refusal("(" * 1000)
    check_rule("tenure IN (" + ",".join(["1"] * IN_LIST_MAX) + ")", CATALOGUE)
    assert f"at most {IN_LIST_MAX}" in refusal("tenure IN (" + ",".join(["1"] * (IN_LIST_MAX + 1)) + ")").message


def test_a_long_chain_counts_as_one_level() -> None:
    rule = check_rule(" OR ".join(f"tenure={i}" for i in range(140)), CATALOGUE)
    assert rule.sql().count("OR") == 139


@settings(max_examples=300)
@given(st.text(st.sampled_from("tenure=1 ()'\"<>;-/*.,[]{}:$?@#!%|&~^\\\n套0eE_"), max_size=30))
def test_any_text_is_a_rule_or_a_refusal(text: str) -> None:
    try:
        sql = check_rule(text, CATALOGUE).sql()
    except Refusal as caught:
        assert caught.reason == "CAMPAIGN_INVALID"  # noqa: PT017
    else:
        assert ";" not in re.sub(r"'[^']*'", "", sql)


# A plain reading of the same rules, with None for NULL, to hold the engine against.

Row = dict[str, Any]
Evaluate = Callable[[Row], Any]
COLUMNS = {"i": TagType.INTEGER, "j": TagType.INTEGER, "n": TagType.NUMBER, "b": TagType.BOOLEAN, "t": TagType.TEXT}
SMALL = Catalogue((*(Tag(name, kind) for name, kind in COLUMNS.items()), Tag("d", TagType.DATE)))
FIRST_DAY = date(2026, 1, 1)
WORDS = st.text(st.sampled_from("ab%_A'"), max_size=3)


def strict(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *values: None if None in values else function(*values)


def both(a: bool | None, b: bool | None) -> bool | None:
    return False if a is False or b is False else None if a is None or b is None else True


def either(a: bool | None, b: bool | None) -> bool | None:
    return True if a is True or b is True else None if a is None or b is None else False


def like(text: str, pattern: str) -> bool:
    expression = "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in pattern)
    return re.fullmatch(expression, text, re.DOTALL) is not None


ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
SUMS: dict[str, Callable[[float, float], float | None]] = {
    "+": lambda a, b: float(a) + b,
    "-": lambda a, b: float(a) - b,
    "*": lambda a, b: float(a) * b,
    "/": lambda a, b: float(a) / b if b else None,
    "%": lambda a, b: math.fmod(a, b) if b else None,
}
Written = tuple[str, Evaluate]


def quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def constant(text: str, value: Any) -> Written:
    return text, lambda _row: value


def tag(name: str) -> Written:
    return name, lambda row: row[name]


def apply(text: str, function: Callable[..., Any], *parts: Written) -> Written:
    return text, lambda row: strict(function)(*(part[1](row) for part in parts))


numbers = st.deferred(
    lambda: st.one_of(
        st.sampled_from([tag("i"), tag("j"), tag("n")]),
        st.integers(-3, 12).map(lambda n: constant(str(n), n)),
        st.sampled_from([0.5, 1.25, 2.0]).map(lambda n: constant(str(n), n)),
        st.tuples(numbers, st.sampled_from(sorted(SUMS)), numbers).map(
            lambda p: apply(f"({p[0][0]} {p[1]} {p[2][0]})", SUMS[p[1]], p[0], p[2])
        ),
        numbers.map(lambda p: apply(f"abs({p[0]})", abs, p)),
        texts.map(lambda p: apply(f"length({p[0]})", len, p)),
        st.tuples(numbers, numbers).map(
            lambda p: (
                f"coalesce({p[0][0]}, {p[1][0]})",
                lambda row: a if (a := p[0][1](row)) is not None else p[1][1](row),
            )
        ),
    )
)
texts = st.deferred(
    lambda: st.one_of(
        st.just(tag("t")),
        WORDS.map(lambda word: constant(quote(word), word)),
        texts.map(lambda p: apply(f"lower({p[0]})", str.lower, p)),
        texts.map(lambda p: apply(f"upper({p[0]})", str.upper, p)),
    )
)
dates = st.one_of(
    st.just(tag("d")),
    st.integers(0, 9).map(lambda n: FIRST_DAY + timedelta(n)).map(lambda d: constant(f"DATE '{d}'", d)),
)
comparable = st.one_of(*(st.tuples(kind, kind, kind) for kind in (numbers, texts, dates)))
conditions = st.deferred(
    lambda: st.one_of(
        st.just(tag("b")),
        st.booleans().map(lambda value: constant(str(value).upper(), value)),
        st.tuples(comparable, st.sampled_from(sorted(ORDER))).map(
            lambda p: apply(f"({p[0][0][0]} {p[1]} {p[0][1][0]})", ORDER[p[1]], p[0][0], p[0][1])
        ),
        st.tuples(comparable, st.sampled_from(["", "NOT "])).map(
            lambda p: (
                f"({p[0][0][0]} {p[1]}BETWEEN {p[0][1][0]} AND {p[0][2][0]})",
                lambda row: (strict(lambda x: x != bool(p[1])))(
                    both(
                        strict(ORDER[">="])(p[0][0][1](row), p[0][1][1](row)),
                        strict(ORDER["<="])(p[0][0][1](row), p[0][2][1](row)),
                    )
                ),
            )
        ),
        st.tuples(numbers, st.lists(st.integers(-3, 12), min_size=1, max_size=4), st.sampled_from(["", "NOT "])).map(
            lambda p: apply(
                f"({p[0][0]} {p[2]}IN ({', '.join(map(str, p[1]))}))", lambda x: (x in p[1]) != bool(p[2]), p[0]
            )
        ),
        st.tuples(texts, WORDS, st.sampled_from(["", "NOT "])).map(
            lambda p: apply(f"({p[0][0]} {p[2]}LIKE {quote(p[1])})", lambda x: like(x, p[1]) != bool(p[2]), p[0])
        ),
        st.tuples(st.one_of(numbers, texts, dates), st.sampled_from(["", "NOT "])).map(
            lambda p: (f"({p[0][0]} IS {p[1]}NULL)", lambda row: (p[0][1](row) is None) != bool(p[1]))
        ),
        conditions.map(lambda p: apply(f"(NOT {p[0]})", lambda x: not x, p)),
        st.tuples(conditions, conditions).map(
            lambda p: (f"({p[0][0]} AND {p[1][0]})", lambda row: both(p[0][1](row), p[1][1](row)))
        ),
        st.tuples(conditions, conditions).map(
            lambda p: (f"({p[0][0]} OR {p[1][0]})", lambda row: either(p[0][1](row), p[1][1](row)))
        ),
    )
)
rows_of_people = st.lists(
    st.fixed_dictionaries(
        {
            "i": st.none() | st.integers(-3, 12),
            "j": st.none() | st.integers(-3, 12),
            "n": st.none() | st.sampled_from([-1.5, 0.0, 0.5, 1.25, 2.0, 10.0]),
            "b": st.none() | st.booleans(),
            "t": st.none() | WORDS,
            "d": st.none() | st.integers(0, 9).map(lambda n: FIRST_DAY + timedelta(n)),
        }
    ),
    min_size=1,
    max_size=6,
)
ARROW = pa.schema(
    [
        ("i", pa.int64()),
        ("j", pa.int64()),
        ("n", pa.float64()),
        ("b", pa.bool_()),
        ("t", pa.string()),
        ("d", pa.date32()),
    ]
)


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


@settings(max_examples=250, deadline=None)
@given(rule=conditions, people=rows_of_people)
def test_the_engine_answers_as_a_plain_reading_does(
    engine: duckdb.DuckDBPyConnection, rule: Written, people: list[Row]
) -> None:
    text, plain = rule
    try:
        checked = check_rule(text, SMALL)
    except Refusal as caught:
        assert "deeper" in caught.message or "longer" in caught.message  # noqa: PT017
        return
    engine.register("people", pa.Table.from_pylist(people, schema=ARROW))
    answers = [row[0] for row in engine.sql(f"SELECT {checked.sql()} FROM people").fetchall()]
    assert answers == [plain(row) for row in people]


def test_the_churn_rule_selects_just_whom_the_csv_module_finds(telco: Path) -> None:
    from adapters.warehouse.rejects import Rejects

    table = open_table(telco)
    people = pa.Table.from_batches([batch.columns for batch in table.batches(Rejects())])
    with telco.open(newline="") as file:
        plain = list(csv.DictReader(file))
    expected = sum(row["Contract"] == "Month-to-month" and int(row["tenure"]) <= 12 for row in plain)
    catalogue = Catalogue(table.tags)
    for text, count in (
        ("Contract = 'Month-to-month' AND tenure <= 12", expected),
        ("contract = 'Month-to-month' and TENURE <= 12", expected),
        ("TotalCharges IS NULL", 11),
        ("TotalCharges = 29.85", sum(row["TotalCharges"] == "29.85" for row in plain)),
        ("TRUE", 7043),
    ):
        rule = check_rule(text, catalogue)
        with duckdb.connect() as connection:
            connection.register("people", people)
            assert connection.sql(f"SELECT count(*) FROM people WHERE {rule.sql()}").fetchall() == [(count,)]
    assert expected > 1000


def test_everyone_is_a_rule_too() -> None:
    assert everyone().sql() == check_rule("TRUE", CATALOGUE).sql() == "TRUE"


def test_a_timestamp_is_compared_to_the_second() -> None:
    rule = check_rule("seen >= TIMESTAMP '2026-01-31 08:00:00'", CATALOGUE)
    moments = [datetime(2026, 1, 31, 7, 59, 59), datetime(2026, 1, 31, 8), None]  # noqa: DTZ001
    with duckdb.connect() as connection:
        connection.register("people", pa.table({"seen": pa.array(moments, pa.timestamp("us"))}))
        assert connection.sql(f"SELECT {rule.sql()} FROM people").fetchall() == [(False,), (True,), (None,)]
