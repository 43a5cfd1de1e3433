"""The `liandong` command. What is asked most often starts without loading what all the others need."""

from __future__ import annotations

import sys

import typer

from common.runtime.command import run

QUICK = ("why", "replay")


def main() -> None:
    if sys.argv[1:2] and sys.argv[1] in QUICK:
        run(_quick())
    else:
        from deploy.cli.root import main as whole

        whole()


def _quick() -> typer.Typer:
    from deploy.cli import why

    app = typer.Typer(pretty_exceptions_enable=False)
    app.callback()(lambda: None)
    for name in QUICK:
        app.command(name)(getattr(why, name))
    return app


if __name__ == "__main__":
    main()
