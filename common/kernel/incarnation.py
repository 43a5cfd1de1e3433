"""Who a node is to its peers: a number that rises each time it came back from a backup."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retold:
    """Everything a province knows of contacts has been told to the HQ of this incarnation."""

    incarnation: int
