"""The record of a decision: small, whole or refused, and the same after any journey."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from liandong.federation.v1 import uplink_pb2

from common.kernel.contact_rules import AT_CLAIM, STAGES, Considered, Fact, Terms, reasons
from common.kernel.decision import RECORD_BYTES_MAX, Decision, about, decided, from_bytes, remade, to_bytes
from common.kernel.policy import DEFAULT
from common.kernel.refusal import Refusal
from common.kernel.task_block import BLOCK_ROWS
from common.wire import codec

NOW = 1_800_000_000
TERMS = Terms("message", "", False, "")
PEOPLE = st.integers(1, 60)


@st.composite
def facts(draw: st.DrawFn, people: int, names: tuple[str, ...]) -> dict[str, Fact]:
    found = {}
    for name in names:
        places = sorted(draw(st.sets(st.integers(0, people - 1))))
        values = draw(st.lists(st.integers(-(2**62), 2**62), min_size=len(places), max_size=len(places)))
        found[name] = Fact(np.array(places, dtype=np.int64), np.array(values, dtype=np.int64))
    return found


@st.composite
def records(draw: st.DrawFn) -> tuple[Any, dict[str, Fact]]:
    rows = sorted(draw(st.sets(st.integers(0, BLOCK_ROWS - 1), min_size=1, max_size=60)))
    return np.array(rows, dtype=np.int64), draw(facts(len(rows), ("stopped_at", "spent.0", "rival")))


@given(record=records())
def test_a_record_reads_back_as_it_was_written(record: tuple[Any, dict[str, Fact]]) -> None:
    rows, known = record
    read_rows, read = from_bytes(to_bytes(rows, known))
    assert read_rows.tolist() == rows.tolist()
    assert {n: (f.places.tolist(), f.values.tolist()) for n, f in read.items()} == {
        n: (f.places.tolist(), f.values.tolist()) for n, f in known.items()
    }


@given(record=records(), cut=st.integers(1, 40), junk=st.binary(max_size=200))
def test_what_is_no_record_is_refused(record: tuple[Any, dict[str, Fact]], cut: int, junk: bytes) -> None:
    whole = to_bytes(*record)
    for broken in (whole[:-cut], whole + b"more", junk, zlib.compress(junk), zlib.compress(b'{"rows": -1}\n' + junk)):
        with pytest.raises(ValueError, match=r"."):
            from_bytes(broken)


def test_a_record_that_would_fill_the_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="over"):
        from_bytes(zlib.compress(bytes(RECORD_BYTES_MAX + 1)))


@given(people=PEOPLE, limit=st.integers(0, 60), draw=st.data())
def test_a_decision_is_made_again_from_its_record_alone(people: int, limit: int, draw: st.DataObject) -> None:
    """Whom it decided, with every reason, and whom it left to a later run."""
    known = draw.draw(facts(people, ("stopped_at", "refused_at", "unnumbered", "owns_since")))
    considered = Considered(people, TERMS, replace(DEFAULT, cooling_seconds=86_400), known, NOW)
    rows = np.arange(people) * 7
    made = decided(("c/1/sms/hq", 0), "claim", 1, rows, considered, limit, ())
    whole = reasons(AT_CLAIM, considered)
    kept = dict(zip(made.rows.tolist(), remade(made, TERMS, considered.policy)[0].tolist(), strict=True))
    allowed = rows[whole == 0]
    assert kept == {
        int(row): int(code) for row, code in zip(rows, whole, strict=True) if code > 0 or row in allowed[:limit]
    }
    assert remade(made, TERMS, considered.policy)[1]
    assert not remade(made, TERMS, replace(considered.policy, cooling_seconds=86_401))[1]
    for row in made.rows.tolist():
        alone = about(made, row)
        assert alone is not None
        assert remade(alone, TERMS, considered.policy)[0].tolist() == [kept[row]]
    assert about(made, 3) is None


def made(**changed: Any) -> Decision:
    fact = Fact(np.array([0]), np.array([5]))
    base = Decision(
        "c/1/local_sms/45", 0, "claim", 1, NOW, 3, ("r/1/sms/hq",), np.array([2, 9]), {"rival": fact}, bytes(16)
    )
    return replace(base, **changed)


def test_a_decision_travels_whole() -> None:
    entry = uplink_pb2.OutboxEntry.FromString(codec.outbox_entry(made()))
    read = codec.read_outbox_entry(entry, "45")
    assert isinstance(read, Decision)
    assert (read.rows.tolist(), read.facts["rival"].values.tolist()) == ([2, 9], [5])
    plain = ("work_order", "number", "stage", "run", "decided_at", "policy_version", "rivals", "digest")
    assert [getattr(read, name) for name in plain] == [getattr(made(), name) for name in plain]


@pytest.mark.parametrize(
    "changed",
    [
        {"stage": "whim"},
        {"run": 0},
        {"digest": b"short"},
        {"facts": b"junk"},
        {"facts": to_bytes(np.zeros(0, dtype=np.int64), {})},
        {"work_order": ""},
        {"rivals": ["x" * 201]},
    ],
)
def test_a_decision_that_cannot_be_is_refused_whole(changed: dict[str, Any]) -> None:
    entry = uplink_pb2.OutboxEntry.FromString(codec.outbox_entry(made()))
    for name, value in changed.items():
        if name == "rivals":
            entry.decision.rivals[:] = value
        else:
            setattr(entry.decision, name, value)
    with pytest.raises(Refusal, match=r"."):
        codec.read_outbox_entry(entry, "45")


def test_every_stage_is_one_of_those_that_are_kept() -> None:
    assert set(STAGES) == {"issue", "local", "claim"}
