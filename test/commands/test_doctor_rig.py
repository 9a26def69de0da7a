"""`occdepth doctor rig` on ray-traced rigs with one known fault each."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import raytraced
from helpers.nodes.domains import next_domain
from helpers.raytraced import BASELINE, HEIGHT, WIDTH, intrinsics, pinhole_rays, rotated

from occdepth_ros.cli import main
from occdepth_ros.commands.doctor.findings import Finding, State
from occdepth_ros.commands.doctor.rig_findings import coverage_finding, pose_findings
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.sources import open_source
from occdepth_ros.stereo.ground.pose import GroundPoseMeter

FRAMES, STEP_M, PERIOD = 4, 0.25, 0.1
CALIBRATION = """
left:
  image_width: {width}
  image_height: {height}
  projection_matrix: [160.0, 0, 159.5, 0, 0, 160.0, 99.5, 0, 0, 0, 1, 0]
baseline: {baseline}
grid_frame: base_link
grid_from_left: {{translation: [0.4, 0.0, 1.2], rotation: [-0.5, 0.5, -0.5, 0.5]}}
"""
Images = tuple[np.ndarray, np.ndarray]


@functools.cache
def drive(pitch: float = 0.0, delay: float = 0.0) -> tuple[Images, ...]:
    """Pairs of a camera that drives at 2.5 m/s towards the wall; the right one exposes `delay` seconds later."""
    rays = rotated(pinhole_rays(intrinsics()), pitch=pitch)
    late = STEP_M * delay / PERIOD
    return tuple(
        (
            raytraced.view(rays, (0.0, 0.0, STEP_M * i)),
            raytraced.view(rays, (BASELINE, 0.0, STEP_M * i + late)),
        )
        for i in range(FRAMES)
    )


def write(
    folder: Path, pairs: tuple[Images, ...], *, baseline: float = BASELINE, change: Callable[..., Images] | None = None
) -> Path:
    for side in ("left", "right"):
        (folder / side).mkdir(parents=True)
    for index, (left, right) in enumerate(pairs):
        images = change(left, right) if change else (left, right)
        for side, image in zip(("left", "right"), images, strict=True):
            assert cv2.imwrite(str(folder / side / f"{index:03d}.png"), image)
    text = CALIBRATION.format(width=WIDTH, height=HEIGHT, baseline=baseline)
    (folder / "calibration.yaml").write_text(text)
    return folder


def report(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, dict[str, str]]]:
    code = main(["doctor", "rig", "--source", str(folder), "--json", *options])
    findings = json.loads(capsys.readouterr().out)["findings"]
    return code, {finding["topic"]: finding for finding in findings}


def warned(found: dict[str, dict[str, str]]) -> set[str]:
    return {topic for topic, finding in found.items() if finding["state"] != "ok"}


def test_a_good_rig_has_no_finding_and_its_image_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "rig.png"
    code, found = report(write(tmp_path / "good", drive()), capsys, "--image", str(image))
    assert (code, warned(found)) == (0, set())
    assert "0.300 m" in found["calibration"]["text"]
    pixels = cv2.imread(str(image))
    assert pixels is not None and pixels.shape[1] == 2 * WIDTH
    # the measured ground is drawn in green
    assert (np.abs(pixels.astype(int) - (60, 150, 0)).sum(-1) < 20).sum() > 200


def test_shifted_rows_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "rows", drive(), change=lambda left, right: (left, np.roll(right, 2, axis=0)))
    code, found = report(folder, capsys)
    assert code == 1 and found["rows"]["state"] == "wrong"
    assert float(found["rows"]["text"].split()[2]) == pytest.approx(-2.0, abs=0.15)
    assert "cy of the right P off by +2" in found["rows"]["remedy"]


def test_a_darker_right_image_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "dark", drive(), change=lambda left, right: (left, (0.6 * right).astype(np.uint8)))
    code, found = report(folder, capsys)
    assert code == 0 and warned(found) == {"exposure"}
    assert 58 <= int(found["exposure"]["text"].split("has ")[1].split("%")[0]) <= 61


def test_a_baseline_in_millimetres_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = report(write(tmp_path / "unit", drive(), baseline=1e3 * BASELINE), capsys)
    assert code == 1 and found["calibration"]["state"] == "wrong"
    assert "millimetres (0.3 m)" in found["calibration"]["text"]
    # the rows do not depend on the baseline and are assessed nevertheless
    assert found["rows"]["state"] == "ok"


def test_swapped_images_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = report(write(tmp_path / "swapped", drive(), change=lambda left, right: (right, left)), capsys)
    assert code == 1 and found["order"]["state"] == "wrong"
    assert "swapped" in found["order"]["text"]


def test_a_late_right_camera_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = report(write(tmp_path / "late", drive(delay=0.04)), capsys)
    assert code == 1 and found["delay"]["state"] == "wrong"
    assert float(found["delay"]["text"].split()[4]) == pytest.approx(40, abs=5)


def test_images_without_features_are_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "plain", drive(), change=lambda left, right: (0 * left + 90, 0 * right + 90))
    code, found = report(folder, capsys)
    assert code == 1 and found["matches"]["state"] == "wrong"
    assert found["pitch" if "pitch" in found else "pose"]["state"] == "note"


@pytest.mark.parametrize(("pitch", "state"), [(0.0, State.OK), (2.0, State.WRONG)])
def test_a_wrong_pitch_is_wrong_at_many_places(tmp_path: Path, pitch: float, state: State) -> None:
    source = open_source(write(tmp_path / "pitch", drive(pitch)[:1]))
    measured = GroundPoseMeter(source.rig).measure(source[0].left, source[0].right)
    assert measured is not None
    grid = VoxelGrid.semantic_kitti("base_link")
    at_many_places = replace(measured, pairs=8, places=8)
    findings = {f.topic: f for f in pose_findings(source.rig, grid, at_many_places, is_base=True)}
    assert findings["pitch"].state is state
    assert findings["height"].state is State.OK
    if state is State.WRONG:
        assert findings["pitch"].remedy.startswith("change the pitch to -")
    # at one place a slope may be the reason
    (one,) = [f for f in pose_findings(source.rig, grid, measured, is_base=True) if f.topic == "pitch"]
    assert one.state is (State.OK if state is State.OK else State.NOTE)


def test_a_wrong_height_names_the_baseline_that_would_agree(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "height", drive()[:1], baseline=2 * BASELINE))
    measured = GroundPoseMeter(source.rig).measure(source[0].left, source[0].right)
    grid = VoxelGrid.semantic_kitti("base_link")
    findings: list[Finding] = [
        f for f in pose_findings(source.rig, grid, measured, is_base=True) if f.topic == "height"
    ]
    assert findings[0].state is State.WRONG
    baseline = float(findings[0].remedy.split("the baseline is wrong: ")[1].split()[0])
    assert baseline == pytest.approx(BASELINE, rel=0.05)


def test_a_grid_behind_the_cameras_is_named(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "grid", drive()[:1]))
    grid = VoxelGrid((-60.0, -25.6, -2.0), (256, 256, 32), 0.2, "base_link")
    assert coverage_finding(source.rig, grid, None).state is State.WRONG
    assert coverage_finding(source.rig, VoxelGrid.semantic_kitti("base_link"), None).state is State.OK


def test_a_source_and_live_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "rig", "--live", "--source", "x"]) == 2
    assert "--live" in capsys.readouterr().err


@pytest.fixture
def live_rig(tmp_path: Path) -> Iterator[int]:
    """The domain of a replay of a rig."""
    domain = next_domain()
    folder = write(tmp_path / "live", drive())
    command = [sys.executable, "-m", "occdepth_ros.nodes.replay.node", "--ros-args"]
    for parameter in (f"source:={folder}", "loop:=true", "rate:=10.0"):
        command += ["-p", parameter]
    environment = {**os.environ, "ROS_DOMAIN_ID": str(domain)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield domain
    process.terminate()
    process.wait(30)


@pytest.mark.ros
def test_live_topics_are_recorded_and_checked(live_rig: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rclpy")
    monkeypatch.setenv("ROS_DOMAIN_ID", str(live_rig))
    lines: list[str] = []
    thread = threading.Thread(
        target=lambda: lines.append(
            subprocess.run(
                [sys.executable, "-m", "occdepth_ros.cli", "doctor", "rig", "--live", "--seconds", "8", "--json"],
                capture_output=True,
                text=True,
                check=False,
            ).stdout
        )
    )
    thread.start()
    thread.join(120)
    found = {finding["topic"]: finding for finding in json.loads(lines[0])["findings"]}
    assert found["rows"]["state"] == "ok"
    assert found["order"]["state"] == "ok"
