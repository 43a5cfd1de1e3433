"""Rules that HQ publishes ask for tags and orders at a province, whichever engine serves; all of it as it ships."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
from typer.testing import CliRunner

from adapters.streams.journal import Form
from common.runtime.clock import SteppedClock
from common.runtime.database import Database
from deploy.cli.root import app
from deploy.local.federation import HQ, Local
from deploy.local.kafka import Broker
from tests.triggers.engine_world import Record, event, produce
from tests.triggers.test_fires_reach_vendors import CODE, _federation, _people, _sent, _until
from tests.triggers.test_serve import _push, _serve

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TELL = """\
rules:
  - name: gold
    scene: data_use
    when: data_used
    where: tag.plan = 'gold' AND owns('basic') AND NOT owns('data_10gb')
    once_a: month
    offer: {offer: data_10gb, channels: [local_sms], text: 您好, valid_for: 30m}
tags: {plan: text}
"""
ORDERS = "order_number,revision,msisdn,offer,change,amount_fen,accepted_at"


class Story:
    """Of the first sixty people forty are gold; some have the offer, and some not the basic one."""

    def __init__(self, local: Local, tell: Callable[[list[bytes]], object]) -> None:
        self.local, self._tell = local, tell
        store = Database(f"sqlite:///{local.database(CODE)}")
        numbers, keys = _people(store, (local.home(CODE) / "federation.key").read_bytes())
        store.close()
        self.numbers, self.keys = numbers[:60], keys[:60].tolist()

    async def ask(self, *words: object, node: str = "") -> str:
        arguments = [*map(str, words)]
        if node:
            arguments += ["--config", str(self.local.home(node) / "province.toml")]
        else:
            arguments += ["--operator", str(self.local.home(HQ) / "operator" / "operator.toml")]
        done = await asyncio.to_thread(CliRunner().invoke, app, arguments)
        while "HQ does not answer" in str(done.exception):
            done = await asyncio.to_thread(CliRunner().invoke, app, arguments)
        assert done.exit_code == 0, (done.output, done.exception)
        return done.stdout

    async def refused(self, tags: str) -> str:
        """What HQ says of a document with these."""
        draft = self._file("wrong.yaml", [*TELL.splitlines()[:-1], f"tags: {{plan: text, {tags}}}"])
        operator = str(self.local.home(HQ) / "operator" / "operator.toml")
        done = await asyncio.to_thread(
            CliRunner().invoke, app, ["triggers", "apply", str(draft), "--operator", operator]
        )
        return str(done.exception)

    async def tags(self, gold: Sequence[int]) -> None:
        lines = ["msisdn,plan", *(f"{n},{'gold' if n in gold else 'plain'}" for n in self.numbers)]
        await self.ask("import", "tags", self._file("tags.csv", lines), node=CODE)

    async def order(self, *orders: str) -> None:
        """NUMBER OFFER, each; or NUMBER OFFER unsubscribed."""
        lines = [ORDERS]
        for each in orders:
            number, offer, *ended = each.split()
            change = "2,{},{},unsubscribed" if ended else "1,{},{},subscribed"
            lines.append(f"{number}{offer},{change.format(number, offer)},100,2027-02-01T10:00:00+08:00")
        await self.ask("import", "orders", self._file("orders.csv", lines), node=CODE)

    def _file(self, name: str, lines: Sequence[str]) -> Path:
        path = self.local.root / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    async def happens(self, people: Sequence[int], turn: int) -> None:
        at = datetime.fromtimestamp(SteppedClock(self.local.clock_file).now() - 3, UTC).isoformat()
        keys = [self.keys[self.numbers.index(number)] for number in people]
        await asyncio.to_thread(
            self._tell, [event("data_used", f"{key}-{turn}", key, at, used_bytes=3) for key in keys]
        )

    async def told(self, wanted: Sequence[int]) -> None:
        """They alone have a message."""

        async def all_sent() -> bool:
            return len(_sent(self.local)) >= len(wanted)

        await _until("everybody to be told", all_sent)
        await asyncio.sleep(1)
        assert sorted(_sent(self.local)) == sorted(wanted)

    async def standing(self, says: str) -> None:
        async def said() -> bool:
            return says in await self.ask("triggers", "show", "--json")

        await _until(says, said)


async def _lived(story: Story) -> None:
    """Orders and tags come and go while the engine runs, and it is told of them by itself."""
    people, draft = story.numbers, story._file("scenes.yaml", TELL.splitlines())
    await story.ask("triggers", "apply", draft)
    assert "tag tenure_months is integer here and text" in await story.refused("tenure_months: text")
    await story.standing("there is no tag plan here")
    await story.tags(people[:40])
    await story.standing('"version": 1, "objection": ""')
    await story.order(*(f"{n} basic" for n in people[:50]), *(f"{n} data_10gb" for n in people[:10]))
    await asyncio.sleep(4)
    await story.happens(people, 1)
    await story.told(people[10:40])
    await story.tags(people[40:])
    await story.order(f"{people[41]} basic unsubscribed")
    await asyncio.sleep(4)
    await story.happens(people[40:], 2)
    await story.told([*people[10:41], *people[42:50]])


async def _erased(story: Story) -> None:
    """And nobody who is erased has tags left."""
    number, key = story.numbers[20], story.keys[20]
    await story.ask("people", "erase", number, "--yes")
    files = story.local.home(CODE) / "data"

    async def gone() -> bool:
        kept = [parquet.read_table(path, columns=["subscriber_key"]).column(0) for path in files.rglob("*.parquet")]
        return len(kept) == 1 and key not in kept[0].to_pylist() and len(kept[0]) == 59

    await _until("the tags to go", gone)
    assert json.loads(await story.ask("people", "export", number, "--json", node=CODE))["tags"] is None


def test_events_that_are_pushed(tmp_path: Path) -> None:
    async def trial() -> None:
        async with _federation(tmp_path / "f") as (local, processes):
            await _serve(local, processes)
            story = Story(local, lambda values: asyncio.run(_push(local, values)))
            await _lived(story)
            await _erased(story)

    asyncio.run(trial())


@pytest.mark.parametrize("source", ["kafka", "spark"])
def test_events_on_kafka(source: str, kafka: Broker, new_topic: Callable[[Broker, int], str], tmp_path: Path) -> None:
    topic = new_topic(kafka, 1)

    def tell(values: list[bytes]) -> None:
        produce(kafka.address, topic, [[Record(value, Form.JSON) for value in values]])

    async def trial() -> None:
        async with _federation(tmp_path / "f") as (local, processes):
            settings = local.home(CODE) / "province.toml"
            section = f'[triggers]\nsource = "{source}"\nbrokers = "{kafka.address}"\ntopics = ["{topic}"]'
            written = settings.read_text(encoding="utf-8").replace('[triggers]\nsource = "journal"', section)
            settings.write_text(written, encoding="utf-8")
            await _serve(local, processes)
            await _lived(Story(local, tell))

    asyncio.run(trial())
