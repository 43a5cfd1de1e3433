"""The text of an offer: {field} says what the event says, {field|words} the words where it does not say it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PART = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Said:
    """A field of the event; `otherwise` stands for a value that is absent, None where none may be."""

    field: str
    otherwise: str | None


def parts_of(text: str) -> list[str | Said]:
    """The text's plain words and fields, in order. Raises ValueError with the remedy."""
    if re.search(r"[{}]", _PART.sub("", text)):
        raise ValueError("a brace is not closed or not opened. Write {field} or {field|words}")
    found: list[str | Said] = []
    for number, part in enumerate(_PART.split(text)):
        if number % 2:
            found.append(_said(part))
        elif part:
            found.append(part)
    return found


def _said(inside: str) -> Said:
    name, bar, otherwise = inside.partition("|")
    if not _NAME.fullmatch(name):
        raise ValueError(f"{{{inside}}} names no field. Write {{field}} or {{field|words}}")
    return Said(name, otherwise if bar else None)
