"""`liandong campaign …` and `liandong report`: the operators' commands, over HQ's API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import grpc
import grpc.aio
import typer
from liandong.campaign.v1 import campaign_pb2 as pb
from rich.console import Console
from rich.table import Table

from common.kernel.refusal import Fault, Refusal, invalid
from deploy.operator_client import OperatorClient, connect
from deploy.report_view import show, show_unknown
from hq.campaigns import CampaignState

T = TypeVar("T")

app = typer.Typer(help="Plan, approve, watch and stop campaigns.", no_args_is_help=True)

Operator = Annotated[Path, typer.Option("--operator", help="The operator's settings file.", envvar="LIANDONG_OPERATOR")]
File = Annotated[Path, typer.Option("--file", "-f", help="The campaign file.")]
Name = Annotated[str, typer.Argument(help="The campaign's name.")]
Language = Annotated[Literal["zh", "en"], typer.Option("--lang", help="Language of what is printed.")]
OPERATOR = Path("operator.toml")


@app.command()
def validate(file: File, operator: Operator = OPERATOR) -> None:
    """Check a campaign file and count its audience; nothing is stored."""
    yaml = _read(file)
    _tell_audience(_ask(operator, lambda hq: hq.validate(yaml)))
    typer.echo(f"the file is right\nnext: liandong campaign apply -f {file}")


@app.command()
def apply(file: File, operator: Operator = OPERATOR) -> None:
    """Store a campaign file as a draft."""
    yaml = _read(file)
    answer = _ask(operator, lambda hq: hq.apply(yaml))
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

    async def ask(hq: OperatorClient) -> pb.Campaign:
        return await hq.approve(name, version or (await hq.status(name)).version)

    _tell(_ask(operator, ask))
    typer.echo(f"next: liandong campaign status {name}")


@app.command()
def pause(name: Name, operator: Operator = OPERATOR) -> None:
    """Send nothing more until `resume`; nobody's fate changes."""
    _tell(_ask(operator, lambda hq: hq.pause(name)))


@app.command()
def resume(name: Name, operator: Operator = OPERATOR) -> None:
    """Go on after `pause`."""
    _tell(_ask(operator, lambda hq: hq.resume(name)))


@app.command()
def cancel(name: Name, operator: Operator = OPERATOR) -> None:
    """End it for good: whoever was not contacted will not be."""
    _tell(_ask(operator, lambda hq: hq.cancel(name)))


@app.command()
def status(
    name: Annotated[str, typer.Argument(help="One campaign; left out: all of them.")] = "",
    operator: Operator = OPERATOR,
) -> None:
    """Where campaigns and their waves stand."""
    if name:
        _tell(_ask(operator, lambda hq: hq.status(name)))
        return
    found = _ask(operator, lambda hq: hq.campaigns())
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
    document = _ask(operator, lambda hq: hq.report(campaign))
    if as_json:
        typer.echo(json.dumps(document, ensure_ascii=False))
    elif unknown:
        show_unknown(document, lang, Console())
    else:
        show(document, lang, Console())


def _ask(operator: Path, ask: Callable[[OperatorClient], Awaitable[T]]) -> T:
    async def asked() -> T:
        async with connect(operator) as hq:
            return await ask(hq)

    try:
        return asyncio.run(asked())
    except grpc.aio.AioRpcError as error:
        raise _unanswered(operator, error) from error


def _unanswered(operator: Path, error: grpc.aio.AioRpcError) -> Refusal:
    why, reason = error.details() or error.code().name, "DRAINING"
    if error.code() is not grpc.StatusCode.UNAVAILABLE:
        return Refusal(Fault.DRAINING, reason, f"HQ did not do it ({why}); look at HQ's log, then try again")
    remedy = f"see that `liandong hq serve` runs, and that {operator} names its hq_address and authority"
    return Refusal(Fault.DRAINING, reason, f"HQ does not answer ({why}); {remedy}")


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise invalid(f"{file}: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise invalid(f"{file}: byte {error.start} is not UTF-8; save the file as UTF-8") from error


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
