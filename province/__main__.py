"""A province node's own commands: `liandong province …`, or `python -m province …`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from common.delivery import ledger
from common.delivery.replay import replay_all
from common.runtime import command
from common.runtime.clock import clock_of
from common.runtime.database import Database
from common.runtime.migrate import check_schema
from common.runtime.migrate import migrate as bring_up
from common.runtime.settings import load
from province import provision, trigger_commands
from province.settings import ProvinceSettings

MIGRATIONS = Path(__file__).parent / "store" / "migrations"
Config = Annotated[
    Path, typer.Option("--config", help="The province's settings file.", envvar="LIANDONG_PROVINCE_CONFIG")
]

app = typer.Typer(
    help="A province: local channels, BSS, results up.", no_args_is_help=True, pretty_exceptions_enable=False
)
app.add_typer(trigger_commands.app, name="triggers")


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


@app.command()
def restored(config: Config = Path("province.toml")) -> None:
    """Say that this whole machine came back from a backup, which it cannot notice itself. Run it before `serve`."""
    from province.node import begin_anew

    settings = load(ProvinceSettings, config)
    check_schema(settings.url("province"), MIGRATIONS, f"liandong province migrate --config {config}")
    typer.echo(
        f"incarnation {asyncio.run(begin_anew(settings))} begins; what was open may have been sent, so it is unknown\n"
        f"next: liandong province serve --config {config}"
    )


@app.command()
def replay(config: Config = Path("province.toml")) -> None:
    """Make every decision recorded here again and compare it with the ledger; exit status 1 where they differ."""
    settings = load(ProvinceSettings, config)
    check_schema(settings.url("province"), MIGRATIONS, f"liandong province migrate --config {config}")
    database = Database(settings.url("province"))
    with database.snapshot() as connection:
        told = replay_all(connection, settings.code, ledger.work_orders(connection), at_issue=False)
    database.close()
    typer.echo(json.dumps(told))
    raise typer.Exit(1 if told["differences"] else 0)


@app.command()
def contact(
    file: Annotated[Path, typer.Argument(help="CSV with a column msisdn, and maybe a column score.")],
    name: Annotated[str, typer.Option(help="The request's name, unique in this province for ever.")],
    offer: Annotated[str, typer.Option(help="Code of what is offered; whoever has it is left alone.")],
    text: Annotated[str, typer.Option(help="What people are to read or be told.")],
    channel: Annotated[str, typer.Option(help="A channel this province runs.")] = "local_sms",
    line: Annotated[str, typer.Option(help="Product line the contact policy counts it under.")] = "",
    priority: Annotated[int, typer.Option(help="0 to 100; the highest is decided first.")] = 50,
    until: Annotated[str, typer.Option(help="Not sent after; a day from now, if left out.")] = "",
    ask_hq: Annotated[bool, typer.Option("--ask-hq", help="Ask HQ for what the own contacts do not cover.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the outcome.")] = 60.0,
    config: Config = Path("province.toml"),
) -> None:
    """Contact people on the province's own account, as far as the contact policy allows."""
    from province import contact as contacts
    from province.local_request import LocalRequest

    settings = load(ProvinceSettings, config)
    check_schema(settings.url("province"), MIGRATIONS, f"liandong province migrate --config {config}")
    now = clock_of(settings.clock_file).now()
    terms = LocalRequest(
        name=name, asked_at=now, channel=channel, offer=offer, product_line=line, purpose="", priority=priority,
        end_at=contacts.moment(until) if until else now + contacts.DAY_SECONDS, ask_hq=ask_hq, texts=(text,),
    )  # fmt: skip
    database = Database(settings.url("province"))
    contacts.ask(database, settings, file, terms)
    reached = contacts.await_outcome(database, name, wait)
    database.close()
    for said in contacts.told(reached) if reached else ["asked; no node has decided it yet. Run this again to see"]:
        typer.echo(said)
    raise typer.Exit(0 if reached else 1)


if __name__ == "__main__":
    command.run(app)
