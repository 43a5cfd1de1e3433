"""What a message says: a text with typed parameters, filled in for whole columns of people at once.

Only `${name}` is special. Values are put in as plain text and never read as a template again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from common.kernel.tag import TagType

_PARAMETER = re.compile(r"\$\{([^}]*)\}")
_UNCLOSED = re.compile(r"\$\{[^}]*\Z")
_CONTROL = r"[\x00-\x1f\x7f]+"
PARAMETER_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class ParameterKind(StrEnum):
    TEXT = "text"
    INTEGER = "integer"
    YUAN = "yuan"
    """An amount in yuan, shown with two decimals."""
    DATE = "date"
    """Shown as 2026-01-31."""


KIND_TYPES: dict[ParameterKind, frozenset[TagType]] = {
    ParameterKind.TEXT: frozenset({TagType.TEXT, TagType.INTEGER, TagType.BOOLEAN}),
    ParameterKind.INTEGER: frozenset({TagType.INTEGER, TagType.NUMBER}),
    ParameterKind.YUAN: frozenset({TagType.INTEGER, TagType.NUMBER}),
    ParameterKind.DATE: frozenset({TagType.DATE, TagType.TIMESTAMP}),
}
"""Which tags a kind can show."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a parameter's value comes from. `fallback` stands in for a value that is NULL or blank."""

    column: str
    fallback: str
    kind: ParameterKind


def parameters_of(text: str) -> list[str]:
    """The parameter names `text` uses, in order of first use. Raises ValueError saying what is wrong and the remedy."""
    if _UNCLOSED.search(text):
        raise ValueError("${ is not closed. Write ${name}")
    names = list(dict.fromkeys(_PARAMETER.findall(text)))
    for name in names:
        if not PARAMETER_NAME.fullmatch(name):
            raise ValueError(f"${{{name}}} is no parameter. Use lower-case letters, digits and _, such as ${{plan}}")
    return names


def fallback_text(text: str, origins: Mapping[str, Origin]) -> str:
    """What somebody of whom nothing is known reads."""
    return _PARAMETER.sub(lambda found: origins[found[1]].fallback, text)


def fits(kind: ParameterKind, fallback: str) -> bool:
    """Whether `fallback` reads as a value of its kind; words are always allowed where no number is."""
    if kind is ParameterKind.DATE and re.fullmatch(r"[\d\-/.]+", fallback):
        return _is_date(fallback)
    return bool(fallback) and not re.search(_CONTROL, fallback)


def render(text: str, origins: Mapping[str, Origin], people: pa.Table, chars_max: int) -> pa.DictionaryArray:
    """The text each row of `people` reads; rendered once for each distinct combination of values.

    Somebody whose values would make it longer than `chars_max` characters reads the text with fallbacks instead.
    """
    used = [origins[name].column for name in parameters_of(text)]
    firsts, refs = _combinations(people, used)
    texts = _render(text, origins, people.take(pa.array(firsts)), chars_max)
    return pa.DictionaryArray.from_arrays(pa.array(refs, pa.int32()), texts)


def _combinations(people: pa.Table, columns: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One row of each distinct combination of values, and for each row which combination it has."""
    codes = np.zeros(people.num_rows, dtype=np.int64)
    for column in columns:
        encoded = _one_array(people[column]).dictionary_encode(null_encoding="encode")
        both = codes * len(encoded.dictionary) + encoded.indices.to_numpy().astype(np.int64)
        # Numbered afresh after each column, so that the product of two always fits.
        codes = np.unique(both, return_inverse=True)[1]
    _, firsts, refs = np.unique(codes, return_index=True, return_inverse=True)
    return firsts, refs


def _render(text: str, origins: Mapping[str, Origin], people: pa.Table, chars_max: int) -> pa.Array:
    pieces = _PARAMETER.split(text)
    if len(pieces) == 1:
        return pa.repeat(pa.scalar(text, pa.string()), people.num_rows)
    columns = [
        _shown(people[origins[piece].column], origins[piece]) if place % 2 else pa.scalar(piece)
        for place, piece in enumerate(pieces)
    ]
    filled = _one_array(pc.binary_join_element_wise(*columns, ""))
    too_long = pc.greater(pc.utf8_length(filled), chars_max)
    return pc.if_else(too_long, fallback_text(text, origins), filled)


def _shown(column: pa.ChunkedArray, origin: Origin) -> pa.Array:
    plain = pc.utf8_trim_whitespace(pc.replace_substring_regex(_AS_TEXT[origin.kind](column), _CONTROL, " "))
    blank = pc.or_kleene(pc.is_null(plain), pc.equal(plain, ""))
    return _one_array(pc.if_else(blank, origin.fallback, plain))


def _rounded(column: pa.ChunkedArray, decimals: int) -> pa.ChunkedArray:
    exact = pc.round(pc.cast(column, pa.float64()), decimals, round_mode="half_towards_infinity")
    # Past 2^53 a double says nothing exact, and infinities have no digits at all.
    sane = pc.if_else(pc.less(pc.abs(exact), 1e15), exact, None)
    return pc.cast(pc.cast(sane, pa.decimal128(18, decimals)), pa.string())


_AS_TEXT: dict[ParameterKind, Callable[[pa.ChunkedArray], pa.ChunkedArray]] = {
    ParameterKind.TEXT: lambda column: pc.cast(column, pa.string()),
    ParameterKind.INTEGER: lambda column: _rounded(column, 0),
    ParameterKind.YUAN: lambda column: _rounded(column, 2),
    ParameterKind.DATE: lambda column: pc.cast(pc.cast(column, pa.date32(), safe=False), pa.string()),
}


def _one_array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
