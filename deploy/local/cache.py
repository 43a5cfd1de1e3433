"""Where what was fetched is kept: outside the checkout, and any of it may be deleted at any time."""

from __future__ import annotations

import os
from pathlib import Path

from common.kernel.refusal import conflict


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "liandong"


def made(directory: Path) -> Path:
    """`directory` of the cache, made where it is not there."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise conflict(f"{directory}: {error.strerror}; set XDG_CACHE_HOME to a folder that can be written") from error
    return directory
