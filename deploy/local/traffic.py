"""Events of a province's people, four scenes mixed, of which it is known whom each must make an offer timely for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adapters.streams import packed, partitions
from adapters.streams.cells import MILLIS
from common.kernel.columns import Keys
from common.kernel.event import EventClass, EventType
from common.kernel.event_catalogue import event_type

GIB = 1 << 30
SOURCE = "traffic"
RULES = """\
rules:
  - name: data-80
    scene: data_use
    when: data_used
    adds_up: {field: used_bytes, to: 80%, of: allowance_bytes}
    once_a: month
    offer: {offer: data_10gb, channels: [local_sms], text: 您本月流量已用80%，回复1办理10GB流量包, valid_for: 30m}
  - name: roaming
    scene: location
    when: out_of_province
    roams: out_of_province
    once_a: month
    offer: {offer: domestic_pack, channels: [local_sms], text: 出差在外，省外流量包等您, valid_for: 30m}
  - name: films
    scene: content
    when: url_visit
    visits: films
    once_a: month
    offer: {offer: video_pack, channels: [local_sms], text: 看片免流量, valid_for: 30m}
  - name: forecast
    scene: usage_model
    when: model_hit
    model: {name: usage_forecast, at_least: 0.9}
    once_a: month
    offer: {offer: in_province_pack, channels: [local_sms], text: 本月流量可能不够用, valid_for: 30m}
hosts:
  films:
    names: [video.example]
"""
"""What makes the four scenes' telling events tell."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One type's events that all say the same."""

    name: str
    data: Mapping[str, Any]

    @property
    def type(self) -> EventType:
        return event_type(self.name)


@dataclass(frozen=True, slots=True)
class Scene:
    """`share` of all events are its; all but those that must fire are `plain`."""

    name: str
    share: float
    plain: Kind
    telling: Kind


SCENES = (
    Scene(
        "data_use",
        0.55,
        Kind("data_used", {"used_bytes": 1 << 20, "allowance_bytes": 10 * GIB}),
        Kind("data_used", {"used_bytes": 9 * GIB, "allowance_bytes": 10 * GIB}),
    ),
    Scene(
        "location",
        0.20,
        Kind("residential_area", {"cell_id": "460-01-41234-27447297"}),
        Kind("out_of_province", {"mcc": "460", "mnc": "01", "visited_province": 13}),
    ),
    Scene(
        "content",
        0.20,
        Kind("url_visit", {"host": "www.example.org", "path": "/"}),
        Kind("url_visit", {"host": "v.video.example", "path": "/drama/7731"}),
    ),
    Scene(
        "usage_model",
        0.05,
        Kind("model_hit", {"model": "usage_forecast", "score": 0.2}),
        Kind("model_hit", {"model": "usage_forecast", "score": 0.97}),
    ),
)
CLASSES = tuple(dict.fromkeys(scene.plain.type.event_class for scene in SCENES))


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Events of one scene and moment (Unix milliseconds) that say the same."""

    scene: str
    kind: Kind
    at: int
    first_id: int
    keys: Keys
    fires: bool

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def event_class(self) -> EventClass:
        return self.kind.type.event_class

    def json(self) -> list[bytes]:
        """CloudEvents in structured mode."""
        moment = datetime.fromtimestamp(self.at / 1000, UTC).isoformat(timespec="milliseconds")
        head = f'{{"specversion":"1.0","type":"{self.kind.type.wire_name}","source":"{SOURCE}","time":"{moment}",'
        tail = f'"datacontenttype":"application/json","data":{json.dumps(self.kind.data)}}}'
        ids = range(self.first_id, self.first_id + len(self))
        pairs = zip(ids, self.keys.tolist(), strict=True)
        return [f'{head}"id":"{number}","subject":"{key}",{tail}'.encode() for number, key in pairs]

    def packed(self) -> pa.RecordBatch:
        """The columns the type must have, and those that say something."""
        ids = pc.cast(pa.array(np.arange(self.first_id, self.first_id + len(self))), pa.string())
        columns = {
            "id": ids,
            "source": self._same(packed.WORDS, SOURCE),
            "subject": pa.array(self.keys),
            "time": pa.array(np.full(len(self), self.at)).cast(MILLIS),
        }
        schema = packed.schema_of(self.kind.type)
        columns |= {name: self._same(schema.field(name).type, value) for name, value in self.kind.data.items()}
        fields = [schema.field(name) for name in columns]
        return pa.record_batch(list(columns.values()), pa.schema(fields, metadata=schema.metadata))

    def _same(self, kind: pa.DataType, value: object) -> pa.Array:
        if kind != packed.WORDS:
            return pa.repeat(pa.scalar(value, kind), len(self))
        return pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(self), dtype=np.int32)), pa.array([value]))


@dataclass(slots=True)
class Traffic:
    """`firing_share` of the events fire, each for somebody for whom nothing fired before; the rest never do.

    `telling` are those people, in the order they will be told of; the others' events are drawn from `people`. Each
    event that fires comes again, the moment after.
    """

    people: Keys
    telling: Keys
    firing_share: float
    seed: int = 1
    made: int = 0
    """Events, those that came again not among them."""
    spent: int = 0
    """Of `telling`."""
    _wanted: Counter[str] = field(default_factory=Counter)
    _fired: Counter[str] = field(default_factory=Counter)
    _again: list[Part] = field(default_factory=list)

    def at(self, moment: int, count: int) -> list[Part]:
        """About `count` events that happen at that moment, and some that happened at the last."""
        parts = self.again()
        draw = np.random.default_rng([self.seed, self.made])
        for scene in SCENES:
            rows, fires = self._rows(scene, count)
            plain = self.people[draw.integers(0, len(self.people), rows - fires)]
            telling = self.telling[self.spent : self.spent + fires]
            self.spent += fires
            parts.append(self._part(scene.name, scene.plain, moment, plain, fires=False))
            parts.append(self._part(scene.name, scene.telling, moment, telling, fires=True))
        parts = [part for part in parts if len(part)]
        self._again = [part for part in parts if part.fires and part.at == moment]
        return parts

    def again(self) -> list[Part]:
        """What fired at the last moment, once more."""
        again, self._again = self._again, []
        return again

    def _rows(self, scene: Scene, count: int) -> tuple[int, int]:
        """How many of the scene, and how many of these fire; what is left over of a fraction comes later."""
        before, self._wanted[scene.name] = self._wanted[scene.name], self._wanted[scene.name] + count
        rows = round(self._wanted[scene.name] * scene.share) - round(before * scene.share)
        fires = round(self._wanted[scene.name] * scene.share * self.firing_share) - self._fired[scene.name]
        fires = min(fires, rows, len(self.telling) - self.spent)
        self._fired[scene.name] += fires
        return rows, fires

    def _part(self, scene: str, kind: Kind, moment: int, keys: Keys, *, fires: bool) -> Part:
        first, self.made = self.made, self.made + len(keys)
        return Part(scene, kind, moment, first, keys, fires)


Records = Iterator[tuple[EventClass, int, bytes, int]]
"""Class, partition, value, and of how many events."""


def json_records(parts: list[Part], count: int) -> Records:
    for part in parts:
        places = partitions.of_keys(part.keys, count).tolist()
        for place, value in zip(places, part.json(), strict=True):
            yield part.event_class, place, value, 1


def packed_records(parts: list[Part], count: int) -> Records:
    """What is of one type together, a record for each partition."""
    by_kind: dict[str, list[Part]] = {}
    for part in parts:
        by_kind.setdefault(part.kind.name, []).append(part)
    for same in by_kind.values():
        table = pa.Table.from_batches([part.packed() for part in same]).unify_dictionaries().combine_chunks()
        for place, rows in _by_place(partitions.of_keys(table["subject"].to_numpy(), count)):
            (batch,) = table.take(rows).combine_chunks().to_batches()
            yield same[0].event_class, place, packed.encode(batch), batch.num_rows


def _by_place(places: Keys) -> Iterator[tuple[int, Keys]]:
    for place in np.unique(places).tolist():
        yield place, np.flatnonzero(places == place)
