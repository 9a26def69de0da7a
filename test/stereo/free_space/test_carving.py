"""Free space needs a match behind it: carving, structure, and ground beside steps and drops."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.engine import Engine
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.outputs.occupancy_grid import FREE, LETHAL, traversability
from occdepth_ros.prediction import OccupancyPrediction
from occdepth_ros.stereo.free_space.carving import RayCarver
from occdepth_ros.stereo.matching import NO_MATCH, STEPS, SemiGlobalMatcher
from occdepth_ros.stereo.occupancy import NEAREST_VOXELS, nearest_depth

WIDTH, HEIGHT, FOCAL, BASELINE, CAMERA_M = 640, 360, 400.0, 0.3, 1.0
GRID = VoxelGrid((0.0, -6.4, -1.6), (80, 64, 24), 0.2, "base_link")
"""z = 0 lies 0.1 m below the ground at the camera, so that the ground fills a layer of voxels half."""
WALL_M = 12.0


def make_rig() -> StereoRig:
    k = np.array([[FOCAL, 0, (WIDTH - 1) / 2], [0, FOCAL, (HEIGHT - 1) / 2], [0, 0, 1]])
    right = k @ np.array([[1.0, 0, 0, -BASELINE], [0, 1, 0, 0], [0, 0, 1, 0]])
    pose = np.array([[0.0, -1, 0, 0], [0, 0, -1, CAMERA_M + 0.1], [1, 0, 0, 0], [0, 0, 0, 1]])
    return StereoRig(PinholeCamera(k @ np.eye(3, 4), WIDTH, HEIGHT), PinholeCamera(right, WIDTH, HEIGHT), pose)


def depth_of_rows(step_m: float, slope: float = 0.0) -> npt.NDArray[np.float64]:
    """Depth of each image row: ground with a step at 6 m or a slope from 4 m on, and a wall at 12 m, `[H]`."""
    forward = np.arange(2.0, WALL_M, 0.001)
    ground = np.where(forward > 6, step_m, 0.0) + slope * np.maximum(forward - 4, 0) - CAMERA_M
    rows = (HEIGHT - 1) / 2 - FOCAL * ground / forward
    depth = np.full(HEIGHT, WALL_M)
    for row in range(HEIGHT):
        # the first ground that the ray meets
        met = np.flatnonzero(rows <= row)
        depth[row] = forward[met[0]] if len(met) else WALL_M
    return depth


def predict(depth: npt.NDArray[np.float64]) -> OccupancyPrediction:
    """stereo-geometry on a random texture with the given depth of each row."""
    random = np.random.default_rng(7)
    texture = cv2.GaussianBlur(random.integers(0, 256, (HEIGHT, 2 * WIDTH), dtype=np.uint8), (0, 0), 1.2)
    texture = cv2.normalize(texture, texture, 0, 255, cv2.NORM_MINMAX)
    column, row = np.meshgrid(np.arange(WIDTH, dtype=np.float32), np.arange(HEIGHT, dtype=np.float32))
    shift = (FOCAL * BASELINE / depth)[:, None].astype(np.float32)
    pair = [cv2.remap(texture, column + WIDTH / 2 + s, row, cv2.INTER_LINEAR) for s in (0 * shift, shift)]
    left, right = (np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), np.uint8) for image in pair)
    return Engine(make_rig(), GRID).predict(left, right)


def costs_ahead(prediction: OccupancyPrediction) -> npt.NDArray[np.int8]:
    """The costs within 1 m of the axis, `[X, 10]`."""
    return traversability(prediction)[:, 27:37]


def rows_between(low: float, high: float) -> npt.NDArray[np.bool_]:
    x = GRID.axis_centers(0)
    return np.asarray((x > low) & (x < high))


@pytest.mark.parametrize("slope", [0.0, 0.12])
def test_flat_ground_and_a_ramp_are_free(slope: float) -> None:
    costs = costs_ahead(predict(depth_of_rows(0.0, slope)))
    assert (costs[rows_between(3.0, 10.5)] == FREE).mean() > 0.95


def test_the_face_of_a_terrace_is_lethal_and_the_ground_before_it_is_free() -> None:
    costs = costs_ahead(predict(depth_of_rows(0.6)))
    assert (costs[rows_between(5.6, 6.8)] == LETHAL).any(axis=0).mean() > 0.9
    assert (costs[rows_between(3.0, 5.2)] == FREE).mean() > 0.95


def test_ground_is_free_from_the_nearest_row_that_the_image_shows() -> None:
    """The lowest image row shows the ground at 2.2 m, nearer than the 15 voxels that are matched elsewhere."""
    assert (costs_ahead(predict(depth_of_rows(0.6)))[rows_between(2.5, 3.0)] == FREE).mean() > 0.9


@pytest.mark.parametrize(("step_m", "visible_m"), [(-1.0, 12.0), (-0.6, 9.6), (-0.4, 8.4)])
def test_no_voxel_is_free_beyond_the_edge_of_a_drop(step_m: float, visible_m: float) -> None:
    """The ground beyond the edge is visible from `visible_m` on."""
    costs = costs_ahead(predict(depth_of_rows(step_m)))
    assert (costs[rows_between(6.6, visible_m - 0.8)] == FREE).mean() < 0.05
    assert (costs[rows_between(3.0, 5.4)] == FREE).mean() > 0.95


@pytest.mark.parametrize("grey", [0, 25, 100, 180, 255])
@pytest.mark.parametrize("noise", [0.0, 0.7])
def test_a_uniform_view_carves_no_voxel(grey: int, noise: float) -> None:
    rng = np.random.default_rng(grey)
    shape = (HEIGHT, WIDTH, 3)
    left, right = (np.clip(grey + rng.normal(0, noise, shape), 0, 255).astype(np.uint8) for _ in range(2))
    prediction = Engine(make_rig(), GRID).predict(left, right)
    assert not prediction.free.any()
    assert not prediction.occupied.any()
    assert np.isnan(prediction.depth).all()


def test_stripes_along_the_rows_carve_no_voxel() -> None:
    """Each row is uniform, so that every disparity matches equally well."""
    rows = np.random.default_rng(0).integers(0, 255, (HEIGHT, 1, 3), np.uint8)
    image = np.ascontiguousarray(np.broadcast_to(rows, (HEIGHT, WIDTH, 3)))
    prediction = Engine(make_rig(), GRID).predict(image, image.copy())
    assert not prediction.free.any()


CARVER = RayCarver(make_rig(), GRID, FOCAL * BASELINE)


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 1.0), st.sampled_from([1, 4, 16, 64]))
@settings(max_examples=25, deadline=None)
def test_no_voxel_is_free_without_a_match_behind_it(seed: int, matched_share: float, block: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (-(-HEIGHT // block), -(-WIDTH // block))
    coarse = np.where(rng.random(shape) < matched_share, rng.integers(0, 48 * STEPS, shape), NO_MATCH)
    disparity = coarse.repeat(block, 0).repeat(block, 1)[:HEIGHT, :WIDTH].astype(np.int16)
    carved = CARVER.carve(disparity)
    assert not (carved.free & carved.unmatched).any()
    points = GRID.centers()[CARVER.in_view] @ make_rig().left_from_grid[:3, :3].T + make_rig().left_from_grid[:3, 3]
    z = points[:, 2]
    column = np.rint(points[:, 0] * FOCAL / z + (WIDTH - 1) / 2).astype(int)
    row = np.rint(points[:, 1] * FOCAL / z + (HEIGHT - 1) / 2).astype(int)
    # the smallest valid disparity within the largest window that a voxel of this depth covers
    farthest = np.where(disparity < 0, 32767, disparity).astype(np.int16)
    for i in rng.permutation(np.flatnonzero(carved.free))[:200]:
        reach = int(2 * FOCAL * GRID.resolution / z[i]) + 3
        r, c = max(0, row[i] - reach), max(0, column[i] - reach)
        behind = farthest[r : row[i] + reach + 1, c : column[i] + reach + 1].min()
        assert behind < FOCAL * BASELINE * STEPS / z[i]


def test_a_match_at_the_end_of_the_search_range_is_none() -> None:
    """What is nearer than the range would be placed at its end, and carve the space before it."""
    matcher = SemiGlobalMatcher(make_rig(), nearest_m=3.0)
    random = np.random.default_rng(5)
    texture = random.integers(0, 256, (HEIGHT, WIDTH + 80, 1), np.uint8).repeat(3, 2)
    for shift in (matcher.count - 1, matcher.count, matcher.count + 3):
        disparity = matcher.match(texture[:, :WIDTH].copy(), texture[:, shift : shift + WIDTH].copy())
        assert (disparity == NO_MATCH).mean() > 0.99


def texture(seed: int, height: int = HEIGHT, width: int = WIDTH) -> npt.NDArray[np.uint8]:
    grey = np.random.default_rng(seed).integers(20, 180, (height, width), dtype=np.uint8)
    return np.asarray(cv2.cvtColor(cv2.GaussianBlur(grey, (0, 0), 1.5), cv2.COLOR_GRAY2RGB), np.uint8)


def test_equal_pixels_at_zero_disparity_have_no_match() -> None:
    scene, shift = texture(1, width=WIDTH + 20), 20
    left, right = scene[:, :WIDTH].copy(), scene[:, shift:].copy()
    for image in (left, right):
        image[100:200, 200:500] = texture(2, 100, 300)  # burnt-in text, dirt on both lenses, fixed-pattern noise
    disparity = SemiGlobalMatcher(make_rig(), nearest_m=3.0).match(left, right)
    assert (disparity[110:190, 240:460] == NO_MATCH).mean() > 0.97
    assert (disparity[220:, 60:] == shift * STEPS).mean() > 0.9


def test_the_border_of_a_saturated_region_is_no_far_match() -> None:
    scene = texture(1, width=WIDTH + 4)
    left, right = scene[:, :WIDTH].copy(), scene[:, 2 : 2 + WIDTH].copy()
    glare = np.clip((np.arange(WIDTH) - 300) * 6, 0, 255)[None, :, None]
    dazzled = [np.clip(image + glare, 0, 255).astype(np.uint8) for image in (left, right)]
    matcher = SemiGlobalMatcher(make_rig(), nearest_m=3.0)
    border = np.s_[20:-20, 336:]
    assert (matcher.match(*dazzled)[border] == NO_MATCH).mean() > 0.99
    assert (matcher.match(left, right)[border] >= 0).mean() > 0.8


@given(st.floats(-3.0, 3.0), st.floats(-0.4, 0.8), st.floats(0.05, 0.5))
def test_the_search_range_is_at_most_doubled(height: float, pitch: float, resolution: float) -> None:
    rig = make_rig()
    down = np.eye(4)
    down[:3, :3] = cv2.Rodrigues(np.array([-pitch, 0.0, 0.0]))[0]
    pose = down @ rig.left_from_grid
    pose[:3, 3] = -pose[:3, :3] @ [0.0, 0.0, height]
    usual = NEAREST_VOXELS * resolution
    grid = VoxelGrid((0.0, -2.0, -1.6), (20, 20, 20), resolution)
    assert usual / 2 <= nearest_depth(replace(rig, reference_from_grid=pose), grid) <= usual


def test_without_any_match_no_voxel_is_free() -> None:
    carved = CARVER.carve(np.full((HEIGHT, WIDTH), NO_MATCH, np.int16))
    assert carved.unmatched.all()
    assert not carved.free.any()
