"""The catalogue: complete, consistent, and each type's example travels every way to equal events."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from adapters.streams import packed
from adapters.streams.cloudevents import decode, decode_structured, encode, encode_binary
from adapters.streams.simulator import EXAMPLE_AT, EXAMPLE_KEY, example
from common.kernel.event import EventClass, EventType, Kind, topic
from common.kernel.event_catalogue import BY_NAME, CATALOGUE, CLASSES, event_type
from common.kernel.refusal import Refusal
from tests.streams.world import EDGE, told


def test_there_are_fifty_types_in_eleven_classes() -> None:
    assert len(CATALOGUE) == len(BY_NAME) == 50
    assert Counter(each.event_class for each in CATALOGUE) == {
        "service_handling": 4, "service_use": 6, "self_service": 2, "periodic": 5, "internet_use": 7, "location": 7,
        "social": 4, "terminal": 6, "e_channel": 3, "physical_channel": 4, "derived": 2,
    }  # fmt: skip
    assert set(CLASSES) == set(EventClass)


def test_a_name_has_one_kind_in_all_types() -> None:
    kinds = defaultdict(set)
    for each in CATALOGUE:
        assert len({field.name for field in each.fields}) == len(each.fields), each.name
        assert each.fields[0].required, each.name
        for field in each.fields:
            kinds[field.name].add(field.kind)
    assert {name: found for name, found in kinds.items() if len(found) > 1} == {}
    assert not {"id", "source", "subject", "time", "type"} & kinds.keys()


def test_location_and_reading_habits_are_sensitive() -> None:
    sensitive = {each.event_class for each in CATALOGUE if each.sensitivity == "sensitive"}
    assert sensitive == {EventClass.LOCATION, EventClass.INTERNET_USE, EventClass.E_CHANNEL}


def test_a_point_names_its_coordinate_system() -> None:
    points = [each for each in CATALOGUE if any(field.name == "longitude" for field in each.fields)]
    assert len(points) == 7
    for each in points:
        fields = {field.name: field for field in each.fields}
        assert fields["coordinate_system"].one_of == ("WGS-84", "GCJ-02")


@pytest.mark.parametrize("each", CATALOGUE, ids=lambda each: each.name)
def test_its_example_is_the_same_event_in_all_modes(each: EventType) -> None:
    batch = example(each, EXAMPLE_AT, EXAMPLE_KEY)
    ways = (
        decode_structured([encode(batch)[0].as_py().encode()], EDGE),
        decode(encode_binary(batch), EDGE),
        packed.decode([packed.encode(batch)], EDGE),
    )
    for way in ways:
        assert list(way.dead) == []
        assert [told(events) for events in way.events] == [told(ways[0].events[0])]
    events = ways[0].events[0]
    assert (events.type, events.keys.tolist(), events.at.tolist()) == (each, [EXAMPLE_KEY], [EXAMPLE_AT])
    for field in each.fields:
        if field.kind in (Kind.INT, Kind.NUMBER, Kind.FLAG):
            assert events.columns[field.name].tolist() == [field.example]  # type: ignore[union-attr]


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(Refusal, match="did you mean data_used"):
        event_type("data_usd")


def test_topics_are_named_by_node_and_class() -> None:
    assert topic("45", EventClass.SERVICE_USE) == "ld.45.events.service_use.v1"
