from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from liandong.federation.v1 import feed_pb2, uplink_pb2

from common.kernel.consent import Consents
from common.kernel.erasure import Erasures
from common.kernel.host_list import HostPart
from common.kernel.incarnation import Retold
from common.kernel.order import OrderChange, OrderRecords, PoolChange
from common.kernel.policy import PolicyDocument, PolicyEvent
from common.kernel.pool import PoolChanges
from common.kernel.refusal import Refusal
from common.kernel.result import Results
from common.kernel.stop import Stops, StopScope
from common.kernel.task import Response, TaskReason, TaskState
from common.kernel.task_block import TaskBlock, open_block
from common.kernel.trigger_version import TriggerEvent, TriggerVersion
from common.kernel.work_order import WorkOrder, WorkOrderCommand, WorkOrderEvent, WorkOrderState
from common.wire import codec, columns

names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=20)
keys = st.integers(0, columns.KEY_MAX)
times = st.integers(0, (1 << 32) - 1)
counts = st.integers(0, 1 << 31)


def column(values: list[int], kind: str) -> Any:
    return np.array(values, dtype=kind)


@st.composite
def lists(draw: st.DrawFn, *each: st.SearchStrategy[Any]) -> list[list[Any]]:
    rows = draw(st.lists(st.tuples(*each), min_size=1, max_size=30))
    return [list(values) for values in zip(*rows, strict=True)]


@st.composite
def results(draw: st.DrawFn) -> Results:
    tasks = sorted(draw(st.sets(times, min_size=1, max_size=30)))
    codes = st.tuples(*map(st.sampled_from, (TaskState, TaskReason, Response)), times, times)  # type: ignore[arg-type]
    rows = [draw(codes) for _ in tasks]
    states, reasons, responses, submitted, settled = zip(*rows, strict=True)
    return Results(draw(names), column(tasks, "i8"), column(states, "u1"), column(reasons, "u1"),
                   column(responses, "u1"), column(submitted, "u4"), column(settled, "u4"))  # fmt: skip


@st.composite
def orders(draw: st.DrawFn) -> OrderRecords:
    cut = draw(lists(names, names, counts, keys, names, st.sampled_from(OrderChange), st.integers(-(10**12), 10**12),
                     times))  # fmt: skip
    return OrderRecords(cut[0], cut[1], column(cut[2], "i8"), column(cut[3], "i8"), cut[4], column(cut[5], "u1"),
                        column(cut[6], "i8"), column(cut[7], "u4"))  # fmt: skip


@st.composite
def stops(draw: st.DrawFn) -> Stops:
    key, time, lifted, scope = draw(lists(keys, times, st.booleans(), st.sampled_from(StopScope)))
    return Stops(column(key, "i8"), column(time, "u4"), column(lifted, "?"), column(scope, "u1"))


@st.composite
def consents(draw: st.DrawFn) -> Consents:
    cut = draw(lists(keys, names, names, times, times, st.booleans()))
    return Consents(column(cut[0], "i8"), cut[1], cut[2], column(cut[3], "u4"), column(cut[4], "u4"),
                    column(cut[5], "?"))  # fmt: skip


@st.composite
def erasures(draw: st.DrawFn) -> Erasures:
    key, time, lifted = draw(lists(keys, times, st.booleans()))
    return Erasures(column(key, "i8"), column(time, "u4"), column(lifted, "?"))


@st.composite
def pool(draw: st.DrawFn) -> PoolChanges:
    key, change, time = draw(lists(keys, st.sampled_from(PoolChange), times))
    return PoolChanges(column(key, "i8"), column(change, "u1"), column(time, "u4"))


@st.composite
def blocks(draw: st.DrawFn) -> TaskBlock:
    who = column(sorted(draw(st.sets(keys, min_size=1, max_size=30))), "i8")
    texts = tuple(draw(st.lists(names, min_size=1, max_size=3)))
    refs = column([draw(st.integers(0, len(texts) - 1)) for _ in who], "u4")
    return open_block(draw(names), draw(counts), who, texts, refs)


states = st.sampled_from(WorkOrderState)
work_orders = st.builds(WorkOrder, names, names, counts, names, st.just("45"), names, times, times, counts, counts,
                        states, counts, names, st.booleans(), st.booleans(), keys, names, counts)  # fmt: skip
policies = st.builds(PolicyDocument, counts, names)
policy_events = st.builds(PolicyEvent, counts, names)
trigger_versions = st.builds(TriggerVersion, counts, names, names, st.lists(names).map(tuple), st.booleans())
host_parts = st.builds(
    HostPart, st.text("0123456789abcdef", min_size=64, max_size=64), st.integers(0, 2), st.integers(3, 64),
    st.binary(min_size=1, max_size=30),
)  # fmt: skip
trigger_events = st.builds(TriggerEvent, names, counts, names)
retold = st.builds(Retold, keys)
commands = st.builds(WorkOrderCommand, names, states, counts)
events = st.builds(WorkOrderEvent, names, states, names)


def same(one: Any, other: Any) -> bool:
    pairs = [(getattr(one, field.name), getattr(other, field.name)) for field in fields(one)]
    return type(one) is type(other) and all(np.array_equal(a, b) for a, b in pairs)


@given(st.one_of(results(), orders(), stops(), pool(), events, work_orders, blocks(), consents(), erasures(),
                 policy_events, trigger_events, retold))  # fmt: skip
def test_what_goes_up_comes_out_as_it_went_in(value: Any) -> None:
    entry = uplink_pb2.OutboxEntry.FromString(codec.outbox_entry(value))
    assert same(codec.read_outbox_entry(entry, "45"), value)


@given(st.one_of(blocks(), orders(), stops(), work_orders, commands, policies, trigger_versions, host_parts, consents(),
                 erasures()))  # fmt: skip
def test_what_goes_down_comes_out_as_it_went_in(value: Any) -> None:
    entry = feed_pb2.FeedEntry.FromString(codec.feed_entry(value))
    assert same(codec.read_feed_entry(entry, "45"), value)


@given(blocks(), st.sampled_from(TaskState), st.sampled_from(TaskReason))
def test_a_snapshot_block_tells_states_and_reasons(block: TaskBlock, state: TaskState, reason: TaskReason) -> None:
    block.states[:], block.reasons[:] = state, reason
    entry = feed_pb2.FeedEntry.FromString(codec.feed_entry(block, snapshot=True))
    assert same(codec.read_feed_entry(entry, "45"), block)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    for message, read in ((uplink_pb2.OutboxEntry(), codec.read_outbox_entry),
                          (feed_pb2.FeedEntry(), lambda entry: codec.read_feed_entry(entry, "45"))):  # fmt: skip
        with suppress(DecodeError, Refusal):
            message.MergeFromString(content)
            read(message)


def test_deltas_that_overflow_are_refused() -> None:
    for deltas in ([1 << 63], [columns.KEY_MAX, 1], [(1 << 64) - 1, 2], [5, (1 << 64) - 2]):
        with pytest.raises(Refusal, match="out of range"):
            columns.from_deltas("block", deltas, columns.KEY_MAX)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda b: b.text_refs.__setitem__(0, 9), "BLOCK_MALFORMED"),
        (lambda b: b.text_refs.pop(), "BLOCK_MALFORMED"),
        (lambda b: b.states.extend([1]), "BLOCK_MALFORMED"),
        (lambda b: b.states.extend([1, 99]), "BLOCK_MALFORMED"),
        (lambda b: b.subscriber_key_deltas.__setitem__(1, 0), "BLOCK_MALFORMED"),
        (lambda b: b.subscriber_key_deltas.extend([1] * 10_000), "BLOCK_TOO_LARGE"),
    ],
)
def test_a_spoilt_task_block_is_refused(spoil: Callable[[Any], object], reason: str) -> None:
    block = open_block("w", 0, column([3, 5], "i8"), ("a",), column([0, 0], "u4"))
    entry = feed_pb2.FeedEntry.FromString(codec.feed_entry(block))
    spoil(entry.task_block)
    with pytest.raises(Refusal) as refused:
        codec.read_feed_entry(entry, "45")
    assert refused.value.reason == reason


def test_a_block_too_large_for_a_message_is_refused_where_it_is_made() -> None:
    texts = tuple(f"{n} " + "长" * 100 for n in range(10_000))
    block = open_block("w", 0, np.arange(10_000), texts, np.arange(10_000, dtype=np.uint32))
    with pytest.raises(Refusal, match="cut the block smaller") as refused:
        codec.feed_entry(block)
    assert refused.value.reason == "BLOCK_TOO_LARGE"


def test_a_payload_from_the_future_is_passed_over_below_and_refused_above() -> None:
    assert codec.read_feed_entry(feed_pb2.FeedEntry(cursor=1), "45") is None
    with pytest.raises(Refusal, match="upgrade HQ"):
        codec.read_outbox_entry(uplink_pb2.OutboxEntry(sequence=1))


def test_a_full_block_of_results_takes_milliseconds() -> None:
    rows = 10_000
    full = Results("w", np.arange(rows), *(np.full(rows, 4, dtype="u1"),) * 3, *(np.full(rows, 1 << 30, "u4"),) * 2)
    times = []
    for _ in range(10):
        began = perf_counter()
        codec.read_outbox_entry(uplink_pb2.OutboxEntry.FromString(codec.outbox_entry(full)))
        times.append(perf_counter() - began)
    assert min(times) < 0.02
