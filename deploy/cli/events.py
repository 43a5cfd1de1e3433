"""`liandong events …`: the catalogue, a look at a file of events, and made-up ones."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer
from rich.console import Console

from adapters.streams import packed
from adapters.streams.cloudevents import encode
from adapters.streams.files import decode_file
from adapters.streams.mapping import load
from adapters.streams.simulator import EXAMPLE_AT, Plan, batches, population
from adapters.streams.standard import Edge
from adapters.streams.stretch import Stretch
from common.kernel.event_catalogue import CATALOGUE, event_type
from common.kernel.reasons import DEAD_REASONS
from common.kernel.refusal import invalid
from common.kernel.subscriber import FEDERATION_KEY_BYTES_MIN, subscriber_keys
from common.runtime.clock import clock_of, milliseconds
from common.runtime.settings import load as load_settings
from deploy import events_tail
from deploy.cli.ask import Language
from deploy.events_view import Linted, markdown, show_linted, show_type, show_types, type_document
from deploy.words import word
from province.settings import ProvinceSettings
from province.triggers.edge import edge_of
from province.triggers.engine.dead_letters import DeadLetterBox, KeptLetter

app = typer.Typer(help="Events: the catalogue, files of them, and made-up ones.", no_args_is_help=True)

COUNT_MAX = 100_000_000
Config = Annotated[Path, typer.Option("--config", help="The province's settings file.",
                                      envvar="LIANDONG_PROVINCE_CONFIG")]  # fmt: skip
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command()
def types(
    name: Annotated[str, typer.Argument(help="One type, with its fields and an example.")] = "",
    lang: Language = "en",
    as_json: AsJson = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="The table the documents show.")] = False,
) -> None:
    """The catalogue: 50 types in 11 classes."""
    chosen = (event_type(name),) if name else CATALOGUE
    if as_json:
        told = [type_document(each) for each in chosen]
        typer.echo(json.dumps(told[0] if name else told, ensure_ascii=False))
    elif as_markdown:
        typer.echo(markdown(), nl=False)
    elif name:
        show_type(chosen[0], lang, Console())
    else:
        show_types(lang, Console())


@app.command()
def lint(
    file: Annotated[Path, typer.Argument(help="JSON Lines, CSV, Parquet or packed events.")],
    mapping: Annotated[Path | None, typer.Option(help="How a foreign source's columns are to be read.")] = None,
    lang: Language = "en",
    as_json: AsJson = False,
) -> None:
    """Read a file as a node would: events by type, dead letters by reason and line; exit 1 if there are any."""
    # Numbers become keys of a key nobody has: nothing of them is kept.
    keys_of = partial(subscriber_keys, secrets.token_bytes(FEDERATION_KEY_BYTES_MIN))
    edge = Edge(int(datetime.now(UTC).timestamp() * 1000), lambda numbers: keys_of(numbers.tolist()))
    linted = Linted()
    for decoded in decode_file(file, edge, load(mapping) if mapping else None):
        linted.add(decoded)
    if as_json:
        typer.echo(json.dumps(linted.document(), ensure_ascii=False))
    else:
        show_linted(linted, lang, Console())
    raise typer.Exit(1 if linted.reasons else 0)


@app.command()
def generate(
    out: Annotated[Path, typer.Option(help="FILE.jsonl for JSON, FILE.arrows for packed events.")],
    count: Annotated[int, typer.Option(min=1, max=COUNT_MAX)] = 10_000,
    kind: Annotated[list[str], typer.Option("--type", help="A type of event. Repeat for more.")] = [],  # noqa: B006
    mixture: Annotated[bool, typer.Option("--mixture", help="Every type, some more often than others.")] = False,
    people: Annotated[int, typer.Option(min=1, max=10_000_000, help="How many subscribers they happen to.")] = 1_000,
    rate: Annotated[float, typer.Option(min=0.001, help="Events a second.")] = 1_000.0,
    start: Annotated[str, typer.Option(help="When the first happens, such as 2026-03-01T08:00:00+08:00.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same events.")] = 1,
    lang: Language = "en",
    as_json: AsJson = False,
) -> None:
    """Make up events of a type, of several, or of all of them."""
    if bool(kind) is mixture:
        raise invalid("say which events: --type data_used (repeat it for more), or --mixture")
    chosen = CATALOGUE if mixture else tuple(dict.fromkeys(event_type(name) for name in kind))
    plan = Plan(chosen, count, seed, population(people, seed), _millis(start), rate)
    written = _writer(out)
    with out.open("wb") as file:
        for part in written(batches(plan)):
            file.write(part)
    if as_json:
        typer.echo(json.dumps({"events": count, "bytes": out.stat().st_size, "file": str(out)}))
    else:
        typer.echo(f"{count:,} {word('written', lang)} {out}")


@app.command()
def tail(
    config: Config = Path("province.toml"),
    topic: Annotated[str, typer.Option(help="A topic on Kafka; left out: what the settings name.")] = "",
    journal: Annotated[Path | None, typer.Option(help="A journal's directory; the settings are not asked.")] = None,
    last: Annotated[int, typer.Option(min=0, help="How many of the newest of each partition are shown first.")] = 10,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what comes in, until Ctrl-C.")] = False,
) -> None:
    """Show events as they come in, a line each; numbers and subscribers are masked."""
    with suppress(KeyboardInterrupt):
        for stretch in _stretches(config, topic, journal, last, follow):
            for each in events_tail.lines(stretch):
                typer.echo(each)


def _stretches(config: Path, topic: str, journal: Path | None, last: int, follow: bool) -> Iterator[Stretch]:
    if journal is not None:
        return events_tail.of_journal(journal, last, lambda: Edge(milliseconds(clock_of(None))), follow)
    settings = load_settings(ProvinceSettings, config)
    edge = edge_of(settings)
    if not topic and _is_journal(settings):
        return events_tail.of_journal(settings.event_directory, last, edge, follow)
    return events_tail.of_kafka(_brokers(settings), [topic] if topic else settings.topics(), last, edge, follow)


def _is_journal(settings: ProvinceSettings) -> bool:
    return settings.triggers is None or settings.triggers.source == "journal"


def _brokers(settings: ProvinceSettings) -> str:
    if settings.triggers is None or not settings.triggers.brokers:
        raise invalid("the settings name no Kafka: set brokers in [triggers], or leave --topic out")
    return settings.triggers.brokers


@app.command("dead-letters")
def dead_letters(
    config: Config = Path("province.toml"),
    last: Annotated[int, typer.Option(min=1, max=10_000, help="How many of the newest are shown.")] = 20,
    lang: Language = "en",
    as_json: AsJson = False,
) -> None:
    """Records that were refused as events: how many for which reason, and the newest of them, masked."""
    box = DeadLetterBox(load_settings(ProvinceSettings, config).trigger_directory)
    reasons, newest = box.by_reason(), box.newest(last)
    box.close()
    if as_json:
        told = {"reasons": {reason.name: times for reason, times in reasons.items()},
                "newest": [_letter(each) for each in newest]}  # fmt: skip
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    for reason, times in reasons.items():
        typer.echo(f"{times:>10,}  {reason.name}  {getattr(DEAD_REASONS[reason], lang)}")
    for each in newest:
        typer.echo(f"{each.partition} {each.letter.position}  {each.letter.reason.name}  {each.letter.why}")


def _letter(kept: KeptLetter) -> dict[str, object]:
    letter = kept.letter
    return {"partition": kept.partition, "offset": letter.position, "reason": letter.reason.name, "why": letter.why,
            "record": letter.raw.decode(errors="replace"), "kept_at": kept.kept_at}  # fmt: skip


def _writer(out: Path) -> Callable[[Iterator[pa.RecordBatch]], Iterator[bytes]]:
    writers = {".jsonl": _json_lines, ".arrows": _packed}
    if out.suffix not in writers:
        raise invalid(f"--out {out}: name it FILE.jsonl for JSON, or FILE.arrows for packed events")
    return writers[out.suffix]


def _json_lines(made: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    for batch in made:
        yield "\n".join([*encode(batch).to_pylist(), ""]).encode()


def _packed(made: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    return map(packed.encode, made)


def _millis(start: str) -> int:
    if not start:
        return EXAMPLE_AT
    try:
        moment = datetime.fromisoformat(start)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise invalid(f"--start {start}: write it with its offset, as 2026-03-01T08:00:00+08:00")
    return int(moment.timestamp() * 1000)
