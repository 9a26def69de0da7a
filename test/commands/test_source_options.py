"""The options that choose cameras and grid frame of a recording, on the command line and of the replay."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="no rosbags: bags cannot be read")

from helpers import raytraced
from helpers.bags import OPTICAL, START, Recorder

from occdepth_ros.cli import build_parser, main
from occdepth_ros.commands.options.grid import chosen_grid

REQUIRED = {"run": ["--out", "out"], "map": ["--out", "map.npz"], "doctor": ["rig"]}
"""Arguments that a verb cannot do without."""
NONE, TURNED = np.array([0.0, 0, 0, 1]), np.array([0.0, 0, 1, 0])
CHOICES = [
    ({}, "/front_camera/left/image_rect", "base_link"),
    ({"topics": "back_camera"}, "/back_camera/left/image_rect", "base_link"),
    (
        {"left": "/back_camera/left/image_rect", "right": "/back_camera/right/image_rect"},
        "/back_camera/left/image_rect",
        "base_link",
    ),
    ({"grid_frame": "mast"}, "/front_camera/left/image_rect", "mast"),
]


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A robot with two stereo cameras, and a frame on its mast."""
    path = tmp_path_factory.mktemp("recording") / "bag"
    k, size = raytraced.intrinsics(), (raytraced.WIDTH, raytraced.HEIGHT)
    images = raytraced.pair(raytraced.pinhole_rays(k))
    with Recorder(path, "mcap") as recorder:
        recorder.tf("/tf_static", START, "base_link", "mast", np.array([0, 0, 0.5]), NONE)
        for name, rotation in (("front", NONE), ("back", TURNED)):
            recorder.tf("/tf_static", START, "base_link", f"{name}_link", np.array([0, 0, 1.2]), rotation)
            recorder.tf("/tf_static", START, f"{name}_link", f"{name}_optical", np.zeros(3), OPTICAL)
            for side, image, x in (("left", images[0], 0.0), ("right", images[1], raytraced.BASELINE)):
                matrix = raytraced.projection(k, x)
                recorder.info(f"/{name}_camera/{side}/camera_info", matrix, START, k=k, size=size)
                recorder.image(f"/{name}_camera/{side}/image_rect", image, START, f"{name}_optical")
    return path


@pytest.mark.parametrize(("options", "images", "frame"), CHOICES)
def test_a_run_uses_the_chosen_cameras_and_frame_and_says_so(
    bag: Path,
    options: dict[str, str],
    images: str,
    frame: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    out = ["--out", str(tmp_path / "out"), "--model", "stereo-geometry"]
    assert main(["run", "--source", str(bag), *out, *given]) == 0
    line = next(line for line in capsys.readouterr().err.splitlines() if "grid frame " in line)
    assert line.startswith(images) and f"grid frame {frame};" in line


@pytest.mark.parametrize("verb", ["run", "map", "view", "render", "doctor"])
def test_every_verb_that_places_a_grid_lets_the_user_choose_its_origin(verb: str) -> None:
    given = build_parser(verb).parse_args([verb, *REQUIRED.get(verb, []), "--grid-origin", "0", "-25.6", "-0.4"])
    assert chosen_grid(given, "base_link").origin == (0.0, -25.6, -0.4)


@pytest.mark.ros
@pytest.mark.parametrize(("options", "images", "frame"), CHOICES)
def test_the_replay_uses_the_chosen_cameras_and_frame_and_says_so(
    bag: Path, options: dict[str, str], images: str, frame: str
) -> None:
    if importlib.util.find_spec("rclpy") is None:
        pytest.skip("no rclpy: the replay node needs a ROS 2 environment")
    named = {"left": "left_topic", "right": "right_topic"}
    parameters = {named.get(name, name): value for name, value in options.items()}
    values = {"source": bag, "rate": 0.0, "wait_for_subscribers": 0, **parameters}
    given = [word for name, value in values.items() for word in ("-p", f"{name}:={value}")]
    done = subprocess.run(
        [sys.executable, "-m", "occdepth_ros.nodes.replay.node", "--ros-args", *given],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    optical = images.split("_")[0].lstrip("/") + "_optical"
    line = next(line for line in done.stderr.splitlines() if "pose from TF" in line)
    assert f": {images} and " in line and line.endswith(f"pose from TF, {optical} in {frame}")
