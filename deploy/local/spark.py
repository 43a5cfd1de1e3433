"""A Spark session in this process's own Java, with the Kafka connector and without the network."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from common.kernel.refusal import conflict
from deploy.local import java as javas
from deploy.local.artifacts import SPARK_KAFKA, Tell, paths, pyspark_home, silent
from deploy.local.java import Java

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CORES = 2
HEAP = "1g"


def session(directory: Path, java: Java | None = None, tell: Tell = silent) -> SparkSession:
    """The process's one session; `directory` takes what Spark writes. A process keeps the Java it began with.

    Dates and times are UTC. Stop it with `.stop()`.
    """
    home = pyspark_home()
    if SPARK_KAFKA.name != f"spark-kafka-{version('pyspark')}":
        raise conflict(
            f"pyspark {version('pyspark')} is installed, its Kafka connector here is {SPARK_KAFKA.name}; "
            "install the version that requirements-streams.lock names"
        )
    java = java or javas.find()
    jars = paths(SPARK_KAFKA, java, tell)
    directory.mkdir(parents=True, exist_ok=True)
    # What starts Spark's Java reads these, whatever else of Spark the machine has.
    os.environ |= {
        "JAVA_HOME": str(java.home), "SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
    }  # fmt: skip
    return _begin({
        "spark.jars": ",".join(map(str, jars)),
        "spark.driver.memory": HEAP,
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.local.dir": str(directory / "scratch"),
        "spark.sql.warehouse.dir": str(directory / "warehouse"),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": str(CORES),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
    })  # fmt: skip


def _begin(settings: dict[str, str]) -> SparkSession:
    from pyspark.errors import PySparkRuntimeError
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master(f"local[{CORES}]").appName("liandong").config(map=settings)
    try:
        return builder.getOrCreate()
    except PySparkRuntimeError as error:
        raise conflict(
            f"Spark's Java ({os.environ['JAVA_HOME']}) did not start: {error}; what it said stands above. See that "
            f"{HEAP} of memory is free and that JAVA_TOOL_OPTIONS asks for nothing odd"
        ) from error
