"""Everything a node holds of one person, as a document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from sqlalchemy import Connection, bindparam, select

from common.delivery import consents, erasures, ledger, orders, stops
from common.delivery.tables import vault
from common.kernel.channel import CHANNELS
from common.kernel.order import OrderChange, OrderRecords
from common.kernel.stop import StopScope
from common.kernel.tag import Catalogue, Person
from common.kernel.task import Response, TaskReason, TaskState
from common.kernel.task_block import TaskBlock

Document = dict[str, Any]

_VAULT = select(vault.c.msisdn, vault.c.province, vault.c.active, vault.c.home_since).where(
    vault.c.subscriber_key == bindparam("key")
)


class Warehouse(Protocol):
    """People and their tags as of one snapshot."""

    @property
    def version(self) -> int: ...

    @property
    def catalogue(self) -> Catalogue: ...

    def person(self, key: int, rules: Sequence[Any], columns: Sequence[str] = ()) -> Person | None: ...


def held(connection: Connection, warehouse: Warehouse | None, key: int, now: int) -> Document:
    """See docs/people.md."""
    erased_at = erasures.erased_between(connection, key, key)[1].tolist()
    return {
        "subscriber": f"{key:016x}",
        "at": time_of(now),
        "erased_at": time_of(erased_at[0]) if erased_at else None,
        "vault": _vault(connection, key),
        "tags": _tags(warehouse, key) if warehouse else None,
        "stops": _stops(connection, key),
        "consents": _consents(connection, key),
        "orders": _orders(orders.orders_of_subscriber(connection, key)),
        "contacts": list(_contacts(connection, key)),
    }


def _vault(connection: Connection, key: int) -> Document | None:
    row = connection.execute(_VAULT, {"key": key}).one_or_none()
    if row is None:
        return None
    return {
        "number": f"+{row.msisdn}",
        "province": f"{row.province:02d}",
        "active": bool(row.active),
        "home_since": time_of(row.home_since),
    }


def _tags(current: Warehouse, key: int) -> Document | None:
    person = current.person(key, (), [tag.name for tag in current.catalogue])
    return None if person is None else {"snapshot": current.version, "values": dict(person.values)}


def _stops(connection: Connection, key: int) -> list[Document]:
    said = stops.stops_between(connection, key, key)
    rows = zip(said.scopes.tolist(), said.stopped_at.tolist(), said.lifted.tolist(), strict=True)
    return [{"scope": StopScope(scope).name.lower(), "at": time_of(at), "lifted": lifted} for scope, at, lifted in rows]


def _consents(connection: Connection, key: int) -> list[Document]:
    said = consents.consents_between(connection, key, key)
    times = (said.given_at.tolist(), said.expires_at.tolist(), said.withdrawn.tolist())
    return [
        {
            "purpose": purpose,
            "evidence": evidence,
            "given_at": time_of(given),
            "expires_at": time_of(until),
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
            "accepted_at": time_of(at),
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
        "submitted_at": time_of(int(block.submitted_at[row])),
        "settled_at": time_of(int(block.settled_at[row])),
        "text": block.texts[block.text_refs[row]],
    }


def time_of(moment: int) -> str | None:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None
