"""`liandong people …`: what people agreed to and asked for, all that is known of one of them, and its erasure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from liandong.campaign.v1 import coordination_pb2 as pb
from rich.console import Console

from adapters.warehouse.duckdb_warehouse import DuckDbWarehouse
from adapters.warehouse.snapshots import Snapshots
from common.delivery import person
from common.kernel.refusal import invalid
from common.kernel.statement import SCOPES, Change, Statement
from common.kernel.subscriber import normalise_msisdn, subscriber_keys
from common.runtime.clock import clock_of
from common.runtime.database import Database
from common.runtime.migrate import check_schema
from common.runtime.settings import load
from deploy.cli.ask import OPERATOR, Language, Operator, ask
from deploy.person_view import show, show_erased
from deploy.person_words import word
from deploy.statement_file import statements
from province.__main__ import MIGRATIONS
from province.people import record
from province.settings import ProvinceSettings

app = typer.Typer(help="What people agreed to and asked for; export and erase one person.", no_args_is_help=True)

Number = Annotated[str, typer.Argument(help="The person's number.")]
At = Annotated[
    Path | None, typer.Option("--config", help="A province's settings file: it is recorded there and told to HQ.")
]
Scope = Annotated[str, typer.Option(help=f"What it is about: {', '.join(SCOPES)}.")]


@app.command()
def consent(
    file: Annotated[Path, typer.Argument(help="CSV: msisdn,purpose,evidence,given_at,expires_at,change.")],
    operator: Operator = OPERATOR,
    config: At = None,
    lang: Language = "en",
) -> None:
    """Record consents, withdrawals, stops and liftings from a file: all of it, or nothing where a row is wrong."""
    _record(statements(file), operator, config, lang)
    typer.echo(f"{word('next', lang)}: liandong people export NUMBER")


@app.command()
def stop(
    number: Number, scope: Scope = "all", operator: Operator = OPERATOR, config: At = None, lang: Language = "en"
) -> None:
    """Leave a person alone, from now on."""
    _record([Statement(_msisdn(number), scope, "", 0, 0, Change.STOPPED)], operator, config, lang)
    typer.echo(f"{word('next', lang)}: liandong people export {number}")


@app.command()
def allow(
    number: Number, scope: Scope = "all", operator: Operator = OPERATOR, config: At = None, lang: Language = "en"
) -> None:
    """Take a stop of that scope back."""
    _record([Statement(_msisdn(number), scope, "", 0, 0, Change.LIFTED)], operator, config, lang)
    typer.echo(f"{word('next', lang)}: liandong people export {number}")


@app.command()
def export(
    number: Number,
    operator: Operator = OPERATOR,
    config: Annotated[
        Path | None, typer.Option("--config", help="A province's settings file: what that province itself holds.")
    ] = None,
    lang: Language = "en",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Everything both levels hold of one person; the tags a province has of its own only with its --config."""
    msisdn = _msisdn(number)
    document = _held(msisdn, config) if config else ask(operator, lambda hq: hq.export(msisdn))
    if as_json:
        typer.echo(json.dumps(document, ensure_ascii=False, default=str))
    else:
        show(document, lang, number, Console())


@app.command()
def erase(
    number: Number,
    operator: Operator = OPERATOR,
    lang: Language = "en",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Forget one person at every node, for good."""
    msisdn = _msisdn(number)
    if not yes:
        typer.confirm(f"{word('confirm', lang)} {number}?", abort=True)
    show_erased(ask(operator, lambda hq: hq.erase(msisdn)), lang, number, Console())


def _msisdn(number: str) -> int:
    msisdn = normalise_msisdn(number)
    if msisdn is None:
        raise invalid(f"{number!r} is no mainland mobile number; write it as 13800000001")
    return msisdn


def _record(said: Sequence[Statement], operator: Path, config: Path | None, lang: str) -> None:
    if config is None:
        records = [_message(each) for each in said]
        typer.echo(f"{ask(operator, lambda hq: hq.record(records))} {word('recorded', lang)}")
        return
    settings = load(ProvinceSettings, config)
    keys = subscriber_keys(settings.federation_key(), [each.msisdn for each in said])
    with _opened(settings, config) as database, database.transaction("people.record") as connection:
        record(connection, said, keys, clock_of(settings.clock_file).now(), int(settings.code))
    typer.echo(f"{len(said)} {word('recorded_here', lang)}")


def _held(msisdn: int, config: Path) -> dict[str, Any]:
    settings = load(ProvinceSettings, config)
    (key,) = subscriber_keys(settings.federation_key(), [msisdn]).tolist()
    snapshots = Snapshots(settings.people_directory)
    tags = DuckDbWarehouse.open(snapshots) if snapshots.latest() else None
    with _opened(settings, config) as database, database.snapshot() as connection:
        return person.held(connection, tags, key, clock_of(settings.clock_file).now())


@contextmanager
def _opened(settings: ProvinceSettings, config: Path) -> Iterator[Database]:
    check_schema(settings.url("province"), MIGRATIONS, f"liandong province migrate --config {config}")
    database = Database(settings.url("province"))
    try:
        yield database
    finally:
        database.close()


def _message(said: Statement) -> pb.ConsentRecord:
    change = pb.ConsentChange.Name(int(said.change))
    return pb.ConsentRecord(
        msisdn=said.msisdn,
        purpose=said.purpose,
        evidence=said.evidence,
        given_at=said.given_at,
        expires_at=said.expires_at,
        change=change,
    )
