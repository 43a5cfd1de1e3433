"""`liandong campaign …` and `liandong report`: the operators' commands, over HQ's API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from liandong.campaign.v1 import campaign_pb2 as pb
from rich.console import Console
from rich.table import Table

from common.runtime.text_file import read
from deploy.cli.ask import OPERATOR, Language, Operator, ask
from deploy.dry_run_view import show as show_dry_run
from deploy.operator_client import OperatorClient
from deploy.report_view import show, show_unknown
from hq.campaigns import CampaignState

app = typer.Typer(help="Plan, approve, watch and stop campaigns.", no_args_is_help=True)

File = Annotated[Path, typer.Option("--file", "-f", help="The campaign file.")]
Name = Annotated[str, typer.Argument(help="The campaign's name.")]


@app.command()
def validate(file: File, operator: Operator = OPERATOR) -> None:
    """Check a campaign file and count its audience; nothing is stored."""
    yaml = read(file)
    _tell_audience(ask(operator, lambda hq: hq.validate(yaml)))
    typer.echo(f"the file is right\nnext: liandong campaign apply -f {file}")


@app.command()
def apply(file: File, operator: Operator = OPERATOR) -> None:
    """Store a campaign file as a draft."""
    yaml = read(file)
    answer = ask(operator, lambda hq: hq.apply(yaml))
    _tell_audience(answer.audience)
    typer.echo(f"{answer.campaign.name} version {answer.campaign.version} is stored\n"
               f"next: liandong campaign approve {answer.campaign.name}")  # fmt: skip


@app.command()
def approve(
    name: Name,
    version: Annotated[int, typer.Option(help="The version you have read; left out: the newest.")] = 0,
    operator: Operator = OPERATOR,
) -> None:
    """Freeze the audience and let the campaign run on its schedule."""

    async def approved(hq: OperatorClient) -> pb.Campaign:
        return await hq.approve(name, version or (await hq.status(name)).version)

    _tell(ask(operator, approved))
    typer.echo(f"next: liandong campaign status {name}")


@app.command("dry-run")
def dry_run(
    subject: Annotated[str, typer.Argument(help="A campaign's name, or a campaign file.")],
    operator: Operator = OPERATOR,
    lang: Language = "en",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """What the next wave would do: who is left out and why, load, caps, conflicts, cost. Nothing is written or sent."""
    file = Path(subject)
    asked = {"yaml": read(file)} if file.is_file() else {"campaign": subject}
    document = ask(operator, lambda hq: hq.dry_run(asked))
    if as_json:
        typer.echo(json.dumps(document, ensure_ascii=False))
    else:
        show_dry_run(document, lang, subject, Console())


@app.command()
def pause(name: Name, operator: Operator = OPERATOR) -> None:
    """Send nothing more until `resume`; nobody's fate changes."""
    _tell(ask(operator, lambda hq: hq.pause(name)))


@app.command()
def resume(name: Name, operator: Operator = OPERATOR) -> None:
    """Go on after `pause`."""
    _tell(ask(operator, lambda hq: hq.resume(name)))


@app.command()
def cancel(name: Name, operator: Operator = OPERATOR) -> None:
    """End it for good: whoever was not contacted will not be."""
    _tell(ask(operator, lambda hq: hq.cancel(name)))


@app.command()
def status(
    name: Annotated[str, typer.Argument(help="One campaign; left out: all of them.")] = "",
    operator: Operator = OPERATOR,
) -> None:
    """Where campaigns and their waves stand."""
    if name:
        _tell(ask(operator, lambda hq: hq.status(name)))
        return
    found = ask(operator, lambda hq: hq.campaigns())
    for each in found:
        _tell(each)
    if not found:
        typer.echo("no campaigns yet\nnext: liandong campaign apply -f campaign.yaml")


def report(
    campaign: Name,
    operator: Operator = OPERATOR,
    lang: Language = "en",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    unknown: Annotated[bool, typer.Option("--unknown", help="List the contacts whose fate cannot be known.")] = False,
) -> None:
    """What a campaign did and caused, at this moment; its sums close."""
    document = ask(operator, lambda hq: hq.report(campaign))
    if as_json:
        typer.echo(json.dumps(document, ensure_ascii=False))
    elif unknown:
        show_unknown(document, lang, Console())
    else:
        show(document, lang, Console())


def _tell_audience(audience: pb.AudienceCount) -> None:
    where = ", ".join(f"{each.province:02d}: {each.target:,}" for each in audience.provinces)
    typer.echo(f"audience {audience.target:,} people ({where}), of them {audience.held_out:,} held out")


def _tell(campaign: pb.Campaign) -> None:
    typer.echo(f"{campaign.name} version {campaign.version}: {CampaignState(campaign.state).name.lower()}")
    table = Table("wave", "work orders", "issued", "open", "in flight", "settled", box=None)
    for wave in campaign.waves:
        settled = wave.issued - wave.open - wave.in_flight
        counts = (wave.work_orders, wave.issued, wave.open, wave.in_flight, settled)
        table.add_row(f"{wave.number} {wave.name}", *(f"{count:,}" for count in counts))
    Console().print(table)
