"""`liandong policy …`: the contact policy, checked, put in force and looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict
from liandong.campaign.v1 import coordination_pb2 as pb
from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.delivery.policy_document import parsed
from common.kernel.province import PROVINCES
from common.runtime.text_file import read
from deploy.cli.ask import OPERATOR, Language, Operator, ask
from deploy.words import word
from hq.policy_file import check as check_file

app = typer.Typer(help="How often, when and on what consent people may be contacted.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="The policy file.")]
GOOD, BAD = "green", "bold red"


@app.command()
def check(file: File) -> None:
    """Check a policy file without asking HQ; nothing is changed."""
    policy = parsed(check_file(read(file)), 0)
    for year in sorted(policy.years):
        off, worked = (sum(day.year == year for day in days) for days in (policy.rest_days, policy.make_up_days))
        typer.echo(f"{year}: {off} weekdays off, {worked} weekend days worked")
    typer.echo(f"the file is right\nnext: liandong policy apply {file}")


@app.command()
def apply(file: File, operator: Operator = OPERATOR) -> None:
    """Put a policy file in force at HQ and send it to every province."""
    text = read(file)
    answer = ask(operator, lambda hq: hq.apply_policy(text))
    typer.echo(f"version {answer.version} is in force at HQ" if answer.changed
               else f"version {answer.version} says the same; nothing was changed")  # fmt: skip
    typer.echo("next: liandong policy show")


@app.command()
def show(
    operator: Operator = OPERATOR,
    lang: Language = "en",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """The policy in force, and what each province made of it."""
    answer = ask(operator, lambda hq: hq.policy())
    if as_json:
        document = MessageToDict(answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
        typer.echo(json.dumps(document, ensure_ascii=False))
        return
    console = Console()
    console.print(Text(answer.document_yaml or f"{word('no_policy', lang)}\n"), soft_wrap=True)
    console.print(Text(f"{word('policy', lang)} {answer.version}", style="bold"))
    table = Table(box=None, pad_edge=False, show_header=False)
    for each in answer.provinces:
        table.add_row(_named(each.province, lang), str(each.version), _standing(each, answer.version, lang))
    console.print(table)


def _named(code: str, lang: str) -> str:
    home = PROVINCES.get(int(code))
    return code if home is None else f"{code} {home.name_zh if lang == 'zh' else home.name_en}"


def _standing(at: pb.ProvincePolicy, newest: int, lang: str) -> Text:
    if at.objection:
        return Text(f"✗ {word('policy_objection', lang)} {at.objection}", style=BAD)
    if at.version > newest:
        return Text(f"✗ {word('policy_ahead', lang)}", style=BAD)
    if at.version < newest:
        return Text(word("policy_behind", lang), style="yellow")
    return Text(f"✓ {word('policy_in_force', lang)}", style=GOOD)
