"""`occdepth map`: the map of a drive, its scores, its files, and invalid input."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.cli import main
from occdepth_ros.commands import map as verb
from occdepth_ros.errors import GridError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.mapping import MapConfig, OccupancyMap
from occdepth_ros.mapping.files import load_map, save_map
from occdepth_ros.models.predictor import FreeSpace, ImageArray, Occupancy
from occdepth_ros.prediction import OccupancyPrediction, Visibility
from occdepth_ros.sources.base import SceneGroundTruth, SourceDescription, StereoFrame

LEFT_P = np.array([[180.0, 0, 80, 0], [0, 180, 24, 0], [0, 0, 1, 0]])
RIGHT_P = LEFT_P - np.array([[0, 0, 0, 90.0], [0, 0, 0, 0], [0, 0, 0, 0]])
OPTICAL_FROM_GRID = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
GRID = VoxelGrid.semantic_kitti()
STEP_M = 2.0


def world_labels(shift: int) -> np.ndarray:
    """A road and a house, seen from a vehicle that has driven `shift` voxels."""
    labels = np.zeros(GRID.size, np.uint8)
    labels[:, :, :2] = 9
    labels[max(0, 100 - shift) : 140 - shift, 150:170, 2:20] = 13
    return labels


class Drive:
    """Six frames, each two metres farther; ground truth for all."""

    name = "drive"
    grid_frame = "velodyne"
    rig = StereoRig(PinholeCamera(LEFT_P, 160, 48), PinholeCamera(RIGHT_P, 160, 48), OPTICAL_FROM_GRID)
    has_poses = True
    covered: frozenset[int] = frozenset()
    """Frames whose right lens is covered."""
    overexposed: frozenset[int] = frozenset()
    """Frames of which a half is white."""
    description = SourceDescription()

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> StereoFrame:
        texture = np.random.default_rng(index).integers(0, 255, (48, 172, 3), np.uint8)
        left, right = texture[:, :160].copy(), texture[:, 12:].copy()
        left[0, 0, 0] = index
        if index in self.covered:
            right[:] = 0
        if index in self.overexposed:
            left[:, 80:] = right[:, 80:] = 255
        pose = np.eye(4)
        pose[0, 3] = STEP_M * index
        frame = StereoFrame(f"{index:06d}", index * 100_000_000, left, right, pose)
        return frame if self.has_poses else replace(frame, world_from_grid=None)

    def ground_truth(self, index: int) -> SceneGroundTruth:
        return SceneGroundTruth(world_labels(round(STEP_M / GRID.resolution) * index), GRID, "synthetic")

    def period_s(self) -> float:
        return 0.1


class Noisy:
    """A predictor that misses a random fifth of the voxels."""

    name = "stereo-geometry"
    free_space = FreeSpace.SUPPORTED

    def calibrate(self, rig: StereoRig, grid: VoxelGrid) -> None:
        pass

    def infer(self, left: ImageArray, right: ImageArray) -> Occupancy:
        index = int(left[0, 0, 0])
        labels = world_labels(round(STEP_M / GRID.resolution) * index)
        labels[np.random.default_rng(index).random(GRID.size) < 0.2] = 255
        confidence = np.where(labels == 255, 0, 250).astype(np.uint8)
        visibility = np.full(GRID.size, int(Visibility.SEEN), np.uint8)
        return Occupancy(labels, confidence, visibility, np.full((48, 160), np.nan, np.float32))


@pytest.fixture
def drive(monkeypatch: pytest.MonkeyPatch) -> Drive:
    source = Drive()
    monkeypatch.setattr(verb, "open_chosen_source", lambda arguments: source)
    monkeypatch.setattr("occdepth_ros.engine.create_predictor", lambda *_, **__: Noisy())
    monkeypatch.setattr("occdepth_ros.engine.SwapGuard.check", lambda *_: None)
    return source


def test_fusion_fills_voxels_that_single_frames_miss(
    drive: Drive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, image, report = tmp_path / "map.npz", tmp_path / "map.png", tmp_path / "report.json"
    assert main(["map", "--out", str(out), "--image", str(image), "--report", str(report), "--json"]) == 0
    scores = json.loads(report.read_text())["scores"]
    single, so_far, whole = (
        scores[kind]["synthetic"]["sc_iou"] for kind in ("single frames", "map so far", "whole map")
    )
    assert single < 85 < so_far < whole and whole > 95
    assert json.loads(capsys.readouterr().out)["scores"] == scores
    assert image.stat().st_size > 1000
    world = OccupancyMap(MapConfig())
    load_map(out, world)
    assert (world.whole().labels == 13).any()


@pytest.mark.parametrize("suffix", [".bt", ".ot"])
def test_octomap_files_are_written(drive: Drive, tmp_path: Path, suffix: str) -> None:
    assert main(["map", "--count", "2", "--out", str(tmp_path / f"map{suffix}")]) == 0
    assert (tmp_path / f"map{suffix}").read_bytes().startswith(b"# Octomap OcTree")


def test_a_drive_is_added_to_a_loaded_map(drive: Drive, tmp_path: Path) -> None:
    first, more = tmp_path / "first.ot", tmp_path / "more.npz"
    behind = OccupancyMap(MapConfig())
    pose = np.eye(4)
    pose[0, 3] = -60.0
    behind.integrate(
        OccupancyPrediction(
            GRID,
            world_labels(0),
            confidence=np.full(GRID.size, 250, np.uint8),
            visibility=np.zeros(GRID.size, np.uint8),
            depth=np.ones((1, 1), np.float32),
        ),
        pose,
    )
    save_map(first, behind)
    assert main(["map", "--count", "1", "--load", str(first), "--out", str(more)]) == 0
    world = OccupancyMap(MapConfig())
    load_map(more, world)
    houses = np.argwhere(world.whole().labels == 13)[:, 0] * GRID.resolution
    # 20 m ahead of each of the two places
    assert np.ptp(houses) > 60.0
    assert main(["map", "--load", str(tmp_path / "absent.ot"), "--out", str(more)]) == 2


def test_frames_that_cannot_be_fused_are_reported(
    drive: Drive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["map", "--out", str(tmp_path / "map.txt")]) == 2
    assert ".npz, .bt, .ot" in capsys.readouterr().err
    drive.has_poses = False
    assert main(["map", "--out", str(tmp_path / "map.npz")]) == 2
    assert "no poses" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_pairs_without_stereo_information_are_not_fused(
    drive: Drive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drive.covered = frozenset({1})
    assert main(["map", "--out", str(tmp_path / "map.npz"), "--count", "3", "--json"]) == 0
    shown = capsys.readouterr()
    summary = json.loads(shown.out)
    assert summary["frames"] == 2
    assert any("no_structure" in text and "000001" in text for text in summary["warnings"])
    assert "no_structure" in shown.err
    drive.overexposed = frozenset({2})
    assert main(["map", "--out", str(tmp_path / "map.npz"), "--count", "3"]) == 0
    assert "overexposed: fused: 000002: " in capsys.readouterr().err
    drive.covered = frozenset({0, 1})
    assert main(["map", "--out", str(tmp_path / "other.npz"), "--count", "2"]) == 2
    assert "nothing to match" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["map", "bench", "run", "render", "export"])
def test_every_command_that_reads_a_recording_has_the_options_of_its_topics(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = capsys.readouterr().out
    assert all(option in text for option in ("--source", "--topics", "--left", "--right", "--grid-frame"))


def test_a_map_that_is_too_large_for_an_octree_is_kept(
    drive: Drive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def too_large(_: OccupancyMap) -> OccupancyPrediction:
        raise GridError("the size has too many voxels")

    monkeypatch.setattr(OccupancyMap, "whole", too_large)
    assert main(["map", "--count", "1", "--out", str(tmp_path / "map.ot")]) == 2
    error = capsys.readouterr().err
    assert "is saved as" in error and "map.npz" in error and "too many voxels" in error
    world = OccupancyMap(MapConfig())
    load_map(tmp_path / "map.npz", world)
    assert world.blocks() and not (tmp_path / "map.ot").exists()
