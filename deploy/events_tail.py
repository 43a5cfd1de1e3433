"""Events of a journal or of Kafka as they come in, a line each, without anybody's number."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

from adapters.streams.journal import PARTITIONS_FILE, Reader
from adapters.streams.kafka_source import consumer_of, ends_of, history_of, stretches_of
from adapters.streams.stretch import EdgeNow, Stretch
from common.kernel.dead_letter import DeadLetter, masked
from common.kernel.event import Events, Texts, present
from common.kernel.refusal import missing
from common.kernel.trigger_rule import ZONE_SECONDS

LOOK_SECONDS = 0.1
KEY_DIGITS = 4
"""Of a subscriber key, the last few are told: enough to see one person's events together."""
_CHINA = timezone(timedelta(seconds=ZONE_SECONDS))


def lines(stretch: Stretch) -> Iterator[str]:
    """In the order of the partition."""
    decoded = stretch.decoded()
    told = [(int(each.positions[row]), row, _event(each, row)) for each in decoded.events for row in range(len(each))]
    told += [(letter.position, 0, _letter(letter)) for letter in decoded.dead]
    for offset, _, line in sorted(told):
        yield f"{stretch.partition} {offset}  {line}"


def of_journal(directory: Path, last: int, edge: EdgeNow, follow: bool) -> Iterator[Stretch]:
    if not (directory / PARTITIONS_FILE).exists():
        raise missing(f"{directory} is no journal; `liandong province serve` with [triggers] makes one")
    count = int((directory / PARTITIONS_FILE).read_text(encoding="utf-8"))
    readers = []
    for number in range(count):
        ahead = Reader(directory / str(number), f"journal:{number}", 0, edge)
        readers.append(Reader(directory / str(number), f"journal:{number}", max(0, ahead.lag() - last), edge))
    while True:
        found = [stretch for reader in readers if (stretch := reader.read()) is not None]
        yield from found
        if not found:
            if not follow:
                return
            time.sleep(LOOK_SECONDS)


def of_kafka(brokers: str, topics: Sequence[str], last: int, edge: EdgeNow, follow: bool) -> Iterator[Stretch]:
    """Beside whoever reads: nothing is committed."""
    if not follow:
        yield from history_of(brokers, topics, last, edge)
        return
    consumer = consumer_of(brokers)
    ends_of(consumer, topics, last)
    while True:
        yield from stretches_of(consumer, LOOK_SECONDS, edge)


def _event(events: Events, row: int) -> str:
    at = datetime.fromtimestamp(int(events.at[row]) / 1000, _CHINA).strftime("%Y-%m-%d %H:%M:%S")
    said = []
    for field in events.type.fields:
        column = events.columns[field.name][row : row + 1]
        if present(field.kind, column)[0]:
            value = column.spelled()[0] if isinstance(column, Texts) else column[0]
            said.append(f"{field.name}={value}")
    who = f"…{str(int(events.keys[row]))[-KEY_DIGITS:]}"
    return f"{at}  {events.type.name}  {who}  {masked(' '.join(said).encode()).decode(errors='replace')}"


def _letter(letter: DeadLetter) -> str:
    return f"✗ {letter.reason.name}  {letter.why}"
