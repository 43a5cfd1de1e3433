"""What of Java, Kafka and Spark this machine has, and what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Literal

from common.kernel.refusal import Refusal
from deploy.local import java
from deploy.local.artifacts import KAFKA, SPARK_KAFKA, Jars, flaw_of

State = Literal["there", "missing", "damaged"]
FETCHED = {jars.component: jars for jars in (KAFKA, SPARK_KAFKA)}


@dataclass(frozen=True, slots=True)
class Component:
    name: str
    version: str
    """Empty where a missing one's is not known beforehand."""
    state: State
    where: str
    """For a damaged one: what is wrong with it."""
    fetch: str
    """What `liandong components fetch` calls it."""


def components() -> list[Component]:
    """Jars are verified, not only looked for."""
    return [
        _java(),
        _package("kafka_client", "confluent-kafka", "confluent_kafka", KAFKA.component),
        _jars("kafka_broker", KAFKA),
        _package("spark", "pyspark", "pyspark", SPARK_KAFKA.component),
        _jars("spark_connector", SPARK_KAFKA),
    ]


def _java() -> Component:
    try:
        found = java.find()
    except Refusal:
        return Component("java", "", "missing", "", KAFKA.component)
    return Component("java", found.version, "there", found.command, KAFKA.component)


def _package(name: str, distribution: str, module: str, fetch: str) -> Component:
    try:
        spec = find_spec(module)
        where = spec.submodule_search_locations[0] if spec and spec.submodule_search_locations else ""
        return Component(name, version(distribution), "there", where, fetch)
    except PackageNotFoundError:
        return Component(name, "", "missing", "", fetch)


def _jars(name: str, jars: Jars) -> Component:
    release = jars.name.rpartition("-")[2]
    if not jars.place.exists():
        return Component(name, release, "missing", "", jars.component)
    flaw = flaw_of(jars)
    return Component(name, release, "damaged" if flaw else "there", flaw or str(jars.place), jars.component)
