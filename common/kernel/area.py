"""Areas that rules name: cells of the network, circles and polygons."""

from __future__ import annotations

from dataclasses import dataclass

POINT = ("longitude", "latitude", "coordinate_system")
"""The fields that say where a point is."""
CELL = "cell_id"


@dataclass(frozen=True, slots=True)
class Cells:
    cells: frozenset[str]


@dataclass(frozen=True, slots=True)
class Circle:
    """`margin_metres` outwards from the edge counts as neither inside nor outside, so nobody flutters across it."""

    longitude: float
    latitude: float
    metres: float
    coordinate_system: str
    margin_metres: float = 0.0


@dataclass(frozen=True, slots=True)
class Polygon:
    """Points as (longitude, latitude); the last joins the first. Edges are straight in degrees."""

    points: tuple[tuple[float, float], ...]
    coordinate_system: str
    margin_metres: float = 0.0


Area = Cells | Circle | Polygon
