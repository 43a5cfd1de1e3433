"""Hosts on lists: at label boundaries only, however a name is written, and fast against a million of them."""

from __future__ import annotations

import csv
import gzip
import io
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.rules.host_name import host_name
from province.triggers.matching import hosts
from province.triggers.matching.hosts import Hosts

PUBLIC = Path(__file__).parents[3] / "shared/data/url_app_rules.csv.gz"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("v.Example.COM", "v.example.com"),
        ("example.com.", "example.com"),
        (" example.com:8080 ", "example.com"),
        ("example.com.:443", "example.com"),
        ("example.com:", "example.com"),
        ("example.com:٣", ""),
        ("中国.CN", "xn--fiqs8s.cn"),
        ("пример.рф", "xn--e1afmkfd.xn--p1ai"),
        ("_dmarc.x-y.org", "_dmarc.x-y.org"),
        ("localhost", "localhost"),
        ("10.0.0.1:80", "10.0.0.1"),
        ("", ""),
        (".", ""),
        ("a..b", ""),
        ("-a.com", ""),
        ("http://a.com", ""),
        ("a.com/x", ""),
        ("a b.com", ""),
        ("[::1]:80", ""),
        ("x" * 64 + ".com", ""),
        ("\u3002", ""),
        (".".join(["abcdefghi"] * 26), ""),
    ],
)
def test_a_host_has_one_name_however_it_is_written(written: str, name: str) -> None:
    assert host_name(written) == name


def on(lists: Mapping[str, Sequence[str]], names: Sequence[str]) -> dict[str, list[bool]]:
    index = Hosts(lists)
    numbers = index.look_up(names)
    return {name: index.on(name)[numbers].tolist() for name in lists}


def test_a_suffix_ends_at_a_dot() -> None:
    names = ["example.com", "a.b.example.com", "badexample.com", "com", "example.com.cn", "EXAMPLE.com.:80", "中国.cn"]
    found = on({"one": ["example.com"], "two": ["b.example.com", "xn--fiqs8s.cn"], "three": []}, names)
    assert found["one"] == [True, True, False, False, False, True, False]
    assert found["two"] == [False, True, False, False, False, False, True]
    assert not any(found["three"])


labels = st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map(".".join)


@given(st.dictionaries(st.sampled_from("xyz"), st.lists(labels, max_size=5)), st.lists(labels, max_size=20))
def test_lists_hold_what_a_look_at_every_suffix_says(lists: dict[str, list[str]], names: list[str]) -> None:
    found = on(lists, names)
    for name, suffixes in lists.items():
        assert found[name] == [any(n == s or n.endswith("." + s) for s in suffixes) for n in names]


def test_what_is_remembered_is_bounded_and_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "REMEMBERED_MAX", 50)
    index = Hosts({"even": [f"h{i}.cn" for i in range(0, 1000, 2)]})
    draw = np.random.default_rng(1)
    for _ in range(100):
        numbers = draw.integers(0, 1000, 40).tolist()
        found = index.on("even")[index.look_up([f"www.h{i}.cn" for i in numbers])]
        assert found.tolist() == [i % 2 == 0 for i in numbers]
        assert len(index._recent) + len(index._older) <= 100


def public_lists() -> dict[str, list[str]]:
    lists = defaultdict[str, list[str]](list)
    with gzip.open(PUBLIC) as file:
        for row in csv.DictReader(io.TextIOWrapper(file, "utf-8")):
            name = host_name(row["value"]) if row["type"] in ("domain", "full") else ""
            if name:
                lists[row["list"]].append(name)
    return lists


@pytest.mark.skipif(not PUBLIC.exists(), reason="the public lists of domains are not beside the checkout")
def test_public_lists_are_looked_up() -> None:
    lists = public_lists()
    assert sum(map(len, lists.values())) > 38_000
    found = on(lists, ["www.youku.com", "static.bilibili.com:443", "youku.com.example.org"])
    assert found["youku"] == [True, False, False]
    assert found["bilibili"] == [False, True, False]


@pytest.mark.slow
def test_a_million_hosts_are_looked_up_fast() -> None:
    index = Hosts({f"list{part}": [f"site{i}.example{i % 997}.cn" for i in range(part, 1_000_000, 10)]
                   for part in range(10)})  # fmt: skip
    words = [f"www.site{i}.example{i % 997}.cn" for i in range(0, 2_000_000, 40)]
    begun = time.perf_counter()
    first = index.look_up(words)
    cold = (time.perf_counter() - begun) / len(words)
    begun = time.perf_counter()
    again = index.look_up(words)
    warm = (time.perf_counter() - begun) / len(words)
    print(f"{cold * 1e6:.2f} us a name the first time, {warm * 1e9:.0f} ns after")
    assert np.array_equal(first, again)
    assert index.on("list0")[first].tolist() == [i < 1_000_000 and i % 10 == 0 for i in range(0, 2_000_000, 40)]
    assert cold < 40e-6
    assert warm < 2e-6
