"""A trigger document as it is published: what it reads from other files is in it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from common.rules.trigger_document import HostFile, parsed, resolved, written
from common.runtime.text_file import read


def to_publish(file: Path) -> str:
    """The document's text, with the lists of hosts that it names files for; those are looked for beside it.

    Raises Refusal that says what is wrong with it, or with one of those files.
    """
    text = read(file)
    document = parsed(text, 0)
    if not any(isinstance(hosts, HostFile) for hosts in document.hosts.values()):
        return text
    return written(resolved(document, partial(_beside, file)))


def _beside(file: Path, name: str) -> str:
    return read(file.parent / name)
