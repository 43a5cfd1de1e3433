"""A real HQ and a real province as processes, every row of province 13 marked, and clients with any certificate."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import Message
from liandong.federation.v1 import link_pb2
from sqlalchemy import Column, Connection, Table, insert, inspect, select, text

from adapters.warehouse.population import make_population
from common.courier import log
from common.delivery import ledger, orders
from common.delivery import tables as delivery_tables
from common.kernel.task_block import open_block
from common.kernel.work_order import WorkOrder, WorkOrderState
from common.runtime.database import Database
from common.wire import faults, tls
from deploy.local.federation import HQ, World, fill, lay_out, layout
from hq.store import feed, sources
from hq.store import tables as hq_tables
from tests.isolation.contracts import ABSENT, FOREIGN, MALFORMED, OWN, PLACE, Probe, Values, message_class, wire_name

MINE, THEIRS = "45", "13"
"""Who calls, and whose rows nobody else may see."""
CANARY = "kanarienvogel"
"""Stands in every text of province 13."""
SECONDS = 10.0
WATCH_SECONDS = 1.5
MESSAGES_MAX = 3
NOW = int(time.time())
PEOPLE = 3_000
TASKS = 4
PLANTED, PLANTED_TEXT = 1, "form 1"
"""Stands in every number of a planted row that says nothing of whose it is."""
NOT_PLANTED = {"work_order", "task_block", "log", "log_entry", "vault", "province"}
"""Rows of these are made by the nodes' own functions."""
ASIDE = {("log", "control"), ("log_entry", "control")}
"""Anyone may stop anyone, and everybody is told: these logs of province 13 grow by right."""
BY_RIGHT = {("stop", "stopped_at"), ("session", "fence"), ("session", "expires_at")}
"""Columns that others may change: an HQ that was told it had come back from a backup ends every session."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call came to: its code and reason, and everything said along with it."""

    request: Message
    code: str
    said: tuple[Message, ...] = ()
    detail: str = ""

    @property
    def told(self) -> str:
        """All of it as text, without what the caller had said itself."""
        told = "\n".join([self.detail, *map(str, self.said)])
        for own in texts(self.request):
            told = told.replace(own, "")
        return told

    @property
    def answered(self) -> bool:
        return self.code == "OK"


class Isolation:
    def __init__(self, root: Path) -> None:
        self.local = layout(root)
        people = make_population(PEOPLE, 1)
        world = World(1, NOW - 86_400, 2, None, {})
        lay_out(self.local, world, people, datetime.now(UTC))
        for node in (HQ, MINE, THEIRS):
            fill(self.local, node)
        self.hq = Database(f"sqlite:///{self.local.database(HQ)}")
        self.my_keys, self.their_keys = self._people(MINE), self._people(THEIRS)
        self.marked_key = self.their_keys[-1]
        """Of the person in whose name every table has a row; that they want to be left alone, everybody may know."""
        self.secrets = set(self.their_keys) - {self.marked_key}
        self.values = self._plant()
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """The province's link leads nowhere: all that reaches HQ comes from here."""
        for name in (HQ, THEIRS):
            with (self.local.logs / f"{name}.log").open("ab") as output:
                command = [sys.executable, *self.local.processes()[name]]
                self._processes.append(subprocess.Popen(command, stdout=output, stderr=output, env=dict(os.environ)))
        for node in (HQ, THEIRS):
            with self.channel(node, tls.Identity("province", MINE)) as channel:
                grpc.channel_ready_future(channel).result(timeout=60)

    def close(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(20)
        self.hq.close()

    # Clients

    def certificate(self, who: tls.Identity) -> tls.Pem:
        authority = tls.read(self.local.home(HQ) / "authority.crt", self.local.home(HQ) / "authority.key")
        return tls.issue(authority, who, datetime.now(UTC))

    @contextmanager
    def channel(self, node: str, who: tls.Identity) -> Iterator[grpc.Channel]:
        authority = (self.local.home(HQ) / "authority.crt").read_bytes()
        server = tls.HQ if node == HQ else tls.Identity("province", node)
        options = [("grpc.ssl_target_name_override", server.dns_name)]
        credentials = tls.channel_credentials(authority, self.certificate(who))
        with grpc.secure_channel(self.local.address(node), credentials, options) as channel:
            yield channel

    def call(self, channel: grpc.Channel, probe: Probe, values: Mapping[str, Values] | None = None) -> Answer:
        request = probe.request(values or self.values)
        codec = {
            "request_serializer": lambda message: message.SerializeToString(),
            "response_deserializer": _class_of_answer(probe).FromString,
        }
        try:
            if probe.method.server_streaming:
                return Answer(request, "OK", _heard(channel.unary_stream(wire_name(probe.method), **codec), request))
            answer = channel.unary_unary(wire_name(probe.method), **codec)(request, timeout=SECONDS)
            return Answer(request, "OK", (answer,))
        except grpc.RpcError as error:
            refusal = faults.of_error(error)
            reason = refusal.reason if refusal else ""
            code = f"{error.code().name} {reason}".strip()  # type: ignore[attr-defined]
            return Answer(request, code, (), str(error.details()))  # type: ignore[attr-defined]

    def opened(self, channel: grpc.Channel) -> link_pb2.OpenSessionResponse:
        open_session = channel.unary_unary(
            "/liandong.federation.v1.LinkService/OpenSession",
            request_serializer=link_pb2.OpenSessionRequest.SerializeToString,
            response_deserializer=link_pb2.OpenSessionResponse.FromString,
        )
        ask = link_pb2.OpenSessionRequest(
            instance_id="mine", min_contract_revision=1, max_contract_revision=1, takeover=True
        )
        answer: link_pb2.OpenSessionResponse = open_session(ask, timeout=SECONDS)
        return answer

    # Rows

    def their_rows(self) -> dict[tuple[str, ...], str]:
        """Every row of HQ's store that has to do with province 13, by table and key.

        Anyone may stop anyone and take a consent back, and everybody is told of both; an order record belongs to
        whoever told it.
        """
        with self.hq.snapshot() as connection:
            return {
                key: repr({name: row[name] for name in row if (key[0], name) not in BY_RIGHT})
                for key, row in _every_row(connection)
                if (key[0], row.get("stream")) not in ASIDE and self._theirs(key[0], row)
            }

    def rows(self, node: str, but: Collection[str]) -> dict[tuple[str, ...], str]:
        """Everything in a node's store, by table and key, without the tables `but`."""
        store = Database(f"sqlite:///{self.local.database(node)}")
        with store.snapshot() as connection:
            found = {key: repr(row) for key, row in _every_row(connection) if key[0] not in but}
        store.close()
        return found

    def log_lines(self, node: str) -> list[str]:
        return (self.local.logs / f"{node}.log").read_text(encoding="utf-8").splitlines()

    def _theirs(self, table: str, row: Mapping[str, Any]) -> bool:
        person = row.get("subscriber_key") in self._their_key_set
        if table == "stop":
            return person and bool(row["lifted"] or row["scope"] == PLANTED)
        if table == "consent":
            return person and bool(not row["withdrawn"] or row["evidence"] == PLANTED_TEXT)
        if table == "order_record":
            return CANARY in row["source_system"] and CANARY in row["order_number"] and row["revision"] == PLANTED
        owner = next((str(row[name]) for name in ("province", "peer", "node", "code") if row.get(name)), "")
        if owner or str(row.get("work_order")).endswith(f"/{MINE}"):
            return owner == THEIRS
        return person or any(CANARY in str(value) for value in row.values())

    def owners(self, offer: str) -> list[int]:
        """Whose orders of an offer stand at HQ."""
        with self.hq.snapshot() as connection:
            return [int(key) for key in orders.owners_between(connection, offer, 0, (1 << 63) - 1)]

    def incarnation(self) -> int:
        """HQ's."""
        with self.hq.snapshot() as connection:
            return int(connection.execute(text("SELECT coalesce(max(number), 1) FROM incarnation")).scalar_one())

    # What province 13 has

    def _people(self, province: str) -> list[int]:
        vault = delivery_tables.vault
        with self.hq.snapshot() as connection:
            query = (
                select(vault.c.subscriber_key).where(vault.c.province == int(province)).order_by(vault.c.subscriber_key)
            )
            return [int(key) for key in connection.execute(query).scalars()]

    def _plant(self) -> dict[str, Values]:
        self._their_key_set = set(self.their_keys)
        mine, theirs = self._work_order(MINE, "spring"), self._work_order(THEIRS, f"spring_{CANARY}")
        local = self._local_work_order(MINE)
        self._their_place = self._their_feed()
        place = dict.fromkeys(("after_cursor", "through_cursor", "cursor"), self._their_place.sequence)
        foreign = self._foreign(theirs)
        for table in _tables():
            self._plant_row(table, foreign)
        with self.hq.transaction() as connection:
            sources.claim(connection, THEIRS, [foreign["source_systems"]])
        return {
            OWN: _own(mine, local, self.my_keys[0]),
            FOREIGN: foreign,
            PLACE: place,
            ABSENT: _absent(foreign),
            MALFORMED: _malformed(),
        }

    def _work_order(self, province: str, campaign: str) -> str:
        keys = np.array((self.my_keys if province == MINE else self.their_keys)[:TASKS], dtype=np.int64)
        name = f"{campaign}/1/local_sms/{province}"
        order = WorkOrder(name, campaign, 1, "local_sms", province, campaign, NOW, NOW + 86_400, 5, TASKS)
        block = open_block(name, 0, keys, (f"{campaign} text",), np.zeros(TASKS, dtype=np.uint32))
        with self.hq.transaction() as connection:
            ledger.put_work_order(connection, order)
            ledger.insert_block(connection, block)
            feed.put(connection, province, [order, block], NOW)
        return name

    def _local_work_order(self, province: str) -> str:
        """One of the province's own making that HQ has been told of."""
        name = f"local/r1/local_sms/{province}"
        accepted = WorkOrderState.ACCEPTED
        order = WorkOrder(
            name, "local/r1", 1, "local_sms", province, "own", NOW, NOW + 86_400, 5, 1, accepted, leased=False
        )
        with self.hq.transaction() as connection:
            ledger.put_work_order(connection, order)
        return name

    def _their_feed(self) -> Any:
        with self.hq.snapshot() as connection:
            return log.head_place(connection, THEIRS, "work_orders")

    def _foreign(self, work_order: str) -> dict[str, Any]:
        campaign = work_order.partition("/")[0]
        return {
            "text": work_order,
            "number": self.marked_key,
            "work_order": work_order,
            "name": work_order,
            "campaign": campaign,
            "offer": campaign,
            "offers": campaign,
            "instance_id": f"instance {CANARY}",
            "request_id": f"request-{CANARY}",
            "source_systems": f"bss-{CANARY}",
            "order_numbers": f"N {CANARY}",
            "trigger_event.name": f"scenes-{CANARY}",
            "trigger_standing.name": f"scenes-{CANARY}",
            "province": THEIRS,
            "fence": NOW + 5_000_000,
            "chain": self._their_place.chain,
            "revisions": 2,
            "changes": 3,
            "subscriber_keys": self.marked_key,
            "subscriber_key_deltas": self.marked_key,
        }

    def _plant_row(self, table: Table, foreign: Mapping[str, Any]) -> None:
        """A row of province 13 in a table, whatever its columns are."""
        row = {column.name: _planted(column, foreign) for column in table.columns}
        with self.hq.transaction() as connection:
            connection.execute(insert(table).values(row))


def _every_row(connection: Connection) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Rows by name, each with its table and key."""
    for table in sorted(inspect(connection).get_table_names()):
        key = inspect(connection).get_pk_constraint(table)["constrained_columns"]
        for row in connection.execute(text(f"SELECT * FROM {table}")).mappings():
            yield (table, *(str(row[name]) for name in key)), dict(row)


def _planted(column: Column[Any], foreign: Mapping[str, Any]) -> Any:
    named = {
        "evidence": PLANTED_TEXT,
        "purpose": PLANTED_TEXT,
        "peer": THEIRS,
        "node": THEIRS,
        "province": THEIRS,
        "subscriber_key": foreign["subscriber_keys"],
        "source_system": foreign["source_systems"],
        "order_number": foreign["order_numbers"],
        "expires_at": NOW + 10_000_000,
        "stopped_at": NOW - 1_000,
        "observed_at": NOW - 1_000,
    }
    kind = column.type.python_type
    usual = foreign.get(column.name, CANARY if kind is str else PLANTED)
    value = named.get(column.name, foreign.get(f"{column.table.name}.{column.name}", usual))
    if kind is bytes:
        return CANARY.encode()
    if kind is bool:
        return False
    if kind is str:
        return str(value)[: getattr(column.type, "length", None) or 200]
    return int(value)


def _tables() -> list[Table]:
    """Those whose rows belong to a province or to a person."""
    marks = {"province", "peer", "subscriber_key", "work_order"}
    every = [*hq_tables.metadata.sorted_tables, *delivery_tables.metadata.sorted_tables]
    return [table for table in every if table.name not in NOT_PLANTED and marks & set(table.columns.keys())]


def _own(work_order: str, local: str, key: int) -> dict[str, Any]:
    """Plausible in every field, so that requests get as far as they can. A dotted name is a field of that parent."""
    return {
        "text": "own",
        "number": 1,
        "instance_id": "mine",
        "takeover": True,
        "work_order": work_order,
        "results.work_order": work_order,
        "name": local,
        "task_block.work_order": local,
        "decision.work_order": work_order,
        "campaign": "local/r1",
        "channel": "local_sms",
        "product_line": "",
        "purpose": "",
        "stage": "claim",
        "max_contract_revision": 1,
        "after_cursor": 0,
        "through_cursor": 0,
        "cursor": 0,
        "chain": 0,
        "acknowledged": 0,
        "seconds": NOW,
        "max_duration.seconds": 0,
        "nanos": 100_000_000,
        "subscriber_keys": key,
        "subscriber_key_deltas": key,
        "purposes": "location",
        "start_at": NOW,
        "end_at": NOW + 3_600,
        "given_at": NOW - 100,
        "expires_at": NOW + 100_000,
        "states": 4,
        "task_block.states": 1,
        "tasks.states": 1,
        "reasons": 0,
        "responses": 0,
        "changes": 1,
        "scopes": 0,
        "number_of_block": 0,
        "task_block.number": 0,
        "tasks.number": 0,
        "block_number": 0,
        "text_refs": 0,
        "purpose_refs": 0,
        "offer_refs": 0,
        "source_system_refs": 0,
        "work_order_refs": 0,
        "policy_version": 0,
        "trigger_event.name": "scenes",
        **dict.fromkeys(
            ("submitted_at", "settled_at", "stopped_at", "erased_at", "changed_at", "accepted_at", "decided_at"),
            NOW - 50,
        ),
    }


def _absent(foreign: Mapping[str, Any]) -> dict[str, Any]:
    """Of the same form and length, so that nothing but whether it exists tells the two apart."""
    absent = {name: _other(value) for name, value in foreign.items() if isinstance(value, str)}
    return absent | {"number": foreign["number"] ^ 0xFFFFFF, "fence": 3, "chain": 3}


def _other(text: str) -> str:
    return text.replace(CANARY, CANARY[::-1]) if CANARY in text else "99"


def _malformed() -> dict[str, Any]:
    return {"text": "'; DROP TABLE vault; --\0" + "x" * 300, "number": (1 << 64) - 1, "fence": 0}


def _class_of_answer(probe: Probe) -> Any:
    return message_class(probe.method.output_type)


def _heard(stream: Any, request: Message) -> tuple[Message, ...]:
    """What a stream says first."""
    call, said = stream(request, timeout=WATCH_SECONDS), list[Message]()
    try:
        said += islice(call, MESSAGES_MAX)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
            raise
    finally:
        call.cancel()
    return tuple(said)


def texts(message: Message) -> Iterator[str]:
    """Every text in it, the longest first."""
    found = {value for value in values_of(message) if isinstance(value, str) and value}
    yield from sorted(found, key=len, reverse=True)


def values_of(message: Message) -> Iterator[Any]:
    """Everything in it that is no message itself."""
    for field, value in message.ListFields():
        for each in value if field.is_repeated else [value]:
            if isinstance(each, Message):
                yield from values_of(each)
            else:
                yield each
