"""One catalogue of words, complete against the contracts."""

from __future__ import annotations

import re
from typing import Any

from liandong.types.v1 import reason_pb2, task_pb2

from common.kernel.marketing_state import MarketingState
from common.kernel.reasons import ERROR_REASONS, MARKETING_STATES, TASK_REASONS, TASK_STATES, Words
from deploy.words import WORDS

CHINESE = re.compile("[一-鿿]")


def _names(enum: Any, prefix: str) -> set[str]:
    return {value.name.removeprefix(prefix) for value in enum.DESCRIPTOR.values} - {"UNSPECIFIED"}


def test_every_reason_and_state_of_the_contracts_has_words() -> None:
    assert {each.name for each in TASK_REASONS} - {"NONE"} == _names(reason_pb2.TaskReason, "TASK_REASON_")
    assert {each.name for each in TASK_STATES} == _names(task_pb2.TaskState, "TASK_STATE_")
    assert set(ERROR_REASONS) == _names(reason_pb2.ErrorReason, "ERROR_REASON_")
    assert set(MARKETING_STATES) == set(MarketingState)


def _all_words() -> list[Words]:
    remedies = [words for remedy in ERROR_REASONS.values() for words in remedy]
    return [*TASK_REASONS.values(), *TASK_STATES.values(), *MARKETING_STATES.values(), *WORDS.values(), *remedies]


def test_words_are_chinese_in_chinese_and_english_in_english() -> None:
    for words in _all_words():
        assert words.said("en").isascii(), words
        assert CHINESE.search(words.said("zh")) or words.zh.isascii(), words


def test_no_two_reasons_read_the_same() -> None:
    for language in ("zh", "en"):
        said = [words.said(language) for words in TASK_REASONS.values()]
        assert len(set(said)) == len(said)
