"""An engine as a process of its own, until SIGTERM: `python -m tests.triggers.engine_process SETTINGS.json`."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from adapters.streams.journal import JournalSource
from adapters.streams.kafka_source import KafkaSource
from common.runtime.failpoint import reach
from province.fire import Firing
from province.triggers.engine.engine import Pacing
from province.triggers.engine.source import Source
from tests.triggers.engine_world import EDGE, Sink, engine

HAND_OVER = ("trial.hand_over.before", "trial.hand_over.after")


def main(settings: Path) -> None:
    logging.basicConfig(level=logging.INFO)
    told, told_to = json.loads(settings.read_text()), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told_to.set())
    directory = Path(told["directory"])
    sink = Sink(directory / "fires.db")

    def hand_over(firings: Sequence[Firing]) -> None:
        reach(HAND_OVER[0])
        sink(firings)
        reach(HAND_OVER[1])

    engine(_source(told), directory, hand_over, pacing=Pacing(0.02, None, 0.2)).run(told_to)


def _source(told: dict[str, str]) -> Source:
    if "journal" in told:
        return JournalSource(Path(told["journal"]), lambda: EDGE)
    return KafkaSource(told["brokers"], [told["topic"]], told["group"], lambda: EDGE)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
