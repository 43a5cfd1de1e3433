"""What `liandong bench triggers` found, on one screen."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from deploy.bench.trigger_kernel import Counted
from deploy.bench.trigger_paced import FIRES_A_SECOND
from deploy.bench.trigger_spark import Compared
from deploy.bench.trigger_sustained import Sustained
from deploy.bench.triggers import Streamed


def streamed(found: Streamed) -> Group:
    steady = found.paced
    fires = steady.fires + found.json.fires + found.packed.fires
    return Group(
        Text(f"{steady.rate:,.0f} events/s, {FIRES_A_SECOND} fires/s; seconds from the event to the vendor's hand-off"),
        _latencies(found),
        Text("as many events as the engine takes, from the broker, checkpointed"),
        _rates(found),
        Text(
            f"{fires:,} fires, {found.lost:,} lost, {found.doubled:,} doubled; {found.miscounted:,} events miscounted",
            style="bold red" if found.wrong else "green",
        ),
    )


def _latencies(found: Streamed) -> Table:
    table = _table("scene", "p50", "p99", "longest", "", "cores")
    cores = iter(found.paced.cores.items())
    for scene, millis in found.paced.millis.items():
        seconds = (f"{millis[each] / 1000:.2f}" for each in ("p50", "p99", "max"))
        table.add_row(scene, *seconds, *_core(cores))
    for name, used in cores:
        table.add_row("", "", "", "", name, f"{used:.2f}")
    return table


def _core(cores: Iterator[tuple[str, float]]) -> tuple[str, str]:
    name, used = next(cores, ("", None))
    return name, "" if used is None else f"{used:.2f}"


def _rates(found: Streamed) -> Table:
    table = _table(
        "format",
        "engines",
        "events/s",
        "bytes an event",
        "fires",
        "processor seconds a million: engine",
        "broker",
        "all",
    )
    for name, each in (("json", found.json), ("packed", found.packed)):
        table.add_row(name, *_rate(each))
    return table


def _rate(of: Sustained) -> Iterator[str]:
    spent = of.cpu_seconds_per_million
    yield f"{of.engines}"
    yield f"{of.events_per_second:,.0f}"
    yield f"{of.bytes_per_event:.0f}"
    yield f"{of.fires:,}"
    yield from (f"{each:.2f}" for each in (spent["engine"], spent["broker"], sum(spent.values())))


def counted(found: dict[str, Counted]) -> Table:
    table = _table("form", "events/s", "reference", "times", "fires", "differ", "bytes a subscriber")
    for name, each in found.items():
        rate, reference = each.events_per_second, each.reference_events_per_second
        cells = (f"{rate:,.0f}", f"{reference:,.0f}", f"{rate / reference:.1f}×", f"{each.fires:,}", f"{each.differ:,}")
        table.add_row(name, *cells, f"{each.bytes_per_subscriber:,.1f}")
    return table


def spark(found: Compared) -> Text:
    kernel, python = found.kernel_events_per_second, found.python_events_per_second
    return Text(
        f"Spark: {kernel:,.0f} events/s, its state by person in Python {python:,.0f}, {kernel / python:.0f} times; "
        f"{found.fires:,} fires, {found.differ:,} differ"
    )


def _table(first: str, *others: str) -> Table:
    return Table(first, *(Column(name, justify="right") for name in others), box=None)
