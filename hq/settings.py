"""Every knob of HQ."""

from __future__ import annotations

from common.runtime.settings import NodeSettings, OrderSource


class HqSettings(NodeSettings):
    cbss: OrderSource | None = None
    """Where national orders are pulled from."""
