from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.data.street.materials import Slats, Textured, reference
from occdepth_ros.data.street.raycast import PinholeView, cast_sphere, cast_view, shadowed
from occdepth_ros.data.street.scene import Body, Solid, turned
from occdepth_ros.data.street.shapes import Convex, Cylinder, Ellipsoid, Shape

SHAPES: list[Shape] = [
    Convex.box((-1, -0.5, 0), (1, 0.5, 0.8)),
    Convex.box((-1, -1, 0), (1, 1, 1)).cut((1, 0.2, 1), (0.6, 0, 0.6)).cut((0, -1, 0.3), (0, -0.7, 0.4)),
    Ellipsoid(np.array([1.0, 0.4, 0.7], np.float32)),
    Cylinder(0.6, 1.3),
]
REFERENCE = Textured(reference((0.5, 0.5, 0.5)))


def rays(seed: int, count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    origin = rng.normal(size=(3, 1))
    origin = (4 * origin / np.linalg.norm(origin)).astype(np.float32)
    aim = rng.uniform(-1, 1, (3, count)) - origin
    return origin, (aim / np.linalg.norm(aim, axis=0)).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_a_ray_enters_where_it_says(shape: Shape, seed: int) -> None:
    origin, direction = rays(seed)
    t = shape.intersect(origin, direction)
    hit = np.isfinite(t)
    points = origin + t[hit] * direction[:, hit]
    assert not shape.contains(points, -1e-3).any()
    assert shape.contains(points, 1e-3).all()
    normals = shape.normal(points)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=0), 1, atol=1e-4)
    assert ((normals * direction[:, hit]).sum(axis=0) < 1e-2).all()
    # no sample before the hit is inside, and rays that miss have none at all
    steps = np.linspace(0, 1, 60, dtype=np.float32)
    for i in range(0, direction.shape[1], 20):
        reach = t[i] - 2e-3 if hit[i] else 8.0
        assert not shape.contains(origin + reach * steps * direction[:, i : i + 1], -1e-3).any()


@pytest.mark.parametrize("shape", SHAPES)
def test_bounds_enclose_the_shape(shape: Shape) -> None:
    low, high = shape.bounds
    points = np.random.default_rng(0).uniform(-2, 2, (3, 20_000)).astype(np.float32)
    inside = points[:, shape.contains(points)]
    assert inside.shape[1] > 100
    assert (inside.min(axis=1) >= low - 1e-6).all()
    assert (inside.max(axis=1) <= high + 1e-6).all()


def ahead(width: int = 41, height: int = 31, focal: float = 40.0) -> PinholeView:
    """A camera at the origin that looks along x."""
    pose = np.eye(4)
    pose[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    k = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    return PinholeView(k, pose, width, height)


def test_depth_is_z_and_the_nearest_solid_wins() -> None:
    wall = Solid(Convex.box((8, -20, -20), (9, 20, 20)), REFERENCE, 13)
    pole = Solid(Cylinder(0.5, 10), REFERENCE, 18, position=np.array([5, 0, -5], np.float32))
    depth, index = cast_view(ahead(), [wall, pole])
    np.testing.assert_allclose(depth[:, 0], 8, atol=1e-4)
    assert depth[15, 20] == pytest.approx(4.5, abs=1e-4)
    assert (index[15, 20], index[15, 0]) == (1, 0)
    reverse_depth, reverse_index = cast_view(ahead(), [pole, wall])
    np.testing.assert_array_equal(depth, reverse_depth)
    np.testing.assert_array_equal(index, 1 - reverse_index)


def test_the_search_window_of_a_solid_loses_nothing() -> None:
    rng = np.random.default_rng(1)
    view = ahead()
    for _ in range(40):
        shape = SHAPES[rng.integers(len(SHAPES))]
        solid = Solid(
            shape, REFERENCE, 1, turned(*rng.uniform(-3, 3, 3)), rng.uniform([1, -4, -4], [9, 4, 4]).astype(np.float32)
        )
        depth, _ = cast_view(view, [solid])
        rotation, directions = solid.rotation, view.directions().reshape(3, -1)
        everywhere = shape.intersect(solid.to_local(view.origin), rotation.T @ directions).reshape(depth.shape)
        np.testing.assert_array_equal(np.isfinite(depth), np.isfinite(everywhere))


def test_a_panorama_agrees_with_single_rays() -> None:
    rng = np.random.default_rng(2)
    solids = [
        Solid(SHAPES[i % 4], REFERENCE, 1, turned(*rng.uniform(-3, 3, 3)), (rng.normal(size=3) * 4).astype(np.float32))
        for i in range(30)
    ]
    origin = np.array([[0.0], [0], [9]], np.float32)
    rows, columns = 60, 120
    distance = cast_sphere(origin, rows, columns, solids)
    azimuth = (np.arange(columns) + 0.5) / columns * 2 * np.pi
    polar = (np.arange(rows)[:, None] + 0.5) / rows * np.pi
    direction = np.stack(
        [np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar) + 0 * azimuth]
    )
    direction = direction.reshape(3, -1).astype(np.float32)
    expected = np.min([s.shape.intersect(s.to_local(origin), s.rotation.T @ direction) for s in solids], axis=0)
    assert np.isfinite(expected).sum() > 200
    np.testing.assert_array_equal(np.isfinite(distance.ravel()), np.isfinite(expected))
    seen = np.isfinite(expected)
    np.testing.assert_allclose(distance.ravel()[seen], expected[seen], rtol=1e-5)


def test_shadows_fall_away_from_the_sun() -> None:
    post = Solid(Cylinder(0.2, 2.0), REFERENCE, 18)
    ground = np.array([[1.0, -1.0, 2.5, 1.0], [0, 0, 0, 1.0], [0, 0, 0, 0]], np.float32)
    up = np.tile(np.array([[0], [0], [1]], np.float32), 4)
    sun = np.array([-1, 0, 1], np.float32) / np.float32(np.sqrt(2))
    np.testing.assert_array_equal(shadowed(ground, up, sun, [post]), [True, False, False, False])


def test_fences_have_gaps_that_rays_pass() -> None:
    boards = Convex.box((-5, -0.02, 0), (5, 0.02, 1))
    fence = Solid(boards, Slats(REFERENCE, 0.5, 0.4, 1.0), 14, turned(np.pi / 2), np.array([3, 0, -0.5], np.float32))
    depth, _ = cast_view(ahead(201, 11, 100.0), [fence])
    share = np.isfinite(depth[5]).mean()
    assert 0.5 < share < 0.7


def test_bodies_move_and_turn() -> None:
    box = Solid(Convex.box((0, 0, 0), (1, 1, 1)), REFERENCE, 1)
    (moved,) = Body([box], np.pi / 2, (10, 0, 0), (0, 2, 0)).at(1.5)
    np.testing.assert_allclose(moved.corners.min(axis=1), [9, 3, 0], atol=1e-6)
    np.testing.assert_allclose(moved.corners.max(axis=1), [10, 4, 1], atol=1e-6)
