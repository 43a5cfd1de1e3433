"""Which events happened inside an area and which outside: cells, circles and polygons, whole columns at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import shapely

from common.kernel.area import CELL, POINT, Area, Cells, Circle, Polygon
from common.kernel.columns import Mask
from common.kernel.event import Events, Texts
from province.triggers.matching.coordinates import METRES_A_DEGREE, Degrees, to_wgs84
from province.triggers.matching.truth import EVERYWHERE, Truth, told

GCJ_02 = "GCJ-02"


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Where events happened, in WGS-84; NaN where they do not say it."""

    longitudes: Degrees
    latitudes: Degrees


def points_of(events: Events) -> Points:
    """Types whose events have no point at all have none anywhere."""
    longitude, latitude, system = (events.columns.get(name) for name in POINT)
    if longitude is None or latitude is None or not isinstance(system, Texts):
        nowhere = np.full(len(events), np.nan)
        return Points(nowhere, nowhere)
    shifted = np.array([word == GCJ_02 for word in system.words], dtype=np.bool_)[system.refs]
    x, y = np.array(longitude, dtype=np.float64), np.array(latitude, dtype=np.float64)
    if shifted.any():
        x[shifted], y[shifted] = to_wgs84(x[shifted], y[shifted])
    return Points(x, y)


class Areas:
    """Areas by name, made ready to look many events up."""

    def __init__(self, areas: Mapping[str, Area]) -> None:
        self._cells = {name: area.cells for name, area in areas.items() if isinstance(area, Cells)}
        self._shapes: dict[str, _Circle | _Polygon] = {}
        for name, area in areas.items():
            if isinstance(area, Circle):
                self._shapes[name] = _Circle(area)
            elif isinstance(area, Polygon):
                self._shapes[name] = _Polygon(area)

    def of_cells(self, name: str) -> bool:
        return name in self._cells

    def by_cell(self, name: str, events: Events) -> Truth:
        """NULL where an event names no cell."""
        cells = events.columns.get(CELL)
        if not isinstance(cells, Texts) or not cells.words:
            return Truth(~EVERYWHERE, ~EVERYWHERE)
        wanted = self._cells[name]
        inside = np.array([word in wanted for word in cells.words], dtype=np.bool_)
        named = np.array([bool(word) for word in cells.words], dtype=np.bool_)
        return told(inside[cells.refs], named[cells.refs])

    def by_point(self, name: str, points: Points) -> Truth:
        """NULL where an event has no point, or one between the edge and the margin."""
        inside, outside = self._shapes[name].sides(points.longitudes, points.latitudes)
        return Truth(inside, outside)


class _Circle:
    def __init__(self, circle: Circle) -> None:
        self._x, self._y = _in_wgs84(np.array([[circle.longitude, circle.latitude]]), circle.coordinate_system)[0]
        self._edge, self._beyond = circle.metres, circle.metres + circle.margin_metres

    def sides(self, longitudes: Degrees, latitudes: Degrees) -> tuple[Mask, Mask]:
        metres = _metres(longitudes, latitudes, self._x, self._y)
        return metres <= self._edge, metres > self._beyond


def _metres(longitudes: Degrees, latitudes: Degrees, x: float, y: float) -> Degrees:
    """On the sphere, by the haversine."""
    a, b = np.radians(latitudes), np.radians(y)
    half = np.sin((a - b) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(np.radians(longitudes - x) / 2) ** 2
    found: Degrees = np.degrees(2 * np.arcsin(np.sqrt(np.minimum(half, 1.0)))) * METRES_A_DEGREE
    return found


class _Polygon:
    """Distances to the edge are taken in the plane that touches the polygon's middle."""

    def __init__(self, polygon: Polygon) -> None:
        corners = _in_wgs84(np.array(polygon.points, dtype=np.float64), polygon.coordinate_system)
        self._middle = (corners.min(axis=0) + corners.max(axis=0)) / 2
        self._scale = np.array([np.cos(np.radians(self._middle[1])), 1.0]) * METRES_A_DEGREE
        self._shape = shapely.Polygon((corners - self._middle) * self._scale)
        self._margin = polygon.margin_metres
        shapely.prepare(self._shape)
        self._west, self._south, self._east, self._north = self._shape.buffer(polygon.margin_metres + 1).bounds

    def sides(self, longitudes: Degrees, latitudes: Degrees) -> tuple[Mask, Mask]:
        x = (longitudes - self._middle[0]) * self._scale[0]
        y = (latitudes - self._middle[1]) * self._scale[1]
        near = np.flatnonzero((x >= self._west) & (x <= self._east) & (y >= self._south) & (y <= self._north))
        inside, outside = np.zeros(len(x), dtype=np.bool_), ~(np.isnan(x) | np.isnan(y))
        x, y = x[near], y[near]
        inside[near] = within = shapely.intersects_xy(self._shape, x, y)
        outside[near] = ~within
        if self._margin:
            apart = near[~within]
            outside[apart] = self._beyond(x[~within], y[~within])
        return inside, outside

    def _beyond(self, x: Degrees, y: Degrees) -> Mask:
        close: Mask = shapely.dwithin(self._shape, shapely.points(x, y), self._margin)
        return ~close


def _in_wgs84(points: Degrees, system: str) -> Degrees:
    return np.column_stack(to_wgs84(points[:, 0], points[:, 1])) if system == GCJ_02 else points
