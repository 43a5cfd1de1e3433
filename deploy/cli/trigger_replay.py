"""`liandong triggers replay`: history once more through a rule, and who would have been contacted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from common.kernel.refusal import invalid
from common.runtime.settings import load
from deploy.cli.ask import Language
from province.settings import ProvinceSettings


def replay(
    source: Annotated[
        str, typer.Argument(metavar="FILE|TOPIC", help="A file of events, a topic on Kafka, or: journal.")
    ],
    rule: Annotated[str, typer.Option(help="The rule's name, as `liandong province triggers show` tells.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say it: nothing is written anywhere.")] = False,
    draft: Annotated[
        Path | None, typer.Option("--document", help="Take the rule from this file, published or not.")
    ] = None,
    mapping: Annotated[Path | None, typer.Option(help="How a foreign file's columns are to be read.")] = None,
    as_it_stands: Annotated[
        bool, typer.Option("--as-it-stands", help="Take a file in the order of its lines, not of time.")
    ] = False,
    people: Annotated[int, typer.Option(min=0, max=1_000_000, help="How many of the first are named.")] = 10,
    config: Annotated[
        Path, typer.Option("--config", help="The province's settings file.", envvar="LIANDONG_PROVINCE_CONFIG")
    ] = Path("province.toml"),
    lang: Language = "en",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Run history through a rule once more: whom it fires for, who of them may be contacted, and why others may not.

    Without --dry-run the fires are handed over as the engine's are: once each, and those of the past are too late.
    """
    if draft is not None and not dry_run:
        raise invalid("the rules of --document are in force nowhere yet: add --dry-run, or apply the document first")
    # Not at the top: every command would wait for it.
    from deploy.replay_view import document, show
    from deploy.trigger_replay import Wanted, run

    told = run(load(ProvinceSettings, config), Wanted(source, rule, dry_run, draft, mapping, as_it_stands), config)
    if as_json:
        typer.echo(json.dumps(document(told, people), ensure_ascii=False))
    else:
        show(told, people, lang, Console(highlight=False))
