"""The CloudEvents project's own examples of the Kafka binding."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from adapters.streams.cloudevents import Message, decode, envelope_of
from common.kernel.dead_letter import DeadReason
from tests.streams.world import EDGE

FEATURE = Path(__file__).parents[3] / "shared/data/proto_examples/cloudevents_kafka_binding.feature"


@pytest.fixture(scope="module")
def feature() -> str:
    if not FEATURE.is_file():
        pytest.skip(f"{FEATURE} is not there: the CloudEvents examples are not part of the checkout")
    return FEATURE.read_text(encoding="utf-8")


def _table(text: str) -> list[list[str]]:
    rows = re.findall(r"^\s*\|(.*)\|\s*$", text, re.MULTILINE)
    return [[cell.strip() for cell in row.split("|")] for row in rows]


def _payload(text: str) -> str:
    found = re.search(r'"""(.*?)"""', text, re.DOTALL)
    assert found
    return found.group(1)


def test_binary_content_mode(feature: str) -> None:
    scenario = feature.split("Scenario: Binary")[1].split("Scenario Outline")[0]
    given, then = scenario.split("When parsed")
    headers = [(key, value.encode()) for key, value in _table(given)[1:]]
    found = envelope_of(Message(_payload(given).encode(), headers))
    assert found.attributes == dict(_table(then)[1:])
    assert found.data == json.loads(_payload(then))


def test_structured_content_mode(feature: str) -> None:
    scenario = feature.split("Scenario Outline: Structured")[1]
    given, then = scenario.split("When parsed")
    then, examples = then.split("Examples:")
    for (content_type,) in _table(examples)[1:]:
        message = Message(_payload(given).encode(), [("content-type", content_type.encode())])
        found = envelope_of(message)
        assert found.attributes == dict(_table(then)[1:])
        assert found.data == json.loads(_payload(then))
        # In bulk it is understood as well: only its type is none of ours.
        assert [letter.reason for letter in decode([message], EDGE).dead] == [DeadReason.UNKNOWN_TYPE]
