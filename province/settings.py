"""Every knob of a province node."""

from __future__ import annotations

from pydantic import Field

from common.runtime.settings import NodeSettings, OrderSource


class ProvinceSettings(NodeSettings):
    code: str
    """Two-digit GB/T 2260 code; must equal the certificate's."""
    hq_address: str
    stop_freshness_seconds: int | None = Field(None, ge=60)
    """Where set: with no word from HQ on stops for this long, nobody is contacted, even if the policy allows longer."""
    bss: OrderSource | None = None
    """Where the province's orders and pool changes are pulled from."""
