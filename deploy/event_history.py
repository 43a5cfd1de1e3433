"""Events of the past, to be gone through once more: of a file, of a topic on Kafka, or of a province's journal."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from adapters.streams.file_source import FileSource
from adapters.streams.files import FORMATS
from adapters.streams.kafka_source import history_of
from adapters.streams.mapping import SourceMapping
from adapters.streams.standard import Edge
from common.kernel.refusal import invalid, missing
from common.kernel.subscriber import subscriber_keys
from common.runtime.clock import clock_of, milliseconds
from deploy.events_tail import of_journal
from province.settings import ProvinceSettings
from province.triggers.edge import edge_of
from province.triggers.engine.source import Stretch

ALL = 1 << 62
JOURNAL = "journal"


def of_file(
    path: Path, settings: ProvinceSettings, mapping: SourceMapping | None, as_it_stands: bool
) -> Iterator[Stretch]:
    """In order of time; or, as it stands, in the order of its lines."""
    keys_of = partial(subscriber_keys, settings.federation_key())
    edge = Edge(_now(settings), lambda numbers: keys_of(numbers.tolist()))
    return played(FileSource(path, lambda: edge, mapping, by_time=not as_it_stands))


def played(source: FileSource) -> Iterator[Stretch]:
    """From its beginning to its end."""
    while not source.ended:
        yield from source.poll(_Reader(), 0.0)


def of_stream(name: str, settings: ProvinceSettings) -> Iterator[Stretch]:
    """From the beginning to where it ends now; JOURNAL is the province's own. Whoever else reads it goes on."""
    if name == JOURNAL:
        return of_journal(settings.event_directory, ALL, edge_of(settings), follow=False)
    if "/" in name or Path(name).suffix in FORMATS:
        raise missing(f"there is no file {name}; check the path")
    if settings.triggers is None or not settings.triggers.brokers:
        raise invalid(f"{name} is no file here, and the settings name no Kafka: set brokers in [triggers]")
    return history_of(settings.triggers.brokers, [name], ALL, edge_of(settings))


def _now(settings: ProvinceSettings) -> int:
    return milliseconds(clock_of(settings.clock_file))


class _Reader:
    """Who keeps no place."""

    def assigned(self, partition: str, end: int | None = None) -> int | None:  # noqa: ARG002 - it is the same for all
        return None

    def revoked(self, partition: str) -> None: ...

    def lost(self, partition: str) -> None: ...
