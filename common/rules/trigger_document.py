"""Trigger rules as people write them and as they travel: YAML, with the areas, hosts and tags they name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeVar

import shapely
import yaml
from pydantic import BaseModel, ValidationError

from common.kernel.area import Area, Cells, Circle, Polygon
from common.kernel.refusal import Refusal
from common.kernel.tag import Catalogue, Tag
from common.kernel.trigger_rule import Crosses, Each, Form, Offer, Period, Stays, Sum, Surge, TriggerRule
from common.rules.trigger_checks import CheckedRule, Known
from common.rules.trigger_form import HOSTS_MAX, AreaEntry, HostsEntry, RuleEntry, TagEntry, TriggerFile, hosts_in
from common.runtime.yaml_form import built, refusal, span_of
from common.runtime.yaml_source import Place, Problem, Source, UnreadableError, read

M = TypeVar("M", bound=BaseModel)

STAND_IN = {
    "name": "x",
    "scene": "x",
    "once_a": "day",
    "offer": {"offer": "x", "channels": "local_sms", "text": "x", "valid_for": "1h"},
}
"""For what is wrong in a rule, while the rest of it is checked."""


@dataclass(frozen=True, slots=True)
class HostFile:
    """A list of hosts that is yet to be read from a file."""

    file: str


@dataclass(frozen=True, slots=True)
class HostDigest:
    """A long list of hosts, which is kept and travels beside the document."""

    digest: str


@dataclass(frozen=True, slots=True)
class TriggerDocument:
    rules: tuple[TriggerRule, ...]
    areas: Mapping[str, Area] = field(default_factory=dict)
    hosts: Mapping[str, tuple[str, ...] | HostFile | HostDigest] = field(default_factory=dict)
    tags: tuple[Tag, ...] = ()
    """What its conditions may ask of people, as the document says it is."""

    def lacking(self, catalogue: Catalogue) -> list[str]:
        """Which of its tags a node with this catalogue has not, or has as something else; and what to do."""
        return [why for tag in self.tags if (why := _unlike(tag, catalogue.find(tag.name)))]

    @property
    def host_lists(self) -> dict[str, tuple[str, ...]]:
        """Those that the document holds itself."""
        return {name: hosts for name, hosts in self.hosts.items() if isinstance(hosts, tuple)}

    @property
    def files(self) -> dict[str, str]:
        """By list, the file that it is yet to be read from."""
        return {name: hosts.file for name, hosts in self.hosts.items() if isinstance(hosts, HostFile)}

    @property
    def digests(self) -> dict[str, str]:
        """Of the lists beside the document."""
        return {name: hosts.digest for name, hosts in self.hosts.items() if isinstance(hosts, HostDigest)}


def _unlike(wanted: Tag, there: Tag | None) -> str:
    if there is None:
        return f"there is no tag {wanted.name} here. Import it, or leave it out"
    if not there.serves(wanted):
        return (
            f"tag {wanted.name} is {there.type} here and {wanted.type} in the document. Write {there.type} under tags"
        )
    if there.purpose not in ("", wanted.purpose):
        purpose = f"{{type: {there.type}, consent: {there.purpose}}}"
        return f"tag {wanted.name} needs consent to {there.purpose} here. Write {wanted.name}: {purpose} under tags"
    return ""


def parsed(text: str, version: int) -> TriggerDocument:
    """The rules of a document. Raises Refusal TRIGGER_INVALID that lists everything wrong, with place and remedy."""
    source = _source(text)
    file, problems = built(source, TriggerFile, "a trigger document is a mapping of keys. Begin with `rules:`")
    areas = {str(place[1]): entry.area() for place, entry in _each(source, "areas", AreaEntry)}
    problems += [source.problem(("areas", name), what) for name, area in areas.items() for what in _crossed(area)]
    tags = tuple(entry.tag(str(place[1])) for place, entry in _each(source, "tags", TagEntry))
    known = Known(_names(source, "areas"), areas, _names(source, "hosts"), Catalogue(tags))
    rules = [CheckedRule(source, place, entry, known) for place, entry in _each(source, "rules", RuleEntry, STAND_IN)]
    problems += [problem for rule in rules for problem in rule.problems()]
    if file is None or problems:
        raise _refused(problems)
    hosts = {name: _hosts(each) for name, each in file.hosts.items()}
    return TriggerDocument(tuple(rule.rule(version) for rule in rules), areas, hosts, tags)


def _hosts(entry: HostsEntry) -> tuple[str, ...] | HostFile | HostDigest:
    if entry.digest is not None:
        return HostDigest(entry.digest)
    return HostFile(entry.file) if entry.file is not None else entry.names or ()


def resolved(document: TriggerDocument, read_file: Callable[[str], str]) -> TriggerDocument:
    """With every list of hosts read. Raises Refusal TRIGGER_INVALID with the lines that are no host names."""
    lists, problems = dict(document.hosts), list[Problem]()
    for name, hosts in document.hosts.items():
        if isinstance(hosts, HostFile):
            lists[name], wrong = hosts_in(read_file(hosts.file).splitlines())
            problems += [Problem(line, 1, hosts.file, what) for line, what in wrong]
            problems += _miscounted(hosts.file, len(lists[name]))  # type: ignore[arg-type]
    if problems:
        raise _refused(problems)
    return replace(document, hosts=lists)


def _miscounted(file: str, count: int) -> Iterator[Problem]:
    if not 0 < count <= HOSTS_MAX:
        yield Problem(1, 1, file, f"the file holds {count} hosts. Give 1 to {HOSTS_MAX}")


def written(document: TriggerDocument) -> str:
    """YAML that `parsed` reads as the same document."""
    value = {
        "rules": [_rule_value(rule) for rule in document.rules],
        "tags": {tag.name: _tag_value(tag) for tag in document.tags},
        "areas": {name: _area_value(area) for name, area in document.areas.items()},
        "hosts": {name: _hosts_value(hosts) for name, hosts in document.hosts.items()},
    }
    present = {key: inside for key, inside in value.items() if inside or key == "rules"}
    return yaml.dump(present, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)


@lru_cache(maxsize=8)
def _source(text: str) -> Source:
    try:
        return read(text)
    except UnreadableError as error:
        raise _refused(error.problems) from error


def _refused(problems: Sequence[Problem]) -> Refusal:
    return refusal("The trigger document is wrong and nothing was changed.", problems, "TRIGGER_INVALID")


def _each(
    source: Source, key: str, model: type[M], stand_in: Mapping[str, Any] | None = None
) -> Iterator[tuple[Place, M]]:
    """The entries under `key`, what is wrong in them replaced from `stand_in`, so that the rest is checked."""
    inside = source.value.get(key) if isinstance(source.value, dict) else None
    entries = inside.items() if isinstance(inside, dict) else enumerate(inside) if isinstance(inside, list) else ()
    for step, entry in entries:
        built_entry = _mended(model, entry, stand_in or {})
        if built_entry is not None:
            yield (key, step), built_entry


def _mended(model: type[M], entry: object, stand_in: Mapping[str, Any]) -> M | None:
    try:
        return model.model_validate(entry)
    except ValidationError as error:
        wrong = {each["loc"][0] for each in error.errors() if each["loc"]}
    if not isinstance(entry, dict) or not stand_in or not wrong:
        return None
    try:
        return model.model_validate({**stand_in, **{key: value for key, value in entry.items() if key not in wrong}})
    except ValidationError:
        return None


def _names(source: Source, key: str) -> frozenset[str]:
    inside = source.value.get(key) if isinstance(source.value, dict) else None
    return frozenset(inside) if isinstance(inside, dict) else frozenset()


def _crossed(area: Area) -> Iterator[str]:
    if isinstance(area, Polygon):
        shape = shapely.Polygon(area.points)
        if not shape.is_valid:
            why = shapely.is_valid_reason(shape)
            yield f"the polygon crosses itself ({why}). List its points in the order of its edge"


def _rule_value(rule: TriggerRule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "scene": rule.scene,
        "when": list(rule.events),
        **({"where": rule.condition} if rule.condition else {}),
        **_form_value(rule.form),
        "once_a": {"cycle": rule.cycle_day} if rule.period is Period.CYCLE else str(rule.period),
        "lateness": span_of(rule.lateness_seconds),
        **({"paused": True} if rule.paused else {}),
        "offer": _offer_value(rule.offer),
    }


def _offer_value(offer: Offer) -> dict[str, Any]:
    return {
        "offer": offer.offer,
        "product_line": offer.product_line,
        "channels": list(offer.channels),
        "text": offer.text,
        "priority": offer.priority,
        **({"purpose": offer.purpose} if offer.purpose else {}),
        "valid_for": span_of(offer.valid_seconds),
        "delay": span_of(offer.delay_seconds),
        "ask_hq": offer.ask_hq,
    }


def _form_value(form: Form) -> dict[str, Any]:
    match form:
        case Each():
            return {}
        case Sum(of, reaches, ratio, ratio_of):
            to = f"{(Decimal(repr(ratio)) * 100).normalize():f}%" if ratio is not None else reaches
            return {"adds_up": _without_none({"field": of, "to": to, "of": ratio_of})}
        case Surge(of, seconds, reaches):
            return {"surges": _without_none({"field": of, "within": span_of(seconds), "to": reaches})}
        case Crosses(area, inwards):
            return {"enters" if inwards else "leaves": area}
        case Stays(seconds, area, ends):
            return {"stays": _without_none({"in": area, "until": ends, "for": span_of(seconds)})}


def _tag_value(tag: Tag) -> str | dict[str, str]:
    return {"type": str(tag.type), "consent": tag.purpose} if tag.purpose else str(tag.type)


def _area_value(area: Area) -> dict[str, Any]:
    match area:
        case Cells(cells):
            return {"cells": sorted(cells)}
        case Circle(longitude, latitude, metres, system, margin):
            circle = {"longitude": longitude, "latitude": latitude, "metres": metres, "coordinate_system": system}
            return {"circle": circle, "margin_metres": margin}
        case Polygon(points, system, margin):
            return {"polygon": list(map(list, points)), "coordinate_system": system, "margin_metres": margin}


def _hosts_value(hosts: tuple[str, ...] | HostFile | HostDigest) -> dict[str, Any]:
    match hosts:
        case HostFile(file):
            return {"file": file}
        case HostDigest(digest):
            return {"digest": digest}
        case _:
            return {"names": list(hosts)}


def _without_none(value: dict[str, Any]) -> dict[str, Any]:
    return {key: inside for key, inside in value.items() if inside is not None}


class _Dumper(yaml.SafeDumper):
    """Writes numbers without exponents, which are text where documents are read."""


def _plain_number(dumper: yaml.SafeDumper, number: float) -> yaml.Node:
    if number.is_integer():
        return dumper.represent_int(int(number))
    return dumper.represent_scalar("tag:yaml.org,2002:float", f"{Decimal(repr(number)):f}")


_Dumper.add_representer(float, _plain_number)
