"""What the layout promises."""

from __future__ import annotations

import ast
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("adapters", "common", "deploy", "hq", "province")
ATTIC_NAMES = {"utils", "util", "helpers", "misc", "base", "constants", "types", "manager", "managers", "common"}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, include_external_packages=True)


def test_what_is_shared_is_used_by_both_levels(graph: grimp.ImportGraph) -> None:
    shared = {m for m in graph.find_descendants("common") if not graph.find_children(m)}
    used = {
        node: {m for m in shared if graph.find_shortest_chain(f"{node}.__main__", m)} for node in ("hq", "province")
    }
    assert shared - used["hq"] == set()
    assert shared - used["province"] == set()


def test_no_room_is_an_attic() -> None:
    attics = [p for package in PACKAGES for p in (ROOT / package).rglob("*.py") if p.stem in ATTIC_NAMES]
    assert attics == []


def test_the_kernel_reads_no_clock_and_draws_no_chance() -> None:
    forbidden = {"random", "time", "secrets", "uuid", "os", "socket", "asyncio", "threading"}
    for path in (ROOT / "common" / "kernel").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not forbidden & set(names), f"{path} imports {names}"


def test_the_kernel_needs_only_the_standard_library_and_numpy(graph: grimp.ImportGraph) -> None:
    import sys

    imported = {m for k in graph.find_descendants("common.kernel") for m in graph.find_modules_directly_imported_by(k)}
    foreign = {m.split(".")[0] for m in imported} - set(sys.stdlib_module_names) - {"common", "numpy"}
    assert foreign == set()


def test_package_names_are_ours() -> None:
    for package in PACKAGES:
        module = __import__(package)
        assert Path(module.__file__ or "").is_relative_to(ROOT), f"another distribution ships {package!r}"
