"""`liandong bench …`: what this machine carries."""

from __future__ import annotations

import typer

app = typer.Typer(help="Measure this machine.", no_args_is_help=True)
