"""How a command of ours ends when it is refused."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.text import Text

from common.kernel.refusal import Refusal

REFUSED = 2


def run(command: Callable[[], object]) -> None:
    """A refusal becomes one line on stderr and exit code 2; anything else is a defect and keeps its traceback."""
    try:
        command()
    except Refusal as refusal:
        told = Text.assemble(("✗ ", "red"), f"{refusal.reason}  {refusal.message}")
        Console(stderr=True).print(told, soft_wrap=True)
        raise SystemExit(REFUSED) from None
