"""How the forecast of a province stands, as its process says again and again in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SILENT_MS = 60_000
"""To learn and to score ten million people takes some seconds, in which it says nothing."""

Document = dict[str, Any]


def status_file(directory: Path) -> Path:
    """One process at a time runs over the directory, and what the last one said stays."""
    return directory / "status.json"


def standing(directory: Path, now: int) -> Document | None:
    """None where none ever ran; `now` in milliseconds. One that ended, as `--once` does, is not silent."""
    try:
        told: Document = json.loads(status_file(directory).read_bytes())
    except (OSError, ValueError):
        return None
    age = max(0, now - told.pop("at"))
    return {"age_ms": age, "silent": bool(told["runs"]) and age > SILENT_MS, **told}
