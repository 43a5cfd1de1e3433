"""Orders are told by the node whose source system took them, and by no other."""

from __future__ import annotations

import numpy as np
import pytest
from liandong.federation.v1 import uplink_pb2
from sqlalchemy import select

from common.courier.tables import log_entry
from common.delivery import source_place
from common.delivery.orders import orders_of_offer, put_orders
from common.kernel.order import OrderChange, OrderRecords
from common.kernel.refusal import Refusal
from common.runtime.database import Database
from hq.store import uplink as hq_uplink
from province import uplink

NOW = 1_790_000_000


def _order(source: str, revision: int, change: OrderChange) -> OrderRecords:
    one = np.ones(1, dtype=np.int64)
    changes = np.array([change], dtype=np.uint8)
    return OrderRecords([source], ["n1"], one * revision, one, ["5g"], changes, one, one.astype(np.uint32))


def test_the_first_to_tell_of_a_source_system_is_the_only_one(database: Database) -> None:
    taken, reversal = _order("bss-13", 1, OrderChange.SUBSCRIBED), _order("bss-13", 2, OrderChange.REVERSED)
    with database.transaction() as connection:
        hq_uplink.apply(connection, "13", [taken], NOW)
        with pytest.raises(Refusal, match="told by another node") as refused:
            hq_uplink.apply(connection, "45", [reversal], NOW)
        assert refused.value.reason == "NOT_YOURS"
        assert len(orders_of_offer(connection, "5g")) == 1
        hq_uplink.apply(connection, "13", [reversal], NOW)
        assert len(orders_of_offer(connection, "5g")) == 2


def test_a_province_that_tells_all_again_tells_what_its_own_sources_took(database: Database) -> None:
    """What came down from HQ, which reads cBSS itself, would be another node's to tell."""
    with database.transaction() as connection:
        for source in ("cbss", "bss-45", "old-crm"):
            put_orders(connection, _order(source, 1, OrderChange.SUBSCRIBED), NOW)
        source_place.set_place(connection, "bss-45", "orders", "7")
        source_place.know(connection, "old-crm")
        uplink.append_everything(connection, "orders", NOW)
        payloads = connection.execute(select(log_entry.c.payload)).scalars()
        told = [uplink_pb2.OutboxEntry.FromString(payload).orders for payload in payloads]
        assert sorted(name for each in told for name in each.source_systems) == ["bss-45", "old-crm"]
