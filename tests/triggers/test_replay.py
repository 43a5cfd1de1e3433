"""History through a rule once more: the engine's fires, and why whoever fired would not have been contacted."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer
from sqlalchemy import text
from typer.testing import CliRunner

from adapters.streams.file_source import FileSource
from adapters.streams.journal import Block, Form, Writer
from common.delivery import consents, orders, vault
from common.kernel.consent import Consents
from common.kernel.order import OrderChange, OrderRecords
from deploy.cli.root import app
from deploy.event_history import played
from deploy.local.kafka import Broker
from province.triggers.replay import only, replay
from tests.triggers.documents import document
from tests.triggers.engine_world import (
    EDGE,
    RULES,
    Log,
    Record,
    expected,
    log_of,
    plain,
    produce,
    rules,
)
from tests.triggers.one_province import CODE, NOON, PEOPLE, Province, history, made

DAY = 86_400


@pytest.fixture(scope="module")
def log() -> Log:
    return log_of(1)


@pytest.fixture
def lines(log: Log, tmp_path: Path) -> tuple[Path, Log]:
    """A file of the log's JSON, and the log that it is."""
    kept = [record.value for record in log[0] if record.form is Form.JSON and record.value.startswith(b'{"')]
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n".join(kept))
    return path, [[Record(line, Form.JSON) for line in kept]]


@pytest.mark.parametrize("name", [each.name for each in RULES])
def test_it_fires_as_the_engine_does(lines: tuple[Path, Log], name: str) -> None:
    path, log = lines
    found = replay(played(FileSource(path, lambda: EDGE)), only(rules(), name))
    assert set(plain([found.firing])) == {fire for fire in expected(log) if fire.rule == name}
    assert (np.diff(found.firing.event_at) >= 0).all()
    _closes(found.counts, len(log[0]))


def _closes(counts: Any, count: int) -> None:
    assert counts["in"] == count
    assert counts["in"] == counts["matched"] + counts["not_matched"] + counts["dead"] + counts["late"]
    assert all(times >= 0 for times in counts.values())


@pytest.mark.parametrize("name", [each.name for each in RULES])
def test_in_order_of_time_the_order_of_the_lines_is_nothing(lines: tuple[Path, Log], name: str) -> None:
    """However a file is sorted, nothing of it is late, and what is twice in it counts once."""
    path, (records,) = lines
    told = []
    for seed in (1, 2):
        mixed = [records[place].value for place in np.random.default_rng(seed).permutation(len(records)).tolist()]
        path.write_bytes(b"\n".join(mixed))
        found = replay(played(FileSource(path, lambda: EDGE, by_time=True)), only(rules(), name))
        assert found.counts["late"] == 0
        _closes(found.counts, len(records))
        told.append({fire[:4] for fire in plain([found.firing])})
    assert told[0] == told[1]
    assert told[0]


def _file(tmp_path: Path, values: Sequence[bytes]) -> Path:
    path = tmp_path / "history.jsonl"
    path.write_bytes(b"\n".join(values))
    return path


@pytest.fixture
def province(tmp_path: Path) -> Province:
    return made(tmp_path / "f")


def test_a_dry_run_tells_all_and_writes_nothing(province: Province, tmp_path: Path) -> None:
    file = _file(tmp_path, history(province.keys))
    before = province.files()
    told = province.replay(file, "--rule", "data-80", "--dry-run")
    assert province.files() == before
    assert province.stored() == (0, 0, 0)
    assert told["events"] == {"in": 3 * PEOPLE + 2, "matched": 3 * PEOPLE, "duplicates": PEOPLE, "not_matched": 1,
                              "late": 0, "dead": 1, "missed": 0}  # fmt: skip
    assert (told["fires"], told["people"], told["contacts"]) == (PEOPLE, PEOPLE, PEOPLE)
    assert told["days"] == [{"day": "2026-03-02", "fires": PEOPLE, "contacts": PEOPLE}]
    assert told["first"][0] == {
        "subscriber": str(province.keys[0]), "at": "2026-03-02T11:00:00+08:00", "dropped": None
    }  # fmt: skip
    assert told["handed_over"] == {"late": PEOPLE}
    assert set(told["not_judged"]) == {"other_contacts", "capacity", "as_known_now"}


def test_a_real_run_does_what_the_dry_run_said(province: Province, tmp_path: Path) -> None:
    """Some of it long ago, some of it just now; and twice is as once."""
    then = history(province.keys[:10])[:-2]
    file = _file(tmp_path, [*then, *history(province.keys[10:], NOON + 3590)[:-2]])
    said = province.replay(file, "--rule", "data-80", "--dry-run")
    assert said["handed_over"] == {"late": 10, "asked": PEOPLE - 10}
    done = province.replay(file, "--rule", "data-80")
    assert {**done, "dry_run": True} == said
    assert province.stored() == (PEOPLE, 1, 1)
    again = province.replay(file, "--rule", "data-80")
    assert again["handed_over"] == {"known": PEOPLE}
    assert province.stored() == (PEOPLE, 1, 1)


def _leaves(province: Province, key: int) -> None:
    with province.store.transaction() as connection:
        vault.set_active(connection, np.array([key]), np.array([False]))


def _owns(province: Province, key: int) -> None:
    record = OrderRecords(
        ["bss-45"], ["1"], np.array([1]), np.array([key]), ["data_10gb"],
        np.array([OrderChange.SUBSCRIBED], np.uint8), np.array([0]), np.array([NOON - 5], np.uint32),
    )  # fmt: skip
    with province.store.transaction() as connection:
        orders.put_orders(connection, record, NOON)


def _nobody(province: Province, key: int) -> None:
    with province.store.transaction() as connection:
        connection.execute(text("DELETE FROM vault WHERE subscriber_key = :key"), {"key": key})


@pytest.mark.parametrize(
    ("happens", "why"), [(_leaves, "inactive"), (_owns, "ordered"), (_nobody, "unknown")], ids=["left", "owns", "gone"]
)
def test_who_may_not_be_contacted_is_told_with_the_reason(
    province: Province, tmp_path: Path, happens: Callable[[Province, int], None], why: str
) -> None:
    happens(province, province.keys[3])
    told = province.replay(_file(tmp_path, history(province.keys)), "--rule", "data-80", "--dry-run")
    assert (told["dropped"], told["contacts"]) == ({why: 1}, PEOPLE - 1)
    assert [each["dropped"] for each in told["first"][:5]] == [None, None, None, why, None]


def _draft(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    written = document("trial")
    for old, new in changes:
        assert old in written
        written = written.replace(old, new)
    path = tmp_path / "draft.yaml"
    path.write_text(written, encoding="utf-8")
    return path


def test_a_rule_that_is_not_published_is_tried(province: Province, tmp_path: Path) -> None:
    """At night its offer is over before the quiet hours are; with consent of its own only who gave it is asked."""
    night = _file(tmp_path, history(province.keys, NOON + 9 * 3600 - DAY))
    short = _draft(tmp_path, ("valid_for: 30m", "valid_for: 10h"))
    assert province.replay(night, "--rule", "trial", "--dry-run", "--document", short)["contacts"] == PEOPLE
    late = _file(tmp_path, history(province.keys, NOON + 12 * 3600 - DAY))
    draft = _draft(tmp_path, ("channels:", "purpose: location, channels:"))
    with province.store.transaction() as connection:
        columns = (np.array([NOON - 9], np.uint32), np.array([NOON + 9], np.uint32), np.array([False]))
        consents.put_consents(connection, Consents(np.array(province.keys[:1]), ["location"], ["form"], *columns))
    told = province.replay(late, "--rule", "trial", "--dry-run", "--document", draft)
    assert told["dropped"] == {"no_consent": PEOPLE - 1, "quiet_hours": 1}


def test_its_own_contacts_spend_the_provinces_share(province: Province, tmp_path: Path) -> None:
    """One a day by the built-in policy, two a week."""
    values = [value for day in range(5) for value in history(province.keys[:2], NOON - day * DAY)[:-2]]
    unique = [value.replace(b'"id": "', f'"id": "{place}-'.encode()) for place, value in enumerate(values)]
    draft = _draft(tmp_path, ("once_a: month", "once_a: day"))
    told = province.replay(_file(tmp_path, unique), "--rule", "trial", "--dry-run", "--document", draft)
    assert (told["fires"], told["dropped"]) == (10, {"contact_cap": 6})
    assert [each["contacts"] for each in told["days"]] == [2, 0, 2, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nothing.jsonl", "--rule", "data-80"), "there is no file nothing.jsonl"),
        (("ld.45.events.x.v1", "--rule", "data-80"), "no file here, and the settings name no Kafka"),
        (("journal", "--rule", "data-80"), "is no journal"),
        (("{file}", "--rule", "data-90"), "there is no rule data-90 here; the rules are: data-80"),
        (("{file}", "--rule", "trial", "--document", "{draft}"), "add --dry-run, or apply the document first"),
    ],
)
def test_what_cannot_be_replayed_is_refused_with_a_remedy(
    province: Province, tmp_path: Path, arguments: Sequence[str], says: str
) -> None:
    names = {"file": _file(tmp_path, history(province.keys[:1])), "draft": _draft(tmp_path)}
    told = [each.format(**names) for each in arguments]
    done = CliRunner().invoke(app, ["triggers", "replay", *told, "--config", str(province.config)])
    assert done.exit_code != 0
    assert says in str(done.exception)


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_people_read_it(province: Province, tmp_path: Path, lang: str) -> None:
    _leaves(province, province.keys[3])
    file = _file(tmp_path, history(province.keys))
    arguments = ["triggers", "replay", str(file), "--rule", "data-80", "--dry-run", "--lang", lang, "--as-it-stands"]
    told = province.run(*arguments)
    assert {"zh": "输入 122 = 命中", "en": "in 122 = matched"}[lang] in told
    assert {"zh": "迟到的事件不计入", "en": "what was late is not counted"}[lang] in told
    assert {"zh": "未判断:", "en": "not judged:"}[lang] in told


def test_the_journal_is_replayed_from_its_beginning(province: Province) -> None:
    writer = Writer(province.root / CODE / "data" / "events", 2)
    for number, keys in enumerate((province.keys[:20], province.keys[20:])):
        writer.append([Block(number, Form.JSON, sorted(history(keys)[:-2], key=_time))])
    writer.close()
    told = province.replay("journal", "--rule", "data-80", "--dry-run")
    assert (told["fires"], told["events"]["in"]) == (PEOPLE, 3 * PEOPLE)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_topic_is_replayed_to_where_it_ends(
    kafka: Broker, new_topic: Callable[[Broker, int], str], province: Province
) -> None:
    """Whoever reads it for the engine is left alone; a partition may be empty, and another end with a transaction."""
    topic = new_topic(kafka, 4)
    halves = [province.keys[:20], province.keys[20:]]
    by_time = [sorted(history(keys), key=_time) for keys in halves]
    produce(kafka.address, topic, [[Record(value, Form.JSON) for value in some] for some in by_time])
    _in_a_transaction(kafka.address, topic, 3, by_time[0][1:2])
    settings = province.config
    written = settings.read_text(encoding="utf-8")
    section = f'[triggers]\nsource = "kafka"\nbrokers = "{kafka.address}"'
    settings.write_text(written.replace('[triggers]\nsource = "journal"', section), encoding="utf-8")
    told = province.replay(topic, "--rule", "data-80", "--dry-run")
    assert (told["fires"], told["contacts"], told["events"]["dead"]) == (PEOPLE, PEOPLE, 2)


def _in_a_transaction(address: str, topic: str, partition: int, values: Sequence[bytes]) -> None:
    """Its end takes an offset, at which nothing can be read."""
    producer = Producer({"bootstrap.servers": address, "transactional.id": topic, "log_level": 0})
    producer.init_transactions(60)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value, partition=partition)
    producer.commit_transaction(60)


def _time(value: bytes) -> str:
    return str(json.loads(value)["time"]) if len(value) > 2 else ""
