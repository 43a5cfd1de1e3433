"""Names of the logs' streams, here and on the wire."""

from __future__ import annotations

from typing import Any

from liandong.federation.v1 import feed_pb2, uplink_pb2

from common.kernel.refusal import Refusal, invalid

HQ = "hq"
"""The peer a province writes to and reads from."""

TOPICS: dict[str, Any] = {
    "control": feed_pb2.TOPIC_CONTROL,
    "work_orders": feed_pb2.TOPIC_WORK_ORDERS,
    "orders": feed_pb2.TOPIC_ORDERS,
}
OUTBOX_STREAMS: dict[str, Any] = {
    "control": uplink_pb2.OUTBOX_STREAM_CONTROL,
    "results": uplink_pb2.OUTBOX_STREAM_RESULTS,
    "orders": uplink_pb2.OUTBOX_STREAM_ORDERS,
    "pool": uplink_pb2.OUTBOX_STREAM_POOL,
}
CONTROL_LANE = frozenset({"control"})
"""Streams that travel ahead of bulk, on a connection of their own."""


def topic_name(value: int) -> str:
    return _name(TOPICS, value, "topic")


def outbox_name(value: int) -> str:
    return _name(OUTBOX_STREAMS, value, "outbox stream")


def _name(names: dict[str, Any], value: int, what: str) -> str:
    for name, code in names.items():
        if code == value:
            return name
    raise _unknown(names, value, what)


def _unknown(names: dict[str, Any], value: int, what: str) -> Refusal:
    return invalid(f"{what} {value} is not known here; this build knows {', '.join(names)}")
