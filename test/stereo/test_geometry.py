"""The model stereo-geometry on a made scene whose geometry is known."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.engine import Engine
from occdepth_ros.errors import CalibrationError, ModelError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.stereo_geometry import StereoGeometry
from occdepth_ros.prediction import OccupancyPrediction, Visibility
from occdepth_ros.stereo.free_space.carving import RayCarver
from occdepth_ros.stereo.ground.estimation import ground_plane
from occdepth_ros.stereo.matching import NO_MATCH, STEPS, SemiGlobalMatcher
from occdepth_ros.stereo.surface import SurfaceBinning

WIDTH, HEIGHT, FOCAL, BASELINE = 480, 160, 280.0, 0.5
WALL_M = 12.1
CAMERA_M = 1.6
GRID = VoxelGrid((0, -6.4, -2.0), (80, 64, 24), 0.2, "vehicle")


def make_rig() -> StereoRig:
    k = np.array([[FOCAL, 0, (WIDTH - 1) / 2], [0, FOCAL, (HEIGHT - 1) / 2], [0, 0, 1]])
    right = k @ np.array([[1.0, 0, 0, -BASELINE], [0, 1, 0, 0], [0, 0, 1, 0]])
    pose = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    return StereoRig(
        PinholeCamera(k @ np.eye(3, 4), WIDTH, HEIGHT),
        PinholeCamera(right, WIDTH, HEIGHT),
        pose,
    )


def true_depth() -> npt.NDArray[np.float64]:
    """Road `CAMERA_M` below the camera, ending at a wall."""
    row = np.arange(HEIGHT)[:, None] - (HEIGHT - 1) / 2
    ground = np.where(row > 0, FOCAL * CAMERA_M / np.maximum(row, 1e-9), np.inf)
    return np.broadcast_to(np.minimum(ground, WALL_M), (HEIGHT, WIDTH))


def make_pair() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Left and right image of the scene: the surfaces carry a random texture that both cameras see."""
    random = np.random.default_rng(7)
    texture = cv2.GaussianBlur(random.integers(0, 256, (HEIGHT, 2 * WIDTH), dtype=np.uint8), (0, 0), 1.0)
    texture = cv2.normalize(texture, texture, 0, 255, cv2.NORM_MINMAX)
    disparity = FOCAL * BASELINE / true_depth()
    # depth depends on the row only, so a row of the right image is the left one's moved by one disparity
    column, row = np.meshgrid(np.arange(WIDTH, dtype=np.float32), np.arange(HEIGHT, dtype=np.float32))
    pair = [
        cv2.remap(texture, (column + WIDTH / 2 + shift).astype(np.float32), row, cv2.INTER_LINEAR)
        for shift in (0 * disparity, disparity)
    ]
    left, right = (np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), np.uint8) for image in pair)
    return left, right


@pytest.fixture(scope="module")
def prediction() -> OccupancyPrediction:
    return Engine(make_rig(), GRID).predict(*make_pair(), stamp_ns=5)


def test_depth_is_the_scene_s(prediction: OccupancyPrediction) -> None:
    rows = slice(20, HEIGHT - 8)
    found = prediction.depth[rows]
    ground_truth = true_depth()[rows]
    matched = np.isfinite(found)
    assert matched.mean() > 0.8
    assert np.quantile(np.abs(found - ground_truth)[matched] / ground_truth[matched], 0.95) < 0.05


def test_wall_and_road_are_occupied_and_the_air_is_free(prediction: OccupancyPrediction) -> None:
    wall = GRID.index_of(np.array([[WALL_M + 0.01, 0.0, 0.5]]))[0][0]
    around = prediction.occupied[wall[0] - 2 : wall[0] + 3, wall[1] - 5 : wall[1] + 5, wall[2] - 3 : wall[2] + 3]
    assert around.any(axis=0).mean() > 0.9
    road = GRID.index_of(np.array([[8.0, 0.0, -CAMERA_M - 0.01]]))[0][0]
    assert prediction.occupied[road[0] - 3 : road[0] + 3, road[1] - 5 : road[1] + 5, road[2]].mean() > 0.9
    air = GRID.index_of(np.array([[8.0, 0.0, 0.0]]))[0][0]
    assert prediction.free[air[0] - 3 : air[0] + 3, air[1] - 5 : air[1] + 5, air[2] - 3 : air[2] + 3].all()
    behind = prediction.labels[wall[0] + 8 :]
    assert not (behind == 0).any()


def test_ground_and_obstacle_are_distinguished(prediction: OccupancyPrediction) -> None:
    x, y, z = np.nonzero(prediction.occupied)
    label = prediction.labels[x, y, z]
    height = GRID.axis_centers(2)[z]
    is_ground = prediction.classes.is_ground[label]
    assert is_ground[np.abs(height + CAMERA_M) < 0.15].mean() > 0.95
    assert not is_ground[height > -CAMERA_M + 0.6].any()


def test_visibility_and_confidence_follow_the_labels(prediction: OccupancyPrediction) -> None:
    known = prediction.labels != 255
    assert (prediction.visibility[known] == Visibility.SEEN).all()
    assert (prediction.visibility[~known] != Visibility.SEEN).all()
    assert (prediction.confidence[known] > 0).all()
    assert (prediction.confidence[~known] == 0).all()
    assert not prediction.completed.any()


def test_two_runs_agree(prediction: OccupancyPrediction) -> None:
    again = Engine(make_rig(), GRID).predict(*make_pair())
    np.testing.assert_array_equal(again.labels, prediction.labels)
    np.testing.assert_array_equal(again.confidence, prediction.confidence)


def test_weights_are_refused() -> None:
    with pytest.raises(ModelError, match="has no weights"):
        StereoGeometry(weights=Path("some.npz"))


def test_half_the_size_finds_the_same_scene(prediction: OccupancyPrediction) -> None:
    width, height = WIDTH // 2, HEIGHT // 2
    pair = [np.asarray(cv2.resize(p, (width, height), interpolation=cv2.INTER_AREA), np.uint8) for p in make_pair()]
    small = Engine(make_rig().scaled(width, height), GRID).predict(pair[0], pair[1])
    rows = slice(20, height - 6)
    error = np.abs(small.depth[rows] - true_depth()[::2, ::2][rows]) / true_depth()[::2, ::2][rows]
    assert np.isfinite(error).mean() > 0.7
    assert np.nanquantile(error, 0.9) < 0.08
    both = (small.labels != 255) & (prediction.labels != 255)
    assert both.sum() > 0.6 * (prediction.labels != 255).sum()
    assert (small.occupied == prediction.occupied)[both].mean() > 0.98


def test_the_result_is_independent_of_the_principal_point() -> None:
    """Cameras whose cx differ: disparity is zero at a finite depth, and negative beyond it."""
    rig = make_rig()
    left, right = make_pair()
    for shift in (-6, 6):
        offset = np.array([[1.0, 0, shift], [0, 1, 0], [0, 0, 1]])
        moved = StereoRig(
            rig.left, PinholeCamera(offset @ rig.right.projection, WIDTH, HEIGHT), rig.reference_from_grid
        )
        rolled = np.roll(right, shift, axis=1)
        matcher = SemiGlobalMatcher(moved, nearest_m=3.0)
        depth = matcher.depth(matcher.match(left, rolled))[30:-30, 60:-20]
        assert np.isfinite(depth).mean() > 0.9
        assert np.nanmedian(np.abs(depth - true_depth()[30:-30, 60:-20])) < 0.4


@pytest.mark.parametrize("value", [0, 255])
def test_images_without_texture_have_no_surfaces(value: int) -> None:
    blank = np.full((HEIGHT, WIDTH, 3), value, np.uint8)
    prediction = Engine(make_rig(), GRID).predict(blank, blank)
    assert not prediction.occupied.any()
    assert prediction.depth.shape == (HEIGHT, WIDTH)


def test_noise_is_not_a_scene() -> None:
    random = np.random.default_rng(3)
    pair = [random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(2)]
    prediction = Engine(make_rig(), GRID).predict(pair[0], pair[1])
    assert prediction.occupied.mean() < 0.01


def test_a_grid_behind_the_camera_stays_unknown() -> None:
    behind = VoxelGrid((-20, -3, -2), (20, 30, 10), 0.2, "vehicle")
    prediction = Engine(make_rig(), behind).predict(*make_pair())
    assert prediction.unknown.all()
    assert (prediction.visibility == Visibility.OUTSIDE).all()


@pytest.mark.parametrize("grid", [VoxelGrid((2, -1, -1), (1, 1, 1), 0.5), VoxelGrid((0, -7, -3), (7, 5, 3), 2.0)])
def test_odd_grids_work(grid: VoxelGrid) -> None:
    prediction = Engine(make_rig(), grid).predict(*make_pair())
    assert prediction.labels.shape == grid.size


def test_tiny_images_are_refused() -> None:
    with pytest.raises(CalibrationError, match="too small for stereo matching"):
        Engine(make_rig().scaled(40, 12), GRID)


def carve(disparity: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]:
    """Free voxels of a disparity image, on the whole grid."""
    carver = RayCarver(make_rig(), GRID, FOCAL * BASELINE)
    free = np.zeros(GRID.count, bool)
    free[carver.in_view[carver.carve(disparity).free]] = True
    return free.reshape(GRID.size)


def flat(depth_m: float) -> npt.NDArray[np.int16]:
    return np.full((HEIGHT, WIDTH), round(STEPS * FOCAL * BASELINE / depth_m), np.int16)


@given(st.floats(4.0, 15.0))
@settings(max_examples=20, deadline=None)
def test_no_voxel_at_or_behind_a_wall_is_free(wall_m: float) -> None:
    free = carve(flat(wall_m))
    x = GRID.axis_centers(0)
    assert not free[x > wall_m - GRID.resolution / 2].any()
    near = (x > 3) & (x < wall_m - 1.5 - 0.02 * wall_m**2)
    if near.any():
        assert free[near, 32, 10].all()


def test_single_pixels_and_holes_free_no_voxel() -> None:
    wall = flat(8.0)
    far = wall.copy()
    far[::7, ::7] = 1
    np.testing.assert_array_equal(carve(far)[45:], False)
    np.testing.assert_array_equal(carve(np.full_like(wall, NO_MATCH)), False)
    holes = wall.copy()
    holes[::2] = NO_MATCH
    holes[:, ::2] = NO_MATCH
    assert not carve(holes).any()


def test_a_near_pixel_keeps_its_voxels_from_being_free() -> None:
    spot = flat(14.0)
    spot[60:63, 240:243] = round(STEPS * FOCAL * BASELINE / 7.0)
    lost = carve(flat(14.0)) & ~carve(spot)
    x, y, z = np.nonzero(lost)
    assert len(x) > 0
    assert GRID.axis_centers(0)[x].min() > 6.0
    direction = GRID.centers_of(np.stack([x, y, z], 1))
    column = FOCAL * -direction[:, 1] / direction[:, 0] + (WIDTH - 1) / 2
    row = FOCAL * -direction[:, 2] / direction[:, 0] + (HEIGHT - 1) / 2
    assert np.abs(column - 241).max() < 25
    assert np.abs(row - 61).max() < 25


@given(st.integers(0, HEIGHT - 1), st.integers(0, WIDTH - 1), st.integers(1, 900))
@settings(max_examples=50, deadline=None)
def test_a_pixel_ends_in_the_voxel_that_holds_its_point(row: int, column: int, steps: int) -> None:
    disparity = np.full((HEIGHT, WIDTH), NO_MATCH, np.int16)
    disparity[row, column] = steps
    depth = FOCAL * BASELINE * STEPS / steps
    point = np.array([[depth, -(column - (WIDTH - 1) / 2) / FOCAL * depth, -(row - (HEIGHT - 1) / 2) / FOCAL * depth]])
    index, inside = GRID.index_of(point)
    cell = (point[0] - GRID.origin) / GRID.resolution
    found = BINNING.points(disparity).voxel
    if np.abs(cell - np.rint(cell)).min() < 1e-3:
        return  # on a face: rounding decides
    assert found.tolist() == ([int(np.ravel_multi_index(tuple(index[0]), GRID.size))] if inside[0] else [])


BINNING = SurfaceBinning(make_rig(), GRID, FOCAL * BASELINE)


def test_near_speckles_are_removed_and_small_far_objects_stay() -> None:
    wall, near = flat(14.0), flat(3.0)[0, 0]
    for rows, kept in ((slice(40, 50), False), (slice(40, 100), True)):
        image = wall.copy()
        image[rows, 100:110] = near
        expected = image.copy()
        if not kept:
            expected[rows, 100:110] = NO_MATCH
        np.testing.assert_array_equal(BINNING.without_near_speckles(image), expected)
    spot = flat(14.0)
    spot[40:44, 100:104] = flat(12.0)[0, 0]
    assert BINNING.without_near_speckles(spot) is spot


@given(st.floats(-0.12, 0.12), st.floats(-0.12, 0.12), st.floats(-20, 20), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_the_ground_is_found_below_obstacles(a: float, b: float, c: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    xy = random.uniform(0, 100, (400, 2))
    z = xy @ [a, b] + c + random.normal(0, 0.1, 400)
    z[:140] += random.uniform(2, 15, 140)
    found = ground_plane(np.column_stack([xy, z]), 0.75)
    corners = np.array([[0, 0, 1], [100, 0, 1], [0, 100, 1], [100, 100, 1]])
    np.testing.assert_allclose(corners @ found, corners @ [a, b, c], atol=0.6)


@pytest.mark.parametrize(
    "points",
    [np.zeros((0, 3)), np.array([[1.0, 2, 3]]), np.array([[1.0, 2, 3]] * 50), np.array([[0.0, 0, 0], [1, 1, 1]])],
)
def test_too_few_points_give_a_level_ground(points: npt.NDArray[np.float64]) -> None:
    a, b, c = ground_plane(points, 0.75)
    assert abs(a) < 0.21
    assert abs(b) < 0.21
    assert np.isfinite(c)


def test_a_steep_wall_is_no_ground() -> None:
    random = np.random.default_rng(1)
    wall = np.column_stack([random.uniform(0, 5, 300), random.uniform(0, 50, 300), np.zeros(300)])
    wall[:, 2] = 4 * wall[:, 0]
    a, b, _ = ground_plane(wall, 0.75)
    assert np.hypot(a, b) <= 0.2 + 1e-9
