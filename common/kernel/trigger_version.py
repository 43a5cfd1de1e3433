"""Trigger documents as they travel and are stored: text under a name, and what is said of it since."""

from __future__ import annotations

import re
from dataclasses import dataclass

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
"""Of a document."""
LOCAL_PREFIX = "local-"
"""Names of a province's own rules begin with it and HQ's never do, so that the two cannot meet."""


@dataclass(frozen=True, slots=True)
class TriggerVersion:
    version: int
    """Rises over all documents, so that of two the later is known."""
    name: str
    document: str
    """YAML."""
    paused: tuple[str, ...] = ()
    """Names of rules that do not fire for now."""
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class TriggerEvent:
    """What a province made of a version; an empty `objection`: it is in force."""

    name: str
    version: int
    objection: str
