"""The sample in the package and its generator: images, depth and labels agree."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from occdepth_ros.classes import EMPTY, SEMANTIC_KITTI, UNKNOWN
from occdepth_ros.cli import main
from occdepth_ros.commands.sample import SEED
from occdepth_ros.data.synthetic.detail.render import Light, develop, render
from occdepth_ros.data.synthetic.drive import SyntheticDrive, write_sequence
from occdepth_ros.errors import OutputError
from occdepth_ros.sources import StereoSource, open_source
from occdepth_ros.sources.factory import SAMPLE_FOLDER

SMALL = SyntheticDrive(SEED, width=310, height=94, focal=179.5, samples=1)


@pytest.fixture(scope="module")
def sample() -> StereoSource:
    return open_source("sample")


@pytest.fixture(scope="module")
def drive() -> SyntheticDrive:
    return SyntheticDrive(SEED)


@pytest.fixture(scope="module")
def depth(drive: SyntheticDrive) -> np.ndarray:
    """Exact depth of frame 5 of the sample."""
    return drive.depth(0.5)


def test_the_sample_is_complete_and_small(sample: StereoSource) -> None:
    assert len(sample) == 12
    assert sample.period_s() == pytest.approx(0.1)
    assert sum(path.stat().st_size for path in SAMPLE_FOLDER.rglob("*") if path.is_file()) < 5_000_000
    frame = sample[11]
    assert frame.left.shape == frame.right.shape == (375, 1242, 3)
    assert frame.world_from_grid is not None
    assert np.linalg.norm(frame.world_from_grid[:3, 3]) == pytest.approx(7.7, abs=0.1)
    # neither too dark nor overexposed
    assert 80 < frame.left.mean() < 160
    assert (frame.left.max(axis=2) > 250).mean() < 0.05


def test_the_sample_has_the_calibration_of_the_generator(sample: StereoSource, drive: SyntheticDrive) -> None:
    assert sample.rig.fingerprint == drive.rig.fingerprint
    assert sample.rig.baseline == pytest.approx(0.537)


def test_the_right_image_is_the_left_one_shifted_by_the_exact_disparity(
    sample: StereoSource, depth: np.ndarray
) -> None:
    frame = sample[5]
    v, u = np.mgrid[: depth.shape[0], : depth.shape[1]].astype(np.float32)
    disparity = sample.rig.left.projection[0, 0] * sample.rig.baseline / depth
    shifted = cv2.remap(frame.right, u - disparity.astype(np.float32), v, cv2.INTER_LINEAR)
    error = np.abs(shifted.astype(int) - frame.left).mean(axis=2)
    near = (depth < 60) & (u > disparity + 2)
    assert np.median(error[near]) < 6
    assert (error[near] < 25).mean() > 0.9
    unshifted = np.abs(frame.right.astype(int) - frame.left).mean(axis=2)
    assert (unshifted[near] < 25).mean() < 0.75


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
def test_visible_surfaces_are_occupied_in_the_ground_truth(
    sample: StereoSource, drive: SyntheticDrive, index: int
) -> None:
    ground_truth = sample.ground_truth(index)
    assert ground_truth is not None
    assert ground_truth.name == "synthetic"
    depth = drive.depth(0.1 * index)
    labels, grid = ground_truth.labels, ground_truth.grid
    v, u = np.mgrid[: depth.shape[0] : 3, : depth.shape[1] : 3]
    z = depth[v, u]
    rays = np.linalg.inv(sample.rig.left.intrinsics) @ np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
    points = np.vstack([rays * z.ravel(), np.ones(u.size)])[:, np.isfinite(z.ravel())]
    in_grid = (np.linalg.inv(sample.rig.left_from_grid) @ points)[:3].T
    voxels, inside = grid.index_of(in_grid)
    assert inside.sum() > 5000
    # a surface may lie on the border of two voxels, and a quarter of the voxels of a crown is empty
    occupied = ((labels != EMPTY) & (labels != UNKNOWN)).astype(np.uint8)
    near = np.stack([cv2.dilate(plane, np.ones((3, 3), np.uint8)) for plane in occupied])
    near = np.maximum.reduce([near[1:-1], near[2:], near[:-2]])
    x, y, z_index = voxels[inside & (voxels[:, 0] > 0) & (voxels[:, 0] < grid.size[0] - 1)].T
    assert near[x - 1, y, z_index].mean() > 0.97
    # the space in front of surfaces is free
    halfway, halfway_inside = grid.index_of(0.5 * in_grid)
    both = inside & halfway_inside
    assert (labels[tuple(halfway[both].T)] == EMPTY).mean() > 0.97


def test_the_ground_truth_holds_all_kinds_of_objects(sample: StereoSource) -> None:
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
    corners = [SyntheticDrive(seed).scene.world.corners for seed in (3, 3, 4)]
    np.testing.assert_allclose(corners[0], corners[1])
    assert corners[0].shape != corners[2].shape or not np.allclose(corners[0], corners[2])


def test_only_traffic_moves_with_time(drive: SyntheticDrive) -> None:
    before, after = drive.scene, drive.scene.at(0.5)
    assert len(before.world.blocks) == len(after.world.blocks)
    moved = np.linalg.norm(after.world.corners - before.world.corners, axis=2).max(axis=1)
    vehicles = sum(len(v.parts) for v in before.traffic)
    assert (moved > 0.1).sum() == vehicles > 0
    speeds = moved[moved > 0.1] / 0.5
    assert (speeds > 3).all() and (speeds < 10).all()


def test_rendering_is_repeatable_and_averages_samples() -> None:
    light = Light.of(SMALL.scene)
    view = SMALL.view(0.0, "left")
    once, again = (render(view, SMALL.scene, light, samples=1) for _ in range(2))
    np.testing.assert_allclose(once, again, atol=1e-5)
    fine = render(view, SMALL.scene, light, samples=2)
    assert np.abs(fine - once).mean() < 0.1
    assert np.abs(np.diff(fine, axis=1)).mean() < np.abs(np.diff(once, axis=1)).mean()
    assert develop(once, np.random.default_rng(0)).dtype == np.uint8


def test_a_written_drive_opens_and_leaves_no_temporary_files(tmp_path: Path) -> None:
    done: list[int] = []
    write_sequence(tmp_path / "new" / "drive", SMALL, frames=1, quality=95, report=done.append)
    assert done == [1]
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["drive"]
    source = open_source(tmp_path / "new" / "drive")
    assert source.rig.fingerprint == SMALL.rig.fingerprint
    frame = source[0]
    # the noise is repeatable, too
    for written, made in zip((frame.left, frame.right), SMALL.images(0.0), strict=True):
        assert np.abs(written.astype(int) - made).mean() < 4
    ground_truth = source.ground_truth(0)
    assert ground_truth is not None
    assert ground_truth.grid.origin[2] == -2.0


def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        write_sequence(tmp_path, SMALL, frames=1)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(("option", "value"), [("--frames", "0"), ("--frames", "9999"), ("--seed", "-1")])
def test_the_command_refuses_numbers_out_of_range(
    tmp_path: Path, option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", "--out", str(tmp_path / "new"), option, value]) == 2
    assert option in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
