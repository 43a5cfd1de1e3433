"""The end checker: what must be true of a world, whoever made it and however."""

from __future__ import annotations

from deploy.checker import caps, consents, deliveries, hours, ledgers, logs, records, stops
from deploy.checker.finding import Finding
from deploy.checker.joined import join
from deploy.checker.world import World


def examine(world: World) -> list[Finding]:
    """Every rule with what it saw, by invariant."""
    joined = join(world)
    contact_rules = (caps, stops, consents, hours, ledgers, deliveries)
    found = [finding for module in contact_rules for finding in module.check(joined)]
    found += [finding for module in (logs, records) for finding in module.check(world)]
    return sorted(found, key=lambda finding: int(finding.invariant[1:]))


def check(world: World) -> list[Finding]:
    """What is broken; empty where every rule holds."""
    return [finding for finding in examine(world) if not finding.holds]
