"""Local requests in the store, from the moment they are asked until all that came of them is known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from enum import IntEnum
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, bindparam, delete, exists, func, insert, select, update

from common.kernel.work_order import LOCAL
from province.local_request import LocalRequest, Outcome
from province.store.tables import local_request


class State(IntEnum):
    WAITING = 1
    AT_HQ = 2
    """Decided here; HQ has yet to say what it grants."""
    DONE = 3


_PEOPLE = {"keys": "<i8", "scores": "<f8", "text_refs": "<u4"}
_COLUMNS = _PEOPLE | {"event_at": "<i8"}
_IS = local_request.c.name == bindparam("of")
_INSERT = insert(local_request)
_LOAD = select(local_request).where(_IS)
_OUTCOME = select(local_request.c.outcome).where(_IS)
_IN_STATE = (
    select(local_request.c.name, func.length(local_request.c["keys"]) / 8)
    .where(local_request.c.state == bindparam("wanted"))
    .order_by(local_request.c.asked_at, local_request.c.name)
)
_DIGEST = select(local_request.c.digest).where(_IS)
_SETTLE = update(local_request).where(_IS).values(state=bindparam("reached"), outcome=bindparam("told"))
_DECIDE = _SETTLE.values(dict.fromkeys(_PEOPLE, b"") | {"texts": "[]", "decided_at": bindparam("at")})
_ANY_WAITS = select(exists().where(local_request.c.state == int(State.WAITING)))
_DROP_OVER = delete(local_request).where(
    local_request.c.rule != "",
    local_request.c.state == int(State.DONE),
    local_request.c.asked_at < bindparam("before"),
)


def put(connection: Connection, request: LocalRequest) -> None:
    """It is decided together with all others that wait by then."""
    row = asdict(request) | {name: getattr(request, name).astype(kind).tobytes() for name, kind in _COLUMNS.items()}
    texts, digest = json.dumps(request.texts, ensure_ascii=False), request.digest()
    connection.execute(_INSERT, row | {"texts": texts, "digest": digest, "state": int(State.WAITING), "outcome": ""})


def digest(connection: Connection, name: str) -> bytes | None:
    """Of what was asked for by that name."""
    found = connection.execute(_DIGEST, {"of": name}).scalar()
    return None if found is None else bytes(found)


def load(connection: Connection, name: str) -> LocalRequest | None:
    """Without its people and texts once it is decided: they are in its work order then, where they can be erased."""
    row = connection.execute(_LOAD, {"of": name}).one_or_none()
    return None if row is None else _request(row)


def waiting(connection: Connection, people_max: int) -> list[str]:
    """Names of those to be decided, in the order they came: at least one, and no more people than `people_max`."""
    names: list[str] = []
    for name, people in connection.execute(_IN_STATE, {"wanted": int(State.WAITING)}):
        people_max -= int(people)
        if names and people_max < 0:
            break
        names.append(name)
    return names


def at_hq(connection: Connection) -> list[str]:
    return [name for name, _ in connection.execute(_IN_STATE, {"wanted": int(State.AT_HQ)})]


def outcome(connection: Connection, name: str) -> Outcome | None:
    """None while it waits."""
    told = connection.execute(_OUTCOME, {"of": name}).scalar_one()
    return _outcome(json.loads(told)) if told else None


def any_waits(connection: Connection) -> bool:
    return bool(connection.execute(_ANY_WAITS).scalar_one())


def decide(connection: Connection, name: str, reached: Outcome, at: int = 0) -> None:
    """It waits no more, since `at` (milliseconds)."""
    connection.execute(_DECIDE, _settled(name, reached) | {"at": at})


def prune(connection: Connection, before: int) -> int:
    """Forget what trigger rules asked for before that moment, and is done; answers how many."""
    return int(connection.execute(_DROP_OVER, {"before": before}).rowcount)


def settle(connection: Connection, name: str, reached: Outcome) -> None:
    """HQ has answered."""
    connection.execute(_SETTLE, _settled(name, reached))


def give_up(connection: Connection) -> None:
    """In a store that came back from a backup: what waits there was perhaps decided, and people contacted."""
    for name in connection.execute(_IN_STATE, {"wanted": int(State.WAITING)}).scalars().all():
        decide(connection, name, Outcome(f"{LOCAL}{name}", 0, {}, refusals=(_GIVEN_UP,)))


_GIVEN_UP = "the province came back from a backup older than the decision; see what was contacted, then ask anew"


_KEPT_APART = ("state", "digest", "outcome", "decided_at")


def _settled(name: str, reached: Outcome) -> dict[str, Any]:
    state = State.AT_HQ if reached.unanswered else State.DONE
    return {"of": name, "reached": int(state), "told": json.dumps(asdict(reached))}


def _outcome(told: Mapping[str, Any]) -> Outcome:
    return Outcome(**{**told, "unanswered": tuple(told["unanswered"]), "refusals": tuple(told["refusals"])})


def _request(row: Row[Any]) -> LocalRequest:
    fields = {name: value for name, value in row._mapping.items() if name not in _KEPT_APART}
    columns = {name: np.frombuffer(fields[name], kind) for name, kind in _COLUMNS.items()}
    return LocalRequest(**{**fields, **columns, "texts": tuple(json.loads(fields["texts"]))})
