"""How the catalogue of events and what became of a file are shown."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from adapters.streams.cloudevents import encode
from adapters.streams.simulator import EXAMPLE_AT, EXAMPLE_KEY, example
from adapters.streams.standard import Decoded
from common.kernel.dead_letter import DeadLetter, DeadReason
from common.kernel.event import EventType, Field, Kind
from common.kernel.event_catalogue import CATALOGUE, CLASSES
from common.kernel.reasons import DEAD_REASONS
from deploy.words import word

FIRST_LETTERS = 20
LINES_SHOWN = 5


@dataclass(slots=True)
class Linted:
    """What a file held: events by type, dead letters by reason with the lines of the first."""

    types: Counter[str] = field(default_factory=Counter)
    reasons: Counter[DeadReason] = field(default_factory=Counter)
    lines: dict[DeadReason, list[int]] = field(default_factory=dict)
    first: list[DeadLetter] = field(default_factory=list)

    def add(self, decoded: Decoded) -> None:
        for events in decoded.events:
            self.types[events.type.name] += len(events)
        for letter in decoded.dead:
            self.reasons[letter.reason] += 1
            self.lines.setdefault(letter.reason, [])
            if len(self.lines[letter.reason]) < LINES_SHOWN:
                self.lines[letter.reason].append(letter.position)
            if len(self.first) < FIRST_LETTERS:
                self.first.append(letter)

    def document(self) -> dict[str, Any]:
        return {
            "records": self.types.total() + self.reasons.total(),
            "events": self.types.total(),
            "dead": self.reasons.total(),
            "types": dict(self.types.most_common()),
            "reasons": {reason.name: count for reason, count in self.reasons.most_common()},
            "first": [{"line": f.position, "reason": f.reason.name, "why": f.why} for f in self.first],
        }


def show_linted(linted: Linted, language: str, console: Console) -> None:
    if linted.types:
        table = Table(word("event_type", language), word("events", language), box=None)
        for name, count in linted.types.most_common():
            table.add_row(name, f"{count:,}")
        console.print(table)
    for reason, count in linted.reasons.most_common():
        lines = ", ".join(map(str, linted.lines[reason])) + (" …" if count > LINES_SHOWN else "")
        said = DEAD_REASONS[reason].said(language)
        console.print(
            f"[red]✗[/red] {count:,} {reason.name} ({said}): {word('line', language)} {lines}", highlight=False
        )
        why = next((letter.why for letter in linted.first if letter.reason is reason), "")
        console.print(f"    {why}" if why else "", highlight=False, markup=False)
    total, dead = linted.types.total(), linted.reasons.total()
    mark = "[red]✗[/red]" if dead else "[green]✓[/green]"
    console.print(
        f"{mark} {total + dead:,} {word('records', language)} = {total:,} {word('events', language)}"
        f" + {dead:,} {word('dead_letters', language)}",
        highlight=False,
    )


def type_document(event_type: EventType) -> dict[str, Any]:
    return {
        "name": event_type.name, "type": event_type.wire_name, "class": event_type.event_class,
        "sensitivity": event_type.sensitivity, "domain": event_type.domain, "zh": event_type.zh, "en": event_type.en,
        "fields": [_field_document(each) for each in event_type.fields],
        "example": json.loads(example_line(event_type)),
    }  # fmt: skip


def _field_document(each: Field) -> dict[str, Any]:
    told = {"name": each.name, "kind": each.kind, "required": each.required}
    rest = {"low": each.low, "high": each.high, "unit": each.unit or None, "one_of": each.one_of or None}
    return told | {name: value for name, value in rest.items() if value is not None}


def example_line(event_type: EventType) -> str:
    line: str = encode(example(event_type, EXAMPLE_AT, EXAMPLE_KEY))[0].as_py()
    return line


def show_types(language: str, console: Console) -> None:
    """All on one screen: a line a class."""
    table = Table(word("event_class", language), word("event_types", language), box=None)
    for event_class, words in CLASSES.items():
        names = [_listed(each, language) for each in CATALOGUE if each.event_class is event_class]
        table.add_row(words.said(language), ", ".join(names))
    console.print(table)
    console.print(word("event_more", language), highlight=False)


def _listed(each: EventType, language: str) -> str:
    return f"{each.name} {each.zh}" if language == "zh" else each.name


def show_type(event_type: EventType, language: str, console: Console) -> None:
    named = event_type.zh if language == "zh" else event_type.en
    of = CLASSES[event_type.event_class].said(language)
    console.print(f"[bold]{event_type.name}[/bold]  {named}  ({of}, {event_type.sensitivity}, {event_type.domain})")
    names = ("field", "kind", "required", "bounds", "unit")
    table = Table(*(word(f"event_{name}", language) for name in names), box=None)
    for each in event_type.fields:
        table.add_row(each.name, each.kind, "✓" if each.required else "", bounds(each), each.unit)
    console.print(table)
    console.print(example_line(event_type), highlight=False, markup=False, soft_wrap=True)


def bounds(each: Field) -> str:
    if each.one_of:
        return " | ".join(each.one_of)
    if each.kind in (Kind.TEXT, Kind.CODE):
        return f"≤ {each.high:g} chars" if each.high else ""
    parts = [f"{bound:.16g}" if bound is not None else "" for bound in (each.low, each.high)]
    return " … ".join(parts) if any(parts) else ""


def markdown() -> str:
    """The table of types as the documents show it."""
    return "\n".join(_markdown_lines(CATALOGUE)) + "\n"


def _markdown_lines(types: Iterable[EventType]) -> Iterator[str]:
    yield "| class 类 | type | 中文 | what happened | from | sensitivity | fields (optional ones in brackets) |"
    yield "|---|---|---|---|---|---|---|"
    for each in types:
        fields = ", ".join(f.name if f.required else f"[{f.name}]" for f in each.fields)
        of = f"{each.event_class} {CLASSES[each.event_class].zh}"
        yield f"| {of} | `{each.name}` | {each.zh} | {each.en} | {each.domain} | {each.sensitivity} | {fields} |"
