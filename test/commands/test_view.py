"""`occdepth view` as a user runs it."""

from __future__ import annotations

import importlib.util
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.recordings import rows_of, timelines_of

from occdepth_ros.classes import SEMANTIC_KITTI
from occdepth_ros.cli import main
from occdepth_ros.commands import view
from occdepth_ros.errors import OutputError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.prediction import OccupancyPrediction
from occdepth_ros.visualization import viewer_log
from occdepth_ros.visualization.viewer_log import opened_log

needs_rerun = pytest.mark.skipif(
    importlib.util.find_spec("rerun") is None, reason="rerun-sdk is not installed: pip install 'rerun-sdk>=0.34'"
)


@needs_rerun
def test_a_recording_holds_images_voxels_map_path_and_timings_on_one_time_line(tmp_path: Path) -> None:
    file = tmp_path / "sample.rrd"
    assert main(["view", "--model", "stereo-geometry", "--count", "6", "--save", str(file)]) == 0
    rows = rows_of(file)
    camera = "/world/vehicle/left"
    every_frame = {
        *(f"{camera}/image", f"{camera}/depth", "/world/vehicle/right/image", "/world/vehicle", "/world/trajectory"),
        *("/world/vehicle/voxels/seen", "/world/vehicle/voxels/completed", "/timings/total"),
    }
    assert {name: rows[name] for name in every_frame} == dict.fromkeys(every_frame, 6)
    # after five frames and after the last one
    assert {rows[name] for name in ("/world/map/seen", "/world/map/completed", "/world/path")} == {2}
    assert {"/world", "/legend", camera, "/world/vehicle/right"} <= set(rows)
    assert timelines_of(file) == {"stamp"}
    assert [path.name for path in tmp_path.iterdir()] == ["sample.rrd"]


def test_without_rerun_the_command_to_install_it_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    assert main(["view", "--save", "a.rrd"]) == 2
    assert "pip install 'rerun-sdk>=0.34'" in capsys.readouterr().err


@needs_rerun
@pytest.mark.parametrize("offset", [0, 1])
def test_an_occupied_port_is_named(offset: int, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        number = other.getsockname()[1]
        assert main(["view", "--model", "stereo-geometry", "--count", "1", "--port", str(number - offset)]) == 2
    assert f"port {number}: the port cannot be opened" in capsys.readouterr().err


@needs_rerun
def test_another_suffix_is_refused_without_writing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--model", "stereo-geometry", "--count", "1", "--save", str(tmp_path / "sample.bag")]
    assert main(["view", *arguments]) == 2
    assert "ends in .rrd" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@needs_rerun
def test_a_full_disk_is_an_error_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputError, match="cannot write: No space left"), opened_log(tmp_path / "a.rrd") as log:
        log.at(0)
        monkeypatch.setattr(viewer_log, "MIN_FREE_BYTES", 1 << 60)
        log.at(1)
    assert list(tmp_path.iterdir()) == []


def test_a_path_runs_on_the_ground_to_a_goal_ahead() -> None:
    labels = np.zeros((100, 60, 16), np.uint8)
    labels[:, :, :3] = SEMANTIC_KITTI.id_of("road")
    labels[40:44, :35, 3:10] = SEMANTIC_KITTI.id_of("car")
    grid = VoxelGrid((0.0, -6.0, -1.0), labels.shape, 0.2, "map")
    seen = np.ones_like(labels)
    snapshot = OccupancyPrediction(grid, labels, 200 * seen, seen, np.full((1, 1), np.nan, np.float32))
    pose = np.eye(4)
    pose[:3, 3] = (2.0, 0.0, 0.7)
    path = view.path_ahead(snapshot, pose)
    np.testing.assert_allclose(path[:, 2], -1.0 + 3.5 * 0.2)
    assert np.hypot(*(path[0, :2] - (2.0, 0.0))) < 0.5
    assert np.hypot(*(path[-1, :2] - (17.0, 0.0))) < 0.5
    beside_the_car = path[(path[:, 0] > 8.0) & (path[:, 0] < 8.8)]
    assert len(beside_the_car) and beside_the_car[:, 1].min() > 1.0 + 0.9
    blocked = labels.copy()
    blocked[40:44, :, 3:10] = SEMANTIC_KITTI.id_of("car")
    closed = OccupancyPrediction(grid, blocked, 200 * seen, seen, snapshot.depth)
    assert view.path_ahead(closed, pose).shape == (0, 3)
