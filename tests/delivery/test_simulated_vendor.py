from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from liandong.channel.v1 import channel_pb2
from pydantic import ValidationError

from adapters.channels.journal import AcceptedBatch, Journal, read_journal, read_records
from adapters.channels.script import NO_REPLY, REPLY_TEXTS, Odds, fates
from adapters.channels.simulator import Line, SimulatedChannel, Simulator, SimulatorSettings, load_settings
from common.kernel.channel import ReceiptStage, SendOutcome
from common.kernel.reply import intent
from common.kernel.task import Response
from common.runtime.clock import SystemClock
from common.runtime.settings import Tls

NUMBERS = np.arange(20_000, dtype=np.int64) + 8_613_800_000_000
COLUMNS = ("refused", "throttles", "stages", "receipt_ms", "repeated", "replies", "reply_ms")


@given(rows=st.lists(st.integers(0, len(NUMBERS) - 1), min_size=1, max_size=50))
@settings(max_examples=30, deadline=None)
def test_a_message_has_one_fate_whatever_it_arrives_with(rows: list[int]) -> None:
    alone = fates(Odds(), 7, "sms", "c/1/sms/hq", NUMBERS[rows])
    among = fates(Odds(), 7, "sms", "c/1/sms/hq", NUMBERS)
    for name in COLUMNS:
        assert np.array_equal(getattr(alone, name), getattr(among, name)[rows]), name


def test_another_seed_channel_or_work_order_draws_other_people() -> None:
    first = fates(Odds(), 7, "sms", "c/1/sms/hq", NUMBERS)
    for other in ((8, "sms", "c/1/sms/hq"), (7, "app_push", "c/1/sms/hq"), (7, "sms", "c/2/sms/hq")):
        assert not np.array_equal(first.stages, fates(Odds(), *other, NUMBERS).stages)


def test_shares_come_out_as_asked() -> None:
    odds = Odds(
        refuse=0.1, undeliverable=0.2, expire=0.1, silence=0.05, interested=0.3, refused=0.1, stop=0.05, other=0.1
    )
    drawn = fates(odds, 1, "sms", "w", NUMBERS)
    delivered = drawn.stages == ReceiptStage.DELIVERED
    assert drawn.refused.mean() == pytest.approx(0.1, abs=0.01)
    assert (drawn.stages == ReceiptStage.UNDELIVERABLE).mean() == pytest.approx(0.2, abs=0.01)
    assert delivered.mean() == pytest.approx(0.65, abs=0.015)
    assert (drawn.replies[~delivered] == NO_REPLY).all()
    meant = np.array([intent(REPLY_TEXTS[text]) for text in drawn.replies[drawn.replies != NO_REPLY]])
    for response, share in ((Response.INTERESTED, 0.3), (Response.REFUSED, 0.1), (Response.OPTED_OUT, 0.05)):
        assert (meant == response).sum() / delivered.sum() == pytest.approx(share, abs=0.02)


def test_a_throttled_message_is_taken_in_the_end_and_never_twice() -> None:
    line = Line("sms", SimulatedChannel(odds=Odds(throttle=0.5, throttle_times=3, refuse=0)), 1)
    tasks, taken = np.arange(1000, dtype=np.uint32), np.zeros(1000, dtype=np.int64)
    for _ in range(4):
        taken += line.judge("w", tasks, NUMBERS[:1000]) == SendOutcome.ACCEPTED
    assert (taken == 1).all()
    assert (line.judge("w", np.repeat(tasks, 2), np.repeat(NUMBERS[:1000], 2)) == SendOutcome.DUPLICATE).all()


def test_every_report_falls_due_once_or_twice() -> None:
    line = Line("sms", SimulatedChannel(odds=Odds(silence=0, repeat=0.1)), 1)
    tasks = np.arange(20_000, dtype=np.uint32)
    line.schedule(AcceptedBatch("sms", "w", 100, 999, tasks, NUMBERS, end=0), now_ms=0)
    assert line.due("receipt", now_ms=19) == []
    parts = [*line.due("receipt", now_ms=400), *line.due("receipt", now_ms=10_000)]
    times = np.bincount(np.concatenate([part.tasks for part in parts]))
    assert set(times.tolist()) == {1, 2}
    assert (times == 2).mean() == pytest.approx(0.1, abs=0.01)
    assert line.due("receipt", now_ms=99_999) == []


def test_a_caller_that_dies_in_the_middle_leaves_no_message_unreported(tmp_path: Path) -> None:
    async def main() -> list[int]:
        clock = SystemClock()
        tls = Tls(authority=tmp_path, certificate=tmp_path, key=tmp_path)
        channels = {"sms": SimulatedChannel(odds=Odds(throttle=0, refuse=0, silence=0, repeat=0))}
        settings = SimulatorSettings(listen="", callback="", data_dir=tmp_path, tls=tls, channels=channels)
        async with grpc.aio.insecure_channel("127.0.0.1:1") as nowhere:
            vendor = Simulator(settings, clock, nowhere)
            request = channel_pb2.SendMessagesRequest(
                channel="sms", work_order="c/1/sms/hq", tasks=[0, 1], msisdns=NUMBERS[:2].tolist(), texts=["x"],
                text_refs=[0, 0], submit_by=clock.now() + 60, expire_at=clock.now() + 60,
            )  # fmt: skip
            call = asyncio.create_task(vendor.SendMessages(request, None))
            await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait({call})
            await asyncio.sleep(0.2)
            due = vendor._lines["sms"].due("receipt", 2**62)
        return sorted(np.concatenate([part.tasks for part in due]).tolist()) if due else []

    assert asyncio.run(main()) == [0, 1]
    assert [len(batch.tasks) for batch in read_journal(tmp_path / "accepted.journal")] == [2]


def test_a_torn_tail_of_the_journal_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "accepted.journal"
    values = {"channel": "sms", "work_order": "w/一", "accepted_at": 5, "expire_at": 9}
    columns = {"tasks": np.arange(3, dtype=np.uint32), "msisdns": NUMBERS[:3]}
    journal = Journal(path)
    journal.append([(values, columns), (values, columns)])
    journal.close()
    whole = path.read_bytes()
    for cut in range(len(whole) // 2, len(whole)):
        path.write_bytes(whole[:cut])
        Journal(path).close()
        assert len(list(read_records(path))) == 1
    journal = Journal(path)
    journal.append([(values, columns)])
    first, second = read_journal(path)
    assert (second.work_order, second.tasks.tolist(), second.msisdns.tolist()) == (
        "w/一",
        [0, 1, 2],
        NUMBERS[:3].tolist(),
    )
    assert [batch.end for batch in read_journal(path, first.end)] == [second.end]
    path.write_bytes(whole[:20] + b"!" + whole[21:])
    assert list(read_journal(path)) == []


def test_wrong_settings_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "vendor.toml"
    good = 'listen="127.0.0.1:0"\ncallback="127.0.0.1:1"\ndata_dir="v"\n'
    good += '[tls]\nauthority="a"\ncertificate="c"\nkey="k"\n[channels.sms]\n'
    path.write_text(good)
    assert load_settings(path).data_dir == tmp_path / "v"
    for bad, named in (("batches=3", "batches"), ("odds.refuse=2", "refuse"), ("odds.silence=1.0", "add up")):
        path.write_text(good + bad)
        with pytest.raises(ValidationError, match=named):
            load_settings(path)
