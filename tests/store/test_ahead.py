"""What goes ahead in the writer's queue: stops do not wait behind bulk."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from common.runtime.database import Database


@pytest.fixture
def store(tmp_path: Path) -> Any:
    database = Database(f"sqlite:///{tmp_path / 'node.db'}")
    yield database
    database.close()


class Line:
    """Writes that note their turn, behind one that holds the writer until it is told to end."""

    def __init__(self, store: Database) -> None:
        self.store, self.turns, self.held = store, list[str](), threading.Event()

    def hold(self, _connection: Connection) -> None:
        assert self.held.wait(10)

    def turn(self, _connection: Connection, name: str) -> str:
        self.turns.append(name)
        return name

    def fail(self, _connection: Connection) -> None:
        raise KeyError("wrong")


def test_who_goes_ahead_waits_only_for_the_write_that_runs(store: Database) -> None:
    async def story() -> None:
        line = Line(store)
        writes = [store.write(line.hold), *(store.write(line.turn, f"bulk {n}") for n in range(3))]
        waiting = [asyncio.ensure_future(each) for each in writes]
        await asyncio.sleep(0.05)
        urgent = [asyncio.ensure_future(store.write(line.turn, f"stop {n}", ahead=True)) for n in range(2)]
        await asyncio.sleep(0.05)
        line.held.set()
        assert await asyncio.gather(*urgent) == ["stop 0", "stop 1"]
        await asyncio.gather(*waiting)
        assert line.turns == ["stop 0", "stop 1", "bulk 0", "bulk 1", "bulk 2"]
        assert await store.write(line.turn, "alone", ahead=True) == "alone"

    asyncio.run(story())


def test_what_goes_wrong_ahead_is_told_to_its_caller_and_holds_up_nobody(store: Database) -> None:
    async def story() -> None:
        line = Line(store)
        waiting = asyncio.ensure_future(store.write(line.hold))
        gone = asyncio.ensure_future(store.write(line.turn, "gone", ahead=True))
        await asyncio.sleep(0.05)
        gone.cancel()
        failing = asyncio.ensure_future(store.write(line.fail, ahead=True))
        after = asyncio.ensure_future(store.write(line.turn, "after"))
        await asyncio.sleep(0.05)
        line.held.set()
        with pytest.raises(KeyError):
            await failing
        await asyncio.gather(waiting, after)
        assert line.turns == ["after"]

    asyncio.run(story())
