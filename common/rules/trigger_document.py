"""Stand-in for the trigger document's parser: rules with name, scene, when, adds_up and once_a, and nothing checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from common.kernel.refusal import invalid
from common.kernel.trigger_rule import Each, Offer, Period, Sum, TriggerRule


@dataclass(frozen=True, slots=True)
class TriggerDocument:
    rules: tuple[TriggerRule, ...]
    areas: Mapping[str, object] = field(default_factory=dict)
    hosts: Mapping[str, object] = field(default_factory=dict)


def parsed(text: str, version: int) -> TriggerDocument:
    try:
        rules = yaml.safe_load(text)["rules"]
        unknown = [key for key in yaml.safe_load(text) if key not in ("rules", "areas", "hosts")]
        if unknown:
            raise ValueError(f"{unknown[0]}: unknown key. Known here: rules, areas, hosts")
        return TriggerDocument(tuple(_rule(each, version) for each in rules))
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise invalid(f"The trigger document is wrong and nothing was changed.\n{error}", "TRIGGER_INVALID") from error


def _rule(said: Mapping[str, Any], version: int) -> TriggerRule:
    form = Sum(said["adds_up"]["field"], float(said["adds_up"]["to"])) if "adds_up" in said else Each()
    offer = Offer(said["offer"]["offer"], "", ("local_sms",), said["offer"]["text"], 50, "", 1800)
    return TriggerRule(
        said["name"], version, said["scene"], (said["when"],), "", form, Period(said["once_a"]), 1, 600, offer,
        said.get("paused", False),
    )  # fmt: skip
