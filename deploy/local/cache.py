"""Where what was fetched is kept: outside the checkout, and any of it may be deleted at any time."""

from __future__ import annotations

import os
from pathlib import Path


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "liandong"
