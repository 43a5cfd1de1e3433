"""What operators of a simulated federation want: campaigns of one wave."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from common.kernel.task_block import TaskBlock, open_block
from common.kernel.work_order import HQ_NODE, WorkOrder, WorkOrderState, work_order_name


@dataclass(frozen=True, slots=True)
class Share:
    channel: str
    node: str
    keys: tuple[int, ...]
    """Ascending."""


@dataclass(frozen=True, slots=True)
class Plan:
    campaign: str
    offer: str
    start_at: int
    end_at: int
    priority: int
    shares: tuple[Share, ...]
    product_line: str = ""
    service: bool = False
    purpose: str = ""
    holdout: float = 0.0
    """The share of its people that is held out."""

    @property
    def yaml(self) -> str:
        """As far as anybody reads it."""
        return f"holdout: {self.holdout:.0%}\n"

    def work_orders(self) -> list[WorkOrder]:
        return [self._work_order(share) for share in self.shares]

    def blocks(self) -> Iterator[tuple[WorkOrder, TaskBlock]]:
        for share in self.shares:
            order, keys = self._work_order(share), np.array(share.keys, dtype=np.int64)
            yield order, open_block(order.name, 0, keys, ("text",), np.zeros(len(keys), dtype=np.uint32))

    def _work_order(self, share: Share) -> WorkOrder:
        return WorkOrder(
            name=work_order_name(self.campaign, 1, share.channel, share.node),
            campaign=self.campaign,
            wave=1,
            channel=share.channel,
            node=share.node,
            offer=self.offer,
            start_at=self.start_at,
            end_at=self.end_at,
            priority=self.priority,
            task_count=len(share.keys),
            state=WorkOrderState.ACCEPTED if share.node == HQ_NODE else WorkOrderState.ISSUED,
            product_line=self.product_line,
            service=self.service,
            purpose=self.purpose,
        )
