"""Heavy libraries are imported only where a network needs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from occdepth_ros.sources.factory import SAMPLE_FOLDER

HEAVY = ("torch", "timm", "lightning", "onnxruntime", "safetensors")
SCRIPT = """
import contextlib, io, sys
from occdepth_ros.cli import VERBS, main
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    for arguments in {commands}:
        try:
            main(arguments)
        except SystemExit:
            pass
print(*[name for name in {heavy} if name in sys.modules])
"""
NODE = """
import sys
import numpy as np
import occdepth_ros.nodes.stereo_occ.node, occdepth_ros.nodes.replay.node, occdepth_ros.nodes.planner.node
from occdepth_ros.engine import Engine
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.sources import open_source
source = open_source()
frame = source[0]
grid = VoxelGrid.semantic_kitti(source.grid_frame)
Engine(source.rig, grid, model="stereo-geometry").predict(frame.left, frame.right)
print(*[name for name in {heavy} if name in sys.modules])
"""


def loaded(script: str) -> str:
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr[-2000:]
    return answer.stdout.strip()


@pytest.mark.parametrize(
    "commands",
    [
        [["--help"], ["--version"], ["doctor", "--help"], ["run", "--help"], ["sample", "--help"]],
        [["doctor"], ["doctor", "rig", "--seconds", "0.3"]],
        [["run", "--source", "no-such-path", "--model", "stereo-geometry"]],
    ],
)
def test_commands_without_a_network_import_no_torch(commands: list[list[str]]) -> None:
    assert loaded(SCRIPT.format(commands=commands, heavy=HEAVY)) == ""


def test_stereo_matching_through_every_command_imports_no_torch(tmp_path: Path) -> None:
    recording, out = str(tmp_path / "bag"), str(tmp_path / "out")
    model = ["--model", "stereo-geometry", "--count", "1"]
    commands = [
        ["convert", str(SAMPLE_FOLDER), recording, "--count", "1"],
        ["run", "--source", recording, "--out", out, *model],
        ["map", "--out", f"{out}.npz", *model],
        ["render", "--mesh", f"{out}_mesh", *model],
    ]
    assert loaded(SCRIPT.format(commands=commands, heavy=HEAVY)) == ""
    assert {path.name for path in tmp_path.iterdir()} == {"bag", "out", "out.npz", "out_mesh"}


def test_the_nodes_with_the_stereo_baseline_import_no_torch() -> None:
    pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
    assert loaded(NODE.format(heavy=HEAVY)) == ""
