"""One Apache Kafka broker (KRaft) on loopback, all of it in one directory."""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from common.kernel.refusal import Refusal, conflict, missing
from deploy.local import java as javas
from deploy.local.artifacts import KAFKA, Tell, paths, silent
from deploy.local.java import Java
from deploy.local.processes import free_ports

HEAP = "-Xmx512m"
START_SECONDS = 60.0
STOP_SECONDS = 30.0
LOG_LINES = 12

# Once killed, a broker is let in again when its session has ended, which takes 9 s unless told otherwise.
SETTINGS = """\
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
"""
LOGGING = """\
appenders=console
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ISO8601} %p %c{1}: %m%n
rootLogger.level=WARN
rootLogger.appenderRefs=console
rootLogger.appenderRef.console.ref=console
"""


class Broker:
    """`directory` holds settings, data and broker.log; the address chosen at its first start stays.

    As a context manager it starts, and stops whatever happens; otherwise it outlives this process.

    It dies as a process dies: what was acknowledged survives that, not a power cut of the whole machine.
    """

    def __init__(self, directory: Path, java: Java | None = None, tell: Tell = silent) -> None:
        self._java = java or javas.find()
        self._jars = paths(KAFKA, self._java, tell)
        self._directory = directory.resolve()
        self._settings = self._directory / "server.properties"
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0  # where this start's lines of the log begin
        if not self._settings.exists():
            self._write()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """What clients call bootstrap.servers."""
        return self._listening[0]

    @property
    def log(self) -> Path:
        return self._directory / "broker.log"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise conflict(f"the broker of {self._directory} is not running; start it first")
        return self._process.pid

    def start(self, seconds: float = START_SECONDS) -> None:
        """Back when it answers; refused, and ended, when it does not within `seconds`."""
        for address in self._listening:
            self._free(address)
        self._format()
        with self.log.open("ab") as log:
            self._began = log.tell()
            self._process = subprocess.Popen(  # noqa: S603 - the Java found, the jars verified
                self._command("kafka.Kafka", str(self._settings)),
                cwd=self._directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            self._await(time.monotonic() + seconds)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """As an operator would; killed where that takes too long."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL; `start` then goes on with the same data."""
        self._end(signal.SIGKILL)

    def create(self, topics: Mapping[str, int]) -> None:
        """Topics by name, each with so many partitions."""
        from confluent_kafka.admin import AdminClient, NewTopic

        admin = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        wanted = [NewTopic(name, partitions, 1) for name, partitions in topics.items()]
        for created in admin.create_topics(wanted).values():
            created.result(START_SECONDS)

    @property
    def _listening(self) -> list[str]:
        told = dict(line.split("=", 1) for line in self._settings.read_text(encoding="utf-8").splitlines())
        return [each.partition("://")[2] for each in told["listeners"].split(",")]

    def _write(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        port, controller = free_ports(2)
        (self._directory / "log4j2.properties").write_text(LOGGING, encoding="utf-8")
        settings = SETTINGS.format(port=port, controller=controller, data=self._directory / "data")
        draft = self._settings.with_suffix(".draft")
        draft.write_text(settings, encoding="utf-8")
        draft.rename(self._settings)

    def _free(self, address: str) -> None:
        host, _, port = address.partition(":")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, int(port)))
            except OSError as error:
                raise conflict(
                    f"{address} is taken by another process, perhaps this broker; end that one, or change the port in "
                    f"{self._settings}"
                ) from error

    def _command(self, *arguments: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={(self._directory / 'log4j2.properties').as_uri()}"
        return [self._java.command, HEAP, "-cp", os.pathsep.join(map(str, self._jars)), logging, *arguments]

    def _format(self) -> None:
        """Once; a format cut short is done again."""
        if (self._directory / "data" / "meta.properties").exists():
            return
        cluster = base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=").replace("-", "a")
        ran = subprocess.run(  # noqa: S603 - as above
            self._command("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._settings)),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if ran.returncode:
            said = (ran.stdout + ran.stderr).strip()
            raise conflict(f"{self._directory / 'data'} could not be made a broker's: {said}; use an empty directory")

    def _await(self, deadline: float) -> None:
        """An open port is not yet a broker: it must name itself."""
        while not self._answers():
            if self._process is not None and self._process.poll() is not None:
                raise self._broken(f"ended with exit code {self._process.returncode}")
            if time.monotonic() > deadline:
                raise self._broken("did not answer in time")
            time.sleep(0.1)

    def _answers(self) -> bool:
        host, _, port = self.address.partition(":")
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            return False
        try:
            from confluent_kafka import KafkaException
            from confluent_kafka.admin import AdminClient
        except ImportError as error:
            raise missing("the package confluent-kafka is not installed here; install the extra kafka") from error
        try:
            admin = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
            return bool(admin.list_topics(timeout=5).brokers)
        except KafkaException:
            return False

    def _broken(self, what: str) -> Refusal:
        said = self.log.read_bytes()[self._began :].decode(errors="replace").splitlines()
        lines = [line for line in said if not line.startswith("\tat ")][-LOG_LINES:] or ["nothing"]
        return conflict("\n".join([f"the broker of {self._directory} {what}; {self.log} ends with:", *lines]))

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
