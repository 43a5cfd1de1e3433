"""The tags a province has of its own people: brought in, asked for by rules, exported, and erased with the person."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from adapters.warehouse.snapshots import Snapshots
from common.delivery import forgetting
from common.kernel.erasure import erasures_of
from common.kernel.subscriber import subscriber_keys
from common.kernel.tag import Sensitivity, TagType
from deploy.cli.root import app
from deploy.local.federation import HQ
from province import erasing
from province.store import tags, triggers
from tests.triggers.documents import document
from tests.triggers.one_province import CODE, NOON, PEOPLE, Province, history, made

GOLD = 12
RULE = "    where: tag.plan = 'gold' AND NOT owns('data_10gb')\n"
DRAFT = document("local-gold").replace("    adds_up", f"{RULE}    adds_up") + "tags: {plan: text}\n"
ORDERS = "order_number,revision,msisdn,offer,change,amount_fen,accepted_at\n"


@pytest.fixture
def province(tmp_path: Path) -> Province:
    return made(tmp_path / "f")


def numbers(province: Province) -> list[int]:
    """Of its people, in the order of their keys."""
    found = dict(stored(province))
    return [found[key] for key in province.keys]


def stored(province: Province) -> list[tuple[int, int]]:
    with province.store.snapshot() as connection:
        return [tuple(row) for row in connection.execute(text("SELECT subscriber_key, msisdn FROM vault"))]  # type: ignore[misc]


def write(path: Path, header: str, rows: list[str]) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def brought_in(province: Province, path: Path) -> str:
    """The first are gold, and one of them has the offer."""
    told = numbers(province)
    rows = [f"{number},{'gold' if place < GOLD else 'plain'}" for place, number in enumerate(told)]
    said = province.run("import", "tags", write(path / "tags.csv", "msisdn,plan", [*rows, "13900000000,gold"]))
    order = f"o1,1,{told[0]},data_10gb,subscribed,100,2026-03-01T10:00:00+08:00\n"
    (path / "orders.csv").write_text(ORDERS + order, encoding="utf-8")
    province.run("import", "orders", path / "orders.csv")
    return said


def snapshots(province: Province) -> Snapshots:
    return Snapshots(province.root / CODE / "data" / "people")


def held(province: Province) -> list[int]:
    """Whose tags are in any file."""
    files = (province.root / CODE / "data").rglob("*.parquet")
    return sorted(key for file in files for key in parquet.read_table(file).column("subscriber_key").to_pylist())


def test_an_import_keeps_tags_of_the_provinces_own_people(province: Province, tmp_path: Path) -> None:
    said = brought_in(province, tmp_path)
    assert "40 accepted (0 new), 1 rejected" in said
    rejects = (tmp_path / "tags.csv.rejects.csv").read_text(encoding="utf-8")
    assert "nobody with this number is known; import subscribers first" in rejects
    assert held(province) == list(province.keys)
    write(tmp_path / "more.csv", "msisdn,games", [f"{numbers(province)[1]},3.5"])
    province.run("import", "tags", tmp_path / "more.csv", "--sensitive", "Games=internet", "--type", "games=number")
    assert held(province) == list(province.keys), "one file, of which nobody is gone"
    province.run("import", "tags", tmp_path / "more.csv", "--type", "games=number")
    with province.store.snapshot() as connection:
        known = tags.known(connection)
    latest = snapshots(province).latest()
    assert latest
    assert (latest.version, latest.catalogue) == (2, known)
    assert [(tag.name, tag.type, tag.sensitivity) for tag in known] == [
        ("plan", TagType.TEXT, Sensitivity.NORMAL), ("games", TagType.NUMBER, Sensitivity.INTERNET)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        (("--sensitive", "plan=secret"), "write COLUMN=, and one of normal, personal, location, internet"),
        (("--sensitive", "plans=personal"), "tags.csv has no tag plans; it has plan"),
        (("--type", "plan"), "write COLUMN=, and one of integer, number"),
    ],
)
def test_what_is_said_of_a_column_must_be_right(
    province: Province, tmp_path: Path, option: tuple[str, str], problem: str
) -> None:
    file = write(tmp_path / "tags.csv", "msisdn,plan", [f"{numbers(province)[0]},gold"])
    done = CliRunner().invoke(app, ["import", "tags", str(file), "--config", str(province.config), *option])
    assert problem in str(done.exception)
    assert held(province) == []


def test_a_replay_looks_at_tags_and_orders(province: Province, tmp_path: Path) -> None:
    """Of a draft, and of the same rule in force."""
    file, draft = tmp_path / "history.jsonl", tmp_path / "draft.yaml"
    file.write_bytes(b"\n".join(history(province.keys)))
    draft.write_text(DRAFT, encoding="utf-8")
    asked = ["triggers", "replay", str(file), "--rule", "local-gold", "--dry-run", "--json"]
    done = CliRunner().invoke(app, [*asked, "--document", str(draft), "--config", str(province.config)])
    assert "there is no tag plan here" in str(done.exception)
    brought_in(province, tmp_path)
    wanted = [str(key) for key in province.keys[1:GOLD]]
    for document_option in (("--document", draft), ()):
        if not document_option:
            province.run("province", "triggers", "apply", draft)
        before = province.files()
        told = province.replay(file, "--rule", "local-gold", "--dry-run", "--people", PEOPLE, *document_option)
        assert sorted(each["subscriber"] for each in told["first"]) == sorted(wanted)
        assert province.files() == before, "it writes nothing"


def test_a_person_is_exported_with_tags_and_erased_from_them(province: Province, tmp_path: Path) -> None:
    brought_in(province, tmp_path)
    number, key = numbers(province)[2], int(province.keys[2])
    told = json.loads(province.run("people", "export", number, "--json"))
    assert told["tags"] == {"snapshot": 1, "values": {"plan": "gold"}}
    assert (told["vault"]["province"], "told_by" in told) == (CODE, False)
    assert "plan=gold" in province.run("people", "export", number)
    erased(province, [key])
    assert key not in held(province)
    assert len(held(province)) == PEOPLE - 1
    told = json.loads(province.run("people", "export", number, "--json"))
    assert (told["vault"], told["tags"]) == (None, None)
    assert str(number) not in json.dumps(told)


def erased(province: Province, keys: list[int]) -> None:
    """As HQ says it, and the node goes by it."""
    with province.store.transaction() as connection:
        forgetting.take(connection, erasures_of(np.array(keys), np.full(len(keys), NOON, dtype=np.uint32)))
    asyncio.run(erasing.Eraser(province.store, snapshots(province)).erase())


def test_who_was_erased_while_an_import_was_under_way_does_not_stay(province: Province, tmp_path: Path) -> None:
    """The node looks at each new snapshot for all who were ever erased."""
    brought_in(province, tmp_path)
    store, gone = province.store, int(province.keys[0])

    async def story() -> None:
        eraser = erasing.Eraser(store, snapshots(province))
        await eraser.erase()
        with store.transaction() as connection:
            forgetting.take(connection, erasures_of(np.array([gone]), np.array([NOON], dtype=np.uint32)))
        await eraser.erase()
        assert gone not in held(province)
        latest = snapshots(province).latest()
        assert latest
        late = parquet.read_table(latest.path)
        row = late.slice(0, 1).set_column(0, "subscriber_key", [[gone]])
        snapshots(province).publish(late.slice(0, 0).to_batches() + row.to_batches(), latest.catalogue, latest)
        assert gone in held(province)
        await eraser.erase()
        assert gone not in held(province)

    asyncio.run(story())


def test_no_number_is_outside_the_vault(province: Province, tmp_path: Path) -> None:
    told = numbers(province)
    rows = [f"{number},gold,{number}" for number in told]
    said = province.run("import", "tags", write(tmp_path / "tags.csv", "msisdn,plan,contact", rows))
    assert "column contact holds phone numbers and is left out" in said
    for name, content in province.files().items():
        if "/people/" in name and CODE in name:
            assert not any(str(number).encode() in content for number in told), name
    assert subscriber_keys((province.root / HQ / "federation.key").read_bytes(), told).tolist() == list(province.keys)
    with province.store.snapshot() as connection:
        assert triggers.in_force(connection).tags.find("contact") is None
