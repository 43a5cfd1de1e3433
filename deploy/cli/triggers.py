"""`liandong triggers …`: trigger rules, checked, published to the provinces and looked at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict
from liandong.campaign.v1 import trigger_pb2 as pb
from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.kernel.province import PROVINCES
from common.kernel.refusal import Refusal
from common.kernel.trigger_rule import TriggerRule
from common.rules.trigger_document import parsed
from common.rules.trigger_file import to_publish
from common.runtime.migrate import check_schema
from common.runtime.settings import load
from deploy.cli import trigger_replay, trigger_status
from deploy.cli.ask import OPERATOR, Language, Operator, ask
from deploy.operator_client import OperatorClient
from deploy.trigger_words import form_words, period_words
from deploy.words import word
from province.settings import ProvinceSettings

app = typer.Typer(help="Which events make which offers, at every province.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="The trigger document.")]
Rule = Annotated[str, typer.Argument(help="The rule's name.")]
Province = Annotated[Path, typer.Option("--config", help="The province's settings file.",
                                        envvar="LIANDONG_PROVINCE_CONFIG")]  # fmt: skip
GOOD, BAD, WAITS = "green", "bold red", "yellow"


@app.command()
def check(file: File, lang: Language = "en") -> None:
    """Check a trigger document without asking HQ; nothing is changed."""
    rules = parsed(to_publish(file).text, 0).rules
    Console().print(_rules(rules, (), lang))
    typer.echo(f"the file is right, {len(rules)} rules\nnext: liandong triggers apply {file}")


@app.command()
def apply(
    file: File,
    name: Annotated[str, typer.Option(help="The document's name at HQ; left out: the file's.")] = "",
    operator: Operator = OPERATOR,
) -> None:
    """Put a document's rules in force at every province, in place of those it had under this name."""
    published = to_publish(file)

    async def put(hq: OperatorClient) -> pb.TriggersChange:
        for part in published.parts:
            await hq.put_host_part(part)
        return await hq.apply_triggers(name or file.stem, published.text)

    done = ask(operator, put)
    typer.echo(f"{done.name}: version {done.version} goes to every province" if done.changed
               else f"{done.name}: version {done.version} says the same; nothing was changed")  # fmt: skip
    if done.paused:
        typer.echo(f"still paused: {', '.join(done.paused)}\nnext: liandong triggers resume {done.paused[0]}")
    else:
        typer.echo("next: liandong triggers show")


@app.command()
def pause(rule: Rule, operator: Operator = OPERATOR) -> None:
    """No more offers by this rule; it goes on counting."""
    done = ask(operator, lambda hq: hq.pause_trigger(rule))
    said = f"pauses, by version {done.version} of {done.name}" if done.changed else "was paused before"
    typer.echo(f"{rule} {said}\nnext: liandong triggers resume {rule}")


@app.command()
def resume(rule: Rule, operator: Operator = OPERATOR) -> None:
    """Let a paused rule make offers again."""
    done = ask(operator, lambda hq: hq.resume_trigger(rule))
    said = f"goes on, by version {done.version} of {done.name}" if done.changed else "was not paused"
    typer.echo(f"{rule} {said}\nnext: liandong triggers show")


@app.command()
def withdraw(
    name: Annotated[str, typer.Argument(help="The document's name, as `show` tells.")], operator: Operator = OPERATOR
) -> None:
    """Take all rules of a document out of force at every province."""
    done = ask(operator, lambda hq: hq.withdraw_triggers(name))
    said = f"withdrawn by version {done.version}" if done.changed else "was withdrawn before"
    typer.echo(f"{name} {said}\nnext: liandong triggers show")


@app.command()
def show(
    operator: Operator = OPERATOR,
    lang: Language = "en",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Every document with its rules, and what each province made of it."""
    answer = ask(operator, lambda hq: hq.triggers())
    if as_json:
        document = MessageToDict(answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
        typer.echo(json.dumps(document, ensure_ascii=False))
        return
    console = Console()
    for each in answer.documents:
        console.print(Text(f"{each.name}  {word('version', lang)} {each.version}", style="bold"))
        console.print(_content(each, lang))
        console.print(_provinces(each, lang))
    if not answer.documents:
        typer.echo(f"{word('no_triggers', lang)}\nnext: liandong triggers apply FILE")


def _content(said: pb.TriggerDocument, lang: str) -> Table | Text:
    if said.withdrawn:
        return Text(f"  {word('triggers_withdrawn', lang)}", style=WAITS)
    if not said.version:
        return Text(f"  {word('triggers_ahead', lang)}", style=BAD)
    try:
        return _rules(parsed(said.document_yaml, said.version).rules, tuple(said.paused), lang)
    except Refusal as refusal:
        return Text(f"  {word('triggers_unread', lang)} {refusal.message}", style=BAD)


def _rules(rules: tuple[TriggerRule, ...], paused: tuple[str, ...], lang: str) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 0, 0, 2))
    for rule in rules:
        mark = Text(word("trigger_paused", lang), style=WAITS) if rule.paused or rule.name in paused else Text()
        table.add_row(rule.name, rule.scene, form_words(rule.form, lang), period_words(rule, lang), mark)
    return table


def _provinces(said: pb.TriggerDocument, lang: str) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 0, 0, 2))
    for row in _standings(said, lang):
        table.add_row(*row)
    return table


def _standings(said: pb.TriggerDocument, lang: str) -> Iterator[tuple[str, str, Text]]:
    for each in said.provinces:
        home = PROVINCES.get(int(each.province))
        name = f"{each.province} {(home.name_zh if lang == 'zh' else home.name_en) if home else ''}"
        yield name, str(each.version), _standing(each, said.version, lang)


def _standing(at: pb.ProvinceTriggers, newest: int, lang: str) -> Text:
    if at.objection:
        return Text(f"✗ {word('triggers_objection', lang)} {at.objection}", style=BAD)
    if at.version > newest:
        return Text(f"✗ {word('triggers_ahead', lang)}", style=BAD)
    if at.version < newest:
        return Text(word("triggers_behind", lang), style=WAITS)
    return Text(f"✓ {word('triggers_taken', lang)}", style=GOOD)


@app.command()
def serve(config: Province = Path("province.toml")) -> None:
    """Run a province's trigger engine, beside its node, until it is told to stop."""
    from deploy.local.spark import session
    from province.__main__ import MIGRATIONS
    from province.triggers import node

    settings = load(ProvinceSettings, config)
    check_schema(settings.url("province"), MIGRATIONS, f"liandong province migrate --config {config}")
    node.serve(settings, session)


@app.command()
def forecast(
    config: Province = Path("province.toml"),
    once: Annotated[bool, typer.Option("--once", help="Read what is there, score everybody and end.")] = False,
) -> None:
    """Tell whose data will not last the month, as `model_hit` events, again and again until told to stop."""
    from province.triggers import forecast_node

    raise typer.Exit(0 if forecast_node.run(load(ProvinceSettings, config), once) else 1)


app.command()(trigger_status.status)
app.command()(trigger_replay.replay)
