"""How the engines of a province stand, as each of their processes says again and again in a file of its own."""

from __future__ import annotations

import json
import logging
import os
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from province.triggers.engine.partition import DEAD, EVENTS, MISSED

STALE_SECONDS = 60.0
SILENT_MS = 10_000
"""An engine that has said nothing for so long hangs or is gone."""
SUMMED = ("seen", "counted", "late", "duplicates", "fired", "bytes")

Document = dict[str, Any]

log = logging.getLogger(__name__)


def status_file(directory: Path) -> Path:
    """Of this process; those of the dead go."""
    for path in directory.glob("status-*.json"):
        if time.time() - path.stat().st_mtime > STALE_SECONDS:
            path.unlink(missing_ok=True)
    return directory / f"status-{os.getpid()}.json"


def tell(path: Path, told: Mapping[str, object]) -> None:
    """Whole, for whoever reads it meanwhile. Work goes on where the disk has no room for it."""
    draft = path.with_suffix(".draft")
    try:
        draft.write_text(json.dumps(told), encoding="utf-8")
        os.replace(draft, path)
    except OSError as error:
        log.error("cannot say how things stand: %s", error)


def engines(directory: Path, now: int, edition: int) -> list[Document]:
    """Each process with its partitions; `now` in milliseconds, `edition` that of the rules in force."""
    found = []
    for path in sorted(directory.glob("status-*.json")):
        with suppress(OSError, ValueError):
            found.append(_engine(path.stem.partition("-")[2], json.loads(path.read_bytes()), now, edition))
    return found


def _engine(process: str, told: Document, now: int, edition: int) -> Document:
    age = max(0, now - told["at"])
    lag = told["lag"]
    return {
        "process": int(process),
        "age_ms": age,
        "silent": age > SILENT_MS,
        "rules_behind": told["rules"] != edition,
        "partitions": [_partition(name, each, lag.get(name)) for name, each in told["partitions"].items()],
        "latency": told["latency"],
    }


def _partition(name: str, told: Document, lag: int | None) -> Document:
    counts = told["counts"]
    return {
        "partition": name,
        "next": told["next"],
        "newest": told["newest"] if told["next"] is not None else None,
        "lag": lag,
        "in": counts.get(EVENTS, 0) + counts.get(DEAD, 0),
        **{count: counts.get(count, 0) for count in (EVENTS, DEAD, MISSED)},
        "rules": told["rules"],
    }


def totals(found: Sequence[Document]) -> Document:
    """Over all partitions; `lag` is None where that of any of them is not known."""
    partitions = [each for engine in found for each in engine["partitions"]]
    lags = [each["lag"] for each in partitions]
    summed = {count: sum(each[count] for each in partitions) for count in ("in", EVENTS, DEAD, MISSED)}
    return {"partitions": len(partitions), "lag": None if None in lags else sum(lags), **summed}


def by_rule(found: Sequence[Document]) -> Mapping[str, Mapping[str, int]]:
    """What the engines counted for each rule, over all partitions, since the rule began there."""
    told: dict[str, Counter[str]] = defaultdict(Counter)
    for engine in found:
        for partition in engine["partitions"]:
            for rule, counts in partition["rules"].items():
                told[rule].update({name: counts[name] for name in SUMMED})
    return told


def by_scene(found: Sequence[Document]) -> Document:
    """Histograms of the engines' own stages, added up."""
    scenes: Document = {}
    for engine in found:
        for scene, stages in engine["latency"]["scenes"].items():
            for stage, buckets in stages.items():
                before = scenes.setdefault(scene, {}).get(stage, [0] * len(buckets))
                scenes[scene][stage] = [one + other for one, other in zip(before, buckets, strict=True)]
    return scenes
