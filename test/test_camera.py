"""Cameras and rigs: projections through crops, scales and references, KITTI calibrations, and every refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occdepth_ros.camera import Matrix, PinholeCamera, StereoRig
from occdepth_ros.errors import CalibrationError

K = np.array([[700.0, 0, 600], [0, 710, 180], [0, 0, 1]])
POSE = np.array([[0.0, -1, 0, 0.1], [0, 0, -1, -0.2], [1, 0, 0, 0.3], [0, 0, 0, 1]])


def camera(t: tuple[float, float, float] = (0, 0, 0), k: Matrix = K) -> PinholeCamera:
    return PinholeCamera(k @ np.hstack([np.eye(3), np.array(t)[:, None]]), 1242, 375)


def rig(
    left: tuple[float, float, float] = (0.06, 0, 0), right: tuple[float, float, float] = (-0.48, 0, 0)
) -> StereoRig:
    return StereoRig(camera(left), camera(right), POSE)


def project(cam: PinholeCamera, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Pixels `[N, 2]` of points of the reference frame."""
    image = np.hstack([points, np.ones((len(points), 1))]) @ cam.projection.T
    return np.asarray(image[:, :2] / image[:, 2:])


def project_grid(of: StereoRig, points: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], ...]:
    """Left and right pixels of points of the grid's frame."""
    reference = np.hstack([points, np.ones((len(points), 1))]) @ of.reference_from_grid.T
    return project(of.left, reference[:, :3]), project(of.right, reference[:, :3])


points = st.lists(
    st.tuples(st.floats(2, 60), st.floats(-20, 20), st.floats(-3, 5)).map(list), min_size=1, max_size=5
).map(np.array)


@given(points, st.integers(-50, 200), st.integers(-50, 100))
def test_cropping_shifts_pixels_by_the_corner_of_the_window(at: npt.NDArray[np.float64], x: int, y: int) -> None:
    whole, window = rig(), rig().cropped(300, 200, x, y)
    for before, after in zip(project_grid(whole, at), project_grid(window, at), strict=True):
        np.testing.assert_allclose(after, before - [x, y], atol=1e-6)
    assert (window.left.width, window.left.height) == (300, 200)
    assert window.baseline == pytest.approx(whole.baseline)


@given(points, st.integers(10, 3000), st.integers(10, 3000))
def test_scaling_keeps_relative_image_positions(at: npt.NDArray[np.float64], width: int, height: int) -> None:
    whole, small = rig(), rig().scaled(width, height)
    sizes = np.array([whole.left.width, whole.left.height]), np.array([width, height])
    for before, after in zip(project_grid(whole, at), project_grid(small, at), strict=True):
        # pixel centres at whole numbers: the image spans -0.5 to size - 0.5
        np.testing.assert_allclose((after + 0.5) / sizes[1], (before + 0.5) / sizes[0], atol=1e-7)
    assert small.baseline == pytest.approx(whole.baseline)
    assert small.disparity_offset == pytest.approx(whole.disparity_offset * width / whole.left.width)


@given(points, st.tuples(*[st.floats(-0.2, 0.2)] * 3), st.floats(0.05, 1.0))
def test_the_left_camera_as_reference_keeps_every_pixel(
    at: npt.NDArray[np.float64], t: tuple[float, float, float], baseline: float
) -> None:
    before = rig(t, (t[0] - baseline, t[1] + 0.001, t[2] - 0.001))
    after = before.referenced_to_left("left")
    for first, second in zip(project_grid(before, at), project_grid(after, at), strict=True):
        np.testing.assert_allclose(second, first, atol=1e-6)
    np.testing.assert_allclose(after.left.projection[:, 3], 0, atol=1e-12)
    np.testing.assert_allclose(after.left_from_grid, before.left_from_grid, atol=1e-12)
    np.testing.assert_allclose(after.right_from_grid, before.right_from_grid, atol=1e-12)
    assert after.baseline == pytest.approx(baseline)
    assert after.frame_id == "left"


@given(points)
def test_disparity_is_focal_length_times_baseline_over_depth(at: npt.NDArray[np.float64]) -> None:
    shifted = K.copy()
    shifted[0, 2] += 12.5
    of = StereoRig(camera((0.06, 0, 0)), camera((-0.48, 0, 0), shifted), POSE)
    left, right = project_grid(of, at)
    depth = (np.hstack([at, np.ones((len(at), 1))]) @ of.left_from_grid.T)[:, 2]
    np.testing.assert_allclose((left - right)[:, 0], K[0, 0] * of.baseline / depth + of.disparity_offset, atol=1e-6)
    assert of.disparity_offset == -12.5


def read_calibration(path: Path) -> dict[str, Matrix]:
    lines = (line.split(":") for line in path.read_text().splitlines() if ":" in line)
    return {key: np.array(values.split(), np.float64) for key, values in lines}


def test_kitti_calibration(kitti_mini: Path) -> None:
    for folder in sorted((kitti_mini / "dataset/sequences").iterdir()):
        calibration = read_calibration(folder / "calib.txt")
        color = StereoRig.from_kitti(calibration, 1241, 376)
        grey = StereoRig.from_kitti(calibration, 1241, 376, left="P0", right="P1")
        assert 0.53 < color.baseline < 0.54
        assert 0.53 < grey.baseline < 0.54
        # the colour and grey cameras are 6 cm apart with parallel optical axes
        assert abs(color.left_from_grid[0, 3] - grey.left_from_grid[0, 3]) == pytest.approx(0.06, abs=0.01)
        ahead = np.array([[20.0, 0.0, 0.0]])
        left, right = project_grid(color, ahead)
        assert abs(left[0, 0] - color.left.projection[0, 2]) < 30
        assert 0 < (left - right)[0, 0] < 30
        assert color.frame_id == "camera_0"
        np.testing.assert_array_equal(color.reference_from_grid[:3].ravel(), calibration["Tr"])


CALIBRATION = {"P2": camera((0.06, 0, 0)).projection, "P3": camera((-0.48, 0, 0)).projection.ravel(), "Tr": POSE[:3]}


def test_kitti_entries_may_be_flat() -> None:
    of = StereoRig.from_kitti(CALIBRATION, 1242, 375)
    assert of.baseline == pytest.approx(0.54)


@pytest.mark.parametrize("key", ["P2", "P3", "Tr"])
def test_incomplete_kitti_calibrations_are_refused(key: str) -> None:
    with pytest.raises(CalibrationError, match=f"{key} is missing"):
        StereoRig.from_kitti({k: v for k, v in CALIBRATION.items() if k != key}, 1242, 375)
    with pytest.raises(CalibrationError, match=f"{key} has 11 numbers"):
        StereoRig.from_kitti(CALIBRATION | {key: np.zeros(11)}, 1242, 375)


def with_entry(row: int, column: int, value: float) -> Matrix:
    p = np.hstack([K, np.zeros((3, 1))])
    p[row, column] = value
    return p


@pytest.mark.parametrize(
    ("projection", "message"),
    [
        (np.eye(3), "shape"),
        (with_entry(0, 2, np.nan), "NaN or infinity"),
        (with_entry(0, 3, np.inf), "NaN or infinity"),
        (np.zeros((3, 4)), "not positive"),
        (with_entry(1, 1, -700), "not positive"),
        (with_entry(2, 2, 0), "rectified form"),
        (with_entry(1, 0, 3), "rectified form"),
        (with_entry(2, 0, 0.1), "rectified form"),
    ],
)
def test_unusable_projections_are_refused(projection: Matrix, message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        PinholeCamera(projection, 1242, 375)


@pytest.mark.parametrize(("width", "height"), [(0, 375), (1242, 0), (-1, 375)])
def test_image_sizes_that_are_not_positive_are_refused(width: int, height: int) -> None:
    with pytest.raises(CalibrationError, match="empty"):
        PinholeCamera(camera().projection, width, height)


def pose_with(rotation: Matrix) -> Matrix:
    pose = POSE.copy()
    pose[:3, :3] = rotation
    return pose


LEFT, RIGHT = camera((0.06, 0, 0)), camera((-0.48, 0, 0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"left": RIGHT, "right": LEFT}, "baseline is -0.54"),
        ({"right": LEFT}, "baseline is 0.0000"),
        ({"right": RIGHT.cropped(1000, 375)}, "1000x375"),
        ({"right": camera((-0.48, 0, 0), K * np.array([[1.1], [1], [1]]))}, "focal lengths"),
        ({"reference_from_grid": POSE[:3]}, "4x4"),
        ({"reference_from_grid": POSE * np.nan}, "4x4"),
        ({"reference_from_grid": pose_with(2 * np.eye(3))}, "rigid"),
        ({"reference_from_grid": pose_with(np.diag([1.0, 1, -1]))}, "rigid"),
        ({"reference_from_grid": np.zeros((4, 4))}, "rigid"),
    ],
)
def test_unusable_rigs_are_refused(arguments: dict[str, Any], message: str) -> None:
    usable: dict[str, Any] = {"left": LEFT, "right": RIGHT, "reference_from_grid": POSE}
    with pytest.raises(CalibrationError, match=message):
        StereoRig(**(usable | arguments))


def test_calibrations_are_read_only_copies_of_the_arguments() -> None:
    projection = K @ np.eye(3, 4)
    pose = POSE.copy()
    cam = PinholeCamera(projection, 10, 10)
    of = StereoRig(LEFT, RIGHT, pose)
    projection[0, 0] = pose[0, 3] = 1e6
    assert cam.projection[0, 0] == 700
    assert of.reference_from_grid[0, 3] == 0.1
    for array in (cam.projection, of.reference_from_grid):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1


def test_fingerprints_differ_between_calibrations() -> None:
    moved = POSE.copy()
    moved[0, 3] += 1e-9
    rigs = [
        rig(),
        rig((0.06, 0, 0), (-0.481, 0, 0)),
        rig().cropped(1242, 374),
        rig().scaled(621, 188),
        StereoRig(LEFT, RIGHT, moved),
    ]
    assert len({of.fingerprint for of in rigs}) == len(rigs)
    assert rig().fingerprint == StereoRig(LEFT, RIGHT, POSE, "another name").fingerprint
