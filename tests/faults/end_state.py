"""What must be true when all has come to rest, read from the stores and the vendors' journals past every node."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from adapters.channels.journal import read_journal
from adapters.channels.script import NO_REPLY, REPLY_TEXTS, fates
from common.kernel.subscriber import subscriber_keys
from deploy.checker.check import check
from deploy.checker.sources import Sources, read
from deploy.local.federation import HQ, NODES
from tests.faults.world import DAY, ODDS, Federation

MARGIN_SECONDS = 2
STOP_TEXTS = ("TD", "退订")


class Evidence:
    """Everything a trial left behind."""

    def __init__(self, of: Federation) -> None:
        self._of = of
        self._key = (of.local.home(HQ) / "federation.key").read_bytes()
        self._accepted = {node: list(read_journal(of.local.journal(node))) for node in NODES}

    def wrong(self) -> list[str]:
        """What contradicts a promise: the end checker's findings, and what was acknowledged and then forgotten."""
        sources = Sources(
            {node: self._of.store(node) for node in NODES},
            {node: [self._of.local.journal(node)] for node in NODES},
            self._key,
            settled=True,
            margin_seconds=MARGIN_SECONDS,
        )
        found = [f"{each.rule}: {each.broken} of {each.seen}, {each.first}" for each in check(read(sources))]
        return [*found, *self._campaigns(), *self._orders(), *self._replies()]

    @property
    def contacts(self) -> int:
        return sum(len(batch.tasks) for batches in self._accepted.values() for batch in batches)

    def _campaigns(self) -> Iterator[str]:
        """Whatever an operator was told is approved was carried out."""
        issued = {row[0] for row in self._of.query(HQ, "SELECT DISTINCT campaign FROM work_order")}
        yield from (f"{name} was approved, and nothing came of it" for name in self._of.approved if name not in issued)

    def _orders(self) -> Iterator[str]:
        """Every record a source ever showed is at HQ once, and at the province whose source it is."""
        for node in NODES:
            source = "cbss" if node == HQ else f"bss-{node}"
            path = self._of.local.home(f"bss-{node}") / "data" / "orders.jsonl"
            orders = [json.loads(line)["order"] for line in path.read_text(encoding="utf-8").splitlines()]
            shown = {(order["order_number"], order["revision"]) for order in orders}
            statement = "SELECT order_number, revision FROM order_record WHERE source_system = :source"
            for holder in {HQ, node}:
                rows = self._of.query(holder, statement, source=source)
                if len(rows) != len(set(rows)) or set(rows) != shown:
                    yield f"{source} showed {len(shown)} records, {len(rows)} are at {holder}"

    def _replies(self) -> Iterator[str]:
        """Whoever wrote TD on any channel is stopped at HQ and at the node that was told."""
        stop = [code for code, said in enumerate(REPLY_TEXTS) if said in STOP_TEXTS]
        for node, batches in self._accepted.items():
            for batch in batches:
                if (batch.accepted_at - self._of.world.midnight) // DAY in self._of.forgotten:
                    continue
                drawn = fates(ODDS, self._of.seed, batch.channel, batch.work_order, batch.msisdns)
                asked = self._keys(batch.msisdns[(drawn.replies != NO_REPLY) & np.isin(drawn.replies, stop)])
                for holder in {HQ, node}:
                    if set(asked.tolist()) - self._stopped(holder):
                        yield f"{node} was told of stops in {batch.work_order} that are not known at {holder}"

    def _stopped(self, node: str) -> set[int]:
        return {int(row[0]) for row in self._of.query(node, "SELECT subscriber_key FROM stop")}

    def _keys(self, msisdns: NDArray[np.int64]) -> NDArray[np.int64]:
        return subscriber_keys(self._key, msisdns.tolist())
