"""Blocks and balls: rays hit them at the expected points, also at the borders of windows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.data.synthetic.detail.refine import refined
from occdepth_ros.data.synthetic.rendering.camera_view import CameraView
from occdepth_ros.data.synthetic.rendering.raster import NOTHING, rasterize
from occdepth_ros.data.synthetic.rendering.shading import normals_of
from occdepth_ros.data.synthetic.rendering.shadow_map import ShadowMap
from occdepth_ros.data.synthetic.scene.solids import Ball, Block, Paint, Part, World, ball, box, moved, placed, post
from occdepth_ros.data.synthetic.scene.things import lamp, person, sign

GREY = (0.5, 0.5, 0.5)
SHAPES: list[Part] = [
    box("building", (-1, -0.5, 0), (1, 0.5, 0.8), GREY),
    box("car", (-1, -1, 0), (1, 1, 1), GREY, cuts=[((1, 0.2, 1), (0.6, 0, 0.6)), ((0, -1, 0.3), (0, -0.7, 0.4))]),
    ball("vegetation", (0, 0, 0.2), (1.0, 0.4, 0.7), GREY),
    post("pole", 0.6, 1.3, GREY),
]


def inside(part: Part, points: np.ndarray, margin: float = 0.0) -> np.ndarray:
    """Whether points `[3, N]` are in a part grown by a margin, metres."""
    if isinstance(part, Block):
        return np.asarray((part.planes[:, :3] @ points <= part.planes[:, 3:] + margin).all(axis=0))
    radii = np.asarray(part.radii) + margin
    local = part.rotation.T @ (points - part.center[:, None]) / radii[:, None]
    return np.asarray((local**2).sum(axis=0) <= 1)


def camera(width: int = 41, height: int = 31, focal: float = 40.0) -> CameraView:
    """A camera at the origin that looks along x."""
    pose = np.eye(4)
    pose[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    k = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    return CameraView.from_pose(k, pose, width, height)


def rotation(rng: np.random.Generator) -> np.ndarray:
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


@pytest.mark.parametrize("index", range(len(SHAPES)))
@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_a_ray_enters_at_the_expected_point(index: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    (part,) = moved([SHAPES[index]], rotation(rng), rng.uniform((3, -2, -2), (9, 2, 2)))
    world, view = World.of([part]), camera()
    hits = rasterize(view, world)
    directions = view.directions().reshape(3, -1).astype(np.float64)
    w = hits.w.ravel().astype(np.float64)
    hit = w > 0
    points = directions[:, hit] / w[hit]
    assert inside(part, points, 5e-3).all()
    assert not inside(part, points, -5e-3).any()
    normals = normals_of(world, hits.solid.ravel()[hit], hits.face.ravel()[hit], points.astype(np.float32))
    np.testing.assert_allclose(np.linalg.norm(normals, axis=0), 1, atol=1e-3)
    assert ((normals * directions[:, hit]).sum(axis=0) < 0.05).all()
    # no point in front of the hit is inside, and rays that miss have none at all
    reach = np.where(hit, 1 / np.maximum(w, 1e-6) - 5e-3, 15.0)
    for step in np.linspace(0, 1, 80):
        assert not inside(part, directions * reach * step, -5e-3).any()


@pytest.mark.parametrize("part", SHAPES)
def test_corners_enclose_the_solid(part: Part) -> None:
    points = np.random.default_rng(0).uniform(-2, 2, (3, 20_000))
    within = points[:, inside(part, points)]
    assert within.shape[1] > 100
    corners = World.of([part]).corners[0]
    assert (within.min(axis=1) >= corners.min(axis=0) - 1e-6).all()
    assert (within.max(axis=1) <= corners.max(axis=0) + 1e-6).all()


def test_the_nearest_solid_is_hit_in_any_order() -> None:
    wall, pole = box("building", (8, -20, -20), (9, 20, 20), GREY), post("pole", 0.5, 10, GREY, (5, 0, -5))
    one, other = (rasterize(camera(), World.of(parts)) for parts in ([wall, pole], [pole, wall]))
    np.testing.assert_allclose(1 / one.w[:, 0], 8, rtol=1e-4)
    assert 1 / one.w[15, 20] == pytest.approx(4.5, abs=1e-3)
    assert (one.solid[15, 20], one.solid[15, 0]) == (1, 0)
    np.testing.assert_allclose(one.w, other.w, rtol=1e-6)
    np.testing.assert_array_equal(one.solid, 1 - other.solid)


def test_more_samples_subdivide_pixels() -> None:
    view = camera()
    u = np.arange(view.width)
    fine = view.supersampled(3).directions()
    np.testing.assert_allclose(fine[:, 1::3, 1::3], view.directions(), atol=1e-5)
    np.testing.assert_allclose(fine.reshape(3, 31, 3, 41, 3).mean(axis=(2, 4)), view.directions(), atol=1e-5)
    assert u.size * 3 == fine.shape[2]


def test_fences_have_gaps_that_rays_pass() -> None:
    boards = box("fence", (-5, -0.02, 0), (5, 0.02, 1), GREY, Paint.SLATS)
    fence = placed([boards], np.pi / 2, (3, 0, -0.5))
    hits = rasterize(camera(201, 11, 100.0), World.of(fence))
    assert 0.6 < (hits.solid[5] != NOTHING).mean() < 0.85


def test_leaves_have_gaps_mostly_at_the_rim() -> None:
    crown = ball("vegetation", (6, 0, 0), (2, 2, 2), GREY, Paint.FOLIAGE)
    view = camera(201, 201, 200.0)
    hits, solid = (
        rasterize(view, World.of([crown])),
        rasterize(view, World.of([ball("person", (6, 0, 0), (2, 2, 2), GREY)])),
    )
    leafy, full = hits.solid != NOTHING, solid.solid != NOTHING
    assert not (leafy & ~full).any()
    middle = np.zeros_like(full)
    middle[75:126, 75:126] = True
    assert leafy[middle].mean() > 0.9 > leafy[full & ~middle].mean() > 0.4


def test_a_block_casts_its_shadow_away_from_the_sun() -> None:
    sun = ShadowMap(np.array([-1, 0, 1]) / np.sqrt(2), (-10, -10), 0.1, 200, 200)
    hits = rasterize(sun, World.of([box("building", (0, -1, 0), (1, 1, 3), GREY)]))
    points = np.array([[2.5, 5.0, -1.0, 2.5], [0, 0, 0, 3.0], [0, 0, 0, 0]], np.float32)
    np.testing.assert_array_equal(sun.sunlit(hits.w, points), [0, 1, 1, 1])


def test_refinement_adds_parts_and_keeps_the_others() -> None:
    parts = [*person(GREY, GREY), *lamp(), *sign(np.random.default_rng(0))]
    fine = refined(parts)
    assert len(fine) == len(parts) + 4 + 1
    for before, after in zip(parts, fine, strict=False):
        assert type(before) is type(after)
        if isinstance(before, Ball) and isinstance(after, Ball):
            np.testing.assert_allclose(before.center, after.center)
        if isinstance(before, Block) and isinstance(after, Block):
            np.testing.assert_allclose(before.planes, after.planes[: len(before.planes)])
