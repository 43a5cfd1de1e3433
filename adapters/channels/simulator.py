"""A channel vendor that acts by a seeded script, as a process: `python -m adapters.channels.simulator SETTINGS.toml`.

Everything it accepts is on disk before it answers, and everything reported is noted once the node has taken it, so
after SIGKILL it goes on where it was: no message is taken twice and none is forgotten. Files in `data_dir`:
`accepted.journal` (read it with `read_journal`) and `reported.journal`.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from google.protobuf.duration_pb2 import Duration
from liandong.channel.v1 import channel_pb2, channel_pb2_grpc
from numpy.typing import NDArray

from adapters.channels.journal import AcceptedBatch, Journal, read_journal, read_records
from adapters.channels.script import NO_REPLY, REPLY_TEXTS, SILENCE, Odds, answer_is_lost, fates
from common.kernel.channel import SendOutcome
from common.kernel.columns import Codes, Mask, Rows
from common.kernel.refusal import Fault, Refusal, invalid, missing
from common.runtime.clock import Clock, SteppedClock, SystemClock
from common.runtime.settings import Section, Tls
from common.wire import tls
from common.wire.server import build_channel, build_server

TICK_MS = 100
REPORT_ROWS = {"receipt": 20_000, "reply": 5_000}
"""In one call, well under the size of a message."""
REPORT_SECONDS = 30.0
REPORT_PAUSE_SECONDS_MAX = 1.0
TASK_MAX = 50_000_000

ACCESS = {"/liandong.channel.v1.ChannelService/": frozenset({"hq", "province"})}

TAKEN, RECEIPT_REPORTED, REPLY_REPORTED = 1, 2, 4
_REPORTED = {"receipt": RECEIPT_REPORTED, "reply": REPLY_REPORTED}

log = logging.getLogger(__name__)


class SimulatedChannel(Section):
    batch_max: int = 5_000
    messages_per_second_max: int = 200_000
    dedupe_seconds: int = 86_400
    """0: repeated ids are taken again, as by a vendor that knows none."""
    odds: Odds = Odds()


class SimulatorSettings(Section):
    listen: str
    """Host and port; port 0 takes a free one and prints it."""
    callback: str
    """Address of the node's ChannelCallbackService."""
    node: str = "hq"
    """Who answers there, as in its certificate: hq or province/<code>."""
    data_dir: Path
    seed: int = 1
    clock_file: Path | None = None
    tls: Tls
    channels: dict[str, SimulatedChannel]


@dataclass(frozen=True, slots=True)
class Slice:
    """Reports of one work order that fall due together."""

    kind: str
    work_order: str
    tasks: NDArray[np.uint32]
    codes: NDArray[np.int64]
    """Receipt stages, or positions in REPLY_TEXTS."""
    happened_at: NDArray[np.int64]
    msisdns: NDArray[np.int64]

    def take(self, rows: Rows | slice) -> Slice:
        return Slice(
            self.kind,
            self.work_order,
            self.tasks[rows],
            self.codes[rows],
            self.happened_at[rows],
            self.msisdns[rows],
        )


class Memory:
    """What is known of the tasks of one work order, by task number."""

    def __init__(self) -> None:
        self._flags = np.zeros(0, dtype=np.uint8)
        self._turned_away = np.zeros(0, dtype=np.uint8)

    def mark(self, tasks: NDArray[np.uint32], flag: int) -> None:
        self._reach(tasks)
        self._flags[tasks] |= np.uint8(flag)

    def forget(self, tasks: NDArray[np.uint32], flag: int) -> None:
        self._flags[tasks] &= np.uint8(~flag & 0xFF)

    def has(self, tasks: NDArray[np.uint32], flag: int) -> Mask:
        self._reach(tasks)
        found: Mask = (self._flags[tasks] & flag) > 0
        return found

    def turn_away(self, tasks: NDArray[np.uint32], times: NDArray[np.int64]) -> Mask:
        """Which are to be turned away once more, of `times` in all; notes that they were."""
        self._reach(tasks)
        away = self._turned_away[tasks] < times
        self._turned_away[tasks[away]] += 1
        return away

    def _reach(self, tasks: NDArray[np.uint32]) -> None:
        wanted = int(tasks.max(initial=0)) + 1
        if wanted > len(self._flags):
            more = max(wanted, 2 * len(self._flags)) - len(self._flags)
            self._flags = np.append(self._flags, np.zeros(more, dtype=np.uint8))
            self._turned_away = np.append(self._turned_away, np.zeros(more, dtype=np.uint8))


class Line:
    """One simulated channel: what it took, and the reports that wait for their time."""

    def __init__(self, name: str, settings: SimulatedChannel, seed: int) -> None:
        self.name = name
        self.settings = settings
        self.seed = seed
        self.memory: defaultdict[str, Memory] = defaultdict(Memory)
        self._waiting: dict[str, dict[int, list[Slice]]] = {"receipt": defaultdict(list), "reply": defaultdict(list)}

    def judge(self, work_order: str, tasks: NDArray[np.uint32], msisdns: NDArray[np.int64]) -> Codes:
        """One SendOutcome for each message; those ACCEPTED are noted as taken."""
        memory = self.memory[work_order]
        script = fates(self.settings.odds, self.seed, self.name, work_order, msisdns)
        outcomes = np.full(len(tasks), SendOutcome.ACCEPTED, dtype=np.uint8)
        outcomes[memory.turn_away(tasks, script.throttles)] = SendOutcome.THROTTLED
        outcomes[script.refused] = SendOutcome.REFUSED
        if self.settings.dedupe_seconds > 0:
            repeated = np.ones(len(tasks), dtype=np.bool_)
            repeated[np.unique(tasks, return_index=True)[1]] = False
            outcomes[repeated | memory.has(tasks, TAKEN)] = SendOutcome.DUPLICATE
        memory.mark(tasks[outcomes == SendOutcome.ACCEPTED], TAKEN)
        return outcomes

    def schedule(self, batch: AcceptedBatch, now_ms: int) -> None:
        """Set down every report the script has for `batch` that was not made yet."""
        memory = self.memory[batch.work_order]
        script = fates(self.settings.odds, self.seed, self.name, batch.work_order, batch.msisdns)
        heard = (script.stages != SILENCE) & ~memory.has(batch.tasks, RECEIPT_REPORTED)
        self._put("receipt", batch, script.stages, script.receipt_ms, heard, now_ms)
        self._put("receipt", batch, script.stages, script.receipt_ms * 2, heard & script.repeated, now_ms)
        answered = (script.replies != NO_REPLY) & ~memory.has(batch.tasks, REPLY_REPORTED)
        self._put("reply", batch, script.replies, script.reply_ms, answered, now_ms)

    def due(self, kind: str, now_ms: int) -> list[Slice]:
        """What is to be reported by now; it is not held here any longer."""
        waiting = self._waiting[kind]
        ticks = sorted(tick for tick in waiting if tick <= now_ms // TICK_MS)
        return [part for tick in ticks for part in waiting.pop(tick)]

    def _put(
        self,
        kind: str,
        batch: AcceptedBatch,
        codes: NDArray[Any],
        delays_ms: NDArray[np.int64],
        wanted: Mask,
        now_ms: int,
    ) -> None:
        rows = np.flatnonzero(wanted)
        happened_at = batch.accepted_at + delays_ms // 1000
        whole = Slice(kind, batch.work_order, batch.tasks, codes.astype(np.int64), happened_at, batch.msisdns)
        ticks = (now_ms + delays_ms[rows]) // TICK_MS + 1
        order = np.argsort(ticks, kind="stable")
        found, starts = np.unique(ticks[order], return_index=True)
        for tick, part in zip(found.tolist(), np.split(rows[order], starts[1:]), strict=False):
            self._waiting[kind][tick].append(whole.take(part))


class Simulator(channel_pb2_grpc.ChannelServiceServicer):
    """The vendor's service and its reporting; `monotonic` of `clock` times the delays."""

    def __init__(self, settings: SimulatorSettings, clock: Clock, node: grpc.aio.Channel) -> None:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        self._clock = clock
        self._node: Any = channel_pb2_grpc.ChannelCallbackServiceStub(node)  # type: ignore[no-untyped-call]
        self._lines = {name: Line(name, each, settings.seed) for name, each in settings.channels.items()}
        self._accepted = Journal(settings.data_dir / "accepted.journal")
        self._reported = Journal(settings.data_dir / "reported.journal")
        self._disk = ThreadPoolExecutor(1, "journal")
        self._recover(settings.data_dir)

    def _recover(self, data_dir: Path) -> None:
        for record in read_records(data_dir / "reported.journal"):
            if (line := self._lines.get(record.values["channel"])) is not None:
                memory = line.memory[record.values["work_order"]]
                memory.mark(record.columns["tasks"], _REPORTED[record.values["kind"]])
        for batch in read_journal(data_dir / "accepted.journal"):
            if (line := self._lines.get(batch.channel)) is not None:
                line.memory[batch.work_order].mark(batch.tasks, TAKEN)
                line.schedule(batch, self._now_ms())

    async def run(self) -> None:
        """Reports for ever."""
        async with asyncio.TaskGroup() as group:
            for line in self._lines.values():
                group.create_task(self._report_for_ever(line, "receipt", self._report_receipts))
                group.create_task(self._report_for_ever(line, "reply", self._report_replies))

    async def GetChannel(
        self, request: channel_pb2.GetChannelRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> channel_pb2.GetChannelResponse:
        del context
        settings = self._line(request.channel).settings
        return channel_pb2.GetChannelResponse(
            channel=request.channel,
            batch_max=settings.batch_max,
            messages_per_second_max=settings.messages_per_second_max,
            dedupe_window=Duration(seconds=settings.dedupe_seconds),
        )

    async def SendMessages(
        self, request: channel_pb2.SendMessagesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> channel_pb2.SendMessagesResponse:
        line = self._line(request.channel)
        tasks = np.array(request.tasks, dtype=np.uint32)
        fault = _malformed(request, tasks, line.settings)
        if fault:
            raise invalid(fault, "BLOCK_MALFORMED")
        now = self._clock.now()
        if now > request.submit_by:
            return channel_pb2.SendMessagesResponse(outcomes=[channel_pb2.SEND_OUTCOME_THROTTLED] * len(tasks))
        msisdns = np.array(request.msisdns, dtype=np.int64)
        outcomes = line.judge(request.work_order, tasks, msisdns)
        fresh = outcomes == SendOutcome.ACCEPTED
        batch = AcceptedBatch(
            line.name, request.work_order, now, request.expire_at, tasks[fresh], msisdns[fresh], end=0
        )
        # A caller that dies meanwhile takes nothing back: what is on disk is reported on.
        await asyncio.shield(self._take(line, batch))
        if fresh.any() and answer_is_lost(
            line.settings.odds, line.seed, line.name, request.work_order, int(batch.tasks[0])
        ):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the answer is lost")
        return channel_pb2.SendMessagesResponse(outcomes=outcomes.tolist())

    def _line(self, channel: str) -> Line:
        if channel not in self._lines:
            raise missing(f"No channel {channel!r} here; there are {', '.join(self._lines)}.")
        return self._lines[channel]

    async def _take(self, line: Line, batch: AcceptedBatch) -> None:
        try:
            await self._keep(batch)
        except OSError as error:
            line.memory[batch.work_order].forget(batch.tasks, TAKEN)
            message = f"the journal cannot be written ({error.strerror}); nothing was taken, send it again later"
            raise Refusal(Fault.BUSY, "THROTTLED", message, retry_seconds=1.0) from error
        line.schedule(batch, self._now_ms())

    async def _keep(self, batch: AcceptedBatch) -> None:
        """On disk at the return. An answer that repeats an earlier one waits for the disk too, behind that one."""
        values = {name: getattr(batch, name) for name in ("channel", "work_order", "accepted_at", "expire_at")}
        columns = {"tasks": batch.tasks, "msisdns": batch.msisdns}
        await self._on_disk(self._accepted.append, [(values, columns)] if len(batch.tasks) else [])

    async def _on_disk(self, append: Callable[[Any], None], records: Sequence[Any]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._disk, append, records)

    async def _report_for_ever(self, line: Line, kind: str, report: Callable[[str, list[Slice]], Any]) -> None:
        while True:
            for parts in _calls(line.due(kind, self._now_ms())):
                await self._insist(report, line.name, parts)
                records = [
                    ({"channel": line.name, "work_order": part.work_order, "kind": kind}, {"tasks": part.tasks})
                    for part in _by_work_order(parts)
                ]
                # Where the disk is full it may report them once more after a restart, which does no harm.
                with suppress(OSError):
                    await self._on_disk(self._reported.append, records)
            await asyncio.sleep(TICK_MS / 1000)

    @staticmethod
    async def _insist(report: Callable[[str, list[Slice]], Any], channel: str, parts: list[Slice]) -> None:
        """Until the node says it has them."""
        pause = 0.1
        while True:
            try:
                await report(channel, parts)
                return
            except grpc.aio.AioRpcError as error:
                log.info("report not taken, again in %.1f s: %s %s", pause, error.code().name, error.details())
                await asyncio.sleep(pause)
                pause = min(2 * pause, REPORT_PAUSE_SECONDS_MAX)

    async def _report_receipts(self, channel: str, parts: list[Slice]) -> None:
        names = list(dict.fromkeys(part.work_order for part in parts))
        refs = np.repeat([names.index(part.work_order) for part in parts], [len(part.tasks) for part in parts])
        request = channel_pb2.ReportReceiptsRequest(
            channel=channel,
            work_orders=names,
            work_order_refs=refs.tolist(),
            tasks=np.concatenate([part.tasks for part in parts]).tolist(),
            stages=np.concatenate([part.codes for part in parts]).tolist(),
            happened_at=np.concatenate([part.happened_at for part in parts]).tolist(),
        )
        await self._node.ReportReceipts(request, timeout=REPORT_SECONDS)

    async def _report_replies(self, channel: str, parts: list[Slice]) -> None:
        request = channel_pb2.ReportRepliesRequest(channel=channel)
        for part in parts:
            columns = (part.tasks, part.msisdns, part.codes, part.happened_at)
            rows = zip(*(column.tolist() for column in columns), strict=True)
            request.replies.extend(
                channel_pb2.Reply(
                    work_order=part.work_order, task=task, msisdn=msisdn, text=REPLY_TEXTS[code], happened_at=at
                )
                for task, msisdn, code, at in rows
            )
        await self._node.ReportReplies(request, timeout=REPORT_SECONDS)

    def _now_ms(self) -> int:
        return int(self._clock.monotonic() * 1000)


def _malformed(
    request: channel_pb2.SendMessagesRequest, tasks: NDArray[np.uint32], settings: SimulatedChannel
) -> str | None:
    """What is wrong with the batch, and what to do."""
    if not len(tasks) == len(request.msisdns) == len(request.text_refs):
        return "message columns differ in length; send one entry of each for a message"
    if len(tasks) > settings.batch_max:
        return f"{len(tasks)} messages in one batch, the most is {settings.batch_max}; send them in several"
    if len(tasks) and tasks.max() > TASK_MAX:
        return f"task {tasks.max()} is past {TASK_MAX}, the most a work order may have; cut it into several"
    if len(tasks) and max(request.text_refs) >= len(request.texts):
        return "text_refs points past texts; send every text it uses"
    return None


def _calls(parts: list[Slice]) -> Iterator[list[Slice]]:
    """In calls of at most REPORT_ROWS."""
    call: list[Slice] = []
    rows = 0
    for piece in chain.from_iterable(map(_pieces, parts)):
        if rows + len(piece.tasks) > REPORT_ROWS[piece.kind]:
            yield call
            call, rows = [], 0
        call.append(piece)
        rows += len(piece.tasks)
    if call:
        yield call


def _pieces(part: Slice) -> Iterator[Slice]:
    most = REPORT_ROWS[part.kind]
    return (part.take(slice(start, start + most)) for start in range(0, len(part.tasks), most))


def _by_work_order(parts: list[Slice]) -> Iterator[Slice]:
    grouped: defaultdict[str, list[Slice]] = defaultdict(list)
    for part in parts:
        grouped[part.work_order].append(part)
    for work_order, same in grouped.items():
        joined = [
            np.concatenate(columns)
            for columns in zip(*((p.tasks, p.codes, p.happened_at, p.msisdns) for p in same), strict=True)
        ]
        yield Slice(same[0].kind, work_order, *joined)


def load_settings(path: Path) -> SimulatorSettings:
    """Relative paths are taken from the file's directory; unknown keys are refused."""
    settings = SimulatorSettings.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    base = path.parent.resolve()
    anchored: dict[str, Any] = {"data_dir": base / settings.data_dir}
    if settings.clock_file is not None:
        anchored["clock_file"] = base / settings.clock_file
    anchored["tls"] = Tls(**{name: base / path for name, path in settings.tls})
    return settings.model_copy(update=anchored)


async def serve(settings: SimulatorSettings) -> None:
    """Until SIGTERM or SIGINT."""
    clock = SystemClock() if settings.clock_file is None else SteppedClock(settings.clock_file)
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    authority, own = settings.tls.authority.read_bytes(), tls.read(settings.tls.certificate, settings.tls.key)
    node = tls.parse_identity(f"spiffe://{tls.TRUST_DOMAIN}/{settings.node}")
    async with build_channel(settings.callback, tls.channel_credentials(authority, own), node) as callback:
        simulator = Simulator(settings, clock, callback)
        server, port = build_server(settings.listen, tls.server_credentials(authority, own), ACCESS)
        channel_pb2_grpc.add_ChannelServiceServicer_to_server(simulator, server)  # type: ignore[no-untyped-call]
        await server.start()
        print(f"listening on {settings.listen.rpartition(':')[0]}:{port}", flush=True)
        reporting = asyncio.create_task(simulator.run())
        await asyncio.wait({reporting, asyncio.create_task(stop.wait())}, return_when=asyncio.FIRST_COMPLETED)
        reporting.cancel()
        await server.stop(1.0)
        if reporting.done() and not reporting.cancelled():
            reporting.result()


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(serve(load_settings(Path(sys.argv[1]))))


if __name__ == "__main__":
    main()
