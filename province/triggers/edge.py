"""What this province gives to whoever decodes its events."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from adapters.streams.mapping import SourceMapping, load
from adapters.streams.standard import Edge
from adapters.streams.stretch import EdgeNow
from common.kernel.refusal import invalid
from common.kernel.subscriber import subscriber_keys
from common.runtime.clock import clock_of, milliseconds
from province.settings import ProvinceSettings


def edge_of(settings: ProvinceSettings) -> EdgeNow:
    """Whom nobody here knows is found out when fires are handed over, once each. Mappings are read now, once."""
    now = partial(milliseconds, clock_of(settings.clock_file))
    mappings = {name: _of_topic(name, path) for name, path in settings.mappings().items()}
    if not mappings:
        return lambda: Edge(now())
    keys_of = partial(subscriber_keys, settings.federation_key())
    return lambda: Edge(now(), lambda numbers: keys_of(numbers.tolist()), mappings=mappings)


def _of_topic(name: str, path: Path) -> SourceMapping:
    mapping = load(path)
    if mapping.format != "jsonl":
        raise invalid(f"{path.name}: a record of topic {name} is a JSON object: write `format: jsonl`")
    return mapping
