"""`liandong province triggers …`: the trigger rules in force here, and the province's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Connection

from common.rules.trigger_file import to_publish
from common.runtime.clock import clock_of
from common.runtime.database import Database
from common.runtime.migrate import check_schema
from common.runtime.settings import load
from province import local_triggers
from province.settings import ProvinceSettings
from province.store.triggers import LocalVersion

MIGRATIONS = Path(__file__).parent / "store" / "migrations"
Config = Annotated[
    Path, typer.Option("--config", help="The province's settings file.", envvar="LIANDONG_PROVINCE_CONFIG")
]

app = typer.Typer(help="Trigger rules in force here, and the province's own.", no_args_is_help=True)


@app.command()
def apply(
    file: Annotated[Path, typer.Argument(help="The trigger document; its rules are named local-….")],
    name: Annotated[str, typer.Option(help="The document's name here; left out: the file's.")] = "",
    config: Config = Path("province.toml"),
) -> None:
    """Put rules of this province's own in force; HQ never hears of them."""
    said_by = to_publish(file)
    text, parts = said_by.text, said_by.parts
    said, changed = _change(
        config, lambda connection, now: local_triggers.apply(connection, name or file.stem, text, now, parts)
    )
    told = "is in force" if changed else "says the same; nothing was changed"
    typer.echo(f"{said.name}: version {said.version} {told}\nnext: liandong province triggers show --config {config}")


@app.command()
def withdraw(
    name: Annotated[str, typer.Argument(help="The document's name, as `show` tells.")],
    config: Config = Path("province.toml"),
) -> None:
    """Take rules of this province's own out of force."""
    said, changed = _change(config, lambda connection, now: local_triggers.withdraw(connection, name, now))
    told = f"is withdrawn by version {said.version}" if changed else "was withdrawn before"
    typer.echo(f"{name} {told}\nnext: liandong province triggers show --config {config}")


def _change(config: Path, change: Callable[[Connection, int], tuple[LocalVersion, bool]]) -> tuple[LocalVersion, bool]:
    now = clock_of(load(ProvinceSettings, config).clock_file).now()
    database = _open(config)
    try:
        with database.transaction("local_triggers.change") as connection:
            return change(connection, now)
    finally:
        database.close()


def _open(config: Path) -> Database:
    settings = load(ProvinceSettings, config)
    check_schema(settings.url("province"), MIGRATIONS, f"liandong province migrate --config {config}")
    return Database(settings.url("province"))
