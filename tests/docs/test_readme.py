"""Every command the documents show is there; those in blocks tagged `sh` run, in order, in a fresh checkout."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from common.runtime.settings import ENV_PREFIX
from deploy.cli.root import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
RUN = [path for path in DOCUMENTS if path.name != "README.zh.md"]
"""The Chinese README has the English one's commands."""
BLOCK_SECONDS = 200
LAUNCHERS = ("./liandong", "liandong")


class Block(NamedTuple):
    tag: str
    lines: list[str]


def blocks(path: Path) -> list[Block]:
    found = re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", path.read_text(encoding="utf-8"))
    return [Block(tag, text.splitlines()) for tag, text in found]


def commands(block: Block) -> Iterator[list[str]]:
    """The words of each line, without its comment."""
    for line in block.lines:
        words = (
            shlex.split(line, comments=True) if block.tag == "sh" or line.startswith(("./liandong", "export")) else []
        )
        if words:
            yield words


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a clone would hold, with the environment of these tests standing in for an installed one."""
    copy = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
            (copy / name).chmod((ROOT / name).stat().st_mode)
    _stand_in_environment(copy)
    return copy


def _stand_in_environment(copy: Path) -> None:
    scripts = copy / ".venv" / "bin"
    scripts.mkdir(parents=True)
    command = scripts / "liandong"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m deploy.cli.root "$@"\n')
    command.chmod(0o755)
    for lock in ("requirements.lock", "requirements-streams.lock", "requirements-dev.lock"):
        script = f"cat {lock} pyproject.toml | cksum"
        summed = subprocess.run(["sh", "-c", script], cwd=copy, capture_output=True, check=True)
        (copy / ".venv" / f".installed-{lock}").write_bytes(summed.stdout)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_the_documents_say_to_run_runs(checkout: Path) -> None:
    environment = os.environ | {"PYTHONPATH": f"{checkout}{os.pathsep}{checkout / 'proto' / 'gen'}"}
    ran = 0
    for path in RUN:
        for block in blocks(path):
            if block.tag != "sh":
                continue
            script = "\n".join(map(_without_the_tests, block.lines))
            done = subprocess.run(
                ["sh", "-eu", "-c", script], cwd=checkout, env=environment, capture_output=True, text=True, check=False,
                timeout=BLOCK_SECONDS,
            )  # fmt: skip
            assert done.returncode == 0, f"{named(path)}:\n{script}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
            ran += 1
    assert ran >= 7


def _without_the_tests(line: str) -> str:
    """The test-suite does not run itself: its command is only asked for help."""
    code, _, _ = line.partition("#")
    return f"{code} --help" if code.startswith("./liandong test") else line


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_every_command_shown_exists_with_its_options(path: Path) -> None:
    for block in blocks(path):
        for words in commands(block):
            if words[0] in LAUNCHERS:
                _check(words)
            elif words[0] == "export":
                name = words[1].partition("=")[0]
                assert name in _environment_names() or name.startswith(f"{ENV_PREFIX}TLS__"), name


def _check(words: list[str]) -> None:
    command, rest = typer.main.get_command(app), words[1:]
    while hasattr(command, "commands"):
        if not rest and command.invoke_without_command:
            break
        assert rest, f"{shlex.join(words)} names no command"
        assert rest[0] in command.commands, f"{shlex.join(words)}: there is no command {rest[0]}"
        command, rest = command.commands[rest[0]], rest[1:]
    try:
        command.make_context(words[1], rest)
    except Exception as error:
        raise AssertionError(f"{shlex.join(words)}: {error}") from error


def _environment_names() -> set[str]:
    return {name for parameter in _parameters(typer.main.get_command(app)) if (name := parameter.envvar)}


def _parameters(command: Any) -> Iterator[Any]:
    yield from command.params
    for each in getattr(command, "commands", {}).values():
        yield from _parameters(each)


def test_both_readmes_show_the_same_commands() -> None:
    english, chinese = ([[block.tag, *map(tuple, commands(block))] for block in blocks(ROOT / name)]
                        for name in ("README.md", "README.zh.md"))  # fmt: skip
    assert chinese == english
    assert sum(len(block) - 1 for block in english) >= 25


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_every_link_to_a_file_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def test_a_command_that_is_not_there_is_noticed() -> None:
    for wrong in ("./liandong campain status", "./liandong report x --langg zh", "./liandong campaign validate"):
        with pytest.raises(AssertionError):
            _check(shlex.split(wrong))
