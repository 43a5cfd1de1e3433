"""The contracts: linted, generated code up to date, never broken, and their bytes readable for ever."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from liandong.federation.v1 import feed_pb2, link_pb2, uplink_pb2
from liandong.types.v1 import host_pb2, order_pb2, pool_pb2

PROTO = Path(__file__).parents[2] / "proto"
GOLDEN = Path(__file__).with_name("golden.txt")
WITH_TOOLS = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def run(*command: str, cwd: Path = PROTO) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=WITH_TOOLS, capture_output=True, text=True, check=False)


def test_the_contracts_lint_clean() -> None:
    linted = run("buf", "lint")
    assert linted.returncode == 0, linted.stdout


def test_nothing_released_is_broken() -> None:
    compared = run("buf", "breaking", "--against", "baseline.binpb")
    assert compared.returncode == 0, compared.stdout


def test_a_changed_field_would_be_noticed(tmp_path: Path) -> None:
    shutil.copytree(PROTO, tmp_path / "proto", ignore=shutil.ignore_patterns("gen"))
    uplink = tmp_path / "proto/liandong/federation/v1/uplink.proto"
    uplink.write_text(uplink.read_text().replace("uint64 fence = 1;", "string fence = 1;", 1))
    assert "fence" in run("buf", "breaking", "--against", "baseline.binpb", cwd=tmp_path / "proto").stdout


def test_generated_code_is_what_the_contracts_generate(tmp_path: Path) -> None:
    generated = run("sh", "generate.sh", str(tmp_path))
    assert generated.returncode == 0, generated.stderr
    fresh, committed = _files(tmp_path), _files(PROTO / "gen")
    assert fresh.keys() == committed.keys()
    stale = [name for name, content in fresh.items() if committed[name] != content]
    assert not stale, "run `sh proto/generate.sh`"


def _files(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*_pb2*.py*") if path.suffix != ".pyc"}


WORK_ORDER = feed_pb2.WorkOrder(
    name="spring/1/local_sms/45", campaign="spring", wave=1, channel="local_sms", offer="5G", start_at=1790000000,
    end_at=1790086400, priority=5, task_count=3, state=feed_pb2.WORK_ORDER_STATE_ISSUED, version=1,
)  # fmt: skip
BLOCK = feed_pb2.TaskBlock(
    work_order="spring/1/local_sms/45", number=2, subscriber_key_deltas=[1, 2, 1 << 62], texts=["您好", "TD退订"],
    text_refs=[0, 1, 0], states=[1, 4, 5],
)  # fmt: skip
STOPS = feed_pb2.StopBlock(subscriber_keys=[7, (1 << 63) - 1], lifted=[False, True], stopped_at=[1790000000, 1])
ORDERS = order_pb2.OrderBlock(
    source_systems=["bss-45"], source_system_refs=[0, 0], order_numbers=["A1", "A1"], revisions=[1, 2],
    subscriber_keys=[7, 7], offers=["5G"], offer_refs=[0, 0], changes=[1, 3], amounts_fen=[9900, -9900],
    accepted_at=[1790000000, 1790000001],
)  # fmt: skip
RESULTS = uplink_pb2.ResultBlock(
    work_order="spring/1/local_sms/45", task_deltas=[20000, 1, 300], states=[4, 5, 8], reasons=[0, 1, 40],
    responses=[2, 0, 4], submitted_at=[1790000000, 0, 1790000002], settled_at=[1790000005, 1790000006, 1790000007],
)  # fmt: skip
POOL = pool_pb2.PoolBlock(subscriber_keys=[7], changes=[3], changed_at=[1790000000])
POSITION = link_pb2.OutboxPosition(stream=uplink_pb2.OUTBOX_STREAM_RESULTS, epoch=2, sequence=9, chain=1 << 60)

MESSAGES: dict[str, Any] = {
    "OpenSessionRequest": link_pb2.OpenSessionRequest(
        instance_id="one", build_version="0.1.0", min_contract_revision=1, max_contract_revision=1,
        capabilities=["x"], outbox_positions=[POSITION], takeover=True,
    ),
    "OpenSessionResponse": link_pb2.OpenSessionResponse(
        fence=1790000000, lease_duration=Duration(seconds=15), contract_revision=1, capabilities=["x"],
        limits=link_pb2.Limits(block_rows_max=10000, message_bytes_max=1048576, unacknowledged_entries_max=128,
                               watch_duration_max=Duration(seconds=3600), progress_interval=Duration(seconds=15)),
        feed_positions=[link_pb2.FeedPosition(topic=feed_pb2.TOPIC_CONTROL, epoch=1, oldest_cursor=3, head_cursor=9,
                                              committed_cursor=4)],
        committed_positions=[POSITION], server_time=Timestamp(seconds=1790000000),
    ),
    "RenewSessionRequest": link_pb2.RenewSessionRequest(fence=1790000000),
    "RenewSessionResponse": link_pb2.RenewSessionResponse(
        lease_duration=Duration(seconds=15), server_time=Timestamp(seconds=1790000000)
    ),
    "CloseSessionRequest": link_pb2.CloseSessionRequest(fence=1790000000),
    "WatchFeedRequest": feed_pb2.WatchFeedRequest(
        fence=1, topic=feed_pb2.TOPIC_ORDERS, epoch=1, after_cursor=5, chain=77, max_duration=Duration(seconds=600)
    ),
    "WatchFeedResponse.work_order": feed_pb2.WatchFeedResponse(
        batch=feed_pb2.FeedBatch(entries=[feed_pb2.FeedEntry(cursor=1, work_order=WORK_ORDER, chain=5)])
    ),
    "WatchFeedResponse.blocks": feed_pb2.WatchFeedResponse(
        batch=feed_pb2.FeedBatch(entries=[
            feed_pb2.FeedEntry(cursor=2, task_block=BLOCK, chain=6),
            feed_pb2.FeedEntry(cursor=3, stops=STOPS, chain=7),
            feed_pb2.FeedEntry(cursor=4, orders=ORDERS, chain=8),
            feed_pb2.FeedEntry(cursor=5, chain=9, command=feed_pb2.WorkOrderCommand(
                work_order="spring/1/local_sms/45", state=feed_pb2.WORK_ORDER_STATE_PAUSED, version=2)),
        ])
    ),
    "WatchFeedResponse.trigger_versions": feed_pb2.WatchFeedResponse(
        batch=feed_pb2.FeedBatch(entries=[
            feed_pb2.FeedEntry(cursor=6, chain=10, trigger_version=feed_pb2.TriggerVersion(
                name="scenes", version=3, document="rules: []\n", paused=["data-80", "流量"])),
            feed_pb2.FeedEntry(cursor=7, chain=11, trigger_version=feed_pb2.TriggerVersion(
                name="national", version=4, withdrawn=True)),
        ])
    ),
    "WatchFeedResponse.host_parts": feed_pb2.WatchFeedResponse(
        batch=feed_pb2.FeedBatch(entries=[
            feed_pb2.FeedEntry(cursor=8, chain=12, host_part=host_pb2.HostPart(
                digest="ab" * 32, number=1, count=3, content=b"\x78\x9c\x00")),
        ])
    ),
    "WatchFeedResponse.progress": feed_pb2.WatchFeedResponse(
        progress=feed_pb2.FeedProgress(head_cursor=9, server_time=Timestamp(seconds=1790000000))
    ),
    "WatchFeedResponse.reset": feed_pb2.WatchFeedResponse(
        reset=feed_pb2.FeedReset(epoch=2, snapshot_cursor=9, snapshot_entries=4, chain=77)
    ),
    "CommitFeedRequest": feed_pb2.CommitFeedRequest(
        fence=1, topic=feed_pb2.TOPIC_WORK_ORDERS, epoch=1, through_cursor=9, chain=77
    ),
    "CommitFeedResponse": feed_pb2.CommitFeedResponse(committed_cursor=9),
    "AppendRequest": uplink_pb2.AppendRequest(
        fence=1, stream=uplink_pb2.OUTBOX_STREAM_RESULTS, epoch=1, entries=[
            uplink_pb2.OutboxEntry(sequence=1, results=RESULTS, chain=5),
            uplink_pb2.OutboxEntry(sequence=2, orders=ORDERS, chain=6),
            uplink_pb2.OutboxEntry(sequence=3, stops=STOPS, chain=7),
            uplink_pb2.OutboxEntry(sequence=4, pool=POOL, chain=8),
            uplink_pb2.OutboxEntry(sequence=5, chain=9, work_order_event=uplink_pb2.WorkOrderEvent(
                work_order="spring/1/local_sms/45", state=feed_pb2.WORK_ORDER_STATE_REJECTED, detail="无此渠道")),
        ],
    ),
    "AppendRequest.trigger_events": uplink_pb2.AppendRequest(
        fence=1, stream=uplink_pb2.OUTBOX_STREAM_CONTROL, epoch=1, entries=[
            uplink_pb2.OutboxEntry(sequence=1, chain=5, trigger_event=uplink_pb2.TriggerEvent(
                name="scenes", version=3, objection="line 1: 无此键")),
            uplink_pb2.OutboxEntry(sequence=2, chain=6, trigger_event=uplink_pb2.TriggerEvent(
                name="national", version=4)),
        ],
    ),
    "AppendResponse": uplink_pb2.AppendResponse(epoch=1, committed_sequence=5, chain=9, pause=Duration(nanos=5)),
}  # fmt: skip


def golden() -> dict[str, bytes]:
    """One `name hex` a line. A released line is never changed: a new form of a message gets a new name."""
    lines = (line.split() for line in GOLDEN.read_text().splitlines() if not line.startswith("#"))
    return {name: bytes.fromhex(content) for name, content in lines}


def test_every_message_has_its_golden_bytes() -> None:
    assert golden().keys() == MESSAGES.keys()


@pytest.mark.parametrize("name", MESSAGES)
def test_golden_bytes_decode_to_what_was_written_and_encode_again(name: str) -> None:
    written = MESSAGES[name]
    decoded = type(written).FromString(golden()[name])
    assert decoded == written
    assert decoded.SerializeToString(deterministic=True) == golden()[name]


@pytest.mark.parametrize("name", MESSAGES)
def test_what_a_newer_node_adds_survives_an_older_one(name: str) -> None:
    unknown = b"\xc2\x3e\x03new"  # field 1000, a string
    relayed = type(MESSAGES[name]).FromString(golden()[name] + unknown).SerializeToString(deterministic=True)
    assert relayed == golden()[name] + unknown
