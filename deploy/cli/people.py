"""`liandong import …` and `liandong audience …`: people in, and how many a rule selects."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from adapters.bss.file_feed import order_pages
from adapters.warehouse.duckdb_warehouse import DuckDbWarehouse
from adapters.warehouse.snapshots import Snapshots
from adapters.warehouse.subscriber_import import Home, Imported, import_subscribers, import_tags
from common.delivery import source_place
from common.delivery.orders import new_orders
from common.kernel.bss import order_records
from common.kernel.province import PROVINCES
from common.kernel.refusal import invalid
from common.kernel.tag import Sensitivity, TagType
from common.kernel.work_order import HQ_NODE
from common.rules.rule_language import check_rule
from common.runtime.clock import clock_of
from common.runtime.database import Database
from common.runtime.migrate import check_schema
from common.runtime.settings import SOURCE_SYSTEM_CHARS_MAX, NodeSettings, load
from hq.__main__ import MIGRATIONS as HQ_MIGRATIONS
from hq.audience import HoldOut, count_audience
from hq.audience import preview as preview_rows
from hq.orders import feed_orders
from hq.settings import HqSettings
from hq.store import sources
from province import trigger_documents
from province.__main__ import MIGRATIONS as PROVINCE_MIGRATIONS
from province.bss_sync import report_orders
from province.settings import ProvinceSettings
from province.store import tags as known_tags

E = TypeVar("E", bound=StrEnum)

imports = typer.Typer(help="Bring people, tags or orders in from a file.", no_args_is_help=True)
audience = typer.Typer(help="Try a rule on the people HQ knows.", no_args_is_help=True)

Config = Annotated[Path, typer.Option("--config", help="Settings file of the node: HQ's, or a province's.")]
HqConfig = Annotated[Path, typer.Option("--config", help="HQ's settings file.", envvar="LIANDONG_HQ_CONFIG")]
Number = Annotated[str, typer.Option(help="Column with the subscriber's number.")]


def _known(encoding: str | None) -> str | None:
    try:
        b" ".decode(encoding or "utf-8")
    except LookupError:
        raise invalid(f"--encoding {encoding}: no such encoding; give one such as utf-8 or gb18030") from None
    return encoding


Encoding = Annotated[str | None, typer.Option(help="The file's encoding, where it cannot be told.", callback=_known)]
Types = Annotated[
    list[str] | None, typer.Option("--type", metavar="COLUMN=TYPE", help="Not the type that its values look like.")
]
Where = Annotated[str, typer.Option(help="""The rule, e.g. "tenure_months <= 12 AND app_active".""")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@imports.command()
def subscribers(
    file: Path,
    config: Config,
    number: Number = "msisdn",
    province: Annotated[str, typer.Option(help="Column with the home province (code or name).")] = "province",
    encoding: Encoding = None,
    types: Types = None,
) -> None:
    """Add people. HQ keeps numbers and tags; a province keeps the numbers of its own people."""
    settings = _settings(config)
    home = int(settings.code) if isinstance(settings, ProvinceSettings) else None
    snapshots = None if home else Snapshots(settings.data_dir / "people")
    with _database(settings, config) as database, _reading(file) as progress:
        imported = import_subscribers(
            file, number=number, province=province, federation_key=settings.federation_key(), database=database,
            snapshots=snapshots, home=home, types=_pairs("--type", types, TagType), encoding=encoding,
            progress=progress,
        )  # fmt: skip
    _tell(imported, file)


@imports.command()
def tags(
    file: Path,
    config: Config = Path("hq.toml"),
    number: Number = "msisdn",
    encoding: Encoding = None,
    types: Types = None,
    sensitive: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=KIND", help="personal, location or internet: what a column says of people."),
    ] = None,
) -> None:
    """Join more columns to people HQ knows, or a province has: there trigger rules look at them."""
    settings = _settings(config)
    join = partial(
        import_tags, file, number=number, federation_key=settings.federation_key(), encoding=encoding,
        types=_pairs("--type", types, TagType), sensitive=_pairs("--sensitive", sensitive, Sensitivity),
    )  # fmt: skip
    if isinstance(settings, ProvinceSettings):
        imported = _tags_of_province(join, settings, config, file)
    else:
        with _reading(file) as progress:
            imported = join(snapshots=Snapshots(settings.data_dir / "people"), progress=progress)
    _tell(imported, file)


def _tags_of_province(join: Callable[..., Imported], settings: ProvinceSettings, config: Path, file: Path) -> Imported:
    """What HQ was told of trigger documents for want of a tag is taken back, and no old snapshot is kept."""
    snapshots, clock = Snapshots(settings.people_directory), clock_of(settings.clock_file)
    with _database(settings, config) as database:
        with _reading(file) as progress:
            imported = join(snapshots=snapshots, home=Home(int(settings.code), database), progress=progress)
        assert imported.snapshot is not None  # noqa: S101 - tags make one
        with database.transaction("people.import_tags") as connection:
            if known_tags.put(connection, imported.snapshot.catalogue):
                trigger_documents.judge_again(connection, clock.now())
    snapshots.drop_older()
    return imported


def _pairs(option: str, said: list[str] | None, kind: type[E]) -> dict[str, E]:
    """COLUMN=WORD, each."""
    found = {}
    for each in said or ():
        column, _, word = each.rpartition("=")
        if not column or word not in list(kind):
            raise invalid(f"{option} {each}: write COLUMN=, and one of {', '.join(kind)}")
        found[column] = kind(word)
    return found


@imports.command()
def orders(
    file: Path,
    config: Config,
    source_system: Annotated[str, typer.Option(help="The system that took these orders; file-NODE if left out.")] = "",
) -> None:
    """Take in order records from a CSV file, here and at the other level. Repeating it changes nothing."""
    if len(source_system) > SOURCE_SYSTEM_CHARS_MAX:
        raise invalid(f"--source-system must have at most {SOURCE_SYSTEM_CHARS_MAX} characters")
    settings = _settings(config)
    tell = report_orders if isinstance(settings, ProvinceSettings) else feed_orders
    node = settings.code if isinstance(settings, ProvinceSettings) else HQ_NODE
    source_system = source_system or f"file-{node}"
    key, clock = settings.federation_key(), clock_of(settings.clock_file)
    new, rejects = 0, list[str]()
    with _database(settings, config) as database:
        for page in order_pages(file):
            records = order_records(source_system, page.orders, key)
            with database.transaction("people.import_orders") as connection:
                source_place.know(connection, source_system)
                if node == HQ_NODE:
                    sources.claim(connection, HQ_NODE, [source_system])
                taken = new_orders(connection, records, clock.now())
                tell(connection, taken, clock.now())
            new += len(taken)
            rejects += page.rejects
    for reject in rejects:
        typer.echo(f"not taken: {reject}", err=True)
    typer.echo(f"{new:,} new order records, {len(rejects):,} lines not taken")


@audience.command()
def count(
    where: Where,
    config: HqConfig = Path("hq.toml"),
    holdout: Annotated[float, typer.Option(help="Share held out, such as 0.1.")] = 0.0,
    as_json: AsJson = False,
) -> None:
    """How many people a rule selects, by province."""
    settings = load(HqSettings, config)
    warehouse = DuckDbWarehouse.open(Snapshots(settings.data_dir / "people"))
    counts = count_audience(
        warehouse, check_rule(where, warehouse.catalogue), HoldOut(holdout, "preview", settings.federation_key())
    )
    if as_json:
        typer.echo(json.dumps({"target": sum(c.target for c in counts), "held_out": sum(c.held_out for c in counts),
                               "provinces": {f"{c.province:02d}": c.target for c in counts}}))  # fmt: skip
        return
    table = Table("province", "people", "held out")
    for each in counts:
        name = PROVINCES[each.province].name_zh if each.province in PROVINCES else ""
        table.add_row(f"{each.province:02d} {name}", f"{each.target:,}", f"{each.held_out:,}")
    table.add_section()
    table.add_row("all", f"{sum(c.target for c in counts):,}", f"{sum(c.held_out for c in counts):,}")
    Console().print(table)


@audience.command()
def preview(where: Where, config: HqConfig = Path("hq.toml"), rows: int = 10) -> None:
    """A few of the people a rule selects, without their numbers."""
    warehouse = DuckDbWarehouse.open(Snapshots(load(HqSettings, config).data_dir / "people"))
    people = preview_rows(warehouse, check_rule(where, warehouse.catalogue), rows=rows)
    table = Table(*(people[0] if people else ("nobody",)))
    for person in people:
        table.add_row(*map(str, person.values()))
    Console().print(table)


def _settings(config: Path) -> HqSettings | ProvinceSettings:
    try:
        keys = tomllib.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        keys = {}  # `load` says what is wrong with it
    return load(ProvinceSettings, config) if "code" in keys else load(HqSettings, config)


@contextmanager
def _database(settings: NodeSettings, config: Path) -> Iterator[Database]:
    at_province = isinstance(settings, ProvinceSettings)
    node, scripts = ("province", PROVINCE_MIGRATIONS) if at_province else ("hq", HQ_MIGRATIONS)
    check_schema(settings.url(node), scripts, f"liandong {node} migrate --config {config}")
    database = Database(settings.url(node))
    try:
        yield database
    finally:
        database.close()


@contextmanager
def _reading(file: Path) -> Iterator[Callable[[int], None]]:
    with Progress(
        SpinnerColumn(), TextColumn(f"reading {file.name}"), TextColumn("{task.completed:,.0f} lines"),
        TimeElapsedColumn(), console=Console(stderr=True), transient=True,
    ) as progress:  # fmt: skip
        task = progress.add_task(file.name, total=None)
        yield lambda lines: progress.update(task, completed=lines)


def _tell(imported: Imported, file: Path) -> None:
    for note in imported.notes:
        typer.echo(f"note: {note}")
    rejected = len(imported.rejects)
    typer.echo(f"{imported.accepted:,} accepted ({imported.added:,} new), {rejected:,} rejected")
    if rejected:
        where = file.with_name(file.name + ".rejects.csv")
        imported.rejects.write(where)
        for reason, lines in list(imported.rejects.by_reason().items())[:5]:
            typer.echo(f"  {lines:,}: {reason}")
        typer.echo(f"each rejected line with its reason: {where}")
