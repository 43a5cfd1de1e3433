from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.warehouse.duckdb_warehouse import DuckDbWarehouse
from common.kernel.marketing_state import MarketingState
from common.kernel.tag import Catalogue
from common.kernel.task import CONTACTED, IN_FLIGHT, Response, TaskState
from common.kernel.task_block import BLOCK_ROWS, TaskBlock, open_block
from common.rules.rule_language import everyone
from hq import planner, selection
from hq.audience import Warehouse
from hq.campaign_file import check, load
from hq.campaigns import Campaign
from hq.selection import Selection
from hq.work_orders import BLOCK_TEXT_BYTES_MAX, blocks, chosen, planned

PEOPLE = 5_000


@pytest.fixture
def warehouse(make_warehouse: Callable[[int], DuckDbWarehouse]) -> DuckDbWarehouse:
    return make_warehouse(PEOPLE)


def everybody(warehouse: Warehouse) -> pa.Table:
    tags = [tag.name for tag in warehouse.catalogue]
    return pa.Table.from_batches(list(warehouse.select(everyone(), tags)))


def place(person: dict[str, object], enrolled: Sequence[str]) -> tuple[str, str] | None:
    """Where wave one of the file puts one person, by plain Python."""
    home = f"{person['province']:02}"
    if person["app"]:
        return "app_push", "hq"
    if person["age"] < 40 and home in enrolled:  # type: ignore[operator]
        return "local_sms", home
    return "sms", "hq"


def text(person: dict[str, object], channel: str) -> str:
    plan = person["plan"] or "当前套餐"
    spent = "若干" if person["arpu"] is None else f"{person['arpu']:.2f}"
    return {
        "app_push": "流量不够用？点击办理",
        "sms": f"您的{plan}上月{spent}元，回复Y办理，TD退订",
        "local_sms": f"您的{plan}可升级，TD退订",
    }[channel]


def freeze(directory: Path, warehouse: Warehouse, campaign: Campaign, number: int, enrolled: list[str]) -> Selection:
    keys = everybody(warehouse)["subscriber_key"].to_numpy()
    divided = planner.divided(warehouse, campaign, number, [keys], enrolled)
    return selection.freeze(directory, f"spring.{number}", warehouse.version, 0, divided)


def frozen_people(directory: Path, frozen: Selection) -> Iterator[tuple[int, str, str, str]]:
    for channel, node in frozen.tasks:
        for piece in selection.pieces(directory, frozen, channel, node):
            for key, message in zip(piece["subscriber_key"].to_pylist(), piece["text"].to_pylist(), strict=True):
                yield key, channel, node, message


@pytest.mark.parametrize("chunk", [PEOPLE, 700])
@pytest.mark.parametrize("enrolled", [[], ["45"], ["13", "45"]])
def test_everyone_is_reached_once_as_plain_python_would(
    warehouse: DuckDbWarehouse,
    file: str,
    tmp_path: Path,
    enrolled: list[str],
    chunk: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(planner, "CHUNK_PEOPLE", chunk)
    frozen = freeze(tmp_path, warehouse, check(file, warehouse.catalogue), 1, enrolled)
    expected = {}
    for person in everybody(warehouse).to_pylist():
        channel, node = place(person, enrolled)  # type: ignore[misc]
        expected[person["subscriber_key"]] = (channel, node, text(person, channel))
    found = list(frozen_people(tmp_path, frozen))
    assert {key: rest for key, *rest in found} == {key: list(rest) for key, rest in expected.items()}
    assert len(found) == PEOPLE == frozen.selected
    assert frozen.unreachable == 0


def test_whom_no_channel_takes_is_counted(warehouse: DuckDbWarehouse, file: str, tmp_path: Path) -> None:
    frozen = freeze(tmp_path, warehouse, check(file, warehouse.catalogue), 2, ["45"])
    reached = {p["subscriber_key"] for p in everybody(warehouse).to_pylist() if p["age"] > 30 and p["province"] == 45}
    assert {key for key, *_ in frozen_people(tmp_path, frozen)} == reached
    assert frozen.selected == PEOPLE
    assert frozen.unreachable == PEOPLE - len(reached) > 0


def test_who_reads_english_gets_the_english_text(warehouse: DuckDbWarehouse, file: str, tmp_path: Path) -> None:
    bilingual = file.replace("办理}", "办理, en: More data}").replace(
        "content:", "english: {column: Language, values: [en]}\ncontent:"
    )
    frozen = freeze(tmp_path, warehouse, check(bilingual, warehouse.catalogue), 1, [])
    languages = {p["subscriber_key"]: p["language"] for p in everybody(warehouse).to_pylist()}
    pushed = {key: message for key, channel, _, message in frozen_people(tmp_path, frozen) if channel == "app_push"}
    assert pushed == {key: "More data" if languages[key] == "en" else "流量不够用？点击办理" for key in pushed}
    assert len(set(pushed.values())) == 2


def test_a_selection_reads_back_as_recorded(warehouse: DuckDbWarehouse, file: str, tmp_path: Path) -> None:
    frozen = freeze(tmp_path, warehouse, check(file, warehouse.catalogue), 1, ["45"])
    assert Selection.from_json(frozen.to_json()) == frozen
    selection.verify(tmp_path, frozen)
    assert [path.name for path in tmp_path.glob("*spring*")] == ["spring.1.parquet"]


def test_a_selection_that_changed_or_went_is_refused(warehouse: DuckDbWarehouse, file: str, tmp_path: Path) -> None:
    frozen = freeze(tmp_path, warehouse, check(file, warehouse.catalogue), 1, ["45"])
    path = tmp_path / frozen.file
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(selection.SelectionLostError, match="restore it from a backup"):
        selection.verify(tmp_path, frozen)
    path.unlink()
    with pytest.raises(selection.SelectionLostError, match="missing"):
        selection.verify(tmp_path, frozen)


def test_a_rule_with_or_keeps_its_meaning_within_a_province(
    warehouse: DuckDbWarehouse, file: str, tmp_path: Path, catalogue: Catalogue
) -> None:
    either = file.replace("when: age > 30", "when: age > 70 OR age < 20")
    frozen = freeze(tmp_path, warehouse, check(either, catalogue), 2, ["13"])
    found = {key for key, *_ in frozen_people(tmp_path, frozen)}
    people = everybody(warehouse).to_pylist()
    assert found == {p["subscriber_key"] for p in people if p["province"] == 13 and not 20 <= p["age"] <= 70}


def pieces(keys: np.ndarray, texts: list[str], sizes: list[int]) -> Iterator[pa.Table]:
    start = 0
    for size in [*sizes, len(keys)]:
        some = slice(start, start + size)
        start += size
        if len(keys[some]):
            encoded = pa.array(texts[some]).dictionary_encode()
            yield pa.table({"subscriber_key": keys[some], "text": encoded})


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 25_000), st.lists(st.integers(1, 12_000), max_size=4), st.integers(1, 40))
def test_blocks_are_full_in_order_and_lose_nobody(people: int, sizes: list[int], kinds: int) -> None:
    keys = np.arange(people, dtype=np.int64) * 3
    texts = [f"text {place % kinds}" for place in range(people)]
    cut = list(blocks("w", pieces(keys, texts, sizes)))
    assert [len(block) for block in cut[:-1]] == [BLOCK_ROWS] * (len(cut) - 1)
    assert [block.number for block in cut] == list(range(len(cut)))
    assert [key for block in cut for key in block.keys.tolist()] == keys.tolist()
    assert [block.texts[ref] for block in cut for ref in block.text_refs.tolist()] == texts
    assert all(len(set(block.texts)) == len(block.texts) <= kinds for block in cut)


def test_long_personal_texts_make_smaller_blocks() -> None:
    keys = np.arange(12_000, dtype=np.int64)
    texts = [f"{place:05}" + "长" * 300 for place in range(12_000)]
    cut = list(blocks("w", pieces(keys, texts, [5_000])))
    assert max(sum(len(text.encode()) for text in block.texts) for block in cut) <= BLOCK_TEXT_BYTES_MAX
    assert [block.texts[ref] for block in cut for ref in block.text_refs.tolist()] == texts
    assert list(blocks("w", pieces(keys, texts, [777, 1])))[3].texts == cut[3].texts


NOW, RESPOND = 1_000_000, 3_600


def state(task: tuple[int, int, int, bool]) -> MarketingState:
    """One task's marketing state at NOW, by plain Python."""
    reached, response, submitted_at, ordered = task
    if response == Response.OPTED_OUT:
        return MarketingState.OPTED_OUT
    if ordered:
        return MarketingState.ORDERED
    if response in (Response.REFUSED, Response.INTERESTED):
        return MarketingState.REFUSED if response == Response.REFUSED else MarketingState.INTERESTED
    if reached not in (*CONTACTED, *IN_FLIGHT):
        return MarketingState.NOT_CONTACTED
    silent = response == Response.NONE and submitted_at + RESPOND <= NOW
    return MarketingState.NO_RESPONSE if silent else MarketingState.CONTACTED


tasks = st.lists(
    st.tuples(
        st.sampled_from([int(s) for s in TaskState]),
        st.sampled_from([int(r) for r in Response]),
        st.sampled_from([0, NOW - RESPOND - 1, NOW - RESPOND, NOW - RESPOND + 1]),
        st.booleans(),
    ),
    min_size=1,
    max_size=40,
)


@given(rows=tasks, name=st.sampled_from(["no_response", "interested", "contacted", "refused"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_later_wave_takes_whom_plain_python_would(
    file: str, rows: list[tuple[int, int, int, bool]], name: str
) -> None:
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    fresh = open_block("w", 0, np.arange(len(rows), dtype=np.int64), ("x",), np.zeros(len(rows), dtype=np.uint32))
    block = TaskBlock(
        work_order="w",
        number=0,
        keys=fresh.keys,
        states=columns[0].astype(np.uint8),
        reasons=fresh.reasons,
        responses=columns[1].astype(np.uint8),
        submitted_at=columns[2].astype(np.uint32),
        settled_at=fresh.settled_at,
        texts=fresh.texts,
        text_refs=fresh.text_refs,
    )
    wave = load(file.replace("[no_response]", f"[{name}]")).waves[1]
    expected = [key for key, row in enumerate(rows) if state(row).name.lower() == name]
    assert chosen(wave, block, columns[3], NOW, RESPOND).tolist() == expected


def test_work_orders_are_named_for_ever_and_hqs_own_begin_at_once(file: str) -> None:
    orders = planned(load(file), 1, {("sms", "hq"): 5, ("local_sms", "45"): 7})
    assert [(order.name, order.task_count, order.state.name) for order in orders] == [
        ("spring/1/local_sms/45", 7, "ISSUED"),
        ("spring/1/sms/hq", 5, "ACCEPTED"),
    ]
    assert {(order.offer, order.start_at, order.end_at) for order in orders} == {
        ("data_30g", 1_772_326_800, 1_773_579_600)
    }
