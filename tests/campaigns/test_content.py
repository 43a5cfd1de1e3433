from __future__ import annotations

import re
from datetime import date

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from hq.content import Origin, ParameterKind, fallback_text, render

ORIGINS = {
    "plan": Origin("plan", "当前套餐", ParameterKind.TEXT),
    "age": Origin("age", "几", ParameterKind.INTEGER),
    "spent": Origin("spent", "若干", ParameterKind.YUAN),
    "since": Origin("since", "早先", ParameterKind.DATE),
}
TEXT = "您的${plan}，${age}岁，${spent}元，自${since}，${plan} {age} $5"
LIMIT = 60


def told(plan: str | None, age: int | None, spent: float | None, since: date | None) -> str:
    """What one person reads, by plain Python."""
    words = {
        "${plan}": re.sub(r"[\n\t]+", " ", plan or "").strip() or "当前套餐",
        "${age}": "几" if age is None else str(age),
        "${spent}": "若干" if spent is None else f"{spent:.2f}",
        "${since}": "早先" if since is None else since.isoformat(),
    }
    text = TEXT.replace("${plan}", "\0")
    for name in ("${age}", "${spent}", "${since}"):
        text = text.replace(name, words[name])
    text = text.replace("\0", words["${plan}"])
    return text if len(text) <= LIMIT else fallback_text(TEXT, ORIGINS)


people = st.lists(
    st.tuples(
        st.none() | st.text("ab套${}age \n\t", max_size=25),
        st.none() | st.integers(-5, 10**9),
        st.none() | st.integers(-(10**6), 10**6).map(lambda quarters: quarters / 4),
        st.none() | st.dates(date(1950, 1, 1), date(2100, 1, 1)),
    ),
    min_size=1,
    max_size=30,
)


@given(people)
def test_everyone_reads_what_plain_python_would_write(
    rows: list[tuple[str | None, int | None, float | None, date | None]],
) -> None:
    columns = zip(*rows, strict=True)
    types = (pa.string(), pa.int64(), pa.float64(), pa.date32())
    names = ("plan", "age", "spent", "since")
    table = pa.table({n: pa.array(c, t) for n, c, t in zip(names, columns, types, strict=True)})
    assert render(TEXT, ORIGINS, table, LIMIT).to_pylist() == [told(*row) for row in rows]


def test_a_text_without_parameters_is_rendered_once() -> None:
    texts = render("你好", {}, pa.table({"plan": ["a", "b", "c"]}), 10)
    assert texts.to_pylist() == ["你好"] * 3
    assert len(texts.dictionary) == 1


def test_a_repeated_combination_is_rendered_once() -> None:
    table = pa.table({"plan": ["a", "b"] * 500, "age": [1, 2] * 500})
    assert len(render("${plan} ${age}", ORIGINS, table, 50).dictionary) == 2


def test_what_a_number_cannot_say_falls_back() -> None:
    table = pa.table({"spent": [float("inf"), float("nan"), 1e300]})
    assert render("${spent}", ORIGINS, table, 50).to_pylist() == ["若干"] * 3
