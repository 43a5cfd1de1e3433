"""A trigger document as it is published: what it reads from other files is in it, or travels beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from common.kernel.host_list import TEXT_BYTES_MAX, HostPart, parts_of
from common.rules.trigger_document import HostDigest, TriggerDocument, parsed, resolved, written
from common.runtime.text_file import read

INLINE_MAX = 500
"""Hosts of a file that are written into the document; of more, their digest is."""


@dataclass(frozen=True, slots=True)
class Publication:
    text: str
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Long ones, by digest."""

    @property
    def parts(self) -> list[HostPart]:
        return [part for names in self.lists.values() for part in parts_of(names)]


def to_publish(file: Path) -> Publication:
    """The document's text and the lists of hosts that it names files for; those are looked for beside it.

    Raises Refusal that says what is wrong with it, or with one of those files.
    """
    text = read(file)
    document = parsed(text, 0)
    if not document.files:
        return Publication(text)
    whole = resolved(document, partial(_beside, file))
    long = {name: hosts for name in document.files if len(hosts := whole.host_lists[name]) > INLINE_MAX}
    digests = {name: parts_of(hosts)[0].digest for name, hosts in long.items()}
    return Publication(written(_beside_it(whole, digests)), {digests[name]: hosts for name, hosts in long.items()})


def _beside_it(document: TriggerDocument, digests: Mapping[str, str]) -> TriggerDocument:
    return replace(document, hosts={**document.hosts, **{name: HostDigest(each) for name, each in digests.items()}})


def _beside(file: Path, name: str) -> str:
    return read(file.parent / name, TEXT_BYTES_MAX)
