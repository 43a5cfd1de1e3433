"""Trigger documents as operators write them, and a federation they travel in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from common.kernel.host_list import HostPart, parts_of
from common.rules.trigger_document import parsed
from hq.rpc.federation import Pace
from hq.store import feed, triggers
from hq.store.triggers import Changed
from tests.courier.world import NOW, World

NEWER_KEY = "hours_of_love: 3\n"
"""What an HQ of a later release might write."""

_RULE = """\
  - name: {name}
    scene: data_use
    when: data_used
    adds_up: {{field: used_bytes, to: {limit}}}
    once_a: month
    offer: {{offer: data_10gb, channels: [local_sms], text: 您好, valid_for: 30m}}
"""


def document(*rules: str, limit: int = 5000) -> str:
    """With rules of these names."""
    return "rules:\n" + "".join(_RULE.format(name=name, limit=limit) for name in rules)


def listed_document(rule: str, hosts: Sequence[str]) -> tuple[HostPart, str]:
    """With a rule that names a list beside the document, and the one part of that list."""
    (part,) = parts_of(hosts)
    return part, f"{document(rule)}hosts:\n  sites: {{digest: {part.digest}}}\n"


def names(text: str) -> frozenset[str]:
    return frozenset(rule.name for rule in parsed(text, 0).rules)


@asynccontextmanager
async def world(directory: Path) -> AsyncIterator[World]:
    """A running HQ and two provinces that have not dialled yet."""
    made = World(directory, Pace(lease=30, progress=0.3, poll=0.2))
    await made.start_hq()
    try:
        yield made
    finally:
        await made.close()


def apply(w: World, name: str, text: str) -> int:
    return ring(w, w.hq.do(triggers.apply, name, text, names(text), NOW))


def ring(w: World, changed: Changed) -> int:
    """As after the commit; answers the version."""
    for code in changed.told:
        w.hq.bell.ring(code, feed.CONTROL)
    return changed.now.version
