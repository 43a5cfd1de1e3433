"""The gates every change passes, run as tests so that one command runs them all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _passes(*command: str) -> None:
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def _tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def test_code_is_linted() -> None:
    _passes(_tool("ruff"), "check", ".")


def test_code_is_formatted() -> None:
    _passes(_tool("ruff"), "format", "--check", ".")


@pytest.mark.slow
def test_types_hold() -> None:
    _passes(_tool("mypy"))


def test_rooms_import_only_what_they_may() -> None:
    _passes(_tool("lint-imports"))
