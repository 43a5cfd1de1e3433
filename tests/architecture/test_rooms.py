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


def _houses(graph: grimp.ImportGraph, module: str) -> set[str]:
    """The packages that use a module of common, themselves or through other modules of common."""
    seen, waiting, houses = {module}, [module], set[str]()
    while waiting:
        for importer in graph.find_modules_that_directly_import(waiting.pop()) - seen:
            seen.add(importer)
            house = importer.split(".")[0]
            if house == "common":
                waiting.append(importer)
            else:
                houses.add(house)
    return houses


def test_what_one_node_alone_uses_lives_in_that_node(graph: grimp.ImportGraph) -> None:
    shared = {m for m in graph.find_descendants("common") if not graph.find_children(m)}
    assert len(shared) > 30
    assert {m: _houses(graph, m) for m in shared if _houses(graph, m) in ({"hq"}, {"province"}, set())} == {}


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
