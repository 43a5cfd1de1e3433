"""`liandong why` and `liandong replay`: what was decided about a person, and whether it can be decided again."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console

from common.kernel.refusal import invalid
from common.kernel.subscriber import normalise_msisdn
from deploy.cli.ask import OPERATOR, Language, Operator, ask
from deploy.why_view import ZONE, show
from deploy.why_words import word

KEY_MAX = (1 << 63) - 1

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Campaign = Annotated[str, typer.Option("--campaign", help="One campaign.")]


def why(
    subscriber: Annotated[str, typer.Argument(help="A number, or a subscriber key as 16 hexadecimal digits.")],
    campaign: Campaign = "",
    at: Annotated[str, typer.Option(help="As it was known then, such as 2026-03-01T09:00.")] = "",
    operator: Operator = OPERATOR,
    lang: Language = "en",
    as_json: AsJson = False,
) -> None:
    """Why a subscriber was contacted, or was not, and what would have changed it."""
    who, moment = subscriber_of(subscriber), moment_of(at) if at else 0
    document = ask(operator, lambda hq: hq.explain(who, campaign, moment))
    if as_json:
        typer.echo(json.dumps(document, ensure_ascii=False))
    else:
        show(document, lang, subscriber, Console())


def replay(
    campaign: Campaign = "",
    operator: Operator = OPERATOR,
    lang: Language = "en",
    as_json: AsJson = False,
) -> None:
    """Make every recorded decision again and compare it with the ledger; exit status 1 where they differ."""
    told = ask(operator, lambda hq: hq.replay(campaign))
    tell(told, lang, as_json=as_json)


def tell(told: dict[str, Any], lang: str, *, as_json: bool) -> None:
    """Print what a replay found, and end the command as it turned out."""
    if as_json:
        typer.echo(json.dumps(told))
    else:
        names = ("decisions", "suppressed", "allowed", *(["awaited"] if told["awaited"] else []))
        typer.echo(f"{word('replayed', lang)}: " + ", ".join(f"{told[name]:,} {word(name, lang)}" for name in names))
        typer.echo(_verdict(told, lang))
    raise typer.Exit(1 if told["differences"] else 0)


def _verdict(told: dict[str, Any], lang: str) -> str:
    if not told["differences"]:
        return f"✓ {word('agrees', lang)}"
    first = told["first"][0]
    where = (
        f"{first['work_order']} #{first['task']}" if first["task"] >= 0 else f"{first['work_order']}/{first['number']}"
    )
    what = " ".join(part for part in (first["broken"], first["decided"], "≠", first["found"]) if part)
    return f"✗ {told['differences']:,} {word('differs', lang)}: {where} {what}"


def subscriber_of(text: str) -> dict[str, int]:
    """As HQ is asked: a number, else a key in 16 hexadecimal digits or in decimal ones."""
    number = normalise_msisdn(text)
    if number is not None:
        return {"msisdn": number}
    if re.fullmatch(r"[0-9a-fA-F]{16}", text):
        key = int(text, 16)
    elif re.fullmatch(r"[0-9]{1,19}", text):
        key = int(text)
    else:
        key = KEY_MAX + 1
    if key > KEY_MAX:
        raise invalid(f"{text!r} is no mobile number and no subscriber key; a key has 16 hexadecimal digits")
    return {"subscriber_key": key}


def moment_of(text: str) -> int:
    """Unix seconds; a time without a zone is Beijing's."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise invalid(f"--at {text}: no such time; write it as 2026-03-01T09:00 or 2026-03-01T09:00:00+08:00") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=ZONE)).timestamp())
