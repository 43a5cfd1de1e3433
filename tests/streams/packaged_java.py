"""A broker and Spark on the package's Java, whatever the machine has: `python -m tests.streams.packaged_java DIR`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from deploy.local import java
from deploy.local.kafka import Broker
from deploy.local.spark import session
from tests.streams.records import create, produce
from tests.streams.spark_reading import read_available

TOPIC = "ld.45.events.test.v1"


def main(directory: Path) -> None:
    packaged = java.of_package()
    with Broker(directory / "kafka", packaged) as broker:
        create(broker.address, TOPIC, 2)
        produce(broker.address, TOPIC)
        spark = session(directory / "spark", packaged)
        found = read_available(spark, broker.address, TOPIC, directory)
        version = spark._jvm.java.lang.System.getProperty("java.version")
        spark.stop()
    print(json.dumps({"java": version, "records": len(set(found))}))


main(Path(sys.argv[1]))
