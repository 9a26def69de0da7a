"""Calibrations of folders in OpenCV's XML and in the text form of the ROS calibrator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.errors import OccDepthError
from occdepth_ros.sources.layouts.folder_calibration import read_folder_calibration

WIDTH, HEIGHT, BASELINE = 160, 48, 0.4
K = np.array([[90.0, 0, 80], [0, 90, 24], [0, 0, 1]])
D = np.array([[-0.2, 0.05, 0.001, -0.001, 0.0]])
R = cv2.Rodrigues(np.array([0.0, 0.02, 0.0]))[0]
P1 = np.array([[95.0, 0, 80, 0], [0, 95, 24, 0], [0, 0, 1, 0]])
P2 = P1 - np.array([[0, 0, 0, 95 * BASELINE], [0, 0, 0, 0], [0, 0, 0, 0]])


def ost_text(name: str, p: np.ndarray, d: np.ndarray = D) -> str:
    """A camera as the calibrator writes it."""

    def rows(values: Any) -> str:
        return "\n".join(" ".join(f"{number:.9f}" for number in row) for row in np.atleast_2d(values))

    return (
        f"# oST version 5.0 parameters\n\n\n[image]\n\nwidth\n{WIDTH}\n\nheight\n{HEIGHT}\n\n[{name}]\n\n"
        f"camera matrix\n{rows(K)}\n\ndistortion\n{rows(d)}\n\nrectification\n{rows(R)}\n\nprojection\n{rows(p)}\n\n"
    )


def write_ost(folder: Path) -> None:
    (folder / "ost.txt").write_text(ost_text("narrow_stereo/left", P1) + ost_text("narrow_stereo/right", P2))


def write_ost_of_each_camera(folder: Path) -> None:
    for side, p in (("left", P1), ("right", P2)):
        (folder / side).mkdir()
        (folder / side / "ost.txt").write_text(ost_text("camera", p))


def write_xml(folder: Path) -> None:
    for name, values in (
        ("intrinsics.xml", {"M1": K, "M2": K, "D1": D, "D2": D}),
        ("extrinsics.xml", {"R1": R, "R2": R, "P1": P1, "P2": P2}),
    ):
        storage = cv2.FileStorage(str(folder / name), cv2.FILE_STORAGE_WRITE)
        for key, value in values.items():
            storage.write(key, value)
        storage.write("image_width", WIDTH)
        storage.write("image_height", HEIGHT)
        storage.release()


@pytest.mark.parametrize("write", [write_ost, write_ost_of_each_camera, write_xml])
def test_both_cameras_are_read(tmp_path: Path, write: Any) -> None:
    write(tmp_path)
    cameras = read_folder_calibration(tmp_path).cameras
    for camera, p in zip(cameras, (P1, P2), strict=True):
        assert camera.size == (WIDTH, HEIGHT) and camera.distortion_model == "plumb_bob"
        np.testing.assert_allclose(camera.k, K, atol=1e-6)
        np.testing.assert_allclose(camera.d, D[0], atol=1e-6)
        np.testing.assert_allclose(camera.r, R, atol=1e-6)
        np.testing.assert_allclose(camera.p, p, atol=1e-6)


def test_opencv_xml_with_the_pose_of_the_right_camera_is_rectified(tmp_path: Path) -> None:
    storage = cv2.FileStorage(str(tmp_path / "rig.xml"), cv2.FILE_STORAGE_WRITE)
    for key, value in {"M1": K, "M2": K, "D1": D, "D2": D, "R": np.eye(3), "T": np.array([-BASELINE, 0, 0])}.items():
        storage.write(key, value)
    storage.write("image_width", WIDTH)
    storage.write("image_height", HEIGHT)
    storage.release()
    left, right = read_folder_calibration(tmp_path).cameras
    assert (left.p[0, 3] - right.p[0, 3]) / right.p[0, 0] == pytest.approx(BASELINE)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("rig.xml", "<opencv_storage><M1>", "not valid XML"),
        ("rig.xml", '<!DOCTYPE a [<!ENTITY b "c">]><opencv_storage/>', "document type"),
        ("rig.xml", "<opencv_storage><M1>1 2</M1></opencv_storage>", "rig.xml without P1 and P2"),
        ("rig.xml", "<robot/>", "without P1 and P2"),
        ("ost.txt", "[a/left]\ndistortion\n1 2 3 4\n", "4 distortion coefficients"),
        ("ost.txt", "[image]\nwidth\nwide\n[a/left]\nprojection\n1 2\n", "one camera"),
        ("ost.txt", ost_text("a/left", P1) + "[a/right]\nprojection\n1 2\n", "right: projection_matrix"),
        ("ost.txt", ost_text("camera", P1), "one camera"),
    ],
)
def test_incomplete_files_are_named(tmp_path: Path, name: str, content: str, words: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(OccDepthError, match=words):
        read_folder_calibration(tmp_path)


@given(st.sampled_from(["rig.xml", "ost.txt"]), st.text(max_size=200))
@settings(max_examples=40, deadline=None)
def test_any_other_content_is_refused_by_name(tmp_path_factory: pytest.TempPathFactory, name: str, text: str) -> None:
    folder = tmp_path_factory.mktemp("calibration")
    (folder / name).write_bytes(text.encode())
    with pytest.raises(OccDepthError):
        read_folder_calibration(folder)
