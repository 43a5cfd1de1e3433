"""YAML as people write it: plain values only, every value's place known, and nothing that can grow without bound."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

SOURCE_BYTES_MAX = 64 * 1024
DEPTH_MAX = 16

Place = tuple[int | str, ...]
"""Where a value stands: ("waves", 0, "channels", 1, "channel")."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong. Line and column count from 1; `field` reads waves[0].channels[1].channel, empty for the file."""

    line: int
    column: int
    field: str
    what: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.field + ': ' if self.field else ''}{self.what}"


class UnreadableError(Exception):
    """The text is not YAML we take; nothing more can be said about it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = list(problems)


@dataclass(frozen=True, slots=True)
class Source:
    """`value` holds dicts, lists, str, int, float, bool and None; dates stay text."""

    value: Any
    root: yaml.Node

    def problem(self, place: Place, what: str) -> Problem:
        """`what` at `place`, or at the nearest place around it that the text has."""
        mark = _nearest(self.root, place).start_mark
        return Problem(mark.line + 1, mark.column + 1, field_name(place), what)

    def problem_inside(self, place: Place, line: int, column: int, what: str) -> Problem:
        """`what` at a line and column, from 1, inside the text at `place`."""
        node = _nearest(self.root, place)
        style, mark = getattr(node, "style", None), node.start_mark
        if style in ("|", ">"):
            return Problem(mark.line + 1 + line, column, field_name(place), what)
        if line > 1 or node.end_mark.line > mark.line:
            return self.problem(place, what)
        return Problem(mark.line + 1, mark.column + column + (style is not None), field_name(place), what)


def read(text: str) -> Source:
    """Raises UnreadableError."""
    size = len(text.encode("utf-8", "replace"))
    if size > SOURCE_BYTES_MAX:
        what = f"the file has {size} bytes. Shorten it to {SOURCE_BYTES_MAX}"
        raise UnreadableError([Problem(1, 1, "", what)])
    try:
        _bound(text)
        root = yaml.compose(text, Loader=_Loader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        what = f"character {error.character!r} is not allowed. Delete it"
        raise UnreadableError([Problem(line, 1, "", what)]) from error
    except yaml.MarkedYAMLError as error:
        raise UnreadableError([_syntax(error)]) from error
    if root is None:
        raise UnreadableError([Problem(1, 1, "", "the file is empty. Start from an example")])
    problems: list[Problem] = []
    value = _value(root, (), problems)
    if problems:
        raise UnreadableError(problems)
    return Source(value, root)


def field_name(place: Place) -> str:
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in place]
    return "".join(steps).removeprefix(".")


class _Loader(yaml.SafeLoader):
    """Only true/false, null and plain decimal numbers are anything but text: `no`, `12:30` and dates stay text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("int", r"[-+]?(?:0|[1-9][0-9]{0,17})", "-+0123456789"),
    ("float", r"[-+]?[0-9]{1,17}\.[0-9]{0,25}", "-+0123456789"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), [*_first, *([""] if _tag == "null" else [])]
    )


def _bound(text: str) -> None:
    """Aliases and deep nesting are refused before anything is built from them."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            _refuse("aliases (*name) are not supported", "write the value out", event.start_mark)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH_MAX:
            _refuse(f"nested deeper than {DEPTH_MAX}", "flatten it", event.start_mark)


def _refuse(what: str, remedy: str, mark: Any) -> None:
    raise yaml.MarkedYAMLError(problem=f"{what}. {remedy[0].upper()}{remedy[1:]}", problem_mark=mark)


def _syntax(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    remedy = "" if type(error) is yaml.MarkedYAMLError else ". Check indentation, colons and quotes here"
    what = f"{error.problem or error.context}{remedy}"
    return Problem(mark.line + 1, mark.column + 1, "", what) if mark else Problem(1, 1, "", what)


_MAPPING, _SEQUENCE = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"
_SCALARS: dict[str, Callable[[str], Any]] = {
    "tag:yaml.org,2002:str": str,
    "tag:yaml.org,2002:int": int,
    "tag:yaml.org,2002:float": float,
    "tag:yaml.org,2002:bool": lambda text: text.lower() == "true",
    "tag:yaml.org,2002:null": lambda _: None,
}


def _value(node: yaml.Node, place: Place, problems: list[Problem]) -> Any:
    if node.tag == _MAPPING and isinstance(node, yaml.MappingNode):
        return _mapping(node, place, problems)
    if node.tag == _SEQUENCE and isinstance(node, yaml.SequenceNode):
        return [_value(item, (*place, index), problems) for index, item in enumerate(node.value)]
    try:
        return _SCALARS[node.tag](node.value)
    except (KeyError, ValueError):
        problems.append(_at(node, place, f"tag {node.tag} is not supported. Write a plain value"))
        return None


def _mapping(node: yaml.MappingNode, place: Place, problems: list[Problem]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in node.value:
        if not isinstance(key, yaml.ScalarNode):
            problems.append(_at(key, place, "a key must be a plain word. Quote it, or check the braces here"))
        elif key.value in found:
            problems.append(_at(key, (*place, key.value), "is there twice. Delete one"))
        else:
            found[key.value] = _value(item, (*place, key.value), problems)
    return found


def _at(node: yaml.Node, place: Place, what: str) -> Problem:
    return Problem(node.start_mark.line + 1, node.start_mark.column + 1, field_name(place), what)


def _nearest(node: yaml.Node, place: Place) -> yaml.Node:
    for step in place:
        inner = _step(node, step)
        if inner is None:
            return node
        node = inner
    return node


def _step(node: yaml.Node, step: int | str) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step]  # type: ignore[no-any-return]
    if isinstance(node, yaml.MappingNode):
        return next((item for key, item in node.value if key.value == step), None)
    return None
