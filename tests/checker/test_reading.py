"""What nodes and vendors write, read by the checker's own readers: SQLite, PostgreSQL and journals."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import insert, text
from typer.testing import CliRunner

from adapters.channels.journal import Journal
from common.courier import cursor, log
from common.courier import tables as courier_tables
from common.courier.cursor import Place
from common.delivery import consents, ledger, stops, vault
from common.delivery import tables as delivery_tables
from common.kernel.consent import Consents
from common.kernel.stop import stops_of
from common.kernel.task import TaskEvent, TaskReason
from common.kernel.task_block import TaskBlock, advance, open_block
from common.kernel.work_order import WorkOrder, WorkOrderState
from common.runtime.database import Database
from deploy.checker.check import check, examine
from deploy.checker.sources import Sources, UnreadableError, read
from deploy.checker.world import World
from deploy.cli.root import app
from hq.store import tables as hq_tables
from province.store import tables as province_tables

START = 1_789_952_400
"""Nine in the morning, in Shanghai."""
KEYS = np.arange(1, 11, dtype=np.int64)
NUMBERS = 8613800000000 + KEYS
NAME = "spring/1/local_sms/45"
ERASED = {"subscriber_key": 3, "erased_at": START + 600, "lifted": False}
COMPLETED = WorkOrderState.COMPLETED
ORDER = WorkOrder(NAME, "spring", 1, "local_sms", "45", "plan", START, START + 36_000, 5, 10, COMPLETED)


def delivered() -> TaskBlock:
    block = open_block(NAME, 0, KEYS, ("hello",), np.zeros(10, dtype=np.uint32))
    rows = np.arange(10)
    for event, at in ((TaskEvent.BOOK, START), (TaskEvent.ACCEPT, START + 1), (TaskEvent.DELIVER, START + 9)):
        block, _ = advance(block, rows, event, TaskReason.NONE, at)
    return block


class Files:
    """An HQ and a province as their own code leaves them, after ten messages that all arrived."""

    def __init__(self, hq: Database, directory: Path) -> None:
        self.hq = hq
        self.province = Database(f"sqlite:///{directory / 'province.db'}")
        self.province.create(courier_tables.metadata, delivery_tables.metadata, province_tables.metadata)
        self.journal = directory / "accepted.journal"
        for store in (self.hq, self.province):
            self.write(store, vault.put_subscribers, KEYS, NUMBERS, 45)
            self.write(store, ledger.put_work_order, ORDER)
            self.write(store, ledger.insert_block, delivered())
        self._write_logs()
        self.accept(np.arange(10, dtype=np.uint32), START + 1)

    def write(self, store: Database, work: Callable[..., Any], *arguments: Any) -> Any:
        with store.transaction() as connection:
            return work(connection, *arguments)

    def _write_logs(self) -> None:
        self.write(self.province, log.append, "hq", "results", [b"one", b"two", b"three"], START)
        with self.province.transaction() as connection:
            place = log.head_place(connection, "hq", "results")
            assert log.commit(connection, "hq", "results", place)
        self.write(self.hq, cursor.put, "45", "results", place)

    def accept(self, tasks: Any, at: int) -> None:
        journal = Journal(self.journal)
        values = {"channel": "local_sms", "work_order": NAME, "accepted_at": at, "expire_at": ORDER.end_at}
        journal.append([(values, {"tasks": tasks, "msisdns": NUMBERS[tasks]})])
        journal.close()

    def spoil(self, store: Database, statement: str) -> None:
        with store.transaction() as connection:
            connection.execute(text(statement))

    @property
    def sources(self) -> Sources:
        stores = {"hq": self.hq.url, "45": self.province.url}
        return Sources(stores, {"45": [self.journal]}, settled=True)

    def world(self) -> World:
        return read(self.sources)


@pytest.fixture
def files(database: Database, tmp_path: Path) -> Files:
    database.create(hq_tables.metadata)
    return Files(database, tmp_path)


def broken(files: Files) -> set[str]:
    return {finding.rule for finding in check(files.world())}


def test_what_the_nodes_wrote_is_read_whole(files: Files) -> None:
    seen = {finding.rule: finding.seen for finding in examine(files.world())}
    assert broken(files) == set()
    assert (seen["caps_hold"], seen["one_state_each"], seen["one_end_each"]) == (10, 20, 10)
    assert (seen["logs_unbroken"], seen["acknowledged_is_there"]) == (3, 1)


def test_a_counter_that_is_off_is_found_in_the_store(files: Files) -> None:
    files.spoil(files.hq, "UPDATE task_block SET delivered_tasks = 9, failed_tasks = 1")
    assert broken(files) == {"sums_close"}


def test_a_torn_block_is_found_in_the_store(files: Files) -> None:
    files.spoil(files.province, "UPDATE task_block SET settled_at = substr(settled_at, 1, 37)")
    assert "blocks_whole" in broken(files)


def test_a_message_taken_twice_is_found_in_the_journal(files: Files) -> None:
    files.accept(np.array([4], dtype=np.uint32), START + 60)
    assert broken(files) == {"nothing_sent_twice"}


def test_the_default_caps_count_before_a_policy_came(files: Files) -> None:
    for at in (100, 200):
        files.accept(np.array([4], dtype=np.uint32), START + at)
    assert broken(files) == {"nothing_sent_twice", "caps_hold"}


def test_a_rewritten_log_entry_is_found_in_the_store(files: Files) -> None:
    files.spoil(files.province, "UPDATE log_entry SET payload = substr(payload, 2) WHERE sequence = 2")
    assert broken(files) == {"logs_unbroken"}


def test_a_reader_that_lost_its_place_is_found(files: Files) -> None:
    files.write(files.hq, cursor.put, "45", "results", Place(1, 2, 0))
    assert broken(files) == {"acknowledged_is_there"}


def test_half_a_record_at_the_end_of_a_journal_does_not_count(files: Files) -> None:
    whole = files.journal.read_bytes()
    files.accept(np.array([4], dtype=np.uint32), START + 60)
    files.journal.write_bytes(files.journal.read_bytes()[: len(whole) + 20])
    assert broken(files) == set()


def test_a_contact_after_a_stop_its_node_had_written_down_is_found(files: Files) -> None:
    at = np.array([START - 200], dtype=np.uint32)
    stop = stops_of(KEYS[:1], at, np.zeros(1, dtype=np.bool_))
    for store in (files.hq, files.province):
        files.write(store, stops.put_stops, stop, START - 10)
    assert broken(files) == set(), "it was written down too late to keep the message back"
    files.spoil(files.province, f"UPDATE stop SET heard_at = {START - 100}")
    assert broken(files) == {"stops_honoured"}


def test_a_contact_whose_consent_was_withdrawn_is_found(files: Files) -> None:
    for store in (files.hq, files.province):
        files.spoil(store, "UPDATE work_order SET purpose = 'location'")
    assert broken(files) == {"consents_held"}
    times = np.full(10, START - 1_000, dtype=np.uint32), np.full(10, START + 90_000, dtype=np.uint32)
    agreed = Consents(KEYS, ["location"] * 10, ["form 1"] * 10, *times, np.zeros(10, dtype=np.bool_))
    for store in (files.hq, files.province):
        files.write(store, consents.put_consents, agreed, START - 900)
    assert broken(files) == set()
    for store in (files.hq, files.province):
        files.write(store, consents.put_consents, replace(agreed, withdrawn=np.arange(10) == 4), START - 600)
    assert broken(files) == {"consents_held"}


def test_a_number_that_no_vault_knows_is_a_contact_with_a_stranger(files: Files) -> None:
    for store in (files.hq, files.province):
        files.spoil(store, "DELETE FROM vault WHERE subscriber_key = 3")
    assert broken(files) == {"contacts_booked"}
    for store in (files.hq, files.province):
        files.write(store, lambda on: on.execute(insert(delivery_tables.erasure).values(ERASED)))
    assert broken(files) == set()


def test_a_store_that_is_not_there_is_named(files: Files, tmp_path: Path) -> None:
    stores = {**files.sources.stores, "13": str(tmp_path / "absent.db")}
    with pytest.raises(UnreadableError, match="the store of 13"):
        read(replace(files.sources, stores=stores))


def run(files: Files, *more: str) -> Any:
    hq, province = (store.url for store in (files.hq, files.province))
    named = ["--province", f"45={province}", "--journal", f"45={files.journal}"]
    return CliRunner().invoke(app, ["check", "--hq", hq, *named, "--settled", *more])


def test_the_command_answers_a_table_or_json_and_fails_where_a_promise_is_broken(files: Files) -> None:
    held = run(files)
    assert held.exit_code == 0
    assert "caps hold" in held.stdout
    files.accept(np.array([4], dtype=np.uint32), START + 60)
    failed = run(files, "--json")
    told = json.loads(failed.stdout)
    assert failed.exit_code == 1
    assert told["holds"] is False
    (rule,) = [rule for rule in told["rules"] if rule["broken"]]
    assert (rule["invariant"], rule["rule"], rule["broken"]) == ("I8", "nothing_sent_twice", 1)
    assert f"{NAME} task 4" in rule["first"]


def test_the_command_looks_twice_where_asked_to(files: Files) -> None:
    told = json.loads(run(files, "--live", "--watch", "0.01", "--json").stdout)
    assert {"ends_stay", "blocks_stay", "places_stay", "versions_stay"} < {rule["rule"] for rule in told["rules"]}


def test_the_command_says_what_is_wrong_with_its_options(files: Files) -> None:
    for wrong in (["--province", "x"], ["--province", "hq"], ["--journal", f"13={files.journal}"]):
        refused = run(files, *wrong)
        assert refused.exit_code != 0
        assert "name the node first" in str(refused.exception) or "add --province 13" in str(refused.exception)
