"""`occdepth render`: a video and meshes of the bundled sample."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from occdepth_ros.cli import main
from occdepth_ros.sources.factory import SAMPLE_FOLDER


def test_video_and_meshes_of_the_sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video, meshes = tmp_path / "video.mp4", tmp_path / "mesh"
    arguments = ["--ground-truth", "--start", "1", "--count", "2", "--out", str(video), "--mesh", str(meshes)]
    assert main(["render", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "2 frames at 10 Hz" in printed and "2 meshes" in printed and "against synthetic (2 scenes)" in printed
    names = sorted(path.name for path in meshes.iterdir())
    assert names == ["000001.ply", "000001_ground_truth.ply", "000002.ply", "000002_ground_truth.ply"]
    assert all((meshes / name).stat().st_size > 100_000 for name in names)
    if not video.exists():
        pytest.skip(f"this OpenCV cannot encode: {printed}")
    capture = cv2.VideoCapture(str(video))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 2
    ok, frame = capture.read()
    assert ok and frame.std() > 30


def test_meshes_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "--count", "1", "--mesh", str(tmp_path / "mesh")]) == 0
    assert [path.name for path in (tmp_path / "mesh").iterdir()] == ["000000.ply"]
    assert "against" not in capsys.readouterr().out


def test_the_chosen_origin_of_the_grid_moves_the_mesh(tmp_path: Path) -> None:
    command = ["render", "--count", "1", "--model", "stereo-geometry"]
    lowest = {}
    for z in (-2.0, 0.0):
        assert main([*command, "--mesh", str(tmp_path / f"{z:g}"), "--grid-origin", "0", "-25.6", str(z)]) == 0
        content = (tmp_path / f"{z:g}" / "000000.ply").read_bytes()
        header, _, body = content.partition(b"end_header\n")
        count = int(header.partition(b"element vertex ")[2].split()[0])
        vertices = np.frombuffer(body, [("point", "<3f4"), ("colour", "3u1")], count)
        lowest[z] = float(vertices["point"][:, 2].min())
    assert lowest[-2.0] < -0.5 <= 0.0 <= lowest[0.0]


def test_missing_ground_truth_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drive = tmp_path / "drive"
    for side in ("image_2", "image_3"):
        (drive / side).mkdir(parents=True)
        shutil.copy(SAMPLE_FOLDER / side / "000000.jpg", drive / side)
    shutil.copy(SAMPLE_FOLDER / "calib.txt", drive)
    command = ["render", "--source", str(drive), "--mesh", str(tmp_path / "mesh"), "--model", "stereo-geometry"]
    assert main([*command, "--ground-truth"]) == 0
    assert "no ground truth" in capsys.readouterr().out
    assert main(command) == 0
    assert "no ground truth" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "--out: there is nothing to write"),
        (["--out", "video.mov"], ".mov is not a supported video format"),
        (["--out", "video.mp4", "--fps", "0"], "--fps: 0 frames a second"),
        (["--out", "video.mp4", "--start", "99"], "exceeds a sequence of 12 frames"),
        (["--mesh", __file__], "the path is a file"),
        (["--out", "video.webp", "--layout", "orbit", "--ground-truth"], "the layout orbit does not show ground truth"),
    ],
)
def test_invalid_arguments_are_refused(
    arguments: list[str],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["render", *arguments]) == 2
    assert reason in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
