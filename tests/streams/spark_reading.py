"""What a topic holds, read by Spark the way the Spark engine reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def read_available(spark: SparkSession, address: str, topic: str, directory: Path) -> list[int]:
    """The numbers that came since the last read with this directory's checkpoint."""
    found: list[int] = []

    def take(frame: DataFrame, _batch: int) -> None:
        found.extend(int(value) for value in frame.select("value").toArrow().column("value").to_pylist())

    stream = spark.readStream.format("kafka").option("kafka.bootstrap.servers", address)
    records = stream.option("subscribe", topic).option("startingOffsets", "earliest").load()
    writer = records.writeStream.foreachBatch(take).option("checkpointLocation", str(directory / "checkpoint"))
    query = writer.trigger(availableNow=True).start()
    assert query.awaitTermination(120)
    return found
