"""A province node's own commands: `liandong province …`, or `python -m province …`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from common.runtime import command
from common.runtime.database import Database
from common.runtime.migrate import check_schema
from common.runtime.migrate import migrate as bring_up
from common.runtime.settings import load
from province import provision
from province.settings import ProvinceSettings

MIGRATIONS = Path(__file__).parent / "store" / "migrations"
Config = Annotated[
    Path, typer.Option("--config", help="The province's settings file.", envvar="LIANDONG_PROVINCE_CONFIG")
]

app = typer.Typer(
    help="A province: local channels, BSS, results up.", no_args_is_help=True, pretty_exceptions_enable=False
)


@app.command()
def init(
    code: Annotated[str, typer.Argument(help="Two digits of GB/T 2260, such as 45 for Guangxi.")],
    directory: Path,
    hq: Annotated[str, typer.Option(help="Address and port of HQ.")] = "127.0.0.1:7700",
    listen: Annotated[str, typer.Option(help="Address and port vendors report to.")] = "127.0.0.1:7710",
) -> None:
    """Make a new province node in DIRECTORY, with the certificate request HQ has to sign."""
    settings = provision.new_province(directory, code, hq, listen)
    typer.echo(
        f"made {settings}\nnext, at HQ: liandong province enroll {directory / 'province.csr'} "
        f"--hq hq.toml --out {directory}"
    )


@app.command()
def migrate(config: Config = Path("province.toml")) -> None:
    """Bring the province's tables to this version's schema."""
    settings = load(ProvinceSettings, config)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.url("province"))
    typer.echo(f"schema at {bring_up(database, MIGRATIONS)}\nnext: liandong province serve --config {config}")
    database.close()


@app.command()
def serve(config: Config = Path("province.toml")) -> None:
    """Run the province node until it is told to stop."""
    from province.node import run

    settings = load(ProvinceSettings, config)
    check_schema(settings.url("province"), MIGRATIONS, f"liandong province migrate --config {config}")
    asyncio.run(run(settings))


if __name__ == "__main__":
    command.run(app)
