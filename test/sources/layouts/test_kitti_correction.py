"""Correction of KITTI's published calibration: which rigs it changes, and by how much."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.sequences import kitti_odometry

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.sources import open_source
from occdepth_ros.sources.layouts.kitti_correction import DISPARITY_ERROR_PX, FOCAL_LENGTHS_PX, corrected

CENTRE = (607.2, 185.2)


def rig(focal: float, offset: float = 0.0, width: int = 1241) -> StereoRig:
    """Rig of two cameras whose right one, as KITTI's, lies a few millimetres behind the left one."""
    left, right = (
        np.array([[focal, 0, cx, 0], [0, focal, CENTRE[1], 0], [0, 0, 1, 0]], float)
        for cx in (CENTRE[0], CENTRE[0] + offset)
    )
    right[:, 3] = right[:, :3] @ (-0.537, 0.0, 0.004)
    return StereoRig(PinholeCamera(left, width, 376), PinholeCamera(right, width, 376), np.eye(4))


@pytest.mark.parametrize("focal", FOCAL_LENGTHS_PX)
def test_points_move_left_in_the_right_image_of_kitti_by_the_error(focal: float) -> None:
    published = rig(focal)
    moved = corrected(published)
    points = np.array([[1.0, 0.5, 5.0, 1.0], [-3.0, 1.0, 20.0, 1.0], [8.0, -2.0, 60.0, 1.0]]).T
    for camera, other, error in ((published.left, moved.left, 0.0), (published.right, moved.right, DISPARITY_ERROR_PX)):
        before, after = camera.projection @ points, other.projection @ points
        np.testing.assert_allclose(after[0] / after[2] - before[0] / before[2], error, atol=1e-9)
        np.testing.assert_allclose(after[1] / after[2], before[1] / before[2], atol=1e-9)
    assert moved.baseline == pytest.approx(published.baseline)
    assert moved.disparity_offset == pytest.approx(-DISPARITY_ERROR_PX)


def test_a_corrected_rig_is_not_corrected_again() -> None:
    once = corrected(rig(FOCAL_LENGTHS_PX[0]))
    assert corrected(once).fingerprint == once.fingerprint


@pytest.mark.parametrize("focal", [FOCAL_LENGTHS_PX[0] + 0.01, FOCAL_LENGTHS_PX[0] / 2, 500.0])
def test_other_rigs_stay_as_they_are(focal: float) -> None:
    assert corrected(rig(focal)).fingerprint == rig(focal).fingerprint


def test_images_of_another_size_are_not_those_of_kitti() -> None:
    small = rig(FOCAL_LENGTHS_PX[0], width=1000)
    assert corrected(small).fingerprint == small.fingerprint


def test_rigs_with_their_own_offset_stay_as_they_are() -> None:
    own = rig(FOCAL_LENGTHS_PX[0], offset=2.0)
    assert corrected(own).fingerprint == own.fingerprint


def test_a_sequence_of_another_rig_keeps_its_calibration(tmp_path: Path) -> None:
    assert open_source(kitti_odometry(tmp_path / "00")).rig.disparity_offset == pytest.approx(0.0)


def test_real_sequences_are_corrected(shared_dir: Path) -> None:
    for folder in sorted((shared_dir / "data" / "kitti_mini" / "dataset" / "sequences").iterdir()):
        assert open_source(folder).rig.disparity_offset == pytest.approx(-DISPARITY_ERROR_PX)
