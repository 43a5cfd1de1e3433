"""How a foreign source's columns become events of the catalogue: a small YAML file, checked whole before it is used."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from adapters.streams.cells import MILLIS, cast_or_null, filled_up, is_text, times
from common.kernel.event import EventType, Kind
from common.kernel.event import Field as EventField
from common.kernel.event_catalogue import BY_NAME, CATALOGUE
from common.kernel.refusal import Refusal, missing
from common.runtime import yaml_form, yaml_source
from common.runtime.yaml_source import Place

Name = Annotated[str, StringConstraints(min_length=1, max_length=128)]
RFC_3339, UNIX_SECONDS, UNIX_MILLIS = "rfc3339", "unix_seconds", "unix_millis"
FIELDS_MAX = 64
HOUR_MILLIS = 3_600_000
_DIRECTIVES = re.compile(r"%(.)")
_KNOWN_DIRECTIVES = set("YmdHMSyjbBe%TFDR")

Cells = Mapping[str, pa.Array]
"""What a source has, by its own names."""


def _word(value: object) -> object:
    if not isinstance(value, str | int | float):
        raise ValueError("must be a word or a number. Correct it")
    return value


Word = Annotated[Any, BeforeValidator(_word)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TypeColumn(_Form):
    """`values` says which word in the column stands for which type; other words are unknown types."""

    field: Name
    values: dict[str, Name] = Field(min_length=1, max_length=len(CATALOGUE))


class Subject(_Form):
    field: Name
    as_: Literal["msisdn", "key"] = Field(alias="as")


class Time(_Form):
    field: Name
    format: Name = RFC_3339
    """rfc3339, unix_seconds, unix_millis, or a pattern such as %Y%m%d%H%M%S."""
    zone: Name = "Asia/Shanghai"
    """Of times that are written without one."""


class From(_Form):
    """One field: a column, scaled or translated; or the same value always."""

    from_: Name | None = Field(default=None, alias="from")
    times: Annotated[float, Field(strict=False)] | None = None
    values: dict[str, Word] | None = Field(default=None, max_length=1_000)
    always: Word | None = None


class SourceMapping(_Form):
    source: Name
    format: Literal["csv", "jsonl", "parquet"]
    encoding: Name | None = None
    type: Name | None = None
    type_by: TypeColumn | None = None
    """One of the two: the type of all records, or a column that says it."""
    id: list[Name] = Field(min_length=1, max_length=8)
    """The columns that together name an event for ever: those of an event that comes twice are the same."""
    subject: Subject
    time: Time
    fields: dict[str, From] = Field(max_length=FIELDS_MAX)

    def types(self) -> dict[str, EventType]:
        """By the word that stands for each; one that always applies has the word "" ."""
        if self.type_by is None:
            return {"": BY_NAME[self.type or ""]}
        return {word: BY_NAME[name] for word, name in self.type_by.values.items()}

    def names(self) -> frozenset[str]:
        """The columns that name something: a digit less would name another."""
        return frozenset([*self.id, self.subject.field, *([self.type_by.field] if self.type_by else [])])

    def columns(self) -> list[str]:
        """Every column of the source that is read."""
        chosen = [self.type_by.field] if self.type_by else []
        taken = [each.from_ for each in self.fields.values() if each.from_]
        return list(dict.fromkeys([*chosen, *self.id, self.subject.field, self.time.field, *taken]))


def load(path: Path) -> SourceMapping:
    """Raises Refusal that lists everything wrong, each with its line."""
    if not path.is_file():
        raise missing(f"there is no mapping {path}; check the path")
    return read(path.read_text(encoding="utf-8", errors="surrogateescape"), path.name)


def read(text: str, name: str = "the mapping") -> SourceMapping:
    told = f"{name} was not taken; nothing was read by it:"
    try:
        source = yaml_source.read(text)
    except yaml_source.UnreadableError as error:
        raise _refused(told, error.problems) from error
    form, found = yaml_form.built(source, SourceMapping, "begin with `source:` and the name of the source")
    if form is not None:
        found = [source.problem(place, what) for place, what in _problems(form)]
    if form is None or found:
        raise _refused(told, found)
    return form


def _refused(told: str, problems: list[yaml_source.Problem]) -> Refusal:
    return yaml_form.refusal(told, problems, "ARGUMENT_INVALID")


def _problems(form: SourceMapping) -> Iterator[tuple[Place, str]]:
    names: dict[Place, str] = {("type",): form.type} if form.type else {}
    if form.type_by:
        names |= {("type_by", "values", word): name for word, name in form.type_by.values.items()}
    if bool(form.type) is bool(form.type_by):
        yield ("type",), "must be there, or `type_by` (a column that says it), and not both. Correct it"
        return
    unknown = [(place, name) for place, name in names.items() if name not in BY_NAME]
    for place, name in unknown:
        yield place, f"there is no event type {name}. `liandong events types` lists them"
    if form.time.zone not in available_timezones():
        yield ("time", "zone"), f"there is no time zone {form.time.zone}. Write one such as Asia/Shanghai"
    if form.time.format not in (RFC_3339, UNIX_SECONDS, UNIX_MILLIS):
        yield from _pattern_problems(form.time.format)
    if not unknown:
        yield from _field_problems(form, [BY_NAME[name] for name in names.values()])


def _pattern_problems(pattern: str) -> Iterator[tuple[Place, str]]:
    used = set(_DIRECTIVES.findall(pattern))
    if not used:
        known = f"{RFC_3339}, {UNIX_SECONDS}, {UNIX_MILLIS}"
        yield ("time", "format"), f"must be {known}, or a pattern such as %Y%m%d%H%M%S. Correct it"
    elif used - _KNOWN_DIRECTIVES:
        yield ("time", "format"), f"%{min(used - _KNOWN_DIRECTIVES)} is not supported. Use %Y %m %d %H %M %S"


def _field_problems(form: SourceMapping, types: list[EventType]) -> Iterator[tuple[Place, str]]:
    known = {field.name: field for each in types for field in each.fields}
    for name, taken in form.fields.items():
        place = ("fields", name)
        if name not in known:
            yield place, f"no such field in {', '.join(t.name for t in types)}. Known: {', '.join(known)}"
        elif (taken.from_ is None) == (taken.always is None):
            yield place, "must have `from` (a column) or `always` (a value), and not both. Correct it"
        elif taken.times is not None and known[name].kind not in (Kind.INT, Kind.NUMBER):
            yield (*place, "times"), f"{name} is {known[name].kind}: only numbers can be scaled. Delete it"
    for each in types:
        lacking = [f.name for f in each.fields if f.required and f.name not in form.fields]
        if lacking:
            yield ("fields",), f"{each.name} needs {', '.join(lacking)}. Add them"


def moments(time: Time, cells: pa.Array) -> pa.Array:
    """Times as the source writes them, as milliseconds UTC; NULL for what is none."""
    if pa.types.is_timestamp(cells.type):
        return pc.cast(cells, MILLIS, safe=False) if cells.type.tz else _in_zone(cells, time.zone)
    if time.format == RFC_3339:
        return times(cells)
    if time.format in (UNIX_SECONDS, UNIX_MILLIS):
        return _counted(cells, 1 if time.format == UNIX_MILLIS else 1_000)
    if not is_text(cells.type):
        cells = pc.cast(cast_or_null(cells, lambda some: pc.cast(some, pa.int64())), pa.string())
    return _in_zone(pc.strptime(cells, time.format, "s", error_is_null=True), time.zone)


def _counted(cells: pa.Array, millis: int) -> pa.Array:
    plain = pc.cast(cells, pa.string()) if is_text(cells.type) else cells
    numbers = cast_or_null(plain, lambda some: pc.cast(some, pa.float64()))
    return pc.cast(pc.cast(pc.multiply(numbers, float(millis)), pa.int64(), safe=False), MILLIS)


def _in_zone(naive: pa.Array, zone: str) -> pa.Array:
    """Local times as instants. The library's own tables of zones are used: a bare machine has no others."""
    local = filled_up(pc.cast(pc.cast(naive, pa.timestamp("ms"), safe=False), pa.int64()), 0)
    hours, places = np.unique(local // HOUR_MILLIS, return_inverse=True)
    shifts = np.array([_offset(hour, ZoneInfo(zone)) for hour in hours.tolist()], dtype=np.int64)
    moved = local - shifts[places] if len(shifts) else local
    return pa.array(moved, MILLIS, mask=~naive.is_valid().to_numpy(zero_copy_only=False))


def _offset(hour: int, zone: ZoneInfo) -> int:
    try:
        local = datetime.fromisoformat("1970-01-01") + np.timedelta64(hour, "h").item()
    except OverflowError:
        return 0
    shift = local.replace(tzinfo=zone).utcoffset()
    return int(shift.total_seconds() * 1000) if shift else 0


def field_cells(taken: From, field: EventField, cells: Cells, count: int) -> pa.Array:
    """The field's cells as `convert` takes them."""
    if taken.from_ is None:
        return pa.array([taken.always] * count, pa.string() if isinstance(taken.always, str) else None)
    found = cells.get(taken.from_)
    if found is None:
        return pa.nulls(count, pa.string())
    if is_text(found.type):
        trimmed = pc.utf8_trim_whitespace(pc.cast(found, pa.string()))
        found = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)
    if taken.values is not None:
        found = _translated(taken.values, found)
    return found if taken.times is None else _scaled(found, taken.times, whole=field.kind is Kind.INT)


def _translated(values: Mapping[str, Word], cells: pa.Array) -> pa.Array:
    """A word that is not translated stays as it is, and has to fit by itself."""
    texts = pc.cast(cells, pa.string())
    place = pc.index_in(texts, pa.array(list(values)))
    words = pa.array([str(word).lower() if isinstance(word, bool) else str(word) for word in values.values()])
    return pc.coalesce(words.take(place), texts)


def _scaled(cells: pa.Array, factor: float, *, whole: bool) -> pa.Array:
    if is_text(cells.type):
        cells = pc.if_else(
            pc.match_substring_regex(cells, r"^[+-]?\d{1,18}(\.\d{1,18})?$"), cells, pa.scalar(None, pa.string())
        )
    product = pc.multiply(pc.cast(cells, pa.float64()), factor)
    return pc.round(product) if whole else product


def identity(parts: list[pa.Array]) -> pa.Array:
    """One text of the columns that name an event."""
    return pc.binary_join_element_wise(*(pc.cast(part, pa.string()) for part in parts), "|")


def positions_of(words: pa.Array, word: str) -> NDArray[np.int64]:
    return np.flatnonzero(pc.fill_null(pc.equal(words, word), fill_value=False).to_numpy(zero_copy_only=False))
