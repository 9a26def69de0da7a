"""The bundled sample and the generator that made it: images, depth and labels tell one story."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from occdepth_ros.classes import SEMANTIC_KITTI, UNKNOWN
from occdepth_ros.cli import main
from occdepth_ros.data.street.light import OpenSky, develop, render
from occdepth_ros.data.street.scene import Scene
from occdepth_ros.data.street.street import make_street
from occdepth_ros.data.street.writer import StreetDrive, write_sequence
from occdepth_ros.errors import OutputError
from occdepth_ros.sources import StereoSource, open_source
from occdepth_ros.sources.factory import SAMPLE_FOLDER

SEED = 1
SMALL = StreetDrive(SEED, width=310, height=94, focal=179.5, samples=1, ahead=0.0)


@pytest.fixture(scope="module")
def sample() -> StereoSource:
    return open_source("sample")


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_street(SEED)


@pytest.fixture(scope="module")
def depth(scene: Scene) -> np.ndarray:
    """Exact depth of frame 5 of the sample."""
    return StreetDrive(SEED).depth(scene, 0.5)


def test_the_sample_is_whole_and_small(sample: StereoSource) -> None:
    assert len(sample) == 12
    assert sample.period_s() == pytest.approx(0.1)
    assert sum(path.stat().st_size for path in SAMPLE_FOLDER.rglob("*") if path.is_file()) < 5_000_000
    frame = sample[11]
    assert frame.left.shape == frame.right.shape == (375, 1242, 3)
    assert frame.world_from_grid is not None
    assert frame.world_from_grid[0, 3] == pytest.approx(7.7, abs=0.05)
    # neither black nor burnt out
    assert 80 < frame.left.mean() < 160
    assert (frame.left.max(axis=2) > 250).mean() < 0.05


def test_the_sample_has_the_calibration_of_the_generator(sample: StereoSource) -> None:
    assert sample.rig.fingerprint == StreetDrive(SEED).rig.fingerprint
    assert sample.rig.baseline == pytest.approx(0.537)


def test_the_right_image_is_the_left_one_moved_by_the_exact_depth(sample: StereoSource, depth: np.ndarray) -> None:
    frame = sample[5]
    v, u = np.mgrid[: depth.shape[0], : depth.shape[1]].astype(np.float32)
    disparity = sample.rig.left.projection[0, 0] * sample.rig.baseline / depth
    moved = cv2.remap(frame.right, u - disparity.astype(np.float32), v, cv2.INTER_LINEAR)
    error = np.abs(moved.astype(int) - frame.left).mean(axis=2)
    near = (depth < 60) & (u > disparity + 2)
    assert np.median(error[near]) < 6
    assert (error[near] < 25).mean() > 0.9
    unmoved = np.abs(frame.right.astype(int) - frame.left).mean(axis=2)
    assert (unmoved[near] < 25).mean() < 0.7


def test_semi_global_matching_finds_the_exact_depth(sample: StereoSource, depth: np.ndarray) -> None:
    frame = sample[5]
    left, right = (cv2.cvtColor(side, cv2.COLOR_RGB2GRAY) for side in (frame.left, frame.right))
    matcher = cv2.StereoSGBM.create(0, 128, 5, P1=8 * 25, P2=32 * 25, disp12MaxDiff=1, uniquenessRatio=10)
    found = matcher.compute(left, right).astype(np.float32) / 16
    exact = sample.rig.left.projection[0, 0] * sample.rig.baseline / depth
    both = (found > 0) & np.isfinite(depth) & (depth < 60)
    error = np.abs(found - exact)[both]
    assert both.mean() > 0.6
    assert np.median(error) < 0.5
    assert (error < 2).mean() > 0.9


@pytest.mark.parametrize("index", [0, 11])
def test_what_the_camera_sees_is_occupied_in_the_ground_truth(sample: StereoSource, scene: Scene, index: int) -> None:
    ground_truth = sample.ground_truth(index)
    assert ground_truth is not None
    assert ground_truth.name == "synthetic"
    depth = StreetDrive(SEED).depth(scene, 0.1 * index)
    labels, grid = ground_truth.labels, ground_truth.grid
    v, u = np.mgrid[: depth.shape[0] : 3, : depth.shape[1] : 3]
    z = depth[v, u]
    rays = np.linalg.inv(sample.rig.left.intrinsics) @ np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
    points = np.vstack([rays * z.ravel(), np.ones(u.size)])[:, np.isfinite(z.ravel())]
    in_grid = (np.linalg.inv(sample.rig.left_from_grid) @ points)[:3].T
    voxels, inside = grid.index_of(in_grid)
    assert inside.sum() > 5000
    hit = labels[tuple(voxels[inside].T)]
    # a surface may lie on the border of two voxels
    ahead = labels[
        tuple(grid.index_of(in_grid + 0.12 * (in_grid / np.linalg.norm(in_grid, axis=1)[:, None]))[0][inside].T)
    ]
    occupied = [(part > 0) & (part != UNKNOWN) for part in (hit, ahead)]
    assert (occupied[0] | occupied[1]).mean() > 0.97
    # and the way to it is free
    halfway = labels[tuple(grid.index_of(0.5 * in_grid)[0][inside].T)]
    assert (halfway[grid.index_of(0.5 * in_grid)[1][inside]] == 0).mean() > 0.9


def test_the_ground_truth_holds_what_stands_in_the_street(sample: StereoSource) -> None:
    ground_truth = sample.ground_truth(0)
    assert ground_truth is not None
    present = {SEMANTIC_KITTI.names[label] for label in np.unique(ground_truth.labels) if label < 20}
    assert present >= {
        "empty", "car", "person", "road", "parking", "sidewalk", "building",
        "fence", "vegetation", "trunk", "terrain", "pole", "traffic-sign",
    }  # fmt: skip
    unknown = (ground_truth.labels == UNKNOWN).mean()
    assert 0.2 < unknown < 0.7


def test_equal_seeds_give_equal_streets_and_other_seeds_others() -> None:
    corners = [np.stack([s.corners for s in make_street(seed).still[:300]]) for seed in (3, 3, 4)]
    np.testing.assert_array_equal(corners[0], corners[1])
    assert not np.array_equal(corners[0], corners[2])


def test_rendering_is_repeatable_and_averages_samples(scene: Scene) -> None:
    solids = scene.at(0.0)
    open_sky = OpenSky.of(scene.moving(0.0), (-10, -10, -1), (60, 10, 5))
    view = SMALL.view(0.0, "left")
    once, again = (render(view, solids, scene.sun, open_sky, samples=1) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    fine = render(view, solids, scene.sun, open_sky, samples=2)
    assert np.abs(fine - once).mean() < 0.1
    assert np.abs(np.diff(fine, axis=1)).mean() < np.abs(np.diff(once, axis=1)).mean()
    assert develop(once, np.random.default_rng(0)).dtype == np.uint8


def test_a_written_drive_opens_and_nothing_else_is_left(tmp_path: Path, scene: Scene) -> None:
    done: list[int] = []
    write_sequence(tmp_path / "new" / "drive", SMALL, frames=1, quality=95, report=done.append)
    assert done == [1]
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["drive"]
    source = open_source(tmp_path / "new" / "drive")
    assert source.rig.fingerprint == SMALL.rig.fingerprint
    frame = source[0]
    # noise included, the same images come again
    for written, taken in zip((frame.left, frame.right), SMALL.images(scene, 0.0), strict=True):
        assert np.abs(written.astype(int) - taken).mean() < 4
    ground_truth = source.ground_truth(0)
    assert ground_truth is not None
    assert ground_truth.grid.origin[2] == -2.0


def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        write_sequence(tmp_path, SMALL, frames=1)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(("option", "value"), [("--frames", "0"), ("--frames", "9999"), ("--seed", "-1")])
def test_the_command_refuses_nonsense(
    tmp_path: Path, option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", "--out", str(tmp_path / "new"), option, value]) == 2
    assert option in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
