"""The `liandong` command."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from common.kernel.refusal import missing
from common.runtime.command import run
from common.runtime.database import Database
from common.runtime.migrate import check_schema
from common.runtime.settings import load
from deploy.cli import (
    bench,
    campaign,
    check,
    components,
    consent,
    demo,
    events,
    people,
    policy,
    province_triggers,
    simulate,
    triggers,
    why,
)
from hq import provision
from hq.__main__ import MIGRATIONS
from hq.__main__ import app as hq_app
from hq.settings import HqSettings
from hq.store import provinces
from province import trigger_commands
from province.__main__ import app as province_app

CHECKOUT = Path(__file__).parents[2]

app = typer.Typer(
    help="Headquarters and provinces run marketing together. Start with: liandong demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(hq_app, name="hq")
app.add_typer(province_app, name="province")
app.add_typer(people.imports, name="import")
app.add_typer(people.audience, name="audience")
app.add_typer(campaign.app, name="campaign")
app.add_typer(consent.app, name="people")
app.add_typer(policy.app, name="policy")
app.add_typer(triggers.app, name="triggers")
app.add_typer(events.app, name="events")
app.add_typer(bench.app, name="bench")
app.add_typer(components.app, name="components")
app.command()(campaign.report)
app.command()(demo.demo)
app.command()(why.why)
app.command()(why.replay)
app.command()(check.check)
app.command()(simulate.simulate)
trigger_commands.app.command()(province_triggers.show)


@province_app.command()
def enroll(
    request: Annotated[Path, typer.Argument(help="The province's province.csr.")],
    hq: Annotated[Path, typer.Option(help="HQ's settings file, beside the authority's key.")],
    out: Annotated[Path, typer.Option(help="Folder for what the province gets back.")],
) -> None:
    """At HQ: sign a province's certificate request and let the province in."""
    if not request.is_file():
        raise missing(f"{request} is not there; `liandong province init` makes it")
    url, now = load(HqSettings, hq).url("hq"), datetime.now(UTC)
    check_schema(url, MIGRATIONS, f"liandong hq migrate --config {hq}")
    code = provision.enroll(hq.parent, request.read_bytes(), out, now)
    database = Database(url)
    with database.transaction("provinces.enroll") as connection:
        provinces.enroll(connection, code, int(now.timestamp()))
    database.close()
    typer.echo(
        f"province {code} is enrolled; bring {out} to it\n"
        f"next, there: liandong province migrate --config {out / 'province.toml'}"
    )


@app.command("test", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run_tests(
    context: typer.Context,
    fast: Annotated[bool, typer.Option("--fast", help="Without real processes and servers.")] = False,
) -> None:
    """Run the tests; further arguments go to pytest."""
    selection = ["-m", "not slow"] if fast else []
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile", *selection, *context.args]
    raise typer.Exit(subprocess.run(command, cwd=CHECKOUT, check=False).returncode)  # noqa: S603 - our own pytest


def main() -> None:
    run(app)


if __name__ == "__main__":
    main()
