"""Which contact policies were in force, where and when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deploy.checker.world import NEVER, Mask, Node, Policy, World


@dataclass(frozen=True, slots=True)
class InForce:
    """A policy, and the moments between which some node decided by it."""

    policy: Policy
    since: int
    until: int


def everywhere(world: World) -> list[InForce]:
    """Every version any node ever applied, ascending."""
    spans: dict[int, InForce] = {}
    for node in world.nodes:
        for here in at_node(node):
            known = spans.get(here.policy.version, here)
            since, until = min(known.since, here.since), max(known.until, here.until)
            spans[here.policy.version] = InForce(here.policy, since, until)
    return [spans[version] for version in sorted(spans)]


def at_node(node: Node) -> list[InForce]:
    """By version; one that came after a higher one was never in force."""
    applied = sorted((policy for policy in node.policies if policy.applied), key=lambda policy: policy.version)
    found, until = [], NEVER
    for policy in reversed(applied):
        if policy.received_at < until:
            found.append(InForce(policy, policy.received_at, until))
            until = policy.received_at
    return found[::-1]


def relevant(span: InForce, since: np.ndarray, until: np.ndarray, margin: int) -> Mask:
    """Where the policy was in force at some moment from `since` to `until`."""
    mask: Mask = (span.since <= until + margin) & (span.until >= since - margin)
    return mask
