"""`liandong demo`: the whole loop on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.ask import Language

SUBSCRIBERS_MAX = 5_000_000


def demo(
    subscribers: Annotated[int, typer.Option(min=100, max=SUBSCRIBERS_MAX, help="Made-up people.")] = 200_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same numbers.")] = 1,
    data: Annotated[Path | None, typer.Option(help="A customer file of your own (CSV or Parquet).")] = None,
    id_column: Annotated[str, typer.Option("--id", help="The customer file's id column.")] = "",
    where: Annotated[str, typer.Option(help="The rule that selects among --data's customers, over its columns.")] = "",
    chaos: Annotated[bool, typer.Option("--chaos", help="Kill a province and cut a link on the way.")] = False,
    kafka: Annotated[
        bool, typer.Option("--kafka", help="Fetch and start a Kafka broker; the events come through it.")
    ] = False,
    keep: Annotated[Path | None, typer.Option(help="Keep everything in this folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON summary on stdout.")] = False,
    lang: Language = "en",
) -> None:
    """Run one campaign round HQ, two provinces, vendors, BSS and back; exit 0 only if every check holds."""
    # Not at the top: every command would wait for it.
    from deploy.demo.screen import run

    raise typer.Exit(
        run(subscribers, seed, data, id_column, where, chaos=chaos, kafka=kafka, keep=keep, as_json=as_json, lang=lang)
    )
