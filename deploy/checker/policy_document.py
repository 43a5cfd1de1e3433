"""Reads a contact policy as nodes keep it: YAML, with every day of rest written out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import lru_cache
from typing import Any

import yaml

from deploy.checker.world import Cap, Policy, Quiet

DAY = 86_400
_SPAN = re.compile(r"(?:(\d+)d)? ?(?:(\d+)h)? ?(?:(\d+)m)? ?(?:(\d+)s)?")
_UNITS = (DAY, 3_600, 60, 1)
DEFAULT = Policy(0, 0, (Cap("all", "", 2, DAY), Cap("all", "", 6, 7 * DAY)))
"""What nodes decide by before the first policy comes."""


def read(version: int, document: str, received_at: int) -> Policy:
    """Raises ValueError, KeyError or yaml.YAMLError where it is no policy."""
    return replace(_read(document), version=version, received_at=received_at)


@lru_cache(1_000)
def _read(document: str) -> Policy:
    """Most nodes have the same."""
    fields: Mapping[str, Any] = yaml.load(document, yaml.BaseLoader)  # noqa: S506 - makes nothing but text, lists, maps
    calendar = fields.get("calendar") or {}
    return Policy(
        0,
        0,
        tuple(_cap(entry) for entry in fields["caps"]),
        cooling_seconds=_seconds(fields.get("cooling", "0s")),
        after_order_seconds=_seconds(fields.get("after_order", "0s")),
        consent_classes=tuple(fields.get("consent", ())),
        capacities={channel: int(contacts) for channel, contacts in (fields.get("capacities") or {}).items()},
        quiet={channel: _quiet(entry) for channel, entry in (fields.get("quiet") or {}).items()},
        years=frozenset(map(int, calendar.get("years", ()))),
        rest_days=_days(calendar.get("rest_days", ())),
        make_up_days=_days(calendar.get("make_up_days", ())),
        zones={int(province): zone for province, zone in (fields.get("zones") or {}).items()},
        digest=hashlib.sha256(document.encode()).hexdigest(),
    )


def _cap(entry: Mapping[str, str]) -> Cap:
    return Cap(entry["scope"], entry.get("value", ""), int(entry["contacts"]), _seconds(entry["per"]))


def _seconds(span: str) -> int:
    found = _SPAN.fullmatch(span)
    if found is None:
        raise ValueError(f"{span!r} is no span of time")
    return sum(int(part or 0) * unit for part, unit in zip(found.groups(), _UNITS, strict=True))


def _quiet(entry: Mapping[str, str]) -> Quiet:
    return Quiet(_window(entry["working"]), _window(entry.get("rest") or entry["working"]))


def _window(text: str) -> tuple[int, int]:
    if text in ("all_day", "none"):
        return (0, DAY if text == "all_day" else 0)
    begins, ends = (int(clock[:2]) * 3_600 + int(clock[3:]) * 60 for clock in text.split("-"))
    return begins, ends


def _days(texts: Sequence[str]) -> frozenset[date]:
    return frozenset(map(date.fromisoformat, texts))
