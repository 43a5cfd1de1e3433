"""Every knob of a province node."""

from __future__ import annotations

from common.runtime.settings import NodeSettings, OrderSource


class ProvinceSettings(NodeSettings):
    code: str
    """Two-digit GB/T 2260 code; must equal the certificate's."""
    hq_address: str
    bss: OrderSource | None = None
    """Where the province's orders and pool changes are pulled from."""
