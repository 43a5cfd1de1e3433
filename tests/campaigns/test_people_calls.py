"""What operators do about single people: their wishes, all that is known of one, and an erasure campaigns survive."""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from liandong.campaign.v1 import coordination_pb2 as pb
from sqlalchemy import insert

from adapters.warehouse.duckdb_warehouse import DuckDbWarehouse
from adapters.warehouse.snapshots import Snapshots
from common.courier.bell import Bell
from common.delivery import consents, ledger, stops, vault
from common.kernel.refusal import Refusal
from common.kernel.stop import StopScope
from common.kernel.subscriber import subscriber_keys
from common.kernel.tag import Catalogue
from common.kernel.task import TaskReason, TaskState
from common.rules.rule_language import check_rule, everyone
from common.runtime.database import Database
from hq.audience import Audience
from hq.erasing import Eraser
from hq.evaluation import People, with_others
from hq.planner import SELECTIONS, Planner
from hq.rpc.people import PeopleCalls
from hq.store import erased, evaluation
from hq.store.tables import province
from tests.campaigns.conftest import CATALOGUE, FEDERATION_KEY, people

PEOPLE = 600
START = 1_772_326_800
NUMBERS = 8_613_800_000_000 + np.arange(PEOPLE)

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def snapshots(tmp_path: Path) -> Snapshots:
    """People whose keys are those of NUMBERS."""
    keys = subscriber_keys(FEDERATION_KEY, NUMBERS.tolist())
    made = Snapshots(tmp_path / "people")
    made.publish(people(PEOPLE).set_column(0, "subscriber_key", [np.sort(keys)]).to_batches(), CATALOGUE)
    return made


@pytest.fixture
def number_of() -> Callable[[int], int]:
    keys = subscriber_keys(FEDERATION_KEY, NUMBERS.tolist())
    known = dict(zip(keys.tolist(), NUMBERS.tolist(), strict=True))
    return lambda key: known[key]


class Desk:
    """An HQ with its people, as an operator meets it."""

    def __init__(self, database: Database, snapshots: Snapshots, clock: Any, directory: Path) -> None:
        self.database, self.snapshots, self.clock, self.directory = database, snapshots, clock, directory
        with database.transaction() as connection:
            for code in ("45", "13"):
                connection.execute(insert(province).values(code=code, enrolled_at=1, build_version="1", seen_at=1))
            keys = subscriber_keys(FEDERATION_KEY, NUMBERS.tolist())
            vault.put_subscribers(connection, keys, NUMBERS, 45)

    def warehouse(self) -> DuckDbWarehouse:
        return DuckDbWarehouse.open(self.snapshots)

    def _calls(self) -> PeopleCalls:
        bell = Bell()
        eraser = Eraser(self.database, self.snapshots, self.clock, self.directory, bell, asyncio.Lock())
        return PeopleCalls(self.database, self.warehouse, self.clock, FEDERATION_KEY, bell, eraser)

    def record(self, *records: pb.ConsentRecord) -> int:
        async def call() -> int:
            return (await self._calls().record(pb.RecordConsentsRequest(records=records), "chen")).recorded

        return asyncio.run(call())

    def export(self, msisdn: int) -> dict[str, Any]:
        async def call() -> str:
            return (await self._calls().export(pb.ExportSubscriberRequest(msisdn=msisdn), "chen")).document_json

        return dict(json.loads(asyncio.run(call())))

    def erase(self, msisdn: int) -> dict[str, Any]:
        async def call() -> str:
            return (await self._calls().erase(pb.EraseSubscriberRequest(msisdn=msisdn), "chen")).document_json

        return dict(json.loads(asyncio.run(call())))

    def tick(self, now: int) -> None:
        self.clock.at = now
        asyncio.run(Planner(self.database, self.warehouse, self.clock, self.directory, Bell()).tick())

    def report(self) -> dict[str, Any]:
        with self.database.snapshot() as connection:
            document = evaluation.report(connection, self.warehouse(), FEDERATION_KEY, "spring", self.clock.now())
            return {name: part for name, part in document.items() if name != "at"}

    def do(self, work: Callable[..., Any], *arguments: Any) -> Any:
        with self.database.transaction() as connection:
            return work(connection, *arguments)


@pytest.fixture
def desk(database: Database, snapshots: Snapshots, clock: Any, tmp_path: Path) -> Desk:
    return Desk(database, snapshots, clock, tmp_path)


@pytest.fixture
def approved(desk: Desk, approve: Callable[..., Audience], file: str) -> list[int]:
    """The people the campaign will contact, by key."""
    audience = approve(desk.database, desk.warehouse(), file)
    ordinals = {o: k for k, o, _ in desk.snapshots.find(1, subscriber_keys(FEDERATION_KEY, NUMBERS.tolist()))}
    return [ordinals[ordinal] for ordinal in audience.contactable]


def given(msisdn: int, **changed: Any) -> pb.ConsentRecord:
    fields = {"purpose": "location", "evidence": "表单 7", "given_at": START - 9_000, "expires_at": START + 9_000}
    return pb.ConsentRecord(msisdn=msisdn, **fields | {"change": pb.CONSENT_CHANGE_GIVEN} | changed)


def said(msisdn: int, scope: str, change: Any = pb.CONSENT_CHANGE_STOPPED) -> pb.ConsentRecord:
    return pb.ConsentRecord(msisdn=msisdn, purpose=scope, change=change)


def test_what_people_agreed_to_and_asked_for_is_recorded_and_told(desk: Desk) -> None:
    one, two = (int(number) for number in NUMBERS[:2])
    assert desk.record(given(one), said(two, "call"), said(two, "blacklist"), given(two, purpose="email")) == 4
    assert sorted(desk.do(consents.all_consents).purposes) == ["email", "location"]
    assert sorted(desk.do(stops.all_stops).scopes.tolist()) == [StopScope.BLACKLIST, StopScope.CALL]
    assert desk.record(said(two, "call", pb.CONSENT_CHANGE_LIFTED)) == 1
    desk.clock.at += 1
    assert desk.record(said(two, "call", pb.CONSENT_CHANGE_LIFTED)) == 1
    assert desk.do(stops.standing_between, 0, 1 << 62)[1].tolist() == [StopScope.BLACKLIST]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"evidence": "  "}, "no evidence"),
        ({"expires_at": START - 9_000}, "expires_at is not after given_at"),
        ({"expires_at": START - 8_000}, "expires_at is over"),
        ({"given_at": START}, "given_at is in the future"),
        ({"given_at": 0}, "given_at is missing"),
        ({"purpose": "horoscope"}, "use one of location, internet, message"),
        ({"msisdn": 12345}, "no mainland mobile number"),
        ({"purpose": "all", "change": pb.CONSENT_CHANGE_WITHDRAWN}, "use one of location, internet, message"),
        ({"purpose": "location", "change": pb.CONSENT_CHANGE_STOPPED}, "use one of all, refused"),
        ({"change": pb.CONSENT_CHANGE_STOPPED, "purpose": "all", "given_at": START}, "given_at is in the future"),
    ],
)
def test_one_wrong_row_refuses_all_of_them_by_its_number(desk: Desk, changed: dict[str, Any], why: str) -> None:
    good = given(int(NUMBERS[0]))
    with pytest.raises(Refusal, match=rf"1 of 3 rows are wrong, so nothing was recorded: row 2: .*{why}") as refused:
        desk.record(good, given(**{"msisdn": int(NUMBERS[1])} | changed), good)
    assert (refused.value.reason, refused.value.metadata["rows"]) == ("CONSENT_INVALID", "2")
    assert len(desk.do(consents.all_consents)) == len(desk.do(stops.all_stops)) == 0


def test_an_export_holds_everything_hq_knows_of_one_person(
    desk: Desk, approved: list[int], number_of: Callable[[int], int]
) -> None:
    number = number_of(approved[0])
    desk.record(given(number), said(number, "email"))
    desk.tick(START)
    document = desk.export(number)
    assert document["subscriber"] == f"{approved[0]:016x}"
    assert (document["vault"]["number"], document["vault"]["province"]) == (f"+{number}", "45")
    assert set(document["tags"]["values"]) == {tag.name for tag in CATALOGUE}
    assert document["tags"]["values"]["age"] >= 20
    (stop,), (consent,), (contact,) = document["stops"], document["consents"], document["contacts"]
    assert (stop["scope"], stop["lifted"]) == ("email", False)
    assert (consent["evidence"], consent["withdrawn"]) == ("表单 7", False)
    assert (contact["campaign"], contact["state"], contact["reply"]) == ("spring", "open", "none")
    assert len(contact["text"]) > 5
    nobody = desk.export(8_613_900_000_000)
    assert not any(nobody[part] for part in ("vault", "tags", "stops", "consents", "orders", "contacts", "erased_at"))
    with pytest.raises(Refusal, match="no mainland mobile number"):
        desk.export(42)


def every_file(directory: Path) -> list[int]:
    """All keys in all Parquet files of an HQ, of which some may go while it looks."""
    found: list[int] = []
    for path in directory.rglob("*.parquet"):
        with suppress(FileNotFoundError):
            found += pq.read_table(path, columns=["subscriber_key"])["subscriber_key"].to_pylist()
    return found


def test_a_report_is_the_same_after_somebody_contacted_was_erased(
    desk: Desk, approved: list[int], number_of: Callable[[int], int]
) -> None:
    desk.tick(START)
    before, gone = desk.report(), approved[3]
    assert all(before["checks"].values())
    answer = desk.erase(number_of(gone))
    assert (answer["contacts"], answer["provinces"], answer["waits_for_a_wave"]) == (1, ["13", "45"], False)
    assert gone not in every_file(desk.directory)
    assert desk.report() == before
    exported = desk.export(number_of(gone))
    assert (exported["vault"], exported["tags"]) == (None, None)
    assert [contact["text"] for contact in exported["contacts"]] == [""]
    again = desk.erase(number_of(gone))
    assert again == answer
    assert desk.report() == before
    desk.tick(START + 92 * 3_600)
    assert all(desk.report()["checks"].values())


def test_a_wave_still_to_come_counts_who_was_erased_as_unreachable(
    desk: Desk, approved: list[int], number_of: Callable[[int], int]
) -> None:
    before = desk.report()
    gone = {approved[0], approved[-1]}
    for key in gone:
        desk.erase(number_of(key))
    assert desk.report() == before
    desk.tick(START)
    report = desk.report()
    assert all(report["checks"].values())
    assert report["people"]["unreachable"] >= 2
    contacted = {key for order in desk.do(ledger.work_orders) for b in desk.do(blocks, order.name) for key in b.keys}
    assert not gone & contacted
    assert all(key not in every_file(desk.directory) for key in gone)


def blocks(connection: Any, name: str) -> list[Any]:
    return list(ledger.blocks(connection, name))


def test_who_was_erased_while_a_wave_was_frozen_is_issued_without_a_text_and_never_contacted(
    desk: Desk, approved: list[int], number_of: Callable[[int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, begun = approved[2], Planner._begin

    async def frozen_only(self: Planner, *arguments: Any) -> None:
        await begun(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Planner, "_begin", frozen_only)
        desk.tick(START)
    assert desk.erase(number_of(gone))["waits_for_a_wave"]
    assert gone in every_file(desk.directory / SELECTIONS)
    desk.tick(START + 1)
    texts = [(b, row) for b, row in desk.do(lambda connection: list(ledger.tasks_of(connection, gone)))]
    assert [b.texts[b.text_refs[row]] for b, row in texts] == [""]

    async def finished() -> None:
        eraser = Eraser(desk.database, desk.snapshots, desk.clock, desk.directory, Bell(), asyncio.Lock())
        job = asyncio.create_task(eraser.run())
        while gone in every_file(desk.directory):  # noqa: ASYNC110 - what it waits for is a file
            await asyncio.sleep(0.01)
        job.cancel()

    asyncio.run(asyncio.wait_for(finished(), 20))
    assert all(desk.report()["checks"].values())
    assert TaskState.OPEN in texts[0][0].states
    assert TaskReason.ERASED not in texts[0][0].reasons


def test_a_crash_after_the_mark_is_made_good_at_the_next_start(
    desk: Desk, approved: list[int], number_of: Callable[[int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, gone = desk.report(), approved[1]

    class Dead(Exception):
        pass

    def die(*_: Any) -> None:
        raise Dead

    with monkeypatch.context() as patched, pytest.raises(Dead):
        patched.setattr(Snapshots, "forget", die)
        desk.erase(number_of(gone))
    assert gone in every_file(desk.directory)
    assert desk.report() == before

    async def restarted() -> None:
        job = asyncio.create_task(
            Eraser(desk.database, desk.snapshots, desk.clock, desk.directory, Bell(), asyncio.Lock()).run()
        )
        while gone in every_file(desk.directory):  # noqa: ASYNC110 - what it waits for is a file
            await asyncio.sleep(0.01)
        job.cancel()

    asyncio.run(asyncio.wait_for(restarted(), 20))
    assert desk.report() == before


def test_who_was_erased_while_an_import_was_under_way_does_not_stay(
    desk: Desk, approved: list[int], number_of: Callable[[int], int]
) -> None:
    gone = approved[1]
    before = desk.snapshots.latest()
    assert before is not None
    others = pq.read_table(before.path, filters=pc.field("subscriber_key") != approved[0])
    desk.erase(number_of(gone))
    eraser = Eraser(desk.database, desk.snapshots, desk.clock, desk.directory, Bell(), asyncio.Lock())

    async def story() -> None:
        await eraser.make_good()
        desk.snapshots.publish(others.to_batches(), before.catalogue, desk.snapshots.latest())
        assert gone in every_file(desk.directory)
        await eraser.make_good()
        assert gone not in every_file(desk.directory)

    asyncio.run(story())


def test_a_full_disk_does_not_end_the_node_that_erases(
    desk: Desk, approved: list[int], number_of: Callable[[int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Snapshots, "forget", full)
        with pytest.raises(OSError, match="No space left"):
            desk.erase(number_of(approved[1]))

        async def run() -> None:
            eraser = Eraser(desk.database, desk.snapshots, desk.clock, desk.directory, Bell(), asyncio.Lock())
            await asyncio.wait_for(eraser.run(), 0.5)

        with pytest.raises(TimeoutError):
            asyncio.run(run())


def test_somebody_erased_is_in_no_later_audience_and_nothing_more_is_recorded(
    desk: Desk, approved: list[int], number_of: Callable[[int], int]
) -> None:
    number = number_of(approved[0])
    desk.erase(number)
    rule = check_rule("age >= 0", Catalogue(CATALOGUE.tags))
    assert sum(desk.warehouse().count(rule).values()) == sum(desk.warehouse().count(everyone()).values()) == PEOPLE - 1
    for record in (given(number), said(number, "all", pb.CONSENT_CHANGE_LIFTED)):
        with pytest.raises(Refusal, match="row 1: this person's data was erased"):
            desk.record(record)
    assert desk.record(said(number, "blacklist")) == 1


def test_others_are_merged_in_their_places_once(desk: Desk) -> None:
    def some(*keys: int) -> People:
        return People(np.array(keys, dtype=np.int64), np.full(len(keys), 45), np.zeros(len(keys), dtype=np.bool_))

    merged = list(with_others([some(2, 4), some(), some(6, 8)], some(1, 4, 5, 9)))
    assert [key for each in merged for key in each.keys.tolist()] == [1, 2, 4, 5, 6, 8, 9]
    assert len(desk.do(erased.members, "none")) == 0
