"""`liandong bench triggers`: what trigger rules carry, from the counting alone to the vendor's hand-off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.bench import trigger_kernel as kernel
from deploy.bench.trigger_paced import Pace, Paced, paced
from deploy.bench.trigger_spark import Compared
from deploy.bench.trigger_sustained import JSON, PACKED, Sustained, sustained
from deploy.bench.trigger_world import bench
from deploy.local.traffic import SCENES

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    kernel: kernel.Sizes
    people: int
    """Subscribers of the province the events are of."""
    json_events: int
    packed_events: int
    fires: int
    """Of each of the two sustained measurements."""
    spark: tuple[int, int]
    """Events for the kernel, and for the state in Python."""


FULL = Sizes(kernel.Sizes(1_000_000, 3_000_000, 100_000), 200_000, 6_000_000, 30_000_000, 1_000, (2_000_000, 60_000))
QUICK = Sizes(kernel.Sizes(20_000, 200_000, 100_000), 2_000, 60_000, 300_000, 200, (300_000, 25_000))


@dataclass(frozen=True, slots=True)
class Streamed:
    paced: Paced
    json: Sustained
    packed: Sustained

    @property
    def lost(self) -> int:
        return sum(each.reached.lost for each in (self.paced, self.json, self.packed))

    @property
    def doubled(self) -> int:
        return sum(each.reached.doubled for each in (self.paced, self.json, self.packed))

    @property
    def miscounted(self) -> int:
        return self.json.miscounted + self.packed.miscounted

    @property
    def wrong(self) -> bool:
        return bool(self.lost or self.doubled or self.miscounted)


async def streamed(root: Path, pace: Pace, sizes: Sizes, engines: int | None, tell: Tell) -> Streamed:
    """Everything durable and a process of its own: broker, HQ, province, vendor, and one engine for the steady rate,
    `engines` for what they can take; None: as many as carry most of each format."""
    steady, then = pace.fires, pace.fires + sizes.fires
    async with bench(root / "federation", sizes.people, then + sizes.fires, tell) as at:
        return Streamed(
            await paced(at, pace, tell),
            await sustained(at, JSON, sizes.json_events, slice(steady, then), engines, tell),
            await sustained(at, PACKED, sizes.packed_events, slice(then, None), engines, tell),
        )


def document(found: Streamed) -> dict[str, Any]:
    """The fields that `--json` has of it."""
    steady = found.paced
    return {
        "p99_seconds": {name: _millis(steady, name, "p99") for name in (scene.name for scene in SCENES)},
        "p50_seconds": {name: _millis(steady, name, "p50") for name in (scene.name for scene in SCENES)},
        "events_per_second": round(steady.rate),
        "fires": steady.fires + found.json.fires + found.packed.fires,
        "fires_lost": found.lost,
        "fires_doubled": found.doubled,
        "events_miscounted": found.miscounted,
        "cores_by_process": {name: round(each, 3) for name, each in steady.cores.items()},
        "engines": {"json": found.json.engines, "packed": found.packed.engines},
        "json_events_per_second": round(found.json.events_per_second),
        "packed_events_per_second": round(found.packed.events_per_second),
        "cpu_seconds_per_million": {
            each: {name: round(spent, 3) for name, spent in of.cpu_seconds_per_million.items()}
            for each, of in (("json", found.json), ("packed", found.packed))
        },
        "bytes_per_event": {"json": round(found.json.bytes_per_event), "packed": round(found.packed.bytes_per_event)},
    }


def spark_document(found: Compared) -> dict[str, Any]:
    return {
        "spark_events_per_second": round(found.kernel_events_per_second),
        "spark_python_state_events_per_second": round(found.python_events_per_second),
        "spark_vs_python_state": round(found.kernel_events_per_second / found.python_events_per_second, 1),
        "spark_fires_differ": found.differ,
    }


def _millis(steady: Paced, scene: str, which: str) -> float | None:
    """None where nothing of the scene was timed."""
    found = steady.millis.get(scene)
    return None if found is None else found[which] / 1000
