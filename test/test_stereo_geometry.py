"""The model stereo-geometry on a made scene whose geometry is known."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.engine import Engine
from occdepth_ros.errors import ModelError
from occdepth_ros.geometry.predictor import StereoGeometry
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.prediction import OccupancyPrediction, Visibility

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
    """Left and right picture of the scene: the surfaces carry a random texture that both cameras see."""
    random = np.random.default_rng(7)
    texture = cv2.GaussianBlur(random.integers(0, 256, (HEIGHT, 2 * WIDTH), dtype=np.uint8), (0, 0), 1.0)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    disparity = FOCAL * BASELINE / true_depth()
    # depth depends on the row only, so a row of the right picture is the left one's moved by one disparity
    column, row = np.meshgrid(np.arange(WIDTH, dtype=np.float32), np.arange(HEIGHT, dtype=np.float32))
    pair = [
        cv2.remap(texture, (column + WIDTH / 2 + shift).astype(np.float32), row, cv2.INTER_LINEAR)
        for shift in (0 * disparity, disparity)
    ]
    left, right = (cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB) for picture in pair)
    return left, right


@pytest.fixture(scope="module")
def prediction() -> OccupancyPrediction:
    return Engine(make_rig(), GRID).predict(*make_pair(), stamp_ns=5)


def test_depth_is_the_scene_s(prediction: OccupancyPrediction) -> None:
    rows = slice(20, HEIGHT - 8)
    found = prediction.depth[rows]
    truth = true_depth()[rows]
    matched = np.isfinite(found)
    assert matched.mean() > 0.8
    assert np.quantile(np.abs(found - truth)[matched] / truth[matched], 0.95) < 0.05


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


def test_ground_and_obstacle_are_told_apart(prediction: OccupancyPrediction) -> None:
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
