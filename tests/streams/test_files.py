"""Files of events, in the catalogue's own form and by a mapping: every line is an event or a dead letter."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.streams import packed
from adapters.streams.cloudevents import encode
from adapters.streams.files import BATCH_ROWS, READ_BYTES, decode_file
from adapters.streams.json_rows import RECORD_BYTES_MAX
from adapters.streams.mapped import decode_lines
from adapters.streams.mapping import SourceMapping, read
from adapters.streams.simulator import EXAMPLE_AT, Plan, batches, population
from adapters.streams.standard import Decoded, Edge, merged
from common.kernel.dead_letter import DeadReason
from common.kernel.event_catalogue import BY_NAME, CATALOGUE
from common.kernel.refusal import Refusal
from common.kernel.subscriber import subscriber_keys
from tests.streams.world import EDGE, NOW, by_type, line, told

FEDERATION_KEY = b"k" * 32
AT_THE_EDGE = Edge(NOW, lambda numbers: subscriber_keys(FEDERATION_KEY, numbers.tolist()))
MAPPING = """\
source: old-billing
format: csv
type_by:
  field: EVENT
  values: {D: data_used, V: voice_call}
id: [SERIAL, PART]
subject: {field: PHONE, as: msisdn}
time: {field: AT, format: "%Y%m%d%H%M%S", zone: Asia/Shanghai}
fields:
  used_bytes: {from: MB, times: 1048576}
  rat: {from: NET, values: {"4": 4G, "5": 5G}}
  apn: {always: 3gnet}
  duration_seconds: {from: SECONDS}
  direction: {from: DIR, values: {MO: outgoing, MT: incoming}}
"""
HEADER = "SERIAL,PART,EVENT,PHONE,AT,MB,NET,SECONDS,DIR\n"


def everything(path: Path, edge: Edge = EDGE, mapping: SourceMapping | None = None) -> Decoded:
    return merged(list(decode_file(path, edge, mapping)))


def dead(found: Decoded) -> list[tuple[int, str]]:
    return [(letter.position, letter.reason.name) for letter in found.dead]


def test_a_mapping_turns_columns_into_events(tmp_path: Path) -> None:
    file = tmp_path / "cdr.csv"
    file.write_text(HEADER + "1,a,D,13812345678,20260301080000,0.5,5,,\n2,a,V,8613912345678,20260301080001,,,61,MO\n")
    found = everything(file, AT_THE_EDGE, read(MAPPING))
    data, voice = (told(events) for events in found.events)
    assert dead(found) == []
    assert data["keys"] == subscriber_keys(FEDERATION_KEY, [8613812345678]).tolist()
    assert voice["keys"] == subscriber_keys(FEDERATION_KEY, [8613912345678]).tolist()
    assert (data["at"], voice["at"]) == ([EXAMPLE_AT], [EXAMPLE_AT + 1_000])
    assert (data["used_bytes"], data["rat"], data["apn"]) == (("int64", [524_288]), ["5G"], ["3gnet"])
    assert (voice["duration_seconds"], voice["direction"]) == (("int64", [61]), ["outgoing"])


def test_lines_that_do_not_fit_are_dead_letters_with_their_line(tmp_path: Path) -> None:
    good = "7,a,D,13812345678,20260301080000,1,5,,\n"
    bad = {
        "1,a,X,13812345678,20260301080000,1,5,,\n": "UNKNOWN_TYPE",
        "2,a,D,12345,20260301080000,1,5,,\n": "SUBJECT_INVALID",
        "3,a,D,13812345678,2026-03-01,1,5,,\n": "TIME_INVALID",
        "4,a,D,13812345678,20260301080000,,5,,\n": "FIELD_MISSING",
        "5,a,D,13812345678,20260301080000,1,6,,\n": "OUT_OF_RANGE",
        "6,a,D,13812345678,20990301080000,1,5,,\n": "FAR_FUTURE",
        "7,a,D,13812345678\n": "SCHEMA_MISMATCH",
    }
    file = tmp_path / "cdr.csv"
    file.write_text(HEADER + "".join(good + each for each in bad))
    found = everything(file, AT_THE_EDGE, read(MAPPING))
    assert dead(found) == [(2 * n + 3, reason) for n, reason in enumerate(bad.values())]
    assert sum(map(len, found.events)) == len(bad)
    for letter in found.dead:
        assert b"13812345678" not in letter.raw
    assert len(set(found.events[0].ids.tolist())) == 1


def test_a_source_with_numbers_needs_somebody_who_knows_keys(tmp_path: Path) -> None:
    file = tmp_path / "cdr.csv"
    file.write_text(HEADER + "1,a,D,13812345678,20260301080000,1,5,,\n")
    with pytest.raises(Refusal, match="federation key"):
        everything(file, EDGE, read(MAPPING))


@pytest.mark.parametrize("name", ["cdr.jsonl", "cdr.parquet"])
def test_the_same_mapping_reads_json_lines_and_parquet(tmp_path: Path, name: str) -> None:
    rows = [{"SERIAL": 1, "PART": "a", "EVENT": "D", "PHONE": 13812345678, "AT": "20260301080000", "MB": 0.5,
             "NET": "5", "SECONDS": None, "DIR": None}]  # fmt: skip
    file = tmp_path / name
    if name.endswith("jsonl"):
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        parquet.write_table(pa.Table.from_pylist(rows), file)
    text = MAPPING.replace("format: csv", f"format: {name[4:]}")
    found = everything(file, AT_THE_EDGE, read(text))
    assert dead(found) == []
    assert told(found.events[0])["keys"] == subscriber_keys(FEDERATION_KEY, [8613812345678]).tolist()
    assert told(found.events[0])["used_bytes"] == ("int64", [524_288])


def test_an_event_has_one_identity_however_its_source_writes_it(tmp_path: Path) -> None:
    """Numbers and texts in turn, and numbers that a float would take for one another."""
    serials = [20260301000000001 + n for n in range(6)]
    for name, write in (("a", str), ("b", int), ("c", lambda n: n if n % 2 else str(n))):
        lines = [json.dumps({"SERIAL": write(n), "PART": "a", "EVENT": "D", "PHONE": write(13812345678),
                             "AT": "20260301080000", "MB": 1}) for n in serials]  # fmt: skip
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    rows = [f"{n},a,D,13812345678,20260301080000,1,5,,\n" for n in serials]
    (tmp_path / "d.csv").write_text(HEADER + "".join(rows))
    table = pa.table({"SERIAL": serials, "PART": ["a"] * 6, "EVENT": ["D"] * 6, "PHONE": [13812345678] * 6,
                      "AT": ["20260301080000"] * 6, "MB": [1] * 6})  # fmt: skip
    parquet.write_table(table, tmp_path / "e.parquet")
    seen = set()
    for file in sorted(tmp_path.iterdir()):
        found = everything(file, AT_THE_EDGE, read(MAPPING.replace("format: csv", f"format: {file.suffix[1:]}")))
        assert dead(found) == []
        seen.add(tuple(sorted(identity for events in found.events for identity in events.ids.tolist())))
    (only,) = seen
    assert len(set(only)) == len(serials)


_MEMBERS = st.sampled_from(["SERIAL", "PHONE", "MB", "AT", "EVENT", "NET"])
_WRITTEN = st.one_of(
    st.sampled_from(["1", "x", 1, 2, 1.5, True, None, [1], {"a": 1}, 1 << 70, 13812345678]), st.floats()
)
_RECORDS = st.lists(
    st.one_of(
        st.dictionaries(_MEMBERS, _WRITTEN).map(
            lambda some: json.dumps(
                {"SERIAL": 1, "PART": "a", "EVENT": "D", "PHONE": "13812345678", "AT": "20260301080000", "MB": 1} | some
            ).encode()
        ),
        st.sampled_from([b"{", b"[]", b"null", b"", b'{"SERIAL": 1, "SERIAL": "b"}', b"\xff"]),
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(_RECORDS, st.randoms(use_true_random=False))
def test_what_becomes_of_a_record_does_not_depend_on_the_others(records: list[bytes], chance: Random) -> None:
    mapping = read(MAPPING.replace("format: csv", "format: jsonl"))

    def fates(rows: list[int]) -> dict[int, tuple[object, ...]]:
        found = decode_lines([records[row] for row in rows], np.array(rows, dtype=np.int64), AT_THE_EDGE, mapping)
        events = {int(p): (e.type.name, int(i), int(k), int(at)) for e in found.events
                  for p, i, k, at in zip(e.positions, e.ids, e.keys, e.at, strict=True)}  # fmt: skip
        letters = {letter.position: (letter.reason,) for letter in found.dead}
        assert len(events) + len(letters) == found.count == len(rows)
        return {**events, **letters}

    alone = {row: fate for row in range(len(records)) for row, fate in fates([row]).items()}
    every = list(range(len(records)))
    chance.shuffle(every)
    assert fates(every) == alone


@pytest.mark.parametrize(
    ("time", "cell"),
    [("{field: AT}", "2026-03-01T08:00:00+08:00"), ("{field: AT, format: unix_seconds}", "1772323200"),
     ("{field: AT, format: unix_millis}", "1772323200000"),
     ('{field: AT, format: "%d/%m/%Y %H:%M", zone: Asia/Urumqi}', "01/03/2026 06:00"),
     ('{field: AT, format: "%Y-%m-%d %H:%M:%S", zone: America/New_York}', "2026-02-28 19:00:00")],
)  # fmt: skip
def test_a_mapping_says_how_times_are_written(tmp_path: Path, time: str, cell: str) -> None:
    text = MAPPING.replace('{field: AT, format: "%Y%m%d%H%M%S", zone: Asia/Shanghai}', time)
    file = tmp_path / "cdr.csv"
    file.write_text(HEADER + f"1,a,D,13812345678,{cell},1,5,,\n2,a,D,13812345678,nonsense,1,5,,\n")
    found = everything(file, AT_THE_EDGE, read(text))
    assert told(found.events[0])["at"] == [EXAMPLE_AT]
    assert dead(found) == [(3, "TIME_INVALID")]


@pytest.mark.parametrize(
    ("old", "new", "told_as"),
    [
        ("source: old-billing", "sauce: old-billing", "sauce: unknown key. Known here: source, format"),
        ("V: voice_call", "V: voice_cal", "line 5, column 29: type_by.values.V: there is no event type voice_cal"),
        ("as: msisdn", "as: phone", "line 7, column 29: subject.as"),
        ("Asia/Shanghai", "Asia/Peking", "there is no time zone Asia/Peking"),
        ('"%Y%m%d%H%M%S"', '"%Q"', "%Q is not supported"),
        ('"%Y%m%d%H%M%S"', "noon", "must be rfc3339"),
        ("times: 1048576", "times: many", "fields.used_bytes.times"),
        ("  apn: {always: 3gnet}", "  speed: {from: S}", "line 12, column 10: fields.speed: no such field"),
        ("  apn: {always: 3gnet}", "  apn: {}", "`from` (a column) or `always`"),
        ("  apn: {always: 3gnet}", "  apn: {from: A, times: 2}", "only numbers can be scaled"),
        ("  used_bytes: {from: MB, times: 1048576}\n", "", "data_used needs used_bytes"),
        ("id: [SERIAL, PART]", "id: []", "at least 1 entry"),
        (
            "  values: {D: data_used, V: voice_call}",
            "  words: {}",
            "type_by.words: unknown key. Known here: field, values",
        ),
        ("type_by:", "type: data_used\ntype_by:", "and not both"),
        ('{"4": 4G, "5": 5G}', '{"4": [4G]}', "must be a word or a number"),
    ],
)
def test_a_mapping_that_is_wrong_is_refused_with_its_line(old: str, new: str, told_as: str) -> None:
    assert old in MAPPING
    with pytest.raises(Refusal) as refusal:
        read(MAPPING.replace(old, new))
    assert told_as in refusal.value.message


def test_own_files_of_every_form_say_the_same(tmp_path: Path) -> None:
    made = list(batches(Plan((BY_NAME["data_used"], BY_NAME["subway"]), 200, 1, population(9, 1), EXAMPLE_AT)))
    lines = [text for batch in made for text in encode(batch).to_pylist()]
    (tmp_path / "e.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "e.arrows").write_bytes(b"".join(map(packed.encode, made)))
    tables = [_plain(batch) for batch in made]
    table = pa.concat_tables(tables, promote_options="default")
    parquet.write_table(table, tmp_path / "e.parquet")
    import pyarrow.csv as arrow_csv

    arrow_csv.write_csv(table, tmp_path / "e.csv")
    ways = [everything(tmp_path / f"e.{form}") for form in ("jsonl", "arrows", "parquet", "csv")]
    for way in ways:
        assert dead(way) == []
        assert by_type(way) == by_type(ways[0])


def _plain(batch: pa.RecordBatch) -> pa.Table:
    columns = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        columns[name] = column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
        if pa.types.is_timestamp(column.type):
            columns[name] = pa.array([str(text).replace(" ", "T") for text in column.cast(pa.string()).to_pylist()])
    kind = batch.schema.metadata[b"type"].decode()
    return pa.table(columns | {"type": pa.array([kind] * batch.num_rows)})


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([line(), b"", b"  ", b"{", line() + b"\r", line(subject="x"), b"\xff"]), max_size=30))
def test_every_line_of_a_file_is_counted_once(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    file = tmp_path_factory.mktemp("lines") / "e.jsonl"
    file.write_bytes(b"\n".join(lines))
    found = everything(file)
    assert found.count == sum(bool(each.strip()) for each in lines)
    bad = [number for number, each in enumerate(lines, 1) if each.strip() and each.strip() != line()]
    assert [letter.position for letter in found.dead] == bad


def test_a_line_without_end_takes_no_memory_and_the_next_is_read(tmp_path: Path) -> None:
    file = tmp_path / "e.jsonl"
    with file.open("wb") as out:
        out.write(line() + b"\n")
        for _ in range(12):
            out.write(b"x" * READ_BYTES)
        out.write(b"\n" + line() + b"\n")
    found = everything(file)
    assert dead(found) == [(2, "TOO_LARGE")]
    assert found.count == 3


def test_lines_are_numbered_over_blocks_and_batches(tmp_path: Path) -> None:
    file, count = tmp_path / "e.jsonl", 2 * BATCH_ROWS + 5
    bad = {1, BATCH_ROWS, BATCH_ROWS + 1, count}
    file.write_bytes(b"".join((b"{" if n in bad else line()) + b"\n" for n in range(1, count + 1)))
    assert file.stat().st_size > READ_BYTES > RECORD_BYTES_MAX
    found = everything(file)
    assert {letter.position for letter in found.dead} == bad
    assert found.count == count


def test_a_cut_packed_file_gives_what_is_whole(tmp_path: Path) -> None:
    made = list(batches(Plan(CATALOGUE[:1], 40, 1, population(9, 1), EXAMPLE_AT), rows=10))
    file = tmp_path / "e.arrows"
    file.write_bytes(b"".join(map(packed.encode, made))[:-100])
    found = everything(file)
    assert sum(map(len, found.events)) == 30
    assert [letter.reason for letter in found.dead] == [DeadReason.TRUNCATED]


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    for name, content, told_as in (
        ("no.jsonl", None, "there is no file"),
        ("e.xlsx", b"PK", "cannot be told"),
        ("e.parquet", b"PAR1junk", "damaged Parquet"),
        ("e.csv", b"a,b\n1,2\n", "has no column id, source, type, subject, time"),
    ):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(Refusal, match=told_as):
            everything(tmp_path / name)
