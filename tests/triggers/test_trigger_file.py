"""What a trigger document reads from other files when it is published."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.kernel.refusal import Refusal
from common.rules.trigger_document import parsed
from common.rules.trigger_file import to_publish

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
    found = parsed(to_publish(_written(tmp_path, "{file: films.txt}")), 0)
    assert found.host_lists == {"films": ("youku.com", "iqiyi.com")}


def test_a_document_that_names_no_file_is_published_as_it_was_written(tmp_path: Path) -> None:
    file = _written(tmp_path, "{names: [youku.com]}")
    assert to_publish(file) == file.read_text(encoding="utf-8")


@pytest.mark.parametrize(("content", "says"), [(None, "check the path"), ("youku.com\n-bad-\n", "2"), ("", "0 hosts")])
def test_a_list_that_cannot_be_taken_is_told(tmp_path: Path, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / "films.txt").write_text(content, encoding="utf-8")
    with pytest.raises(Refusal, match=says):
        to_publish(_written(tmp_path, "{file: films.txt}"))
