"""What is written alike is read as the parser reads it, whatever stands between."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.streams import cloudevents
from adapters.streams.alike import alike, pattern_of
from adapters.streams.cloudevents import decode_structured
from adapters.streams.standard import Decoded
from common.kernel.event import ABSENT
from province.triggers.matching.run import run_of
from tests.streams.world import EDGE, event, line, told

FIXED = frozenset({("specversion",), ("type",), ("datacontenttype",)})
ODD = (
    line()[:-1], line() + line(), line(id='q"x'), line(id="line\nend"), line(id="号码"), line(subject=None),
    line(data={"used_bytes": True}), line(data={"used_bytes": None}), line(data={"used_bytes": "7"}),
    line(data={"used_bytes": 1.5}), line(data={"used_bytes": 1e300}), line(data={"used_bytes": [7]}), line(data=7),
    line(data={}), line(data="x"), line(data={"data": {"data": 1}}), line(type="liandong.nonsense.v1"), line(type=...),
    line(specversion="0.3"), line(datacontenttype="text/plain"), line(id=...), line(extra={"id": "1"}),
    line(time="yesterday"), b"", b"{}", b"null", b"\xff", b'{"id":"\xff"}', b" " + line() + b" ",
    line().replace(b'"used_bytes": 7', b'"used_bytes": 7, "used_bytes": 8'), line().replace(b": 7", b": 07"),
    line().replace(b": 7", b": 7 "), line().replace(b": 7", b":7"), line().replace(b": 7", b": -"),
    line().replace(b": 7", b": 1e999"), line().replace(b'"42"', b'"4\x002"'),
    line().replace(b'"42"', b'"\\u0034\\u0032"'),
    line("url_visit", {"host": "v.example.com"}),
)  # fmt: skip


def _said(found: Decoded) -> tuple[list[Any], list[Any]]:
    letters = sorted((each.position, each.reason, each.why, each.raw) for each in found.dead)
    types = [(events.positions.tolist(), told(events)) for events in run_of(found.events, ABSENT).types]
    return sorted(types, key=lambda each: each[1]["type"]), letters


def _same(values: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    quick = decode_structured(values, EDGE)
    with monkeypatch.context() as parsing:
        parsing.setattr(cloudevents, "PATTERN_ROWS", len(values) + 1)
        assert _said(quick) == _said(decode_structured(values, EDGE))
    assert quick.count == len(values)


@pytest.mark.parametrize("odd", ODD)
def test_one_that_is_odd_is_read_as_the_parser_reads_it(odd: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    values = [line(id=str(number), data={"used_bytes": number}) for number in range(40)]
    _same([*values[:20], odd, *values[20:]], monkeypatch)
    _same([odd, odd, *values], monkeypatch)


def _spaced(number: int) -> bytes:
    data = {"used_bytes": number, "allowance_bytes": 9}
    return json.dumps(event(id=str(number), data=data), separators=(" , ", " : ")).encode()


def _ending_in_text(number: int) -> bytes:
    return line("url_visit", {"host": f"v{number}.example.com"}, id=str(number))


@pytest.mark.parametrize("written", [_spaced, _ending_in_text])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: value + b"]",
        lambda value: b"x" + value,
        lambda value: value + b' "',
        lambda value: value[:-1] + b"  ",
        lambda value: value.replace(b"7", b""),
        lambda value: value.replace(b"7 ", b""),
        lambda value: value.replace(b"7", b"\xff"),
        lambda value: value.replace(b"7", b"7\t"),
        lambda value: value.replace(b"7", "七".encode()),
        lambda value: value.replace(b"7", b'"7'),
    ],
)
def test_one_that_was_damaged_is_refused_as_the_parser_refuses_it(
    spoil: Callable[[bytes], bytes], written: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    _same([*map(written, range(10, 40)), spoil(written(7)), *map(written, range(40, 70))], monkeypatch)


_TEXTS = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(['","', '"}', "{", ":", '":', "a b"])
_PLAIN = st.integers(-9, 10**19) | st.floats(allow_nan=False) | _TEXTS | st.none() | st.booleans()
_DATA = st.dictionaries(st.sampled_from(["used_bytes", "allowance_bytes", "app", "x"]), _PLAIN, max_size=4)
_EVENTS = st.builds(
    lambda number, who, data, spaced: json.dumps(
        event(id=number, subject=who, data=data), ensure_ascii=False, separators=None if spaced else (",", ":")
    ).encode(errors="replace"),
    _TEXTS, st.integers(0, 2**64).map(str) | _TEXTS, _DATA, st.booleans(),
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(_EVENTS, min_size=1, max_size=6), st.data())
def test_however_they_are_mixed(few: list[bytes], data: st.DataObject) -> None:
    values = data.draw(st.lists(st.sampled_from(few), min_size=16, max_size=40))
    for place in data.draw(st.lists(st.integers(0, len(values) - 1), max_size=3)):
        cut = data.draw(st.integers(0, len(values[place])))
        values[place] = values[place][:cut] + data.draw(st.binary(max_size=3)) + values[place][cut + 1 :]
    with pytest.MonkeyPatch.context() as patch:
        _same(values, patch)


def test_what_one_source_writes_is_all_taken_by_its_pattern() -> None:
    values = [line(id=str(number), source=f"gx/{number % 7}", data={"used_bytes": number}) for number in range(300)]
    values[70:70] = [b"{", line("url_visit", {"host": "v.example.com"})]
    found = alike(values, FIXED)
    assert found is not None
    assert (len(found.rows), found.rest.tolist()) == (300, [70, 71])
    assert found.columns["data", "used_bytes"].to_pylist() == [float(number) for number in range(300)]
    assert found.columns[("id",)].to_pylist() == [str(number) for number in range(300)]


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.replace(b"42", b'4\\"2'),
        lambda value: value.replace(b": 7", b": true"),
        lambda value: value.replace(b": 7", b": [7]"),
        lambda value: value.replace(b": 7", b': {"more": 7}'),
        lambda value: value.replace(b'"subject"', b'"id"'),
        lambda value: value + b"]",
        lambda value: b"[" + value + b"]",
        lambda value: value.replace(b": 7", b": 7\n"),
    ],
)
def test_what_is_no_pattern(change: Callable[[bytes], bytes]) -> None:
    assert pattern_of(line(), FIXED) is not None
    assert pattern_of(change(line()), FIXED) is None
