"""Host names as lists and events write them, made alike."""

from __future__ import annotations

import re

HOST_CHARS_MAX = 253
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_PORT = re.compile(r":[0-9]{0,5}\Z")


def host_name(text: str) -> str:
    """Lower case, without port and trailing dot, every label in ASCII (IDNA 2003); empty where it is none."""
    name = _PORT.sub("", text.strip().lower())
    name = (name if name.isascii() else _ascii(name)).removesuffix(".")
    if len(name) > HOST_CHARS_MAX or not all(map(_LABEL.fullmatch, name.split("."))):
        return ""
    return name


def _ascii(name: str) -> str:
    try:
        return name.encode("idna").decode().lower()
    except UnicodeError:
        return ""
