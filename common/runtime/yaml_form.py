"""Checks YAML people wrote against a pydantic model: all that is wrong is told at once, each with place and remedy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from textwrap import shorten
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from common.kernel.refusal import Refusal, invalid
from common.runtime.yaml_source import Place, Problem, Source

PROBLEM_CHARS_MAX = 1_800
"""What a refusal may say within the headers it travels in."""
LINE_CHARS_MAX = 400

_SPAN = re.compile(r"(?:(\d{1,4})d)? ?(?:(\d{1,5})h)? ?(?:(\d{1,6})m)? ?(?:(\d{1,8})s)?")
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))

M = TypeVar("M", bound=BaseModel)


def _seconds(value: object) -> object:
    found = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if found is None or not any(found.groups()):
        raise ValueError(f"{value!r} is no span of time. Write it as 24h, 7d, 1d 12h or 90s")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return days * 86_400 + hours * 3_600 + minutes * 60 + seconds


Seconds = Annotated[int, BeforeValidator(_seconds)]


def span_of(seconds: int) -> str:
    """As `Seconds` reads it, such as 1d 12h."""
    parts = []
    for size, unit in _UNITS:
        count, seconds = divmod(seconds, size)
        parts += [f"{count}{unit}"] if count else []
    return " ".join(parts) or "0s"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def built(source: Source, model: type[M], begin: str) -> tuple[M | None, list[Problem]]:
    """The value, or all that is wrong with its form. `begin` says what to write where it is no mapping at all."""
    if not isinstance(source.value, dict):
        return None, [source.problem((), begin)]
    try:
        return model.model_validate(source.value), []
    except ValidationError as error:
        return None, [_explained(source, model, each) for each in error.errors()]


def refusal(told: str, problems: Sequence[Problem], reason: str) -> Refusal:
    """`told`, and each problem on a line; what does not fit into an answer is counted."""
    lines = [str(problem)[:LINE_CHARS_MAX] for problem in sorted(set(problems))]
    sizes = accumulate(len(line) + 1 for line in lines)
    shown = [line for line, size in zip(lines, sizes, strict=True) if size <= PROBLEM_CHARS_MAX] or lines[:1]
    if len(shown) < len(lines):
        shown.append(f"and {len(lines) - len(shown)} more. Correct these first")
    return invalid("\n".join([told, *shown]), reason)


def _explained(source: Source, model: type[BaseModel], error: Any) -> Problem:
    # A mapping's key that is wrong is located as (…, key, "[key]").
    place = tuple(step for step in error["loc"] if step != "[key]")
    kind, value = error["type"], error["input"]
    if kind == "missing":
        what = "is missing. Add it"
    elif kind == "extra_forbidden":
        what = f"unknown key. Known here: {', '.join(_known_keys(model, place[:-1]))}"
    elif kind == "value_error":
        what = str(error["ctx"]["error"])
    else:
        shown = "" if isinstance(value, dict | list) else f", not {shorten(repr(value), 60)}"
        what = f"{_EXPECTED.get(kind, error['msg']).format(**error.get('ctx', {}))}{shown}. Correct it"
    return source.problem(place, what)


_EXPECTED = {
    "string_type": "must be text (in quotes where it looks like a number)",
    "string_pattern_mismatch": "must be lower-case letters, digits, - and _, at most 63, such as spring_offer",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping of keys",
    "model_type": "must be a mapping of keys",
    "list_type": "must be a list (lines that begin with -)",
    "tuple_type": "must be a list (lines that begin with -)",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have at least {min_length} entry",
    "too_long": "must have at most {max_length} entries",
    "enum": "must be one of {expected}",
    "literal_error": "must be one of {expected}",
}


def _known_keys(model: type[BaseModel], place: Place) -> list[str]:
    """The keys of the model at `place` within `model`."""
    steps = iter(step for step in place if isinstance(step, str))
    for step in steps:
        field = _by_key(model).get(step)
        annotation = field.annotation if field else None
        if getattr(annotation, "__origin__", None) is dict:
            next(steps, None)
        model = _model_in(annotation) or model
    return list(_by_key(model))


def _by_key(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, getattr(annotation, "__args__", ()))), None)
