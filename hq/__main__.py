"""HQ's own commands: `liandong hq …`, or `python -m hq …`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from common.runtime import command
from common.runtime.database import Database
from common.runtime.migrate import check_schema
from common.runtime.migrate import migrate as bring_up
from common.runtime.settings import load
from hq import provision
from hq.settings import HqSettings

MIGRATIONS = Path(__file__).parent / "store" / "migrations"
Config = Annotated[Path, typer.Option("--config", help="HQ's settings file.", envvar="LIANDONG_HQ_CONFIG")]

app = typer.Typer(
    help="Headquarters: plan, coordinate, evaluate.", no_args_is_help=True, pretty_exceptions_enable=False
)


@app.command()
def init(
    directory: Path,
    listen: Annotated[str, typer.Option(help="Address and port HQ answers at.")] = "127.0.0.1:7700",
) -> None:
    """Make a new HQ in DIRECTORY: settings, authority, keys, and the first operator's certificate."""
    settings = provision.new_hq(directory, listen, datetime.now(UTC))
    operator = directory / "operator" / "operator.toml"
    typer.echo(
        f"made {settings}, and {operator} for the first operator (--operator, or LIANDONG_OPERATOR)\n"
        f"next: liandong hq migrate --config {settings}"
    )


@app.command()
def certify(kind: str, name: str, out: Path, config: Config = Path("hq.toml")) -> None:
    """Certify an operator, vendor or bss called NAME; certificate and key go to the folder OUT."""
    provision.certify(config.parent, kind, name, out, datetime.now(UTC))
    typer.echo(f"certified {kind} {name} in {out}")


@app.command()
def migrate(config: Config = Path("hq.toml")) -> None:
    """Bring HQ's tables to this version's schema."""
    settings = load(HqSettings, config)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.url("hq"))
    typer.echo(f"schema at {bring_up(database, MIGRATIONS)}\nnext: liandong hq serve --config {config}")
    database.close()


@app.command()
def serve(config: Config = Path("hq.toml")) -> None:
    """Run HQ until it is told to stop."""
    from hq.node import run

    settings = load(HqSettings, config)
    check_schema(settings.url("hq"), MIGRATIONS, f"liandong hq migrate --config {config}")
    asyncio.run(run(settings))


@app.command()
def restored(config: Config = Path("hq.toml")) -> None:
    """Say that this whole machine came back from a backup, which it cannot notice itself. Run it before `serve`."""
    from hq.node import begin_anew

    settings = load(HqSettings, config)
    check_schema(settings.url("hq"), MIGRATIONS, f"liandong hq migrate --config {config}")
    typer.echo(
        f"incarnation {asyncio.run(begin_anew(settings))} begins; what was open may have been sent, so it is unknown\n"
        f"next: liandong hq serve --config {config}"
    )


if __name__ == "__main__":
    command.run(app)
