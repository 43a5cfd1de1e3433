"""What HQ keeps of single people: their wishes, everything known of one of them, and their erasure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, bindparam, select

from common.delivery import consents, erasures, forgetting, ledger, orders, statements, stops
from common.delivery.tables import vault
from common.kernel.channel import CHANNELS
from common.kernel.columns import Keys
from common.kernel.erasure import erasures_of
from common.kernel.order import OrderChange, OrderRecords
from common.kernel.refusal import Refusal
from common.kernel.statement import Statement
from common.kernel.stop import StopScope
from common.kernel.task import Response, TaskReason, TaskState
from common.kernel.task_block import TaskBlock
from hq.audience import Warehouse
from hq.store import feed, provinces, sessions

Document = dict[str, Any]

_VAULT = select(vault.c.msisdn, vault.c.province, vault.c.active, vault.c.home_since).where(
    vault.c.subscriber_key == bindparam("key")
)


def record(connection: Connection, said: Sequence[Statement], keys: Keys, now: int) -> set[str]:
    """Record people's wishes, all or, with Refusal CONSENT_INVALID, none; answers whose control feed grew."""
    agreed, stopped = statements.record(connection, said, keys, now)
    return {*feed.tell(connection, agreed, now), *feed.tell(connection, stopped, now)}


def erase(connection: Connection, key: int, now: int) -> tuple[int, list[str]]:
    """Forget a person here and have every province do so; answers since when, and whose control feed grew."""
    times, lifted, known = erasures.marks(connection, np.array([key]))
    if known[0] and not lifted[0]:
        return int(times[0]), []
    # Later than anything said of the number, whatever the clocks of others were.
    at = max(now, int(times[0]) + 1)
    news = forgetting.take(connection, erasures_of(np.array([key]), np.array([at], dtype=np.uint32)))
    return at, feed.tell(connection, news, now)


def remains(connection: Connection, key: int, at: int) -> Document:
    """What HQ still holds of somebody erased at `at`."""
    blacklisted = stops.standing_between(connection, key, key)[1] == StopScope.BLACKLIST
    return {
        "subscriber": f"{key:016x}",
        "erased_at": _time(at),
        "contacts": sum(1 for _ in ledger.tasks_of(connection, key)),
        "blacklisted": bool(blacklisted.any()),
        "provinces": provinces.enrolled(connection),
    }


def export(connection: Connection, warehouse: Callable[[], Warehouse], key: int, now: int) -> Document:
    """Everything HQ holds of one person, and with it all that provinces have told it of them. See docs/people.md."""
    erased_at = erasures.erased_between(connection, key, key)[1].tolist()
    known = _vault(connection, key)
    return {
        "subscriber": f"{key:016x}",
        "at": _time(now),
        "erased_at": _time(erased_at[0]) if erased_at else None,
        "vault": known,
        "tags": _tags(warehouse, key),
        "stops": _stops(connection, key),
        "consents": _consents(connection, key),
        "orders": _orders(orders.orders_of_subscriber(connection, key)),
        "contacts": list(_contacts(connection, key)),
        "told_by": _told(connection, known["province"] if known else "", now),
    }


def _vault(connection: Connection, key: int) -> Document | None:
    row = connection.execute(_VAULT, {"key": key}).one_or_none()
    if row is None:
        return None
    return {
        "number": f"+{row.msisdn}",
        "province": f"{row.province:02d}",
        "active": bool(row.active),
        "home_since": _time(row.home_since),
    }


def _tags(warehouse: Callable[[], Warehouse], key: int) -> Document | None:
    try:
        current = warehouse()
    except Refusal:  # nobody was imported yet
        return None
    names = [tag.name for tag in current.catalogue]
    person = current.person(key, (), names)
    return None if person is None else {"snapshot": current.version, "values": dict(person.values)}


def _stops(connection: Connection, key: int) -> list[Document]:
    said = stops.stops_between(connection, key, key)
    rows = zip(said.scopes.tolist(), said.stopped_at.tolist(), said.lifted.tolist(), strict=True)
    return [{"scope": StopScope(scope).name.lower(), "at": _time(at), "lifted": lifted} for scope, at, lifted in rows]


def _consents(connection: Connection, key: int) -> list[Document]:
    said = consents.consents_between(connection, key, key)
    times = (said.given_at.tolist(), said.expires_at.tolist(), said.withdrawn.tolist())
    return [
        {
            "purpose": purpose,
            "evidence": evidence,
            "given_at": _time(given),
            "expires_at": _time(until),
            "withdrawn": no,
        }
        for purpose, evidence, given, until, no in zip(said.purposes, said.evidences, *times, strict=True)
    ]


def _orders(records: OrderRecords) -> list[Document]:
    numbers = (records.revisions, records.changes, records.amounts_fen, records.accepted_at)
    texts = (records.source_systems, records.order_numbers, records.offers)
    return [
        {
            "source_system": source,
            "order_number": number,
            "revision": revision,
            "offer": offer,
            "change": OrderChange(change).name.lower(),
            "amount_fen": amount,
            "accepted_at": _time(at),
        }
        for source, number, offer, revision, change, amount, at in zip(
            *texts, *(column.tolist() for column in numbers), strict=True
        )
    ]


def _contacts(connection: Connection, key: int) -> Iterator[Document]:
    for block, row in ledger.tasks_of(connection, key):
        order = ledger.load_work_order(connection, block.work_order)
        if order is not None:
            named = {"work_order": order.name, "campaign": order.campaign, "wave": order.wave, "offer": order.offer}
            channel = CHANNELS.get(order.channel)
            title = {"zh": channel.title_zh, "en": channel.title_en} if channel else {}
            yield named | {"channel": order.channel, "channel_title": title, "node": order.node} | _task(block, row)


def _task(block: TaskBlock, row: int) -> Document:
    return {
        "task": block.first_task + row,
        "state": TaskState(block.states[row]).name.lower(),
        "reason": TaskReason(block.reasons[row]).name.lower(),
        "reply": Response(block.responses[row]).name.lower(),
        "submitted_at": _time(int(block.submitted_at[row])),
        "settled_at": _time(int(block.settled_at[row])),
        "text": block.texts[block.text_refs[row]],
    }


def _told(connection: Connection, home: str, now: int) -> Document:
    """Provinces tell HQ all they do and hear: while the home is connected nothing is missing but what is on its way."""
    session = sessions.load(connection, home) if home else None
    return {"home": home, "connected": session is not None and session.expires_at > now}


def _time(moment: int) -> str | None:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None
