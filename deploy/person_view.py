"""Everything HQ holds of one person on one screen, in Chinese or English."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.kernel.province import PROVINCES
from common.kernel.reasons import TASK_REASONS, TASK_STATES
from common.kernel.task import TaskReason, TaskState
from deploy.person_words import REPLIES, SCOPES, word

Document = dict[str, Any]

ROWS_SHOWN = 8
"""Of each kind, the newest: a screen has no room for more."""
TEXT_CHARS = 24


def show(document: Document, language: str, number: str, console: Console) -> None:
    """Print an export; `language` is "zh" or "en"."""
    _Page(document, language, number, console).show()


def show_erased(document: Document, language: str, number: str, console: Console) -> None:
    """Print what an erasure left."""

    def said(name: str) -> str:
        return word(name, language)

    console.print(Text(f"✓ {said('erased')} {document['erased_at']}", style="green"))
    console.print(Text(f"{said('remains')} {document['contacts']}; {said('remains_marks')}"), soft_wrap=True)
    console.print(Text(f"{said('provinces_told')} {', '.join(document['provinces']) or said('none')}"), soft_wrap=True)
    if document["waits_for_a_wave"]:
        console.print(Text(said("waits"), style="yellow"), soft_wrap=True)
    console.print(Text(f"{said('next')}: liandong people export {number}"), soft_wrap=True)


class _Page:
    def __init__(self, document: Document, language: str, number: str, console: Console) -> None:
        self._of = document
        self._language = language
        self._number = number
        self._console = console

    def show(self) -> None:
        self._head()
        self._tags()
        self._list("stops", self._stops(), 3)
        self._list("consents", self._consents(), 4)
        self._list("orders", self._orders(), 4)
        self._list("contacts", self._contacts(), 7)
        told = self._of.get("told_by")
        if told and told["home"]:
            self._say(self._word("complete" if told["connected"] else "behind"), "dim")
        self._say(f"{self._word('next')}: liandong why {self._number}")

    def _head(self) -> None:
        self._say(f"{self._number}  {self._of['subscriber']}", "bold")
        vault, erased_at = self._of["vault"], self._of["erased_at"]
        if erased_at:
            self._say(f"{self._word('erased')} {erased_at}", "yellow")
        if vault:
            home = PROVINCES.get(int(vault["province"]))
            name = vault["province"] + (f" {home.name_zh if self._language == 'zh' else home.name_en}" if home else "")
            self._say(f"{self._word('home')} {name}, {self._word('active' if vault['active'] else 'left')}")
        elif not erased_at and not any(self._of[kind] for kind in ("stops", "consents", "orders", "contacts")):
            self._say(self._word("nothing"))

    def _tags(self) -> None:
        tags = self._of["tags"]
        if tags:
            values = ", ".join(f"{name}={value}" for name, value in tags["values"].items() if value is not None)
            self._say(f"{self._word('tags')} {tags['snapshot']}: {values}")

    def _list(self, kind: str, rows: Iterable[Sequence[str]], columns: int) -> None:
        listed = list(rows)
        if not listed:
            self._say(f"{self._word(kind)}: {self._word('none')}")
            return
        self._say(f"{self._word(kind)}: {len(listed)}", "bold")
        table = Table(box=None, pad_edge=False, show_header=False)
        for _ in range(columns):
            table.add_column(overflow="fold")
        for row in listed[-ROWS_SHOWN:]:
            table.add_row(*row)
        self._console.print(table)
        if len(listed) > ROWS_SHOWN:
            more = f"{len(listed) - ROWS_SHOWN} {self._word('more')} liandong people export {self._number} --json"
            self._say(more, "dim")

    def _stops(self) -> Iterable[Sequence[str]]:
        for each in self._of["stops"]:
            standing = self._word("lifted" if each["lifted"] else "stands")
            yield SCOPES[each["scope"]].said(self._language), each["at"], standing

    def _consents(self) -> Iterable[Sequence[str]]:
        for each in self._of["consents"]:
            purpose = SCOPES.get(each["purpose"])
            until = self._word("withdrawn") if each["withdrawn"] else f"{self._word('until')} {each['expires_at']}"
            named = purpose.said(self._language) if purpose else each["purpose"]
            yield named, each["given_at"], until, each["evidence"]

    def _orders(self) -> Iterable[Sequence[str]]:
        for each in self._of["orders"]:
            yield each["accepted_at"] or "-", each["offer"], each["change"], f"{each['amount_fen'] / 100:.2f}"

    def _contacts(self) -> Iterable[Sequence[str]]:
        for each in sorted(self._of["contacts"], key=lambda contact: contact["submitted_at"] or ""):
            reason = TaskReason[each["reason"].upper()]
            why = TASK_REASONS[reason].said(self._language) if reason else "-"
            yield (
                each["submitted_at"] or "-",
                each["channel_title"].get(self._language, each["channel"]),
                each["work_order"],
                TASK_STATES[TaskState[each["state"].upper()]].said(self._language),
                why,
                REPLIES[each["reply"]].said(self._language),
                each["text"][:TEXT_CHARS],
            )

    def _say(self, line: str, style: str = "") -> None:
        self._console.print(Text(line, style=style), soft_wrap=True)

    def _word(self, name: str) -> str:
        return word(name, self._language)
