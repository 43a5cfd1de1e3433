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
from pyroaring import BitMap

from common.kernel.columns import Keys, Mask
from common.kernel.keyed_hash import salt, uniform
from common.kernel.refusal import conflict, invalid, missing
from common.kernel.tag import KEY, ORDINAL, PROVINCE, Catalogue, Person, Sensitivity
from common.rules.rule_language import Rule
from common.runtime.directory import sync_directory
from common.runtime.failpoint import reach

PREVIEW_ROWS_MAX = 100


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

    def person(self, key: int, rules: Sequence[Rule], columns: Sequence[str] = ()) -> Person | None:
        """One subscriber, found without reading the others; None where the snapshot has no such person."""
        ...


@dataclass(frozen=True, slots=True)
class ProvinceCount:
    province: int
    target: int
    held_out: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything the audience was made from: the same manifest makes the same bitmaps again."""

    campaign: str
    rule: str
    snapshot_version: int
    snapshot_sha256: str
    holdout_share: float
    salt_id: str
    """Names the hold-out's salt without giving it away."""
    provinces: tuple[ProvinceCount, ...]
    target_sha256: str
    held_out_sha256: str

    @property
    def target(self) -> int:
        return sum(count.target for count in self.provinces)

    @property
    def held_out(self) -> int:
        return sum(count.held_out for count in self.provinces)

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, indent=1)

    @staticmethod
    def from_json(text: str) -> Manifest:
        fields: dict[str, Any] = json.loads(text)
        return Manifest(**(fields | {"provinces": tuple(ProvinceCount(**count) for count in fields["provinces"])}))


@dataclass(frozen=True, slots=True)
class Audience:
    """Bitmaps of this node's ordinals. `target` is everyone the rule selects, `held_out` a part of it."""

    manifest: Manifest
    target: BitMap
    held_out: BitMap

    @property
    def contactable(self) -> BitMap:
        return self.target - self.held_out


@dataclass(frozen=True, slots=True)
class HoldOut:
    """Draws the same people for a campaign whatever the snapshot, the rule or the run."""

    share: float
    campaign: str
    federation_key: bytes

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise invalid(f"the hold-out share is {self.share}; give 0 or more and less than 1, such as 0.1")

    def drawn(self, keys: Keys) -> Mask:
        mask: Mask = uniform(keys, salt(self.federation_key, "holdout", self.campaign)) < self.share
        return mask

    @property
    def salt_id(self) -> str:
        return f"{int(salt('salt id', int(salt(self.federation_key, 'holdout', self.campaign)))):016x}"


def count_audience(warehouse: Warehouse, rule: Rule, holdout: HoldOut | None = None) -> tuple[ProvinceCount, ...]:
    """How many people by province the rule selects and the hold-out keeps back; ascending by province."""
    if holdout is None or holdout.share == 0:
        return tuple(ProvinceCount(code, count, 0) for code, count in sorted(warehouse.count(rule).items()))
    target, held = np.zeros(100, dtype=np.int64), np.zeros(100, dtype=np.int64)
    for batch in warehouse.select(rule):
        provinces, drawn = _array(batch, PROVINCE), holdout.drawn(_array(batch, KEY))
        target += np.bincount(provinces, minlength=100)
        held += np.bincount(provinces[drawn], minlength=100)
    return _province_counts(target, held)


def build_audience(warehouse: Warehouse, rule: Rule, holdout: HoldOut) -> Audience:
    """Raises Refusal CAMPAIGN_INVALID where the rule selects nobody."""
    target, held_out = BitMap(), BitMap()
    targets, held = np.zeros(100, dtype=np.int64), np.zeros(100, dtype=np.int64)
    for batch in warehouse.select(rule):
        ordinals, provinces, drawn = _array(batch, ORDINAL), _array(batch, PROVINCE), holdout.drawn(_array(batch, KEY))
        target |= BitMap(np.sort(ordinals))
        held_out |= BitMap(np.sort(ordinals[drawn]))
        targets += np.bincount(provinces, minlength=100)
        held += np.bincount(provinces[drawn], minlength=100)
    if not target:
        raise invalid(
            f"nobody of snapshot {warehouse.version} is selected by the rule {rule.text!r}; "
            "widen the rule, or try parts of it with liandong audience count",
            "CAMPAIGN_INVALID",
        )
    for bitmap in (target, held_out):
        bitmap.run_optimize()
    manifest = Manifest(
        campaign=holdout.campaign,
        rule=rule.text,
        snapshot_version=warehouse.version,
        snapshot_sha256=warehouse.sha256,
        holdout_share=holdout.share,
        salt_id=holdout.salt_id,
        provinces=_province_counts(targets, held),
        target_sha256=_sha256(target),
        held_out_sha256=_sha256(held_out),
    )
    return Audience(manifest, target, held_out)


def preview(warehouse: Warehouse, rule: Rule, columns: Sequence[str] = (), rows: int = 10) -> list[dict[str, Any]]:
    """A few of the people selected: "subscriber" is a masked key, and what is personal is left out."""
    if not 0 < rows <= PREVIEW_ROWS_MAX:
        raise invalid(f"a preview shows 1 to {PREVIEW_ROWS_MAX} people, not {rows}")
    hidden = {tag.name for tag in warehouse.catalogue if tag.sensitivity is not Sensitivity.NORMAL}
    shown = [name for name in columns or rule.columns if name not in (*hidden, PROVINCE)]
    people = [row for batch in warehouse.select(rule, shown, limit=rows) for row in batch.to_pylist()]
    return [
        {"subscriber": f"{row[KEY]:016x}"[:6] + "…", PROVINCE: row[PROVINCE]} | {name: row[name] for name in shown}
        for row in people
    ]


def save_audience(directory: Path, audience: Audience) -> None:
    """Atomic: the manifest is written last, and an audience without one is not there."""
    home = _home(directory, audience.manifest.campaign)
    home.mkdir(parents=True, exist_ok=True)
    for bitmap, sha256 in (
        (audience.target, audience.manifest.target_sha256),
        (audience.held_out, audience.manifest.held_out_sha256),
    ):
        _replace(home / f"{sha256}.roaring", bitmap.serialize())
    _replace(home / "manifest.json", audience.manifest.to_json().encode())


def load_audience(directory: Path, campaign: str) -> Audience:
    """Raises Refusal NOT_FOUND where it was never saved, STATE_CONFLICT where a file is not what was saved."""
    home = _home(directory, campaign)
    try:
        manifest = Manifest.from_json((home / "manifest.json").read_text("utf-8"))
    except FileNotFoundError:
        raise missing(f"campaign {campaign} has no audience yet; approve it first") from None
    return Audience(manifest, _load(home, manifest.target_sha256), _load(home, manifest.held_out_sha256))


def _array(batch: pa.RecordBatch, name: str) -> Any:
    return batch.column(name).to_numpy()


def _province_counts(target: Any, held_out: Any) -> tuple[ProvinceCount, ...]:
    return tuple(ProvinceCount(int(p), int(target[p]), int(held_out[p])) for p in np.flatnonzero(target))


def _sha256(bitmap: BitMap) -> str:
    return hashlib.sha256(bitmap.serialize()).hexdigest()


def _home(directory: Path, campaign: str) -> Path:
    if not re.fullmatch(r"\w[\w.-]{0,99}", campaign):
        raise invalid(f"{campaign!r} is no campaign name; use letters, digits, '-', '_' and '.'")
    return directory / campaign


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    reach("audience.save.before_sync")
    temporary.replace(path)
    sync_directory(path.parent)
    reach("audience.save.after_sync")


def _load(home: Path, sha256: str) -> BitMap:
    path = home / f"{sha256}.roaring"
    content = path.read_bytes() if path.exists() else b""
    if hashlib.sha256(content).hexdigest() != sha256:
        raise conflict(f"{path} is damaged or missing; restore it, or approve the campaign again")
    return BitMap.deserialize(content)
