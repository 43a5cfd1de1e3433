"""Where events happened: cells, circles and polygons, in two coordinate systems."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from common.kernel.area import Area, Cells, Circle, Polygon
from common.kernel.event import Events
from province.triggers.matching.areas import Areas, points_of
from province.triggers.matching.coordinates import METRES_A_DEGREE, to_gcj02, to_wgs84
from province.triggers.matching.truth import Truth
from tests.triggers.made_events import events_of

LANDMARKS = [  # WGS-84, then GCJ-02 as maps draw it: Shanghai, Shenzhen, Beijing
    ((121.5272106, 31.1774276), (121.531541859215, 31.17530398364597)),
    ((113.912316, 22.543847), (113.9171764808363, 22.540796131694766)),
    ((116.377817, 39.911954), (116.38404722455657, 39.91334545536069)),
]


@pytest.mark.parametrize(("wgs84", "gcj02"), LANDMARKS)
def test_landmarks_are_where_maps_draw_them(wgs84: tuple[float, float], gcj02: tuple[float, float]) -> None:
    there = to_gcj02(np.array([wgs84[0]]), np.array([wgs84[1]]))
    assert np.concatenate(there) == pytest.approx(gcj02, abs=1e-6)
    back = to_wgs84(np.array([gcj02[0]]), np.array([gcj02[1]]))
    assert np.concatenate(back) == pytest.approx(wgs84, abs=1e-6)


def test_there_and_back_again_is_exact_to_a_millimetre() -> None:
    draw = np.random.default_rng(3)
    x, y = draw.uniform(73.5, 134.8, 200_000), draw.uniform(18.0, 53.6, 200_000)
    shifted = to_gcj02(x, y)
    metres = np.hypot((shifted[0] - x) * np.cos(np.radians(y)), shifted[1] - y) * METRES_A_DEGREE
    assert 10 < metres.min() < metres.max() < 1500
    back = to_wgs84(*shifted)
    assert max(np.abs(back[0] - x).max(), np.abs(back[1] - y).max()) < 1e-8


def test_outside_china_the_two_systems_are_one() -> None:
    x, y = np.array([-0.12, 139.69, 151.2, 103.8, np.nan]), np.array([51.5, 35.68, -33.87, 0.5, 3.0])
    for convert in (to_gcj02, to_wgs84):
        assert np.array_equal(convert(x, y), (x, y), equal_nan=True)


def events(points: list[tuple[float, float] | None], system: str = "WGS-84", cells: list[str] | None = None) -> Events:
    rows: list[dict[str, Any]] = []
    for number, point in enumerate(points):
        x, y = point or (None, None)
        place = {
            "longitude": x,
            "latitude": y,
            "coordinate_system": point and system,
            "cell_id": cells and cells[number],
        }
        rows.append({"type": "subway", "id": number, "key": 1, "at": 0, "position": number, **place})
    return events_of(rows)[0]


def sides(area: Area, of: Events) -> list[bool | None]:
    areas = Areas({"here": area})
    truth: Truth = areas.by_cell("here", of) if areas.of_cells("here") else areas.by_point("here", points_of(of))
    return [True if yes else False if no else None for yes, no in zip(truth.yes, truth.no, strict=True)]


def test_a_cell_is_in_the_set_or_out_of_it() -> None:
    of = events([None] * 4, cells=["a", "b", "", "c"])
    assert sides(Cells(frozenset({"a", "c"})), of) == [True, False, None, True]


def test_between_the_edge_and_the_margin_is_neither_side() -> None:
    north = [(108.0, 22.0 + metres / METRES_A_DEGREE) for metres in (0, 499, 501, 599, 601)]
    assert sides(Circle(108.0, 22.0, 500, "WGS-84", 100), events([*north, None])) == [
        True,
        True,
        None,
        None,
        False,
        None,
    ]
    assert sides(Circle(108.0, 22.0, 500, "WGS-84"), events(north)) == [True, True, False, False, False]
    square = Polygon(((107.0, 21.0), (109.0, 21.0), (109.0, 22.0), (107.0, 22.0)), "WGS-84", 100)
    beyond = [(108.0, 22.0 + metres / METRES_A_DEGREE) for metres in (-1, 1, 99, 101)]
    assert sides(square, events(beyond)) == [True, None, None, False]


def test_an_area_and_an_event_may_be_in_different_systems() -> None:
    (wgs84, gcj02) = LANDMARKS[0]
    circle = Circle(*gcj02, 10, "GCJ-02")
    assert sides(circle, events([wgs84, gcj02])) == [True, False]
    assert sides(circle, events([wgs84, gcj02], "GCJ-02")) == [False, True]
    corners = tuple((gcj02[0] + dx, gcj02[1] + dy) for dx, dy in ((-1e-4, -1e-4), (1e-4, -1e-4), (0.0, 1e-4)))
    assert sides(Polygon(corners, "GCJ-02"), events([wgs84, gcj02])) == [True, False]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(3, 9), st.sampled_from([0.0, 50.0, 2_000.0]), st.integers(-70, 70))
def test_polygons_hold_what_shapely_says_one_at_a_time(seed: int, corners: int, margin: float, south: int) -> None:
    draw = random.Random(seed)  # noqa: S311
    around = sorted(draw.uniform(0, 2 * math.pi) for _ in range(corners))
    star = [(100 + r * math.cos(a), south + r * math.sin(a)) for a in around for r in [draw.uniform(0.01, 0.1)]]
    shape = shapely.Polygon(star)
    assume(shape.is_valid and shape.area > 1e-6)
    points = [(100 + draw.uniform(-0.15, 0.15), south + draw.uniform(-0.15, 0.15)) for _ in range(60)]
    found = sides(Polygon(tuple(star), "WGS-84", margin), events(list(points)))
    flat = shapely.transform(shape, lambda xy: xy * _metres(xy, south))
    for point, side in zip(points, found, strict=True):
        inside = shape.covers(shapely.Point(point))
        metres = shapely.distance(flat, shapely.Point(point[0] * _scale(south), point[1] * METRES_A_DEGREE))
        if abs(metres - margin) > 0.02 * margin + 0.01:
            assert side is (True if inside else False if metres > margin else None)


def _scale(south: float) -> float:
    return math.cos(math.radians(south)) * METRES_A_DEGREE


def _metres(xy: Any, south: float) -> Any:
    return np.broadcast_to(np.array([_scale(south), METRES_A_DEGREE]), xy.shape)


@settings(max_examples=100, deadline=None)
@given(st.floats(-179, 179), st.floats(-85, 85), st.floats(1, 1e5), st.floats(0, 1e3), st.integers(0, 2**32))
def test_circles_hold_what_the_great_circle_says(x: float, y: float, metres: float, margin: float, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311
    points = [(x + draw.gauss(0, 0.3), max(-89.9, min(89.9, y + draw.gauss(0, 0.3)))) for _ in range(20)]
    found = sides(Circle(x, y, metres, "WGS-84", margin), events(list(points)))
    for (a, b), side in zip(points, found, strict=True):
        p, q = (np.array([math.cos(math.radians(v)) * math.cos(math.radians(u)),
                          math.cos(math.radians(v)) * math.sin(math.radians(u)),
                          math.sin(math.radians(v))]) for u, v in ((a, b), (x, y)))  # fmt: skip
        away = math.degrees(math.atan2(float(np.linalg.norm(np.cross(p, q))), float(p @ q))) * METRES_A_DEGREE
        if abs(away - metres) > 0.01 and abs(away - metres - margin) > 0.01:
            assert side is (True if away < metres else False if away > metres + margin else None)
