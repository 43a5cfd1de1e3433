"""How a text table is written: its encoding, separator, header, and whether its quotes are in order."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.kernel.refusal import invalid

SEPARATORS = (",", ";", "\t", "|")
COLUMNS_MAX = 2_000
HEADER_BYTES_MAX = 256 * 1024
NAME_CHARS_MAX = 128
HEAD_BYTES = 1 << 20
SNIFF_RECORDS = 200
READ_BYTES = 8 << 20

_BINARY = {b"PK\x03\x04": "a spreadsheet or archive", b"\xd0\xcf\x11\xe0": "a spreadsheet", b"\x1f\x8b": "compressed"}
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True, slots=True)
class TextForm:
    encoding: str
    separator: str
    header: tuple[str, ...]
    """As written."""
    header_lines: int
    """Physical lines up to and with the header."""
    regular: bool
    """Quotes stand only around whole cells and lines end in LF or CRLF, so records can be cut without parsing."""


def survey(path: Path, encoding: str | None = None) -> TextForm:
    """Reads the whole file once, finding the encoding where None is given. Refuses what is no text table."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    _refuse_binary(path, head)
    encoding = encoding or _encoding(path, head)
    separator, header, lines = _header(path, decode(head, encoding))
    return TextForm(encoding, separator, header, lines, _regular(path, encoding, separator))


def decode(raw: bytes, encoding: str) -> str:
    """Never fails: bytes that are not in the encoding become lone surrogates (U+FFFD in UTF-16)."""
    return raw.decode(encoding, _errors(encoding))


def text_lines(path: Path, encoding: str) -> Iterator[str]:
    with path.open(encoding=encoding, errors=_errors(encoding), newline="") as file:
        yield from file


def utf8_blocks(path: Path, encoding: str) -> Iterator[bytes]:
    """The file's bytes as UTF-8 without a mark; bytes not in the encoding stay, so that a parser trips over them."""
    decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)(_errors(encoding))
    with path.open("rb") as file:
        while raw := file.read(READ_BYTES):
            yield raw if decoder is None else decoder.decode(raw).encode("utf-8", "surrogateescape")
    if decoder and (rest := decoder.decode(b"", final=True)):
        yield rest.encode("utf-8", "surrogateescape")


def _errors(encoding: str) -> str:
    return "replace" if encoding.startswith("utf-16") else "surrogateescape"


def _refuse_binary(path: Path, head: bytes) -> None:
    if not head:
        raise invalid(f"{path.name} is empty; export it again with its header line")
    for start, what in _BINARY.items():
        if head.startswith(start):
            raise invalid(f"{path.name} is {what}; save it as CSV (UTF-8) or Parquet and import that")


def _encoding(path: Path, head: bytes) -> str:
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name
    sample = np.frombuffer(head[:4096], dtype=np.uint8)
    for start, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(sample) > 3 and np.mean(sample[start::2] == 0) > 0.4:
            return name
    if b"\0" in head:
        raise invalid(f"{path.name} holds zero bytes and is no text table; save it as CSV (UTF-8) or Parquet")
    decoder = codecs.getincrementaldecoder("utf-8")()
    raw = head
    try:
        with path.open("rb") as file:
            while part := file.read(READ_BYTES):
                raw = part
                decoder.decode(raw)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return _other_encoding(raw)
    return "utf-8"


def _other_encoding(raw: bytes) -> str:
    """UTF-8 with a few damaged lines, or GB18030, by which reading leaves more lines whole."""
    lines = [line for line in raw.split(b"\n")[:20_000] if not line.isascii()]
    whole = {name: sum(_decodes(line, name) for line in lines) for name in ("utf-8", "gb18030")}
    # Chinese in UTF-8 often passes as GB18030 too, hardly ever the other way round.
    return "utf-8" if 2 * whole["utf-8"] >= whole["gb18030"] and whole["utf-8"] else "gb18030"


def _decodes(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _header(path: Path, head: str) -> tuple[str, tuple[str, ...], int]:
    """Separator, names as written, and the physical lines they take."""
    lines = io.StringIO(head, newline="").readlines()
    skipped = next((i for i, line in enumerate(lines) if line.strip()), None)
    if skipped is None:
        raise invalid(f"{path.name} holds only blank lines; export it again with its header line")
    separator = None
    if lines[skipped].strip().lower()[:4] == "sep=" and len(lines[skipped].rstrip("\r\n")) == 5:
        separator, skipped = lines[skipped].rstrip("\r\n")[4], skipped + 1
    separator = separator or _separator(lines[skipped:])
    try:
        reader = csv.reader(lines[skipped:], delimiter=separator, strict=True)
        names = next(reader, [])
    except csv.Error as error:
        raise invalid(f"{path.name}, line {skipped + 1}: the header has an open quote; close it") from error
    taken = "".join(lines[skipped : skipped + reader.line_num])
    if len(taken.encode("utf-8", "replace")) > HEADER_BYTES_MAX:
        raise invalid(f"{path.name}: the header is longer than {HEADER_BYTES_MAX} bytes; is the first line the header?")
    if len(names) > COLUMNS_MAX:
        raise invalid(f"{path.name} has {len(names)} columns, at most {COLUMNS_MAX} are taken; split the file")
    if not any(name.strip() for name in names):
        raise invalid(f"{path.name}, line {skipped + 1}: the header names no column; put the column names there")
    return separator, tuple(names), skipped + reader.line_num


def _separator(lines: Sequence[str]) -> str:
    """The one that cuts the first lines most evenly into more than one cell."""

    def evenness(separator: str) -> tuple[bool, float, int]:
        try:
            records = [r for r in itertools.islice(csv.reader(lines, delimiter=separator), SNIFF_RECORDS) if r]
        except csv.Error:
            return False, 0.0, 0
        width = len(records[0]) if records else 0
        return width > 1, sum(len(r) == width for r in records) / max(len(records), 1), width

    return max(SEPARATORS, key=evenness)


def _regular(path: Path, encoding: str, separator: str) -> bool:
    before, quotes = b"\n", 0
    around = np.zeros(256, dtype=np.bool_)
    around[[ord(separator), 10, 13, 34]] = True
    for block in utf8_blocks(path, encoding):
        joined = before + block
        if joined.count(b"\r", 0, -1) != joined.count(b"\r\n"):
            return False
        # The last byte waits for the next block: what follows it is not known yet.
        data = np.frombuffer(joined, dtype=np.uint8)
        places = np.flatnonzero(data[1:-1] == 34) + 1
        opening = (quotes + np.arange(len(places))) % 2 == 0
        neighbours = np.where(opening, data[places - 1], data[places + 1])
        if not around[neighbours].all():
            return False
        quotes += len(places)
        before = joined[-2:]
    return (quotes + (before[-1:] == b'"')) % 2 == 0 and before[-1:] != b"\r"


def repaired(names: Sequence[str], taken: Sequence[str]) -> tuple[list[str], list[str]]:
    """Usable, distinct names for the columns, and a note for each that had to change.

    An empty name becomes column_N; one that repeats (upper and lower case alike) or is taken gets _2, _3, ….
    """
    used = {name.casefold() for name in taken}
    result, notes = [], []
    for position, name in enumerate(names, 1):
        plain = _plain(name)
        wanted = plain[:NAME_CHARS_MAX] or f"column_{position}"
        choices = itertools.chain([wanted], (f"{wanted}_{n}" for n in itertools.count(2)))
        chosen = next(choice for choice in choices if choice.casefold() not in used)
        used.add(chosen.casefold())
        result.append(chosen)
        if chosen != name:
            notes.append(f"column {position}: {name!r} is called {chosen} here")
    return result, notes


def _plain(name: str) -> str:
    spaced = " ".join(unicodedata.normalize("NFC", name).split())
    return "".join(c for c in spaced if unicodedata.category(c) not in ("Cc", "Cf", "Cs")).strip()
