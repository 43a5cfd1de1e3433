"""The status of trigger rules and engines on one screen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.kernel.reasons import TASK_REASONS, TASK_STATES
from common.kernel.task import TaskReason, TaskState
from common.kernel.trigger_rule import ZONE_SECONDS
from deploy.trigger_words import fate_words
from deploy.words import word
from province.store.trigger_status import STAGES

Document = Mapping[str, Any]
_CHINA = timezone(timedelta(seconds=ZONE_SECONDS))


def show(told: Document, lang: str, console: Console) -> None:
    console.print(_rules(told, lang))
    if any(scene["latency_ms"] for scene in told["scenes"]):
        console.print(_scenes(told, lang))
    console.print(_summary(told, lang))
    if told["engines"]:
        console.print(_engines(told, lang))
    if told["forecast"] is not None:
        console.print(_forecast(told["forecast"], lang))


def _rules(told: Document, lang: str) -> Table:
    table = Table(box=None)
    for column in ("scene", "rule"):
        table.add_column(word(column, lang), overflow="fold")
    for column in ("fires", "contacts"):
        table.add_column(word(column, lang))
    table.add_column(word("late_events", lang), justify="right")
    for rule in told["rules"]:
        fires = _lines((fate_words(name, lang), count) for name, count in rule["fires"].items())
        contacts = _lines((_contact(name, lang), count) for name, count in rule["contacts"].items())
        late = f"{rule['counted']['late']:,}" if rule["counted"] else "-"
        table.add_row(rule["scene"], _name(rule, lang), fires, contacts, late)
    return table


def _scenes(told: Document, lang: str) -> Table:
    columns = ("scene", *(f"stage_{stage}" for stage in STAGES))
    table = Table(*(word(column, lang) for column in columns), box=None, caption=word("latency_caption", lang))
    for scene in told["scenes"]:
        table.add_row(scene["scene"], *(_latency(scene["latency_ms"].get(stage)) for stage in STAGES))
    return table


def _name(rule: Document, lang: str) -> Text:
    name = Text(rule["rule"])
    if rule["paused"]:
        name.append(f" {word('trigger_paused', lang)}", style="yellow")
    if not rule["in_force"]:
        name.append(f" {word('not_in_force', lang)}", style="dim")
    return name


def _contact(name: str, lang: str) -> str:
    state, _, reason = name.partition(":")
    told = TASK_STATES[TaskState[state.upper()]].said(lang)
    return f"{told}: {TASK_REASONS[TaskReason[reason.upper()]].said(lang)}" if reason else told


def _lines(counts: Iterator[tuple[str, int]]) -> str:
    return "\n".join(f"{name} {count:,}" for name, count in counts) or "0"


def _latency(of: Document | None) -> str:
    return f"{of['p50']:,} / {of['p99']:,}" if of else "-"


def _summary(told: Document, lang: str) -> Text:
    """In = events + dead, and how far behind."""
    if not told["engines"]:
        return Text(f"✗ {word('no_engine', lang)}  liandong triggers serve", style="bold red")
    totals = told["totals"]
    lag = "?" if totals["lag"] is None else f"{totals['lag']:,}"
    missed = f"; {word('replay_missed', lang)} {totals['missed']:,}" if totals["missed"] else ""
    return Text(
        f"{word('replay_in', lang)} {totals['in']:,} = {word('events', lang)} {totals['events']:,} + "
        f"{word('replay_dead', lang)} {totals['dead']:,}{missed}; {word('lag', lang)} {lag}"
    )


def _engines(told: Document, lang: str) -> Table:
    columns = ("process", "partition", "next_offset", "newest_event", "lag", "events", "replay_dead", "state")
    table = Table(*(word(column, lang) for column in columns), box=None)
    for engine in told["engines"]:
        state = _state(engine, lang)
        for each in engine["partitions"]:
            lag = "?" if each["lag"] is None else f"{each['lag']:,}"
            offset = "-" if each["next"] is None else f"{each['next']:,}"
            table.add_row(str(engine["process"]), each["partition"], offset, _moment(each["newest"]), lag,
                          f"{each['events']:,}", f"{each['dead']:,}", state)  # fmt: skip
        if not engine["partitions"]:
            table.add_row(str(engine["process"]), "-", "-", "-", "-", "-", "-", state)
    return table


def _forecast(told: Document, lang: str) -> Text:
    """How its process is, when it last scored everybody, and of how many it told then."""
    lags = [each["lag"] for each in told["partitions"]]
    lag = "?" if None in lags else f"{sum(lags):,}"
    scored = told["refreshed"]
    last = f"{_moment(scored['at'])}, {word('foretold', lang)} {scored['hits']:,}" if scored else "-"
    people = sum(each["people"] for each in told["partitions"])
    line = Text(f"{word('forecast', lang)} ").append(_forecast_state(told, lang))
    return line.append(
        f"; {word('last_scored', lang)} {last}; {word('replay_people', lang)} {people:,}; {word('lag', lang)} {lag}"
    )


def _forecast_state(told: Document, lang: str) -> Text:
    if told["silent"]:
        return Text(f"✗ {word('engine_silent', lang)} {told['age_ms'] // 1000:,} s", style="bold red")
    if not told["runs"]:
        return Text(word("forecast_ended", lang), style="dim")
    return Text(f"✓ {word('engine_runs', lang)}", style="green")


def _state(engine: Document, lang: str) -> Text:
    if engine["silent"]:
        return Text(f"✗ {word('engine_silent', lang)} {engine['age_ms'] // 1000:,} s", style="bold red")
    if engine["rules_behind"]:
        return Text(word("triggers_behind", lang), style="yellow")
    return Text(f"✓ {word('engine_runs', lang)}", style="green")


def _moment(newest: int | None) -> str:
    """By China's clock."""
    if newest is None or newest < 0:
        return "-"
    return datetime.fromtimestamp(newest / 1000, _CHINA).strftime("%Y-%m-%d %H:%M:%S")
