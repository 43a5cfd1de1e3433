"""A broker and a Spark for the engines, as the streams' tests have them."""

from __future__ import annotations

from tests.streams.conftest import kafka, new_topic, spark

__all__ = ["kafka", "new_topic", "spark"]
