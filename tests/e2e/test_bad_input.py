"""What is wrong is told in one line or a short list, with what to do, exit code 2 and no traceback; nothing is kept."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from common.runtime.lifetime import sole_instance
from common.runtime.settings import load
from deploy.cli.root import main
from deploy.local.processes import free_ports
from deploy.operator_client import connect
from hq.settings import HqSettings
from tests.campaigns.conftest import FILE

ROOT = Path(__file__).parents[2]
PEOPLE = "msisdn,province,age,app,plan,arpu\n" + "".join(
    f"1380000{number:04d},45,{20 + number % 60},{'true' if number % 2 else 'false'},畅享,{number}.5\n"
    for number in range(400)
)
LINES_MAX = 12


@dataclass(frozen=True, slots=True)
class Told:
    code: int
    out: str
    error: str


Liandong = Callable[..., Told]


@pytest.fixture
def liandong(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Liandong:
    """Runs the command in this process."""

    def run(*arguments: object) -> Told:
        monkeypatch.setattr(sys, "argv", ["liandong", *map(str, arguments)])
        capfd.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        out, error = capfd.readouterr()
        return Told(code, out, error)

    return run


@pytest.fixture
def refused(liandong: Liandong) -> Callable[..., None]:
    """The command is refused, and what it says matches."""

    def run(*arguments: object, says: str) -> None:
        told = liandong(*arguments)
        assert told.code == 2, told
        assert re.search(says, told.error), told.error
        assert "Traceback" not in told.error
        assert len([line for line in told.error.splitlines() if line.strip()]) <= LINES_MAX, told.error

    return run


Refused = Callable[..., None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an HQ, migrated and with people, and a province that is not enrolled."""
    root = tmp_path_factory.mktemp("made")
    (root / "people.csv").write_text(PEOPLE, encoding="utf-8")
    (port,) = free_ports(1)
    for arguments in (
        ("hq", "init", "hq", "--listen", f"127.0.0.1:{port}"),
        ("hq", "migrate", "--config", "hq/hq.toml"),
        ("import", "subscribers", "people.csv", "--config", "hq/hq.toml"),
        ("province", "init", "45", "gx"),
        ("province", "migrate", "--config", "gx/province.toml"),
    ):
        subprocess.run(
            [sys.executable, "-m", "deploy.cli.root", *arguments], cwd=root, env=_environment(), check=True,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
    return root


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'proto' / 'gen'}"}


@pytest.fixture
def at(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    return made


class TestSettings:
    def test_an_unknown_key_is_refused_by_name(self, refused: Refused, tmp_path: Path) -> None:
        path = tmp_path / "hq.toml"
        path.write_text('lisen = "127.0.0.1:1"\n[tls]\nkee = "x"\n')
        refused("hq", "serve", "--config", path, says=r"hq\.toml: .*lisen: Extra inputs")
        refused("hq", "serve", "--config", path, says=r"tls\.kee: Extra inputs")
        refused("hq", "serve", "--config", path, says=r"listen: Field required.*LIANDONG_<KEY>")

    def test_a_key_of_the_wrong_type_is_refused_by_name(self, refused: Refused, at: Path, tmp_path: Path) -> None:
        path = tmp_path / "province.toml"
        path.write_text((at / "gx" / "province.toml").read_text().replace('code = "45"', "code = 45"))
        refused("province", "serve", "--config", path, says="code: Input should be a valid string")

    @pytest.mark.parametrize(
        ("content", "says"), [(b"\xff\xfe", "not readable as TOML"), (b"a = \n", "not readable as TOML: .*line 1")]
    )
    def test_what_is_no_toml_is_refused(self, refused: Refused, tmp_path: Path, content: bytes, says: str) -> None:
        path = tmp_path / "hq.toml"
        path.write_bytes(content)
        refused("hq", "migrate", "--config", path, says=says)
        refused("import", "orders", "x.csv", "--config", path, says=says)

    def test_a_missing_file_says_what_makes_one(self, refused: Refused) -> None:
        refused(
            "province", "serve", "--config", "no.toml", says="no such settings file; make one with `liandong hq init`"
        )

    def test_the_environment_overrides_the_file(self, at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        before = load(HqSettings, Path("hq/hq.toml"))
        monkeypatch.setenv("LIANDONG_LISTEN", "127.0.0.1:9")
        monkeypatch.setenv("LIANDONG_TLS__KEY", "/elsewhere/hq.key")
        after = load(HqSettings, Path("hq/hq.toml"))
        assert (after.listen, after.tls.key) == ("127.0.0.1:9", Path("/elsewhere/hq.key"))
        assert (after.data_dir, after.tls.certificate) == (before.data_dir, before.tls.certificate)


class TestNodes:
    def test_a_second_instance_on_a_directory_is_refused(self, refused: Refused, at: Path) -> None:
        with sole_instance(at / "hq" / "data"):
            refused("hq", "serve", "--config", "hq/hq.toml", says="in use by a running node; stop that one first")

    def test_a_store_without_tables_says_what_to_run(
        self, refused: Refused, at: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("LIANDONG_DATABASE_URL", f"sqlite:///{tmp_path / 'new.db'}")
        for arguments in (("hq", "serve"), ("import", "subscribers", "people.csv")):
            refused(*arguments, "--config", "hq/hq.toml", says=r"run `liandong hq migrate --config hq/hq\.toml`")

    def test_a_store_that_does_not_answer_or_is_no_store_is_named(
        self, refused: Refused, at: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LIANDONG_DATABASE_URL", "postgresql+psycopg://me:secret@127.0.0.1:1/hq")
        for command in ("serve", "migrate"):
            refused("hq", command, "--config", "hq/hq.toml", says=r"me:\*\*\*@127.0.0.1:1/hq .*refused")
        monkeypatch.setenv("LIANDONG_DATABASE_URL", "postgres://127.0.0.1/hq")
        refused("hq", "migrate", "--config", "hq/hq.toml", says="give postgresql.psycopg")

    def test_a_port_that_is_taken_is_named(self, refused: Refused, at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            monkeypatch.setenv("LIANDONG_LISTEN", f"127.0.0.1:{taken.getsockname()[1]}")
            refused("hq", "serve", "--config", "hq/hq.toml", says="cannot listen at 127.0.0.1:.*port is taken")

    def test_a_province_that_is_not_enrolled_says_how_to(self, refused: Refused, at: Path) -> None:
        for arguments in (("province", "serve"), ("import", "subscribers", "people.csv")):
            refused(*arguments, "--config", "gx/province.toml", says="liandong province enroll")

    def test_a_node_is_never_made_over_another(self, refused: Refused, at: Path) -> None:
        refused("hq", "init", "hq", says="there already; choose another directory")
        refused("province", "init", "45", "gx", says="there already; choose another directory")
        refused("province", "init", "99", "new", says="no province code; give the two digits")

    def test_only_requests_of_provinces_are_signed(self, refused: Refused, at: Path, tmp_path: Path) -> None:
        to = ("--hq", "hq/hq.toml", "--out", tmp_path / "out")
        refused("province", "enroll", "no.csr", *to, says="`liandong province init` makes it")
        refused("province", "enroll", "people.csv", *to, says="not a certificate request.*province init")
        refused("province", "enroll", "gx/province.csr", "--hq", "no.toml", "--out", tmp_path, says="no such settings")
        refused("hq", "certify", "robot", "r", tmp_path, "--config", "hq/hq.toml", says="operator, vendor or bss is")
        refused(
            "hq",
            "certify",
            "bss",
            "b",
            tmp_path,
            "--config",
            "gx/province.toml",
            says="run this where `liandong hq init`",
        )


class TestFiles:
    @pytest.mark.parametrize("kind", ["subscribers", "tags", "orders"])
    def test_a_file_that_is_not_there_is_named(self, refused: Refused, at: Path, kind: str) -> None:
        refused("import", kind, "no.csv", "--config", "hq/hq.toml", says=r"no file no\.csv; check the path")

    def test_a_column_that_is_not_there_is_named_with_those_that_are(self, refused: Refused, at: Path) -> None:
        refused("import", "subscribers", "people.csv", "--number", "phone", "--config", "hq/hq.toml",
                says="no column phone; it has msisdn, province, age")  # fmt: skip
        refused("import", "orders", "people.csv", "--config", "hq/hq.toml", says="columns missing: order_number")

    def test_another_encoding_is_read_and_ragged_lines_are_named(
        self, liandong: Liandong, at: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "more.csv"
        text = PEOPLE.replace("1380000", "1390000") + "13900009999,45\n,45,20,true,畅享,1\n"
        path.write_bytes(text.encode("gb18030"))
        told = liandong("import", "tags", path, "--config", "hq/hq.toml")
        assert (told.code, "all 402 lines were rejected" in told.error) == (2, True)
        path.write_bytes((PEOPLE + "13900009999,45\n,45,20,true,畅享,1\n").encode("gb18030"))
        told = liandong("import", "subscribers", path, "--config", "hq/hq.toml")
        assert told.code == 0
        assert "400 accepted (0 new), 2 rejected" in told.out
        rejects = (tmp_path / "more.csv.rejects.csv").read_text(encoding="utf-8-sig")
        assert re.search(r"(?m)^402,", rejects)
        assert re.search(r"(?m)^403,", rejects)

    def test_a_source_system_too_long_is_refused(self, refused: Refused, at: Path) -> None:
        refused("import", "orders", "people.csv", "--source-system", "x" * 33, "--config", "hq/hq.toml",
                says="--source-system must have at most 32 characters")  # fmt: skip

    def test_an_unknown_encoding_is_refused(self, refused: Refused, at: Path) -> None:
        refused(
            "import",
            "subscribers",
            "people.csv",
            "--encoding",
            "utf-9",
            "--config",
            "hq/hq.toml",
            says="--encoding utf-9: no such encoding; give",
        )

    def test_a_demo_file_must_be_there_and_name_its_id(self, refused: Refused, at: Path) -> None:
        refused("demo", "--data", "people.csv", says="--data needs --id")
        refused("demo", "--data", "no.csv", "--id", "a", says=r"no\.csv: no such file")
        refused("demo", "--data", "people.csv", "--id", "customer", says="no column customer")
        refused("demo", "--keep", ".", says="is not empty; give --keep a folder")


RULES = [
    ("agee >= 20", "no column agee.*did you mean age"),
    ("age >= 'old'", "line 1 column 1: age is a number and 'old' is text; write a number"),
    ("age >= ", "line 1 column .*not understood near"),
    ("age >= 20; DROP TABLE people", "column 10: .*remove the semicolon"),
    ("age IN (SELECT age FROM people)", "not allowed; a rule may use AND, OR"),
    ("read_text('/etc/passwd') = ''", "read_text is not allowed; a rule may use"),
]


class TestRules:
    @pytest.mark.parametrize(("rule", "says"), RULES)
    def test_a_wrong_rule_is_told_with_its_place(self, refused: Refused, at: Path, rule: str, says: str) -> None:
        for command in ("count", "preview"):
            refused("audience", command, "--where", rule, "--config", "hq/hq.toml", says=says)

    def test_a_right_rule_is_counted_and_shown_without_numbers(self, liandong: Liandong, at: Path) -> None:
        rule = ("--where", "age < 30", "--config", "hq/hq.toml")
        counted = liandong("audience", "count", *rule)
        assert (counted.code, counted.error) == (0, "")
        assert re.search(r"45 广西\D+70\b", counted.out)
        shown = liandong("audience", "preview", *rule, "--rows", 3)
        assert shown.out.count("45") >= 3
        assert not re.search(r"1?3800000\d{3}", shown.out)

    def test_a_share_out_of_range_is_refused(self, refused: Refused, at: Path) -> None:
        refused(
            "audience",
            "count",
            "--where",
            "age > 1",
            "--holdout",
            "2",
            "--config",
            "hq/hq.toml",
            says="share is 2.0; give 0 or more and less than 1",
        )

    def test_a_rule_that_selects_nobody_counts_nobody(self, liandong: Liandong, at: Path) -> None:
        told = liandong("audience", "count", "--where", "age > 200", "--config", "hq/hq.toml", "--json")
        assert told.code == 0
        assert '"target": 0' in told.out
        assert "nobody" in liandong("audience", "preview", "--where", "age > 200", "--config", "hq/hq.toml").out

    def test_nobody_known_yet_says_what_to_run(self, refused: Refused, liandong: Liandong, tmp_path: Path) -> None:
        assert liandong("hq", "init", tmp_path / "hq").code == 0
        refused(
            "audience",
            "count",
            "--where",
            "age > 1",
            "--config",
            tmp_path / "hq" / "hq.toml",
            says="import subscribers",
        )


class TestOperators:
    def test_a_wrong_operator_file_is_refused_by_key(self, refused: Refused, at: Path, tmp_path: Path) -> None:
        path = tmp_path / "operator.toml"
        refused("campaign", "status", "--operator", path, says="No such file.*name it by --operator")
        path.write_text("port = 1\n")
        refused("campaign", "status", "--operator", path, says="hq_address: Field required.*port: Extra inputs")
        path.write_bytes(b"\xff")
        refused("report", "spring", "--operator", path, says="not readable as TOML")
        path.write_text((at / "hq" / "operator" / "operator.toml").read_text())
        refused("report", "spring", "--operator", path, says="operator.crt: No such file.*certify")

    def test_an_hq_that_is_not_reached_says_what_to_look_at(self, refused: Refused, at: Path) -> None:
        for command in (("campaign", "status"), ("report", "spring"), ("campaign", "pause", "spring")):
            refused(*command, "--operator", "hq/operator/operator.toml", says="HQ does not answer.*`liandong hq serve`")

    def test_a_campaign_file_that_cannot_be_read_is_refused(self, refused: Refused, at: Path, tmp_path: Path) -> None:
        path, operator = tmp_path / "campaign.yaml", ("--operator", "hq/operator/operator.toml")
        refused("campaign", "validate", "-f", path, *operator, says="No such file or directory; check the path")
        path.write_bytes("name: 春".encode("gb18030"))
        refused("campaign", "apply", "-f", path, *operator, says="byte 6 is not UTF-8; save the file as UTF-8")

    @pytest.mark.parametrize("command", [("demo",), ("report", "spring")])
    def test_a_language_we_do_not_speak_is_refused(self, refused: Refused, command: tuple[str, ...]) -> None:
        refused(*command, "--lang", "fr", says="'fr' is not one of 'zh', 'en'")


@pytest.fixture(scope="module")
def serving(made: Path) -> Iterator[None]:
    log = made / "hq.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.cli.root", "hq", "serve", "--config", "hq/hq.toml"],
            cwd=made, env=_environment(), stdout=file, stderr=file,
        )  # fmt: skip
    while "HQ serves at" not in log.read_text():
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    yield
    process.terminate()
    process.wait(20)


CAMPAIGNS = [
    ("name: spring", "name: [spring", "line 2"),
    ("age >= 20", "agee >= 20", r"line 4.*agee.*did you mean age"),
    ("age >= 20", "age >= 'old'", "line 4.*audience"),
    ("age >= 20", "age >= ", "line 4.*audience"),
    ("age >= 20", "age IN (SELECT 1)", "line 4.*audience"),
    ("age >= 20", "age >= 200", "line 4.*selects nobody.*Widen it"),
    ("channel: local_sms, when: age < 40", "channel: fax", "line 21.*Use one of: sms"),
    ("end: 2026-03-15T21", "end: 2026-02-15T21", "Move end to a later time"),
    ("holdout: 10%", "holdout: ten", "line 5.*holdout"),
    ("attribution_days: 7", "attribution_days: 7\ncolour: red", "line 9.*colour"),
]


@pytest.mark.slow
@pytest.mark.usefixtures("serving", "at")
class TestCampaigns:
    OPERATOR = ("--operator", "hq/operator/operator.toml")

    @pytest.mark.parametrize(("right", "wrong", "says"), CAMPAIGNS)
    def test_a_wrong_campaign_is_told_with_its_line_and_nothing_is_stored(
        self, refused: Refused, liandong: Liandong, tmp_path: Path, right: str, wrong: str, says: str
    ) -> None:
        assert right in FILE
        path = tmp_path / "campaign.yaml"
        path.write_text(FILE.replace(right, wrong), encoding="utf-8")
        for command in ("validate", "apply"):
            refused("campaign", command, "-f", path, *self.OPERATOR, says=says)
        assert liandong("campaign", "status", *self.OPERATOR).out.startswith("no campaigns yet")

    def test_a_campaign_nobody_wrote_is_not_found(self, refused: Refused) -> None:
        for command in ("approve", "pause", "resume", "cancel", "status"):
            refused("campaign", command, "autumn", *self.OPERATOR, says="NOT_FOUND .*autumn")
        refused("report", "autumn", *self.OPERATOR, says="NOT_FOUND .*autumn")

    def test_who_is_no_operator_may_not_plan(self, refused: Refused, liandong: Liandong, tmp_path: Path) -> None:
        assert liandong("hq", "certify", "vendor", "sms-gateway", tmp_path, "--config", "hq/hq.toml").code == 0
        self._operator(tmp_path, "vendor")
        path = tmp_path / "operator.toml"
        refused(
            "campaign", "status", "--operator", path, says="vendor sms-gateway may not call .*certificate of the right"
        )

    def test_the_certificate_of_another_hq_is_not_heard(
        self, refused: Refused, liandong: Liandong, tmp_path: Path
    ) -> None:
        assert liandong("hq", "init", tmp_path / "other").code == 0
        other = tmp_path / "other" / "operator"
        self._operator(other, "operator")
        refused("campaign", "status", "--operator", other / "operator.toml", says="HQ does not answer.*authority")

    def test_a_call_without_a_deadline_is_refused(self) -> None:
        from liandong.campaign.v1 import campaign_pb2 as pb

        async def ask() -> None:
            async with connect(Path(self.OPERATOR[1])) as hq:
                await hq._stub.ListCampaigns(pb.ListCampaignsRequest())

        with pytest.raises(Exception, match="without a deadline; set one"):
            asyncio.run(ask())

    def _operator(self, directory: Path, name: str) -> None:
        text = Path(self.OPERATOR[1]).read_text()
        text = re.sub(r"certificate = .*", f'certificate = "{name}.crt"', text)
        (directory / "operator.toml").write_text(re.sub(r"(?m)^key = .*", f'key = "{name}.key"', text))
