"""Decoding: what is good gets through, what is bad is named, and every record is in one of the two."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.streams import cloudevents, packed
from adapters.streams.cloudevents import Message, decode, decode_structured, encode, encode_binary
from adapters.streams.json_rows import BLOCK_BYTES, RECORD_BYTES_MAX
from adapters.streams.simulator import EXAMPLE_AT, Plan, batches, population
from adapters.streams.standard import FUTURE_SECONDS_MAX, Decoded, Edge, merged
from adapters.streams.stretch import placed
from common.kernel.dead_letter import RAW_BYTES_MAX, DeadReason
from common.kernel.event import ABSENT, EventType, present
from common.kernel.event_catalogue import BY_NAME, CATALOGUE
from tests.streams.world import EDGE, NOW, by_type, decoded, event, line, refused, told

PEOPLE = population(40, 3)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(CATALOGUE), st.integers(0, 2**31), st.integers(1, 40))
def test_what_the_simulator_makes_reads_alike_in_every_mode(each: EventType, seed: int, count: int) -> None:
    (batch,) = batches(Plan((each,), count, seed, PEOPLE, EXAMPLE_AT))
    ways = (
        packed.decode([packed.encode(batch)], EDGE),
        decode_structured([text.encode() for text in encode(batch).to_pylist()], EDGE),
        decode(encode_binary(batch), EDGE),
    )
    for way in ways:
        assert list(way.dead) == []
        assert by_type(way) == {each.name: told(ways[0].events[0])}
    assert len(ways[0].events[0]) == count


def test_the_same_seed_makes_the_same_events_and_another_does_not() -> None:
    one, same, other = (list(batches(Plan(CATALOGUE, 500, seed, PEOPLE, EXAMPLE_AT))) for seed in (1, 1, 2))
    assert one == same
    assert one != other


GOOD = [line(), line("url_visit", {"host": "v.example.com"}), line("subway", {"cell_id": "460-01-1-2"}),
        line(extra={"a": [1, {"b": "}{"}]}), line(data={"used_bytes": 1, "unknown": 5, "app": 5}),
        json.dumps(event(), indent=2).encode(), b"  " + line() + b"\r\n"]  # fmt: skip
BAD: dict[bytes, DeadReason] = {
    b"": DeadReason.TRUNCATED,
    b"{": DeadReason.TRUNCATED,
    line()[:-1]: DeadReason.TRUNCATED,
    line()[:-9]: DeadReason.TRUNCATED,
    b"[]": DeadReason.NOT_JSON,
    b"null": DeadReason.NOT_JSON,
    b"<xml/>": DeadReason.NOT_JSON,
    line() + line(): DeadReason.NOT_JSON,
    line() + b"\n" + line(): DeadReason.NOT_JSON,
    line() + b"}": DeadReason.NOT_JSON,
    b"{'id': 1}": DeadReason.NOT_JSON,
    line().replace(b"pgw", b"\xff\xfe"): DeadReason.NOT_JSON,
    line().replace(b"e-1", b"\\ud800"): DeadReason.NOT_JSON,
    line().replace(b'"id"', b'"id": "x", "id"'): DeadReason.NOT_JSON,
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000: DeadReason.NOT_CLOUDEVENT,
    b"{}": DeadReason.NOT_CLOUDEVENT,
    line(specversion="0.3"): DeadReason.NOT_CLOUDEVENT,
    line(specversion=1): DeadReason.NOT_CLOUDEVENT,
    line(datacontenttype="text/xml"): DeadReason.NOT_CLOUDEVENT,
    line(type=...): DeadReason.NOT_CLOUDEVENT,
    line(type="liandong.data_used.v1\0"): DeadReason.UNKNOWN_TYPE,
    line("data_usd"): DeadReason.UNKNOWN_TYPE,
    line("data_usd\ud800"): DeadReason.UNKNOWN_TYPE,
    line(type="liandong.data_used.v2"): DeadReason.UNKNOWN_TYPE,
    line(id=...): DeadReason.ID_INVALID,
    line(id="x" * 200): DeadReason.ID_INVALID,
    line(source=""): DeadReason.ID_INVALID,
    line(subject=...): DeadReason.SUBJECT_INVALID,
    line(subject=42): DeadReason.SUBJECT_INVALID,
    line(subject="0x2a"): DeadReason.SUBJECT_INVALID,
    line(subject="-1"): DeadReason.SUBJECT_INVALID,
    line(subject=str(2**63)): DeadReason.SUBJECT_INVALID,
    line(time=...): DeadReason.TIME_INVALID,
    line(time="yesterday"): DeadReason.TIME_INVALID,
    line(time="2026-03-01T08:00:00"): DeadReason.TIME_INVALID,
    line(time="2026-03-01T08:00Z"): DeadReason.TIME_INVALID,
    line(time="2026-03-01T08:00:00+08"): DeadReason.TIME_INVALID,
    line(time="2026-03-01T08:00:00+0800"): DeadReason.TIME_INVALID,
    line(time="2026-13-01T08:00:00Z"): DeadReason.TIME_INVALID,
    line(time="0001-01-01T00:00:00Z"): DeadReason.TIME_INVALID,
    line(time="1999-12-31T23:59:59Z"): DeadReason.TIME_INVALID,
    line(time="2999-01-01T00:00:00Z"): DeadReason.FAR_FUTURE,
    line(data={}): DeadReason.FIELD_MISSING,
    line(data=...): DeadReason.FIELD_MISSING,
    line(data={"used_bytes": None}): DeadReason.FIELD_MISSING,
    line(data=[1]): DeadReason.WRONG_TYPE,
    line(data={"used_bytes": "7"}): DeadReason.WRONG_TYPE,
    line(data={"used_bytes": True}): DeadReason.WRONG_TYPE,
    line(data={"used_bytes": 7.5}): DeadReason.WRONG_TYPE,
    line(data={"used_bytes": 7, "rat": 5}): DeadReason.WRONG_TYPE,
    line(data={"used_bytes": 7, "roaming": "no"}): DeadReason.WRONG_TYPE,
    line(data={"used_bytes": 7, "apn": "3g\x00net"}): DeadReason.WRONG_TYPE,
    line(data={"used_bytes": -1}): DeadReason.OUT_OF_RANGE,
    line(data={"used_bytes": 2**53}): DeadReason.OUT_OF_RANGE,
    line(data={"used_bytes": 10**400}): DeadReason.OUT_OF_RANGE,
    line(data={"used_bytes": float("nan")}): DeadReason.WRONG_TYPE,
    line(data={"used_bytes": float("inf")}): DeadReason.OUT_OF_RANGE,
    line(data={"used_bytes": 7, "rat": "9G"}): DeadReason.OUT_OF_RANGE,
    line(data={"used_bytes": 7, "apn": "a" * 65}): DeadReason.OUT_OF_RANGE,
    line("subway", {"cell_id": "c", "longitude": 181.0, "latitude": 0.0, "coordinate_system": "WGS-84"}):
        DeadReason.OUT_OF_RANGE,
    line("subway", {"cell_id": "c", "longitude": 0.0, "latitude": -90.1, "coordinate_system": "WGS-84"}):
        DeadReason.OUT_OF_RANGE,
    line("subway", {"cell_id": "c", "longitude": 0.0, "latitude": 0.0, "coordinate_system": "BD-09"}):
        DeadReason.OUT_OF_RANGE,
    line("subway", {"cell_id": "c", "longitude": 1.0, "latitude": 1.0}): DeadReason.FIELD_MISSING,
}  # fmt: skip


@pytest.mark.parametrize(("value", "reason"), BAD.items(), ids=[f"{r.name}-{i}" for i, r in enumerate(BAD.values())])
def test_what_is_bad_is_named_alone_and_among_good_ones(value: bytes, reason: DeadReason) -> None:
    assert refused(value) == [reason]
    among = decoded(*GOOD, value, *GOOD)
    assert [(letter.position, letter.reason) for letter in among.dead] == [(len(GOOD), reason)]
    assert among.count == 2 * len(GOOD) + 1


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([*GOOD, *(bad for bad in BAD if len(bad) < 10_000)]), max_size=40))
def test_every_record_is_decoded_or_dead(values: list[bytes]) -> None:
    _closes(values, decode_structured(values, EDGE))


TOKENS = [
    b"null",
    b"{}",
    b"[]",
    b'"',
    b"}{",
    b"}null{",
    b"\n",
    b"\n{",
    b"NaN",
    b"\\u0000",
    b"\\ud800",
    b"1e999",
    b"\xff",
]


def _mangled(draw: Any) -> bytes:
    value = draw(st.sampled_from(GOOD))
    begin, size = draw(st.integers(0, len(value))), draw(st.integers(0, 4))
    put = draw(st.one_of(st.binary(max_size=4), st.sampled_from(TOKENS)))
    return value[:begin] + put + value[begin + size :]


MANGLED = st.composite(_mangled)()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(GOOD), MANGLED), min_size=1, max_size=30))
def test_however_records_are_mangled_the_count_closes_and_neighbours_are_whole(values: list[bytes]) -> None:
    whole = decode_structured(values, EDGE)
    _closes(values, whole)
    alone = [decode_structured([value], EDGE) for value in values]
    assert [(letter.position, letter.reason) for letter in whole.dead] == [
        (position, letter.reason) for position, one in enumerate(alone) for letter in one.dead
    ]
    assert sorted(map(str, _rows(whole))) == sorted(map(str, (row for one in alone for row in _rows(one))))


def _closes(values: list[bytes], found: Decoded) -> None:
    assert found.count == len(values)
    positions = [letter.position for letter in found.dead]
    assert positions == sorted(set(positions))
    assert {p for p, v in enumerate(values) if v in BAD} <= set(positions) <= {
        p for p, v in enumerate(values) if v not in GOOD
    }  # fmt: skip


def _rows(found: Decoded) -> list[Any]:
    return [told(events[[row]]) for events in found.events for row in range(len(events))]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(GOOD), MANGLED), min_size=1, max_size=12))
def test_in_binary_mode_the_count_closes_too(values: list[tuple[bytes, bytes]]) -> None:
    told = {"specversion": "1.0", "type": "liandong.data_used.v1", "id": "1", "source": "s", "subject": "42"}
    headers = [(f"ce_{name}", text.encode()) for name, text in (told | {"time": "2026-03-01T00:00:00Z"}).items()]
    headers.append(("content-type", b"application/json"))
    messages = [each for good, bad in values for each in (Message(good), Message(bad), Message(bad, headers))]
    messages.append(Message(b'{"used_bytes":7}', headers))
    found = decode(messages, EDGE)
    assert found.count == len(messages)
    assert len(messages) - 1 not in [letter.position for letter in found.dead]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=3), st.booleans())
def test_a_damaged_packed_record_never_harms_its_neighbours(place: int, junk: bytes, cut: bool) -> None:
    (batch,) = batches(Plan((BY_NAME["data_used"],), 30, 1, PEOPLE, EXAMPLE_AT))
    value = packed.encode(batch)
    place %= len(value)
    damaged = value[:place] if cut else value[:place] + junk + value[place + len(junk) :]
    found = packed.decode([value, damaged, value], EDGE)
    assert found.count in (60, 61, 90)
    places = np.concatenate([events.positions for events in found.events])
    assert np.bincount(places, minlength=3)[[0, 2]].tolist() == [30, 30]
    assert {letter.position for letter in found.dead} <= {1}


WORDS = st.lists(st.sampled_from([None, "pgw", "app", "", "x" * 600, "\x01"]), min_size=1, max_size=6)
INDICES = st.sampled_from([pa.int8(), pa.int32(), pa.uint16()])


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), WORDS, st.booleans(), INDICES), min_size=1, max_size=6), st.randoms())
def test_records_decode_together_as_they_do_alone(
    made: list[tuple[int, list[str | None], bool, pa.DataType]], draw: Random
) -> None:
    """Whatever their dictionaries have: words of their own, NULL, too many for the indices of one."""
    values = []
    for rows, words, coded, index in made:
        (batch,) = batches(Plan((BY_NAME["data_used"],), 5, rows, PEOPLE, EXAMPLE_AT))
        indices = pa.array([draw.choice([None, *range(len(words))]) for _ in range(rows)], index)
        rats = pa.DictionaryArray.from_arrays(indices, pa.array(words, pa.string()))
        column = batch.schema.get_field_index("rat")
        some = batch.slice(0, rows).set_column(column, "rat", rats if coded else rats.cast(pa.string()))
        values.append(packed.encode(some.replace_schema_metadata(batch.schema.metadata)))
    alone = merged([placed(packed.decode([value], EDGE), np.array([row])) for row, value in enumerate(values)])
    together = packed.decode(values, EDGE)
    assert together.dead == alone.dead
    assert by_type(together) == by_type(alone)


def test_dictionaries_that_do_not_become_one_are_read_one_by_one() -> None:
    (batch,) = batches(Plan((BY_NAME["data_used"],), 100, 1, PEOPLE, EXAMPLE_AT))
    values, column = [], batch.schema.get_field_index("apn")
    for turn in range(2):
        words = pa.DictionaryArray.from_arrays(
            pa.array(range(100), pa.int8()), pa.array([f"apn-{turn}-{number}" for number in range(100)])
        )
        values.append(packed.encode(batch.set_column(column, "apn", words)))
    found = packed.decode(values, EDGE)
    assert found.count == 200
    assert not len(found.dead)


def test_a_packed_batch_must_have_its_types_columns() -> None:
    (batch,) = batches(Plan((BY_NAME["data_used"],), 3, 1, PEOPLE, EXAMPLE_AT))
    assert len(packed.decode([packed.encode(batch.drop_columns(["rat"]))], EDGE).events[0]) == 3
    for wrong in (
        batch.drop_columns(["used_bytes"]),
        batch.append_column("more", batch["id"]),
        batch.set_column(4, "used_bytes", batch["id"]),
    ):
        found = packed.decode([packed.encode(wrong)], EDGE)
        assert [letter.reason for letter in found.dead] == [DeadReason.SCHEMA_MISMATCH]
    unnamed = packed.decode([packed.encode(batch.replace_schema_metadata({}))], EDGE)
    assert [letter.reason for letter in unnamed.dead] == [DeadReason.UNKNOWN_TYPE]


@pytest.mark.parametrize("millis", [-(2**63), -62_135_596_800_001, 253_402_300_800_000, 2**63 - 1])
def test_a_time_that_no_calendar_has_is_out_of_range(millis: int) -> None:
    """RFC 3339 cannot write it, an Arrow timestamp can."""
    (batch,) = batches(Plan((BY_NAME["contract_expiry"],), 3, 1, PEOPLE, EXAMPLE_AT))
    ends = pa.array(np.array([millis, -62_135_596_800_000, 253_402_300_799_999]), pa.timestamp("ms", "UTC"))
    place = batch.schema.get_field_index("ends_at")
    found = packed.decode([packed.encode(batch.set_column(place, batch.schema.field(place), ends))], EDGE)
    assert [letter.reason for letter in found.dead] == [DeadReason.OUT_OF_RANGE]
    assert sum(map(len, found.events)) == 2


@pytest.mark.parametrize("size", [RECORD_BYTES_MAX + 1, 10_000_000])
def test_a_record_that_is_too_large_is_a_dead_letter(size: int) -> None:
    large = line(note="x" * size)
    found = decoded(line(), large, line())
    assert [(letter.position, letter.reason) for letter in found.dead] == [(1, DeadReason.TOO_LARGE)]
    assert found.count == 3
    assert len(found.dead.letters[0].raw) == RAW_BYTES_MAX
    assert [x.reason for x in packed.decode([b"x" * size], EDGE).dead] == [DeadReason.TOO_LARGE]


def test_records_written_over_many_lines_are_taken_in_bulk() -> None:
    folded = json.dumps(event(), indent=8).encode()
    values = [folded] * (3 * BLOCK_BYTES // len(folded))
    values[7] = folded[:-1]
    found = decoded(*values)
    assert [(letter.position, letter.reason) for letter in found.dead] == [(7, DeadReason.TRUNCATED)]
    assert found.count == len(values)


def test_nulls_between_lines_do_no_harm() -> None:
    values = [
        line()[:-1] + b',"note":"' + b"x" * (BLOCK_BYTES // 2) + b'"}',
        line() + b"\nnull" * 150_000 + b"\n" + line(),
    ]
    for each in (values, values[1:]):
        found = decoded(*each, b"null", line())
        assert {letter.reason for letter in found.dead} == {DeadReason.NOT_JSON}
        assert found.count == len(each) + 2


def test_a_batch_of_large_records_is_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloudevents, "BATCH_BYTES_MAX", 1_000)
    values = [line(id=f"e-{n}") for n in range(30)]
    found = decoded(*values, b"{")
    assert [letter.position for letter in found.dead] == [30]
    assert (len(found.events) > 1, sum(map(len, found.events))) == (True, 30)


def test_the_largest_record_is_taken() -> None:
    room = RECORD_BYTES_MAX - len(line(note=""))
    assert len(decoded(line(note="x" * room)).events) == 1
    assert refused(line(note="x" * (room + 1))) == [DeadReason.TOO_LARGE]


def test_a_clock_may_be_ahead_by_so_much() -> None:
    def at(millis: int) -> bytes:
        return line(time=str(np.datetime64(millis, "ms")) + "Z")

    assert len(decoded(at(NOW + FUTURE_SECONDS_MAX * 1000)).events) == 1
    assert refused(at(NOW + FUTURE_SECONDS_MAX * 1000 + 1)) == [DeadReason.FAR_FUTURE]


def test_times_keep_their_instant_whatever_their_offset_and_fraction() -> None:
    texts = ["2026-03-01T08:00:00+08:00", "2026-03-01T00:00:00Z", "2026-03-01t00:00:00.0z",
             "2026-02-28T19:00:00.000999-05:00"]  # fmt: skip
    for values in [[line(time=text)] for text in texts] + [[line(time=text) for text in texts]]:
        (events,) = decoded(*values).events
        assert set(events.at.tolist()) == {EXAMPLE_AT}


def test_absent_values_are_told_from_those_that_are_there() -> None:
    (events,) = decoded(
        line(data={"used_bytes": 0}), line(data={"used_bytes": 0, "allowance_bytes": 0, "rat": "5G"})
    ).events
    assert events.columns["allowance_bytes"].tolist() == [ABSENT, 0]  # type: ignore[union-attr]
    kinds = {field.name: field.kind for field in events.type.fields}
    there = {name: present(kinds[name], column).tolist() for name, column in events.columns.items()}
    assert there == {"used_bytes": [True, True], "allowance_bytes": [False, True], "month_used_bytes": [False, False],
                     "rat": [False, True], "apn": [False, False], "cell_id": [False, False],
                     "roaming": [False, False]}  # fmt: skip


def test_an_event_that_comes_twice_has_one_id() -> None:
    values = [line(), line(), line(id="e-2"), line(source="gx/pgw-4"), line(subject="43")]
    ids = decoded(*values).events[0].ids.tolist()
    assert ids[0] == ids[1] == ids[4]
    assert len({ids[0], ids[2], ids[3]}) == 3


def test_a_subscriber_this_node_does_not_know_is_a_dead_letter() -> None:
    edge = Edge(NOW, known=lambda keys: keys == 42)
    found = decode_structured([line(), line(subject="43")], edge)
    assert found.events[0].keys.tolist() == [42]
    assert [(letter.position, letter.reason) for letter in found.dead] == [(1, DeadReason.UNKNOWN_SUBSCRIBER)]


@pytest.mark.parametrize(
    "number",
    [
        "13812345678",
        "8613812345678",
        "+86 138 1234 5678",
        "0086-138-1234-5678",
        "013812345678",
        "１３８１２３４５６７８",
        r"\u00313812345678",
        "138.1234.5678",
        "\0".join("13812345678"),
    ],
)
def test_no_number_stays_in_a_dead_letter(number: str) -> None:
    for value in (f'{{"subject":"{number}"'.encode(), b"x" * (RAW_BYTES_MAX - 5) + number.encode()):
        (letter,) = decoded(value).dead
        assert b"*" in letter.raw
        assert b"3812" not in letter.raw.replace(b" ", b"").replace(b"-", b"").replace(b"\0", b"").replace(b".", b"")
        assert "３８１２" not in letter.raw.decode(errors="replace")
        assert "1234" not in letter.why
    (letter,) = decoded(line(type="13812345678")).dead
    assert "138" not in letter.why


def test_a_subscriber_key_is_no_number() -> None:
    (letter,) = decoded(line(subject="4815162342108999999", data={})).dead
    assert b"4815162342108999999" in letter.raw
