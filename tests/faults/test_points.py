"""Every durable step has a failpoint on either side; a process dies at each, but for the trigger engine's."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.kernel.refusal import Refusal
from common.runtime import failpoint
from common.runtime.database import Database, step_of
from tests.faults import durable
from tests.faults.points import EVERY_POINT

POINTS_MIN = 60


def test_every_durable_step_has_its_failpoints() -> None:
    assert durable.scan().faults == []


def test_the_table_of_failpoints_is_that_of_the_source() -> None:
    assert sorted(durable.scan().points) == sorted(EVERY_POINT)
    assert len(EVERY_POINT) >= POINTS_MIN


@pytest.mark.parametrize(
    "source",
    [
        "def keep(path):\n    os.fsync(path)",
        "from common.runtime.directory import sync_directory\ndef keep(path):\n    sync_directory(path)",
        "from pathlib import Path\ndef keep(path):\n    reach('it.before_sync')\n    path.replace(other)",
        "async def keep(database):\n    await database.write(lambda connection: None)",
        "def keep(database):\n    with database.transaction() as connection:\n        pass",
    ],
    ids=["unguarded sync", "unguarded directory", "half guarded rename", "nameless work", "nameless transaction"],
)
def test_a_durable_step_without_failpoint_is_found(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hq").mkdir()
    (tmp_path / "hq" / "new.py").write_text(source, encoding="utf-8")
    monkeypatch.setattr(durable, "ROOT", tmp_path)
    (fault,) = durable.scan().faults
    assert fault.startswith("hq/new.py:")


def _work(connection: object) -> None: ...


class _Owner:
    def _work(self, connection: object) -> None: ...


def test_a_step_is_named_by_its_module_and_function() -> None:
    assert step_of(_work) == step_of(_Owner()._work) == "test_points.work"


def test_a_failpoint_acts_at_the_nth_time_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _arm("step.before_commit:3:raise")
    _reach("step.before_commit", "step.after_commit", "step.before_commit")
    with pytest.raises(failpoint.FailpointError):
        failpoint.reach("step.before_commit")
    _reach("step.before_commit")


def test_a_failpoint_before_the_commit_undoes_and_one_after_it_does_not(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'node.db'}")
    with database.transaction() as connection:
        connection.exec_driver_sql("CREATE TABLE kept (moment TEXT)")
    for moment in ("before_commit", "after_commit"):
        _arm(f"keep.{moment}:1:raise")
        with pytest.raises(failpoint.FailpointError), database.transaction("keep") as connection:
            connection.exec_driver_sql("INSERT INTO kept VALUES (?)", (moment,))
    with database.snapshot() as connection:
        assert connection.exec_driver_sql("SELECT moment FROM kept").all() == [("after_commit",)]
    database.close()


def test_a_failpoint_may_stand_still() -> None:
    _arm("step:1:hang=0.2")
    begun = time.monotonic()
    failpoint.reach("step")
    assert time.monotonic() - begun >= 0.2


def test_a_failpoint_kills_and_names_itself_last() -> None:
    code = "from common.runtime.failpoint import reach; reach('one'); reach('two'); print('alive')"
    environment = {failpoint.TESTING: "1", failpoint.VARIABLE: "one:2:kill,two:1:kill"}
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=environment, cwd=durable.ROOT, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (-9, b"", b"failpoint two\n")


@pytest.mark.parametrize("told", ["step", "step:1", "step:x:kill", "step:1:burn", "step:1:hang=long"])
def test_what_is_no_failpoint_is_refused(told: str) -> None:
    with pytest.raises(Refusal, match="write name:nth:kill"):
        _arm(told)


def test_a_failpoint_outside_of_tests_is_refused() -> None:
    with pytest.raises(Refusal, match="unset it"):
        failpoint.arm({failpoint.VARIABLE: "step:1:kill"})


def test_an_unarmed_failpoint_costs_next_to_nothing() -> None:
    begun = time.perf_counter()
    for _ in range(100_000):
        failpoint.reach("step.before_commit")
    assert time.perf_counter() - begun < 0.5


@pytest.fixture(autouse=True)
def disarmed(monkeypatch: pytest.MonkeyPatch) -> object:
    yield
    failpoint.arm({})


def _arm(told: str) -> None:
    failpoint.arm({failpoint.TESTING: "1", failpoint.VARIABLE: told})


def _reach(*names: str) -> None:
    for name in names:
        failpoint.reach(name)
