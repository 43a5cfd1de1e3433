"""GCJ-02, in which maps sold in China are drawn, and WGS-84, in which satellites say where one is; whole columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.kernel.columns import Mask

Degrees = NDArray[np.float64]

METRES_A_DEGREE = 6_371_008.8 * np.pi / 180
"""Along a meridian, on a sphere of the earth's mean radius."""

_AXIS = 6_378_245.0
_ECCENTRICITY = 0.00669342162296594323
_WEST, _EAST, _SOUTH, _NORTH = 72.004, 137.8347, 0.8293, 55.8271
_ROUNDS = 3


def to_gcj02(longitudes: Degrees, latitudes: Degrees) -> tuple[Degrees, Degrees]:
    """WGS-84 as GCJ-02; outside China the two are the same."""
    east, north = _shift(longitudes, latitudes)
    inside = _in_china(longitudes, latitudes)
    return longitudes + np.where(inside, east, 0.0), latitudes + np.where(inside, north, 0.0)


def to_wgs84(longitudes: Degrees, latitudes: Degrees) -> tuple[Degrees, Degrees]:
    """GCJ-02 as WGS-84: what `to_gcj02` would have made these of, found by steps."""
    x, y = longitudes, latitudes
    for _ in range(_ROUNDS):
        east, north = _shift(x, y)
        x, y = longitudes - east, latitudes - north
    inside = _in_china(longitudes, latitudes)
    return np.where(inside, x, longitudes), np.where(inside, y, latitudes)


def _in_china(longitudes: Degrees, latitudes: Degrees) -> Mask:
    """The rectangle in which the shift is applied; it is wider than the country."""
    across: Mask = (longitudes >= _WEST) & (longitudes <= _EAST)
    return across & (latitudes >= _SOUTH) & (latitudes <= _NORTH)


def _shift(longitudes: Degrees, latitudes: Degrees) -> tuple[Degrees, Degrees]:
    x, y = longitudes - 105.0, latitudes - 35.0
    waves = 20 * np.sin(6 * np.pi * x) + 20 * np.sin(2 * np.pi * x)
    east = (
        300 + x + 2 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * np.sqrt(np.abs(x))
        + (waves + _swell(x, 20, 40) + 150 * np.sin(np.pi * x / 12) + 300 * np.sin(np.pi * x / 30)) * 2 / 3
    )  # fmt: skip
    north = (
        -100 + 2 * x + 3 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * np.sqrt(np.abs(x))
        + (waves + _swell(y, 20, 40) + 160 * np.sin(np.pi * y / 12) + 320 * np.sin(np.pi * y / 30)) * 2 / 3
    )  # fmt: skip
    radians = np.radians(latitudes)
    flat = 1 - _ECCENTRICITY * np.sin(radians) ** 2
    east_degrees = np.degrees(east / (_AXIS / np.sqrt(flat) * np.maximum(np.cos(radians), 1e-9)))
    return east_degrees, np.degrees(north / (_AXIS * (1 - _ECCENTRICITY) / (flat * np.sqrt(flat))))


def _swell(at: Degrees, short: float, long: float) -> Degrees:
    swell: Degrees = short * np.sin(np.pi * at) + long * np.sin(np.pi * at / 3)
    return swell
