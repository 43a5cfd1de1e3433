"""Every record of a person goes to one partition, in whatever form it comes; what names nobody goes to the first."""

from __future__ import annotations

import numpy as np
import pytest

from adapters.streams import packed, partitions
from adapters.streams.cloudevents import decode_structured, encode
from adapters.streams.simulator import EXAMPLE_AT, Plan, batches, population
from common.kernel.event_catalogue import event_type
from tests.streams.world import EDGE

COUNT = 4


@pytest.fixture(scope="module")
def batch() -> object:
    return next(batches(Plan((event_type("data_used"),), 2_000, 1, population(300, 1), EXAMPLE_AT)))


def test_json_and_packed_agree_and_keep_their_order(batch: object) -> None:
    values = [value.encode() for value in encode(batch).to_pylist()]
    structured = dict(partitions.split_json(values, COUNT))
    parts = dict(partitions.split_packed(packed.encode(batch), COUNT))
    assert structured.keys() == parts.keys() == set(range(COUNT))
    for number in range(COUNT):
        (one,) = decode_structured(structured[number], EDGE).events
        (other,) = packed.decode([parts[number]], EDGE).events
        assert one.ids.tolist() == other.ids.tolist()
        assert set(partitions.of_keys(one.keys, COUNT).tolist()) == {number}
    everything = [value for number in range(COUNT) for value in structured[number]]
    assert sorted(everything) == sorted(values)
    sizes = [len(structured[number]) for number in range(COUNT)]
    assert min(sizes) > np.mean(sizes) / 2


def test_what_names_nobody_goes_to_the_first() -> None:
    bad = [b"{", b"", b"[]", b'{"subject": 7}', b'{"subject": "-7"}', b'{"subject": null}', b"\xff"]
    assert list(partitions.split_json(bad, COUNT)) == [(0, bad)]
    assert list(partitions.split_json([], COUNT)) == []
    assert list(partitions.split_packed(b"nonsense", COUNT)) == [(0, b"nonsense")]
