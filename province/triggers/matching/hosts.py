"""Which hosts are on which lists: a name is on a list that has it or anything it ends with at a dot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from common.rules.host_name import host_name

REMEMBERED_MAX = 200_000
"""Names looked up before, of which at least so many and at most twice as many are kept."""

NO_LIST = 0


class Hosts:
    """Lists by name. Every distinct name is looked up once while it is remembered."""

    def __init__(self, lists: Mapping[str, Iterable[str]]) -> None:
        self._combinations: list[frozenset[str]] = [frozenset()]
        self._numbers: dict[frozenset[str], int] = {frozenset(): NO_LIST}
        self._lists: dict[str, int] = {}
        for name, suffixes in lists.items():
            extended = dict[int, int]()
            for suffix in suffixes:
                before = self._lists.get(suffix, NO_LIST)
                if before not in extended:
                    extended[before] = self._number(self._combinations[before] | {name})
                self._lists[suffix] = extended[before]
        self._recent: dict[str, int] = {}
        self._older: dict[str, int] = {}

    def look_up(self, words: Iterable[str]) -> NDArray[np.int64]:
        """For each name a number that `on` understands."""
        return np.fromiter(map(self._found, words), dtype=np.int64)

    def on(self, name: str) -> NDArray[np.bool_]:
        """For each number given out so far: whether the host is on the list."""
        return np.array([name in lists for lists in self._combinations], dtype=np.bool_)

    def _found(self, word: str) -> int:
        number = self._recent.get(word)
        if number is None:
            number = self._older.get(word)
            if number is None:
                number = self._match(host_name(word))
            if len(self._recent) >= REMEMBERED_MAX:
                self._recent, self._older = {}, self._recent
            self._recent[word] = number
        return number

    def _match(self, host: str) -> int:
        lists, number = self._lists, NO_LIST
        while host:
            found = lists.get(host)
            if found is not None:
                number = found if number == NO_LIST else self._joined(number, found)
            host = host.partition(".")[2]
        return number

    def _joined(self, one: int, other: int) -> int:
        return self._number(self._combinations[one] | self._combinations[other])

    def _number(self, lists: frozenset[str]) -> int:
        number = self._numbers.setdefault(lists, len(self._combinations))
        if number == len(self._combinations):
            self._combinations.append(lists)
        return number
