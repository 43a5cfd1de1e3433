"""Finds every durable step in the nodes' source, and the failpoints around it, without running anything.

A step is a call of a database's `write` (its name is made of the work it is given), a `transaction`, or a function
that syncs or renames a file. Transactions reach their failpoints in `Database`; a function that syncs must itself
`reach("<step>.before_sync")` and `reach("<step>.after_sync")`, or be called in its module only by such as do.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOUSES = ("adapters", "common", "hq", "province", "deploy/cli")
SHARED = "sync_directory"
"""The one function that syncs for others: each that calls it is held to the failpoints instead."""
SYNCS = frozenset({"fsync", "fdatasync", SHARED})
TRANSACTION = (".before_commit", ".after_commit")
FILE = (".before_sync", ".after_sync")


@dataclass
class Found:
    """Failpoints by name, and what is durable without any."""

    points: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Module:
    path: Path
    tree: ast.Module

    @cached_property
    def imported(self) -> dict[str, str]:
        """Local name to the dotted name it stands for."""
        found = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom):
                found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        return found

    @cached_property
    def functions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        return [n for n in ast.walk(self.tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]

    def at(self, node: ast.AST) -> str:
        return f"{self.path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


def scan() -> Found:
    found = Found()
    for house in HOUSES:
        for path in sorted((ROOT / house).rglob("*.py")):
            module = Module(path, ast.parse(path.read_text(encoding="utf-8")))
            _transactions(module, found)
            _files(module, found)
    return found


def _transactions(module: Module, found: Found) -> None:
    for function in module.functions:
        given = {each.arg for each in function.args.args}
        for call in _calls(function):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            if name == "write" and call.args:
                _write(module, call, given, found)
            elif name == "transaction" and not _is_databases_own(module, function):
                step = call.args[0] if call.args else None
                if isinstance(step, ast.Constant):
                    found.points |= {f"{step.value}{moment}" for moment in TRANSACTION}
                else:
                    found.faults.append(f"{module.at(call)}: this transaction has no name")


def _is_databases_own(module: Module, function: ast.AST) -> bool:
    return module.path.name == "database.py" and getattr(function, "name", "") in ("_write", "create")


def _write(module: Module, call: ast.Call, given: set[str], found: Found) -> None:
    assert isinstance(call.func, ast.Attribute)
    work, owner = call.args[0], ast.unparse(call.func.value)
    step = _step(module, work)
    if step:
        found.points |= {f"{step}{moment}" for moment in TRANSACTION}
    elif "database" in owner and not (isinstance(work, ast.Name) and work.id in given):
        found.faults.append(f"{module.at(call)}: give {owner}.write a function that has a name")


def _step(module: Module, work: ast.expr) -> str:
    """As `common.runtime.database.step_of` names it; empty where `work` is no function that can be named."""
    here = module.path.stem
    named = {function.name for function in module.functions}
    if isinstance(work, ast.Name):
        dotted = module.imported.get(work.id, "")
        if dotted and (ROOT / f"{dotted.rpartition('.')[0].replace('.', '/')}.py").exists():
            return ".".join(part.strip("_") for part in dotted.split(".")[-2:])
        return f"{here}.{work.id.strip('_')}" if work.id in named else ""
    if isinstance(work, ast.Attribute) and isinstance(work.value, ast.Name):
        if work.value.id == "self":
            return f"{here}.{work.attr.strip('_')}" if work.attr in named else ""
        dotted = module.imported.get(work.value.id, "")
        return f"{dotted.rpartition('.')[2]}.{work.attr.strip('_')}" if dotted else ""
    return ""


def _files(module: Module, found: Found) -> None:
    paths = "Path" in module.imported
    syncing = [f for f in module.functions if any(_syncs(call, paths) for call in _calls(f))]
    durable = {f.name: f for f in syncing if f.name != SHARED}
    named = {function.name: _reached(function) for function in module.functions}
    for points in named.values():
        found.points |= points
    for name, function in durable.items():
        callers = [f.name for f in module.functions if f.name != name and _uses(f, name)]
        if not _guarded(named[name]) and not (callers and all(_guarded(named[caller]) for caller in callers)):
            found.faults.append(f"{module.at(function)}: {name} makes a file durable and reaches no failpoint")


def _syncs(call: ast.Call, paths: bool) -> bool:
    if isinstance(call.func, ast.Name):
        return call.func.id in SYNCS
    if not isinstance(call.func, ast.Attribute):
        return False
    # A Path's replace has one argument, a string's two, a datetime's only named ones.
    replaces = call.func.attr == "replace" and len(call.args) == 1 and not call.keywords
    renames = paths and (replaces or call.func.attr == "rename")
    return call.func.attr in SYNCS or renames


def _reached(function: ast.AST) -> set[str]:
    return {
        call.args[0].value
        for call in _calls(function)
        if isinstance(call.func, ast.Name) and call.func.id == "reach" and isinstance(call.args[0], ast.Constant)
    }


def _guarded(points: set[str]) -> bool:
    return all(any(point.endswith(moment) for point in points) for moment in FILE)


def _uses(function: ast.AST, name: str) -> bool:
    called = (call.func for call in _calls(function))
    return any(getattr(each, "id", getattr(each, "attr", "")) == name for each in called)


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    return (each for each in ast.walk(node) if isinstance(each, ast.Call))


if __name__ == "__main__":
    everything = scan()
    print("\n".join(sorted(everything.points)), *everything.faults, sep="\n")
