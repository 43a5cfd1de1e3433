"""Audiences: whom a rule selects, and who of them is held out; counted, frozen as bitmaps and handed on to be cut."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyroaring import BitMap

from common.kernel.columns import Keys, Mask
from common.kernel.keyed_hash import salt, uniform
from common.kernel.refusal import Refusal, invalid, missing
from common.kernel.tag import KEY, ORDINAL, PROVINCE, Catalogue, Sensitivity
from hq.rule_language import Rule, check_rule

PREVIEW_ROWS_MAX = 100
CHOICE = "choice"


class Warehouse(Protocol):
    """People and their tags, fixed to one immutable snapshot. Batches are Arrow record batches of bounded size."""

    @property
    def version(self) -> int: ...

    @property
    def sha256(self) -> str:
        """Of the snapshot's file."""
        ...

    @property
    def catalogue(self) -> Catalogue: ...

    def at(self, version: int | None = None) -> Warehouse:
        """The same warehouse at another snapshot, the newest where `version` is None."""
        ...

    def count(self, rule: Rule) -> Mapping[int, int]:
        """How many people the rule selects, by province code; provinces with none are absent."""
        ...

    def select(self, rule: Rule, columns: Sequence[str] = (), limit: int | None = None) -> Iterator[pa.RecordBatch]:
        """Columns subscriber_key (int64, ascending over all batches), ordinal (uint32), province (int16), `columns`."""
        ...

    def assign(
        self,
        rule: Rule,
        choices: Sequence[Rule | None],
        columns: Sequence[str] = (),
        keys: Keys | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Everyone the rule selects, each with the first of `choices` that holds for them (None holds for all).

        Columns choice (int16, position in `choices`), province (int16), subscriber_key (int64), `columns`; ascending
        by (choice, province, subscriber_key) over all batches. Whom no choice takes is left out. `keys`, ascending,
        restricts to those people.
        """
        ...
