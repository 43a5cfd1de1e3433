"""The trigger engine's wiring: a process of the province beside its node, over the same store."""

from __future__ import annotations

import ctypes
import logging
import signal
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from adapters.streams.journal import JournalSource
from adapters.streams.kafka_source import KafkaSource
from adapters.streams.spark_source import SparkSource
from adapters.streams.stretch import EdgeNow
from adapters.warehouse.snapshots import Snapshots
from common.delivery import host_lists
from common.kernel.channel import CHANNELS, Channel, Level
from common.kernel.refusal import Refusal, conflict, invalid
from common.rules.trigger_document import TriggerDocument
from common.runtime.clock import Clock, clock_of, milliseconds
from common.runtime.database import Database
from common.runtime.lifetime import sole_instance
from province.fire import Firing
from province.settings import ProvinceSettings, Triggers
from province.store import tags, triggers
from province.triggers import hand_over
from province.triggers.edge import edge_of
from province.triggers.engine.checkpoint import Checkpoints
from province.triggers.engine.dead_letters import DeadLetterBox
from province.triggers.engine.engine import Engine, Pacing, Ports
from province.triggers.engine.partition import Rules
from province.triggers.engine.source import Source
from province.triggers.engine.status import status_file
from province.triggers.matching.matcher import Matcher
from province.triggers.matching.profile import PeopleProfile
from province.triggers.people import People

Spark = Callable[[Path], Any]
"""Starts the process's Spark session; the directory takes what it writes."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""What malloc.h calls them."""
KEPT_BYTES, PIECE_BYTES_MAX = 256 << 20, 128 << 20
log = logging.getLogger(__name__)


def serve(settings: ProvinceSettings, spark: Spark | None = None) -> None:
    """Until SIGTERM or SIGINT; then every partition has its checkpoint."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    told = told_to_stop()
    _keep_memory()
    with ExitStack() as stack:
        settings.trigger_directory.mkdir(parents=True, exist_ok=True)
        if settled(settings).source == "spark":
            # Kafka's group keeps engines apart, and the journal itself does; Spark does not.
            stack.enter_context(sole_instance(settings.trigger_directory))
        database = Database(settings.url("province"))
        stack.callback(database.close)
        letters = DeadLetterBox(settings.trigger_directory)
        stack.callback(letters.close)
        status = status_file(settings.trigger_directory)
        stack.callback(status.unlink, missing_ok=True)
        ports = _ports(settings, database, letters, status, spark)
        log.info("province %s: events from %s", settings.code, settled(settings).source)
        Engine(ports, Pacing(idle_seconds=float(settled(settings).idle_seconds))).run(told)


def _keep_memory() -> None:
    """Columns come and go by the megabyte; given back to the system, each page would be cleared before it is used
    again, which takes longer than to count what is on it."""
    options = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's alone
    if options is not None:
        options(_TRIM_THRESHOLD, KEPT_BYTES)
        options(_MMAP_THRESHOLD, PIECE_BYTES_MAX)


def told_to_stop() -> threading.Event:
    """Set by SIGTERM and SIGINT."""
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    return told


def settled(settings: ProvinceSettings) -> Triggers:
    if settings.triggers is None:
        raise conflict('the settings have no section [triggers]; add one, such as: [triggers] source = "journal"')
    return settings.triggers


def _ports(
    settings: ProvinceSettings, database: Database, letters: DeadLetterBox, status: Path, spark: Spark | None
) -> Ports:
    clock = clock_of(settings.clock_file)
    channels = channels_of(settings)
    return Ports(
        source=_source(settings, edge_of(settings), spark),
        rules=StoredRules(database, int(settings.code), settings.people_directory),
        hand_over=partial(_hand_over, database, channels, int(settings.code), clock),
        checkpoints=Checkpoints(settings.trigger_directory),
        letters=letters,
        milliseconds=partial(milliseconds, clock),
        status=status,
    )


def channels_of(settings: ProvinceSettings) -> dict[str, Channel]:
    """Those of its own that the province runs."""
    own = {name: channel for name, channel in CHANNELS.items() if channel.level is Level.TWO}
    return {vendor.channel: own[vendor.channel] for vendor in settings.vendors if vendor.channel in own}


def _source(settings: ProvinceSettings, edge: EdgeNow, spark: Spark | None) -> Source:
    told = settled(settings)
    if told.source == "journal":
        return JournalSource(settings.event_directory, edge)
    if told.source == "kafka":
        return KafkaSource(told.brokers, settings.topics(), f"liandong-{settings.code}", edge)
    if spark is None:
        raise conflict("no Spark is here: start the engine with `liandong triggers serve`")
    scratch = settings.trigger_directory / "spark"
    return SparkSource(spark(scratch / "session"), told.brokers, settings.topics(), scratch / "offsets", edge)


def _hand_over(
    database: Database, channels: dict[str, Channel], province: int, clock: Clock, firings: Sequence[Firing]
) -> None:
    with database.transaction("hand_over.fires") as connection:
        hand_over.hand_over(connection, firings, channels, province, milliseconds(clock))


class StoredRules:
    """The rules in force by the node's store, asked of the province's people. `people` holds the snapshots of tags."""

    def __init__(self, database: Database, province: int, people: Path) -> None:
        self._database, self._province = database, province
        self._people = People(database, Snapshots(people))

    def edition(self) -> int:
        with self._database.snapshot() as connection:
            return triggers.edition(connection)

    def refresh(self) -> None:
        self._people.refresh()

    def rules(self) -> Rules:
        with self._database.snapshot() as connection:
            found = triggers.in_force(connection)
            profile = PeopleProfile(self._province, found.tags)
            made = [_matcher(connection, document, profile) for document in found.documents]
        return self._served(found.edition, profile, [matcher for matcher in made if matcher is not None])

    def draft(self, document: TriggerDocument, hosts: Mapping[str, Collection[str]]) -> Rules:
        """Those of a document that is in force nowhere. Raises Refusal TRIGGER_INVALID where it asks for other tags."""
        with self._database.snapshot() as connection:
            known = tags.known(connection)
        if lacking := document.lacking(known):
            raise invalid("\n".join(lacking), "TRIGGER_INVALID")
        profile = PeopleProfile(self._province, known)
        return self._served(0, profile, [Matcher(document.rules, document.areas, hosts, profile)])

    def _served(self, edition: int, profile: PeopleProfile, matchers: Sequence[Matcher]) -> Rules:
        asked, offers = (
            frozenset().union(*names) for names in ((m.tags for m in matchers), (m.offers for m in matchers))
        )
        self._people.serve(profile, asked, offers)
        return Rules(edition, tuple(rule for matcher in matchers for rule in matcher.rules), tuple(matchers))


def _matcher(connection: Connection, document: TriggerDocument, profile: PeopleProfile) -> Matcher | None:
    """None where a rule names what this node has not, or not undamaged: the others go on."""
    try:
        return Matcher(document.rules, document.areas, host_lists.of(connection, document), profile)
    except Refusal as refusal:
        log.error("left out: %s: %s", ", ".join(rule.name for rule in document.rules), refusal.message)
        return None
