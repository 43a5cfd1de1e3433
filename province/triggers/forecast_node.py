"""The forecast's wiring: a process of the province beside its engine, with its own place in the events."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow as pa

from adapters.streams.cloudevents import encode
from adapters.streams.journal import JournalSource
from adapters.streams.kafka_source import KafkaSource
from adapters.streams.packed import schema_of
from adapters.streams.sinks import JournalSink, KafkaSink
from common.kernel.event import EventClass, topic
from common.kernel.event_catalogue import event_type
from common.runtime.clock import clock_of, milliseconds
from common.runtime.lifetime import sole_instance
from common.wire import tls
from province.settings import ProvinceSettings
from province.triggers.edge import edge_of
from province.triggers.engine.checkpoint import Checkpoints
from province.triggers.engine.source import Source
from province.triggers.forecast.forecast import NAME
from province.triggers.forecast.forecaster import Forecaster, Hits, Teller, Terms
from province.triggers.forecast.status import status_file
from province.triggers.node import settled, told_to_stop

ANYWHERE = ("0.0.0.0", "[::]")  # noqa: S104 - what settings may say, not where this listens
HIT = event_type("model_hit")


def run(settings: ProvinceSettings, once: bool = False) -> bool:
    """Until SIGTERM or SIGINT, or `once`: then False where the node did not take what was to be told."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    triggers, told = settled(settings), told_to_stop()
    directory = settings.forecast_directory
    terms = Terms(triggers.forecast_at_least, float(triggers.forecast_seconds))
    directory.mkdir(parents=True, exist_ok=True)
    with sole_instance(directory):
        forecaster = Forecaster(
            _source(settings),
            Checkpoints(directory),
            partial(_tell, settings.code, _put(settings)),
            terms,
            Teller(status_file(directory), partial(milliseconds, clock_of(settings.clock_file))),
        )
        if once:
            return forecaster.once()
        forecaster.run(told)
    return True


def _source(settings: ProvinceSettings) -> Source:
    triggers, now = settled(settings), edge_of(settings)
    if triggers.source == "journal":
        return JournalSource(settings.event_directory, now, "forecast")
    return KafkaSource(triggers.brokers, settings.topics(), f"liandong-{settings.code}-forecast", now)


def _put(settings: ProvinceSettings) -> Callable[[list[bytes]], bool]:
    triggers = settled(settings)
    if triggers.source != "journal":
        derived = topic(settings.code, EventClass.DERIVED)
        return KafkaSink(triggers.brokers, derived if derived in settings.topics() else settings.topics()[0]).put
    host, _, port = settings.listen.rpartition(":")
    address = f"{'localhost' if host in ANYWHERE else host}:{port}"
    own = tls.read(settings.tls.certificate, settings.tls.key)
    credentials = tls.channel_credentials(tls.read_pem(settings.tls.authority), own)
    return JournalSink(address, credentials, tls.Identity("province", settings.code)).put


def _tell(code: str, put: Callable[[list[bytes]], bool], hits: Hits) -> bool:
    return put([value.encode() for value in encode(batch_of(code, hits)).to_pylist()])


def batch_of(code: str, hits: Hits) -> pa.RecordBatch:
    """A `model_hit` event each; a person's of a month has the same id for ever."""
    count = len(hits)
    ids = [f"{NAME}-{month}-{key}" for month, key in zip(hits.months.tolist(), hits.keys.tolist(), strict=True)]
    columns = {
        "id": ids,
        "source": pa.DictionaryArray.from_arrays(np.zeros(count, dtype=np.int32), [f"liandong/{code}/{NAME}"]),
        "subject": hits.keys,
        "time": pa.array(hits.at, pa.timestamp("ms", "UTC")),
        "model": [NAME] * count,
        "score": np.clip(hits.scores, 0.0, 1.0),
        "model_version": hits.versions.tolist(),
        "forecast_ratio": np.clip(hits.ratios, 0.0, 1e6),
    }
    schema = schema_of(HIT)
    return pa.RecordBatch.from_arrays([pa.array(columns[f.name], f.type) for f in schema], schema=schema)
