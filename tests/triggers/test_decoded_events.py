"""The rules of the page over events as they are decoded: JSON and packed are looked at alike."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from adapters.streams import cloudevents, packed
from adapters.streams.simulator import EXAMPLE_AT, Plan, batches, example, population
from adapters.streams.standard import Edge
from common.kernel.event import EventType
from common.kernel.event_catalogue import BY_NAME, CATALOGUE
from common.rules.trigger_document import TriggerDocument, parsed
from province.triggers.matching.matcher import Matcher
from province.triggers.matching.profile import PeopleProfile
from province.triggers.matching.run import Run, run_of
from province.triggers.matching.text import OfferText

PAGE = Path(__file__).parents[2] / "docs/triggers.md"
EDGE = Edge(EXAMPLE_AT + 90 * 86_400_000)
PROFILE = PeopleProfile(45)


@pytest.fixture(scope="module")
def page() -> TriggerDocument:
    text = PAGE.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    return parsed(text.replace("youku.com", "v.example.com"), 1)


def runs() -> tuple[Run, Run]:
    """The same events, packed and as JSON."""
    names = {"data_used", "out_of_province", "transport_hub", "subway", "url_visit", "content_visit", "model_hit",
             "power_on", "power_off"}  # fmt: skip
    plan = Plan(tuple(BY_NAME[name] for name in sorted(names)), 30_000, 3, population(50, 1), EXAMPLE_AT)
    several = list(batches(plan, 5_000))
    of_packed = packed.decode([packed.encode(batch) for batch in several], EDGE)
    lines = [line for batch in several for line in cloudevents.encode(batch).cast("binary").to_pylist()]
    of_json = cloudevents.decode_structured(lines, EDGE)
    assert of_packed.count == of_json.count == 30_000
    return run_of(of_packed.events), run_of(of_json.events)


def test_json_and_packed_are_looked_at_alike(page: TriggerDocument) -> None:
    matcher = Matcher(page.rules, page.areas, page.host_lists, PROFILE)
    first, second = (matcher.observe(run) for run in runs())
    assert [rule.name for rule, _ in first] == [rule.name for rule, _ in second]
    assert [rule.name for rule, _ in first] == [rule.name for rule in page.rules]
    for (_, one), (_, other) in zip(first, second, strict=True):
        for column in fields(one):
            assert np.array_equal(getattr(one, column.name), getattr(other, column.name), equal_nan=True), column.name


@pytest.mark.parametrize("kind", CATALOGUE, ids=lambda kind: kind.name)
def test_rules_may_be_about_any_type_and_say_all_it_says(kind: EventType) -> None:
    said = "".join(f"[{field.name}:{{{field.name}|-}}]" for field in kind.fields if field.kind != "flag")
    text = f"rules: [{{name: a, scene: a, when: {kind.name}, where: event = '{kind.name}', once_a: day, offer: "
    rule = parsed(f'{text}{{offer: a, channels: local_sms, text: "{said}", valid_for: 1h}}}}]', 1).rules[0]
    run = run_of(packed.decode([packed.encode(example(kind, EXAMPLE_AT, 7))], EDGE).events)
    ((_, observed),) = Matcher([rule]).observe(run)
    assert observed.keys.tolist() == [7]
    (shown,) = OfferText(rule.offer.text).texts(run, observed.rows).spelled()
    assert ":-]" not in shown
    for field in kind.fields:
        if field.kind in ("text", "code"):
            assert f"[{field.name}:{field.example}]" in shown
