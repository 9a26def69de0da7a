"""Videos: frames of equal size, ground truth beside the prediction, and a readable file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.drawing import SMALL, make_prediction, make_rig
from PIL import Image

from occdepth_ros.classes import SEMANTIC_KITTI
from occdepth_ros.errors import OutputError
from occdepth_ros.sources.base import SceneGroundTruth
from occdepth_ros.visualization import video_file as video
from occdepth_ros.visualization.orbit_frame import OrbitFrame
from occdepth_ros.visualization.video_file import CODECS, write_video
from occdepth_ros.visualization.video_frame import CAPTION, GAP, PLAN, VideoFrame
from occdepth_ros.visualization.voxels import Viewpoint

COLORS = ((220, 30, 30), (30, 200, 30), (30, 30, 220))


def frames(count: int = 3) -> list[np.ndarray]:
    return [np.full((64, 96, 3), COLORS[i % 3], np.uint8) for i in range(count)]


def test_frames_have_one_size_and_show_the_ground_truth() -> None:
    rig, prediction = make_rig(), make_prediction()
    left = np.full((96, 320, 3), 90, np.uint8)
    figure = VideoFrame(rig, SEMANTIC_KITTI, "street", ground_truth=True)
    labels = np.zeros(SMALL.size, np.uint8)
    labels[:, :, 0] = SEMANTIC_KITTI.id_of("vegetation")
    without = figure.draw(left, prediction, caption="frame 0")
    shown = figure.draw(left, prediction, SceneGroundTruth(labels, SMALL, "exact"), caption="frame 1")
    assert without.shape == shown.shape and without.shape[0] % 2 == without.shape[1] % 2 == 0
    row = np.s_[-(PLAN + GAP) :]
    green = (shown[row][..., 1] > 60 + shown[row].max(axis=2, where=[True, False, True], initial=0)).mean()
    assert green > 0.15
    assert (without[row].std(axis=(0, 1)) < 20).all()
    # the prediction's row is the same in both
    top = without.shape[0] - 2 * (PLAN + CAPTION + GAP)
    np.testing.assert_array_equal(without[top : top + PLAN], shown[top : top + PLAN])
    alone = VideoFrame(rig, SEMANTIC_KITTI, "street").draw(left, prediction)
    assert alone.shape[0] < shown.shape[0] - PLAN and alone.shape[0] % 2 == 0


@pytest.mark.parametrize("suffix", CODECS)
def test_a_video_reads_back_in_order(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "deep" / f"video{suffix}"
    messages: list[str] = []
    written = write_video(path, iter(frames()), 12.5, notify=messages.append)
    assert [file.name for file in path.parent.iterdir()] == [written.name]
    if messages:
        pytest.skip(f"this OpenCV has no encoder: {messages[0]}")
    capture = cv2.VideoCapture(str(written))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(12.5, rel=0.02)
    for color in COLORS:
        ok, frame = capture.read()
        assert ok
        np.testing.assert_allclose(frame[..., ::-1].mean(axis=(0, 1)), color, atol=25)
    assert not capture.read()[0]


def test_without_an_encoder_a_gif_is_written_with_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(video.CODECS, ".mp4", "????")
    messages: list[str] = []
    written = write_video(tmp_path / "video.mp4", iter(frames()), 10, notify=messages.append)
    assert written == tmp_path / "video.gif" and "video.gif" in messages[0]
    assert [file.name for file in tmp_path.iterdir()] == ["video.gif"]
    with Image.open(written) as image:
        assert getattr(image, "n_frames", 1) == 3 and image.info["duration"] == 100
        image.seek(1)
        np.testing.assert_allclose(np.asarray(image.convert("RGB")).mean(axis=(0, 1)), COLORS[1], atol=25)


def test_invalid_video_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"\.mov is not a supported video format"):
        write_video(tmp_path / "video.mov", frames(), 10)
    with pytest.raises(OutputError, match="a name without suffix"):
        write_video(tmp_path / "video", frames(), 10)
    with pytest.raises(OutputError, match="there are no frames"):
        write_video(tmp_path / "video.mp4", iter(()), 10)
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(OutputError, match="the path is a folder"):
        write_video(tmp_path / "folder.mp4", frames(), 10)


@pytest.mark.parametrize("suffix", [*CODECS, ".gif"])
def test_a_video_that_a_full_disk_cuts_off_is_an_error_and_no_file(tmp_path: Path, suffix: str) -> None:
    """A limit of the file size acts as a full disk does, in a process of its own."""
    program = f"""
import resource, sys
import numpy as np
import subprocess
import sys
from pathlib import Path
from occdepth_ros.errors import OutputError
from occdepth_ros.visualization.video_file import write_video
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
noise = np.random.default_rng(0).integers(0, 256, (12, 128, 192, 3), dtype=np.uint8)
try:
    write_video(Path({str(tmp_path / ("video" + suffix))!r}), iter(noise), 10)
except OutputError as error:
    sys.exit(str(error))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "cannot write" in done.stderr, done.stderr
    assert not list(tmp_path.iterdir())


def test_an_interrupted_video_leaves_no_file(tmp_path: Path) -> None:
    def broken() -> object:
        yield frames()[0]
        raise OutputError("the disk is gone")

    for name in ("video.mp4", "video.gif"):
        with pytest.raises(OutputError, match="disk is gone"):
            write_video(tmp_path / name, broken(), 10)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_webp_reads_back_in_order_with_its_rate(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.webp", iter(frames()), 12.5)
    with Image.open(path) as animation:
        assert (getattr(animation, "n_frames", 1), animation.size) == (3, (96, 64))
        for index, color in enumerate(COLORS):
            animation.seek(index)
            animation.load()
            assert animation.info["duration"] == 80
            assert np.abs(np.asarray(animation.convert("RGB"), int).mean(axis=(0, 1)) - color).max() < 8


def test_frames_from_a_moving_viewpoint_have_one_size_and_the_image_above() -> None:
    rig, prediction = make_rig(), make_prediction()
    left = np.full((96, 320, 3), (200, 40, 90), np.uint8)
    figure = OrbitFrame(rig)
    shown = [figure.draw(left, prediction, phase) for phase in (0.0, 0.25, 1.0)]
    assert len({frame.shape for frame in shown}) == 1 and shown[0].shape[1] == 720
    assert all(side % 2 == 0 for side in shown[0].shape[:2])
    assert (shown[0][:200] == (200, 40, 90)).all()
    assert (shown[0] != shown[1]).mean() > 0.05
    assert (shown[0] != shown[2]).mean() < 0.01


def test_the_moving_viewpoint_starts_behind_the_camera_and_looks_ahead() -> None:
    rig = make_rig()
    camera = np.linalg.inv(rig.left_from_grid)
    ahead = camera[:3, 2]
    for phase in np.linspace(0, 1, 9):
        view = Viewpoint.around(rig, SMALL, 720, 380, float(phase))
        assert (np.subtract(view.position, camera[:3, 3]) @ ahead) < 0
        assert (np.subtract(view.target, camera[:3, 3]) @ ahead) > 0
        assert view.position[2] > camera[2, 3]
