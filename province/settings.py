"""Every knob of a province node."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from common.kernel.event import EventClass, topic
from common.runtime.settings import NodeSettings, OrderSource, Section


class Triggers(Section):
    """Where events come from, and what the trigger engine does with them."""

    source: Literal["journal", "kafka", "spark"] = "journal"
    brokers: str = ""
    """Kafka's bootstrap.servers; for kafka and spark."""
    topics: tuple[str, ...] = ()
    """Empty: the province's, one a class of events."""
    mappings: dict[str, Path] = Field(default_factory=dict)
    """By topic that is read besides: how records of its own form, a JSON object each, become events."""
    pushers: tuple[str, ...] = ()
    """Who may push events into the journal, by the names in their bss certificates; empty: the [bss] above."""
    partitions: int = Field(1, ge=1, le=256)
    """Of the journal; never changed once events are in it."""
    keep_bytes: int = Field(8 << 30, ge=64 << 20)
    """Of the journal; older events go first."""
    keep_seconds: int = Field(7 * 86_400, ge=3_600)
    idle_seconds: int = Field(60, ge=1)
    """A partition without events for so long goes by the clock, so that what lasts is noticed."""
    forecast_at_least: float = Field(0.8, ge=0.0, le=1.0)
    """How sure `liandong triggers forecast` has to be that somebody's allowance will not last, to tell of it."""
    forecast_seconds: int = Field(600, ge=1, le=900)
    """How often everybody is scored anew."""

    @model_validator(mode="after")
    def _has_brokers(self) -> Self:
        if self.source != "journal" and not self.brokers:
            raise ValueError(f"source {self.source} needs brokers, such as 127.0.0.1:9092")
        if self.source == "journal" and self.mappings:
            raise ValueError("mappings are of topics on Kafka; source journal has none")
        return self


class ProvinceSettings(NodeSettings):
    code: str
    """Two-digit GB/T 2260 code; must equal the certificate's."""
    hq_address: str
    stop_freshness_seconds: int | None = Field(None, ge=60)
    """Where set: with no word from HQ on stops for this long, nobody is contacted, even if the policy allows longer."""
    bss: OrderSource | None = None
    """Where the province's orders and pool changes are pulled from."""
    triggers: Triggers | None = None
    """Where set: events are taken in, and `liandong triggers serve` works on them."""

    @property
    def people_directory(self) -> Path:
        """The snapshots of the tags of the province's people."""
        return self.data_dir / "people"

    @property
    def event_directory(self) -> Path:
        return self.data_dir / "events"

    @property
    def trigger_directory(self) -> Path:
        """The checkpoints, the dead letters, and how things stand; shared by all engines of the province."""
        return self.data_dir / "triggers"

    @property
    def forecast_directory(self) -> Path:
        return self.trigger_directory / "forecast"

    def topics(self) -> tuple[str, ...]:
        named = self.triggers.topics if self.triggers else ()
        own = named or tuple(topic(self.code, each) for each in EventClass)
        return tuple(dict.fromkeys([*own, *self.mappings()]))

    def mappings(self) -> dict[str, Path]:
        return self.triggers.mappings if self.triggers else {}
