"""Marks from lines and polygons, against loops over all pixels."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from skimage import draw

from closedform_wsss.io import from_lines, from_points, from_polygons
from closedform_wsss.io._drawing.rasterize import fill_disc, fill_ellipse

RNG = np.random.default_rng(3)


def distance_to_segment(x: float, y: float, start: tuple[float, float], end: tuple[float, float]) -> float:
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = dx * dx + dy * dy
    t = 0.0 if length == 0 else min(max(((x - start[0]) * dx + (y - start[1]) * dy) / length, 0.0), 1.0)
    return math.hypot(x - start[0] - t * dx, y - start[1] - t * dy)


def is_inside(x: float, y: float, corners: list[tuple[float, float]]) -> bool:
    """Counts the edges to the left of a point."""
    inside = False
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        if (y0 <= y) != (y1 <= y) and x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x:
            inside = not inside
    return inside


@pytest.mark.parametrize("width", [1, 2, 3, 5, 8])
def test_lines_hold_the_pixels_near_them_and_no_others(width: int) -> None:
    for _ in range(12):
        points = [(int(x), int(y)) for x, y in RNG.integers(-8, 40, (4, 2))]
        marks = from_lines([(points, 7)], (24, 32), width=width)
        segments = list(itertools.pairwise(points))
        for row in range(24):
            for column in range(32):
                away = min(distance_to_segment(column, row, *segment) for segment in segments)
                if marks[row, column] == 7:
                    assert away <= width / 2 + 0.7
                else:
                    assert marks[row, column] == 255
                    assert away > width / 2 - 1


@pytest.mark.parametrize("width", [1, 2, 3, 4, 7])
def test_the_width_of_straight_lines(width: int) -> None:
    marks = from_lines([([(5, 10), (24, 10)], 1)], (21, 30), width=width)
    assert (marks[:, 8:22] == 1).sum(0).tolist() == [width] * 14
    assert torch.equal(marks.T, from_lines([([(10, 5), (10, 24)], 1)], (30, 21), width=width))


def test_a_line_does_not_depend_on_what_is_clipped() -> None:
    points = [(-30, -7), (12, 9), (47, 2), (20, 60)]
    large = from_lines([([(x + 40, y + 20) for x, y in points], 3)], (90, 120), width=5)
    assert torch.equal(from_lines([(points, 3)], (30, 40), width=5), large[20:50, 40:80])


def test_later_lines_cover_earlier_ones_and_fractions_are_rounded() -> None:
    marks = from_lines([([(0, 1), (4, 1)], 0), ([(2.4, 0), (1.6, 2)], 1)], (3, 5), width=1)
    assert marks.tolist() == [[255, 255, 1, 255, 255], [0, 0, 1, 0, 0], [255, 255, 1, 255, 255]]
    assert marks.dtype == torch.int64


def test_one_point_is_a_dot_and_no_line_is_no_mark() -> None:
    assert from_lines([([(1, 1)], 4)], (3, 3), width=1).tolist() == [[255, 255, 255], [255, 4, 255], [255, 255, 255]]
    assert from_lines([([(1, 1), (1, 1)], 4)], (3, 3), width=3).flatten().tolist().count(4) >= 5
    assert (from_lines([], (2, 3)) == 255).all()
    assert from_lines([([(0, 0), (5, 5)], 1)], (0, 4)).shape == (0, 4)
    assert (from_lines([([(90, 90), (99, 99)], 1)], (5, 5)) == 255).all()


@pytest.mark.parametrize("corners", [3, 4, 7, 30])
def test_polygons_are_the_pixels_whose_centre_is_inside(corners: int) -> None:
    for _ in range(15):
        points = [(float(x), float(y)) for x, y in RNG.uniform(-6, 26, (corners, 2)).round(2)]
        marks = from_polygons([(points, 9)], (18, 21))
        for row in range(18):
            for column in range(21):
                assert (marks[row, column] == 9) == is_inside(column, row, points)


def test_polygons_agree_with_scikit_image() -> None:
    points = RNG.uniform(0, 50, (12, 2))
    expected = draw.polygon2mask((50, 50), points[:, ::-1])  # no centre lies on an edge
    assert np.array_equal(from_polygons([(points.tolist(), 1)], (50, 50)).numpy() == 1, expected)


def test_polygons_side_by_side_share_no_pixel_and_leave_none_out() -> None:
    left, right = [(0, 0), (3, 0), (3, 4), (0, 4)], [(3, 0), (6, 0), (6, 4), (3, 4)]
    marks = from_polygons([(left, 0), (right, 1)], (6, 8))
    assert marks[:4, :6].tolist() == [[0, 0, 0, 1, 1, 1]] * 4
    assert (marks[4:] == 255).all()
    assert (marks[:, 6:] == 255).all()


def test_a_detailed_outline_of_a_large_object() -> None:
    """Row by row: looking at all corners for each pixel would take a quarter of an hour."""
    angle = np.linspace(0, 2 * np.pi, 20_000, endpoint=False)
    radius = 1400 + 40 * np.sin(60 * angle)
    points = np.stack([1500 + radius * np.cos(angle), 1500 + radius * np.sin(angle)], 1).tolist()
    area = (from_polygons([(points, 1)], (3000, 3000)) == 1).sum().item()
    assert area == pytest.approx(np.pi * (1400**2 + 40**2 / 2), rel=1e-3)


@pytest.mark.parametrize("degrees", [0, 30, 90, 135, -20, 400])
def test_ellipses(degrees: float) -> None:
    marks = np.full((40, 50), 255, np.uint8)
    fill_ellipse(marks, (21.3, 17.8), (14.0, 6.0), degrees, 2)
    turn = math.radians(degrees)
    for row in range(40):
        for column in range(50):
            x, y = column - 21.3, row - 17.8
            along, across = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
            assert (marks[row, column] == 2) == ((along / 14) ** 2 + (across / 6) ** 2 < 1)


def test_discs_are_clipped() -> None:
    for x, y, radius in ((3.0, 2.0, 2.0), (-1.2, 4.4, 3.0), (9.0, 9.0, 4.0), (-30.0, 2.0, 5.0), (4.0, 4.0, 0.0)):
        marks = np.full((8, 9), 255, np.uint8)
        fill_disc(marks, x, y, radius, 1)
        column, row = math.floor(x + 0.5), math.floor(y + 0.5)
        expected = [[math.hypot(j - column, i - row) <= radius for j in range(9)] for i in range(8)]
        assert (marks == 1).tolist() == expected


@pytest.mark.parametrize(
    ("function", "drawings", "message"),
    [
        (from_lines, [([], 1)], r"from_lines: lines\[0\] must have 1 or more points \(x, y\), got \[\]"),
        (from_lines, [([(0, 0)], 0), ([(1, 2, 3)], 1)], r"lines\[1\] must have 1 or more points"),
        (from_lines, [(["ab"], 1)], r"lines\[0\] must have 1 or more points"),
        (from_lines, [([(0, math.nan)], 1)], r"lines\[0\] must have coordinates below a million"),
        (from_lines, [([(0, 2e6)], 1)], r"lines\[0\] must have coordinates below a million"),
        (from_lines, [([(0, 0)], 255)], r"lines\[0\] must have a class in 0..254, got 255"),
        (from_lines, [([(0, 0)], 1.5)], r"lines\[0\] must have a class in 0..254, got 1.5"),
        (from_lines, [5], r"^from_lines: lines\[0\] must be \(points, class\), got 5"),
        (from_lines, [([(0, 0)], 1, 2)], r"lines\[0\] must be \(points, class\), got"),
        (from_lines, [([(0, 0)], "a")], r"lines\[0\] must have a class in 0..254, got 'a'"),
        (from_polygons, [([(0, 0)], None)], r"polygons\[0\] must have a class in 0..254, got None"),
        (from_points, [(0, 0)], r"^from_points: points\[0\] must be \(x, y, class\), got \(0, 0\)"),
        (from_points, [(0, 0, "a")], r"points\[0\] must have a class in 0..254, got 'a'"),
        (from_polygons, [([(0, 0), (1, 1)], 1)], r"from_polygons: polygons\[0\] must have 3 or more points"),
        (from_polygons, [([(0, 0), (1, 1), (2, 0)], -1)], r"polygons\[0\] must have a class in 0..254, got -1"),
    ],
)
def test_errors(function, drawings, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function(drawings, (4, 4))


def test_errors_of_options() -> None:
    with pytest.raises(ValueError, match="from_lines: width must be an integer >= 1, got 0"):
        from_lines([], (4, 4), width=0)
    with pytest.raises(ValueError, match=r"from_polygons: shape must be \(H, W\), got \(-1, 4\)"):
        from_polygons([], (-1, 4))


@pytest.mark.parametrize("function", [from_lines, from_polygons, from_points])
@pytest.mark.parametrize("shape", [5, (5,), (5, 5, 5), None, "ab", (5.0, 5), "abc"])
def test_shapes_that_are_none(function, shape) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"^{function.__name__}: shape must be \(H, W\).*, got"):
        function([], shape)


def test_arguments_of_another_type() -> None:
    assert from_lines([], (np.int64(2), np.uint8(3))).shape == from_points([], np.array([2, 3])).shape == (2, 3)
    with pytest.raises(TypeError, match=r"^from_lines: lines must hold \(points, class\) for each, got int"):
        from_lines(5, (4, 4))
    with pytest.raises(TypeError, match=r"^from_points: points\[0\] must be numbers \(x, y, class\), got x='a', y=0"):
        from_points([("a", 0, 1)], (4, 4))
    with pytest.raises(TypeError, match=r"^from_points: radius must be a number >= 0, got str 'a'"):
        from_points([], (4, 4), radius="a")
