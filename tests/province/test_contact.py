"""What an operator asks for: refused whole where anything is wrong, and told what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func, select
from typer.testing import CliRunner

from common.delivery import vault
from common.kernel.refusal import Refusal
from common.kernel.subscriber import subscriber_keys
from common.runtime.database import Database
from common.runtime.migrate import migrate
from common.runtime.settings import load
from province import admission, contact, provision
from province.__main__ import MIGRATIONS, app
from province.local_request import LocalRequest, Outcome
from province.people_file import read_people
from province.settings import ProvinceSettings
from province.store import coordination, local_requests
from province.store.tables import local_request
from province.uplink import HqOutlet

NOW = 1_800_000_000
FEDERATION_KEY = b"k" * 32
HERE = [8_613_800_000_001, 8_613_800_000_002, 8_613_800_000_003]
NEXT_DOOR = 8_613_800_000_009


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A province's settings file, with people in its vault."""
    config = provision.new_province(tmp_path / "p", "45", "127.0.0.1:1", "127.0.0.1:2")
    (config.parent / "federation.key").write_bytes(FEDERATION_KEY)
    with config.open("a") as file:
        file.write('\n[[vendors]]\nchannel = "local_sms"\naddress = "127.0.0.1:3"\nname = "v"\n')
    settings = load(ProvinceSettings, config)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.url("province"))
    migrate(database, MIGRATIONS)
    numbers = np.array([*HERE, NEXT_DOOR])
    with database.transaction() as connection:
        keys = subscriber_keys(FEDERATION_KEY, numbers.tolist())
        vault.put_subscribers(connection, keys, numbers, np.array([45, 45, 45, 44]))
    database.close()
    return config


@pytest.fixture
def store(home: Path) -> Iterator[Database]:
    database = Database(load(ProvinceSettings, home).url("province"))
    yield database
    database.close()


@pytest.fixture
def people(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    path.write_text("msisdn,score\n13800000002,0.5\n+86 138 0000 0001,0.25\n", encoding="utf-8-sig")
    return path


def terms(**changed: object) -> LocalRequest:
    given = {
        "name": "spring", "asked_at": NOW, "channel": "local_sms", "offer": "o", "product_line": "", "purpose": "",
        "priority": 50, "end_at": NOW + 3600, "ask_hq": False, "texts": ("您好",),
    }  # fmt: skip
    return LocalRequest(**given | changed)  # type: ignore[arg-type]


def ask(store: Database, home: Path, people: Path, **changed: object) -> None:
    contact.ask(store, load(ProvinceSettings, home), people, terms(**changed))


def count(store: Database) -> int:
    with store.snapshot() as connection:
        return connection.execute(select(func.count()).select_from(local_request)).scalar_one()


def test_people_are_asked_for_by_key_with_their_scores(store: Database, home: Path, people: Path) -> None:
    ask(store, home, people)
    with store.snapshot() as connection:
        request = local_requests.load(connection, "spring")
    assert request is not None
    keys = subscriber_keys(FEDERATION_KEY, [HERE[1], HERE[0]])
    assert request.keys.tolist() == sorted(keys.tolist())
    assert dict(zip(request.keys.tolist(), request.scores.tolist(), strict=True)) == dict(
        zip(keys.tolist(), [0.5, 0.25], strict=True)
    )


def test_numbers_are_not_stored(store: Database, home: Path, people: Path) -> None:
    ask(store, home, people)
    with store.snapshot() as connection:
        row = connection.execute(select(local_request)).one()
    assert "1380000000" not in repr(tuple(row))
    assert all(str(number).encode() not in blob for number in HERE for blob in row if isinstance(blob, bytes))


def test_asking_for_the_same_again_changes_nothing(store: Database, home: Path, people: Path) -> None:
    ask(store, home, people)
    ask(store, home, people, asked_at=NOW + 9, end_at=NOW + 7200)
    assert count(store) == 1
    with pytest.raises(Refusal, match="another content") as refused:
        ask(store, home, people, texts=("别的",))
    assert refused.value.reason == "REQUEST_MISMATCH"


BAD_FILES = {
    "no column 'msisdn'": "number\n13800000001\n",
    "nobody in it": "msisdn\n",
    r"no mainland mobile number \(lines 3\)": "msisdn\n13800000001\n010-88888888\n",
    r"no finite score \(lines 2, 3\)": "msisdn,score\n13800000001,nan\n13800000002,\n",
    r"in the file before \(lines 4\)": "msisdn\n13800000001\n13800000002\n+8613800000001\n",
    r"not at home here \(lines 3, 4\)": "msisdn\n13800000001\n13800000009\n13800000777\n",
    "no CSV table": 'msisdn\n"13800000001\n',
}


@pytest.mark.parametrize("says", BAD_FILES)
def test_a_file_with_anything_wrong_is_refused_whole(store: Database, home: Path, tmp_path: Path, says: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(BAD_FILES[says], encoding="utf-8")
    with pytest.raises(Refusal, match=says) as refused:
        ask(store, home, path)
    assert "138" not in refused.value.message.replace(str(path), "")
    assert count(store) == 0


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gbk.csv"
    path.write_bytes("msisdn,姓名\n13800000001,张三\n".encode("gb18030"))
    with pytest.raises(Refusal, match="save it as UTF-8"):
        read_people(path)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"name": "Spring Sale"}, "name 'Spring Sale'"),
        ({"name": "a" * 49}, "1 to 48"),
        ({"name": "a.0"}, "name 'a.0'"),
        ({"channel": "sms"}, "use one of local_sms"),
        ({"channel": "outbound_call"}, "not run here"),
        ({"offer": ""}, "offer is empty"),
        ({"offer": "x" * 65}, "at most 64"),
        ({"product_line": "a\nb"}, "control characters"),
        ({"priority": 101}, "0 to 100"),
        ({"priority": -1}, "0 to 100"),
        ({"end_at": NOW}, "not ahead of now"),
        ({"end_at": NOW + 8 * 86_400}, "7 days ahead"),
        ({"texts": (" ",)}, "blank"),
        ({"texts": ("字" * 336,)}, "336 characters; local_sms takes 335"),
    ],
)
def test_a_request_with_anything_wrong_is_refused(
    store: Database, home: Path, people: Path, changed: dict[str, object], says: str
) -> None:
    with pytest.raises(Refusal, match=says):
        ask(store, home, people, **changed)
    assert count(store) == 0


@pytest.mark.parametrize("text", ["tomorrow", "2027-03-01T21:00:00", "2027-13-01T21:00:00+08:00"])
def test_a_moment_without_a_zone_is_none(text: str) -> None:
    with pytest.raises(Refusal, match="such as 2027"):
        contact.moment(text)


def command(home: Path, people: Path, *more: str) -> tuple[int, str]:
    arguments = ["contact", str(people), "--name", "spring", "--offer", "o", "--text", "您好", "--config", str(home)]
    ran = CliRunner().invoke(app, [*arguments, "--wait", "0", *more], catch_exceptions=False)
    return ran.exit_code, ran.stdout


def test_the_command_tells_what_came_of_it(store: Database, home: Path, people: Path) -> None:
    code, said = command(home, people)
    assert (code, "no node has decided it yet" in said) == (1, True)
    with store.transaction() as connection:
        request = local_requests.load(connection, "spring")
        assert request is not None
        now = request.asked_at
        books = coordination.books(connection, now)

        class Clock:
            def now(self) -> int:
                return now

            def monotonic(self) -> float:
                return 0.0

        assert admission.admit(connection, books, "45", HqOutlet(Clock()), now)
    assert command(home, people) == (0, "local/spring/1/local_sms/45: 2 granted, 0 denied\n")


def test_the_outcome_is_told_in_words() -> None:
    reached = Outcome(
        "local/a/1/local_sms/45", 9_000, {"contact_cap": 20, "capacity": 3}, (4,), 200, {"no_number": 1}, ("why",)
    )
    assert contact.told(reached) == [
        "local/a/1/local_sms/45: 9,000 granted, 23 denied (20 contact cap reached, 3 no capacity left on the channel)",
        "asked of HQ: 200 granted, 1 denied (1 no number at this node)",
        "HQ has yet to answer (blocks left: 1); run this again to see",
        "refused: why",
    ]
