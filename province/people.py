"""What is written down about people's wishes in a province: kept here and told to HQ in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from common.delivery import statements
from common.kernel.columns import Keys
from common.kernel.statement import Statement
from province import uplink


def record(connection: Connection, said: Sequence[Statement], keys: Keys, now: int, province: int) -> None:
    """All of it, or Refusal CONSENT_INVALID."""
    agreed, stopped = statements.record(connection, said, keys, now, province)
    uplink.append_consents(connection, agreed, now)
    uplink.append_stops(connection, stopped, now)
