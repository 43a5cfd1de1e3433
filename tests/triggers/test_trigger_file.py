"""What a trigger document reads from other files when it is published."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.kernel import host_list
from common.kernel.host_list import PART_BYTES_MAX, names_in, parts_of, problem
from common.kernel.refusal import Refusal
from common.rules.trigger_document import parsed, written
from common.rules.trigger_file import INLINE_MAX, to_publish
from common.rules.trigger_form import HOSTS_MAX

DOCUMENT = """\
# films
rules:
  - name: films
    scene: content
    when: url_visit
    visits: films
    once_a: day
    offer: {offer: video_pack, channels: [local_sms], text: 看视频，选定向流量包, valid_for: 10m}
hosts:
  films: HOSTS
"""


def _written(folder: Path, hosts: str) -> Path:
    file = folder / "films.yaml"
    file.write_text(DOCUMENT.replace("HOSTS", hosts), encoding="utf-8")
    return file


def test_lists_in_files_beside_the_document_are_published_with_it(tmp_path: Path) -> None:
    (tmp_path / "films.txt").write_text("youku.com\niqiyi.com\n", encoding="utf-8")
    found = parsed(to_publish(_written(tmp_path, "{file: films.txt}")).text, 0)
    assert found.host_lists == {"films": ("youku.com", "iqiyi.com")}


def test_a_document_that_names_no_file_is_published_as_it_was_written(tmp_path: Path) -> None:
    file = _written(tmp_path, "{names: [youku.com]}")
    assert to_publish(file).text == file.read_text(encoding="utf-8")


@pytest.mark.parametrize(("content", "says"), [(None, "check the path"), ("youku.com\n-bad-\n", "2"), ("", "0 hosts")])
def test_a_list_that_cannot_be_taken_is_told(tmp_path: Path, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / "films.txt").write_text(content, encoding="utf-8")
    with pytest.raises(Refusal, match=says):
        to_publish(_written(tmp_path, "{file: films.txt}"))


def _many(count: int) -> list[str]:
    return [f"site{number}.example{number % 977}.com" for number in range(count)]


def test_a_long_list_travels_beside_the_document(tmp_path: Path) -> None:
    """The document says which by its digest, whatever the order and the comments of the file."""
    names = _many(INLINE_MAX + 1)
    (tmp_path / "films.txt").write_text("\n".join(names), encoding="utf-8")
    published = to_publish(_written(tmp_path, "{file: films.txt}"))
    found = parsed(published.text, 0)
    assert (found.host_lists, found.digests) == ({}, {"films": next(iter(published.lists))})
    assert parsed(written(found), 0) == found
    (tmp_path / "films.txt").write_text("# mine\n" + "\n".join(reversed(names)), encoding="utf-8")
    assert to_publish(_written(tmp_path, "{file: films.txt}")).text == published.text
    (part,) = published.parts
    assert names_in(part.digest, [part.content]) == tuple(sorted(names))


@given(st.lists(st.text("abc.", min_size=1, max_size=9), min_size=1, max_size=40))
def test_parts_give_the_names_back_and_no_others(names: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host_list, "PART_BYTES_MAX", 16)
        parts = parts_of(names)
        assert all(not problem(part) for part in parts)
    contents = [part.content for part in parts]
    assert names_in(parts[0].digest, contents) == tuple(sorted(set(names)))
    for wrong in (contents[:-1], [*contents[:-1], contents[-1][:-1]], [b"\x00", *contents]):
        with pytest.raises(Refusal, match="is damaged"):
            names_in(parts[0].digest, wrong)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_million_hosts_are_taken(tmp_path: Path) -> None:
    (tmp_path / "films.txt").write_text("\n".join(_many(HOSTS_MAX)), encoding="utf-8")
    published = to_publish(_written(tmp_path, "{file: films.txt}"))
    assert len(published.text) < 1_000
    parts = published.parts
    assert max(len(part.content) for part in parts) <= PART_BYTES_MAX
    print(f"{len(parts)} parts, {sum(len(part.content) for part in parts):,} bytes")
    assert len(names_in(parts[0].digest, [part.content for part in parts])) == HOSTS_MAX
