"""Cutting a wave: who is reached over which channel, what they read, and in which blocks they travel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sqlglot import exp

from common.kernel.channel import CHANNELS, Level
from common.kernel.columns import Keys, Mask
from common.kernel.marketing_state import marketing_states
from common.kernel.tag import KEY, PROVINCE, Catalogue
from common.kernel.task_block import BLOCK_ROWS, TaskBlock, open_block
from common.kernel.work_order import HQ_NODE, WorkOrder, WorkOrderState, work_order_name
from common.rules.rule_language import Rule, check_rule, everyone
from hq.campaigns import Campaign, Wave
from hq.content import Origin, render

BLOCK_TEXT_BYTES_MAX = 768 * 1024
"""Distinct texts of a block, UTF-8: with keys and references it stays under the 1 MiB of a message."""

TEXT = "text"
CHOICE = "choice"


@dataclass(frozen=True, slots=True)
class Share:
    """People of a wave reached over one channel by one node; keys ascending, a text each."""

    channel: str
    node: str
    keys: Keys
    texts: pa.DictionaryArray


def choices(wave: Wave, enrolled: Sequence[str], catalogue: Catalogue) -> list[Rule]:
    """Whom each of the wave's channels can take: its rule, and for level two only people of an enrolled province."""
    rules = []
    for choice in wave.channels:
        rule = check_rule(choice.when, catalogue) if choice.when is not None else everyone()
        rules.append(_within(rule, enrolled) if CHANNELS[choice.channel].level is Level.TWO else rule)
    return rules


def _within(rule: Rule, enrolled: Sequence[str]) -> Rule:
    home = exp.column(exp.to_identifier(PROVINCE, quoted=True))
    codes = [exp.Literal.number(int(code)) for code in enrolled]
    here = exp.In(this=home, expressions=codes) if codes else exp.false()
    return Rule(rule.text, rule.columns, exp.and_(rule.tree, here))


def columns_read(campaign: Campaign, catalogue: Catalogue) -> list[str]:
    """The columns that texts are filled from, spelt as in the catalogue."""
    wanted = [parameter.column for parameter in campaign.parameters.values()]
    wanted += [campaign.english.column] if campaign.english else []
    return sorted({_spelt(name, catalogue) for name in wanted})


def shares(campaign: Campaign, wave: Wave, people: pa.Table, catalogue: Catalogue) -> Iterator[Share]:
    """Divide assigned `people` (columns choice, province, subscriber_key and those read) by channel and node."""
    taken = people[CHOICE].to_numpy()
    for place in np.unique(taken):
        channel = wave.channels[place].channel
        some = people.filter(pa.array(taken == place)).sort_by(KEY)
        keys, texts = some[KEY].to_numpy(), _texts(campaign, channel, some, catalogue)
        nodes = _nodes(channel, some[PROVINCE].to_numpy())
        for node in np.unique(nodes):
            rows = np.flatnonzero(nodes == node)
            yield Share(channel, str(node), keys[rows], texts.take(pa.array(rows)))


def _nodes(channel: str, provinces: NDArray[np.int64]) -> NDArray[np.str_]:
    if CHANNELS[channel].level is Level.ONE:
        return np.full(len(provinces), HQ_NODE)
    return np.char.zfill(provinces.astype(np.str_), 2)


def _texts(campaign: Campaign, channel: str, people: pa.Table, catalogue: Catalogue) -> pa.DictionaryArray:
    origins = {
        name: Origin(_spelt(origin.column, catalogue), origin.fallback, origin.kind)
        for name, origin in campaign.origins.items()
    }
    content, chars_max = campaign.content[channel], CHANNELS[channel].text_chars_max
    texts = render(content.zh, origins, people, chars_max)
    if content.en is None or campaign.english is None:
        return texts
    column = people[_spelt(campaign.english.column, catalogue)].cast(pa.string())
    reads_english = pc.is_in(column, pa.array(campaign.english.values)).combine_chunks()
    english = render(content.en, origins, people, chars_max)
    return pc.if_else(reads_english, english.dictionary_decode(), texts.dictionary_decode()).dictionary_encode()


def chosen(wave: Wave, block: TaskBlock, ordered: Mask, now: int, respond_seconds: int) -> Keys:
    """Who of a block of the wave before is in a state this wave takes, as things stand at `now`."""
    states = marketing_states(block.states, block.responses, block.submitted_at, ordered, now, respond_seconds)
    return block.keys[np.isin(states, [int(state) for state in wave.select])]


def planned(campaign: Campaign, number: int, tasks: Mapping[tuple[str, str], int]) -> list[WorkOrder]:
    """The wave's work orders, given how many tasks each (channel, node) has; HQ's own begin at once."""
    return [
        WorkOrder(
            name=work_order_name(campaign.name, number, channel, node),
            campaign=campaign.name,
            wave=number,
            channel=channel,
            node=node,
            offer=campaign.offer.code,
            start_at=campaign.select_at(number),
            end_at=campaign.end_at(number),
            priority=campaign.priority,
            task_count=count,
            state=WorkOrderState.ACCEPTED if node == HQ_NODE else WorkOrderState.ISSUED,
            product_line=campaign.offer.line,
            service=campaign.service,
            purpose=campaign.purpose,
        )
        for (channel, node), count in sorted(tasks.items())
    ]


def blocks(work_order: str, pieces: Iterable[pa.Table]) -> Iterator[TaskBlock]:
    """Cut pieces (columns subscriber_key ascending over all, text) into blocks, the same ones every time.

    A block holds BLOCK_ROWS tasks, fewer where its texts would pass BLOCK_TEXT_BYTES_MAX or the people end.
    """
    number, held = 0, None
    for piece in pieces:
        held = piece if held is None else pa.concat_tables([held, piece])
        while held.num_rows >= BLOCK_ROWS:
            block = _block(work_order, number, held)
            yield block
            number, held = number + 1, held.slice(len(block))
    while held is not None and held.num_rows:
        block = _block(work_order, number, held)
        yield block
        number, held = number + 1, held.slice(len(block))


def _block(work_order: str, number: int, held: pa.Table) -> TaskBlock:
    rows = min(BLOCK_ROWS, held.num_rows)
    some, texts, refs = _dictionary(held.slice(0, rows))
    while rows > 1 and pc.sum(pc.binary_length(texts)).as_py() > BLOCK_TEXT_BYTES_MAX:
        rows = (rows + 1) // 2
        some, texts, refs = _dictionary(held.slice(0, rows))
    return open_block(work_order, number, some, tuple(texts.to_pylist()), refs)


def _dictionary(rows: pa.Table) -> tuple[Keys, pa.Array, NDArray[np.uint32]]:
    """Keys, the distinct texts in order of first use in the dictionary, and which of them each row has."""
    encoded = rows.unify_dictionaries()[TEXT].combine_chunks()
    used, refs = np.unique(encoded.indices.to_numpy(), return_inverse=True)
    return rows[KEY].to_numpy(), encoded.dictionary.take(pa.array(used)), refs.astype(np.uint32)


def _spelt(column: str, catalogue: Catalogue) -> str:
    tag = catalogue.find(column)
    return tag.name if tag else column
