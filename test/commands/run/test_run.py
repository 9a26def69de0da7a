"""`occdepth run`: complete and repeatable results, reports of runs that failed, and other files kept."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from helpers.raytraced import BASELINE, HEIGHT, WIDTH, intrinsics, projection, turned_pair
from helpers.sequences import kitti_odometry, make_image, save

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.cli import main
from occdepth_ros.commands import run as verb
from occdepth_ros.commands.options.frames import select_frames
from occdepth_ros.errors import ImageError, SourceError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.predictor import FreeSpace, ImageArray, Occupancy
from occdepth_ros.sources import open_source
from occdepth_ros.sources.base import SceneGroundTruth, SourceDescription, StereoFrame

FOCAL = 180.0
LEFT_P = np.array([[FOCAL, 0, 80, 0], [0, FOCAL, 24, 0], [0, 0, 1, 0]])
RIGHT_P = LEFT_P - np.array([[0, 0, 0, 0.5 * FOCAL], [0, 0, 0, 0], [0, 0, 0, 0]])
OPTICAL_FROM_GRID = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


class FourFrames:
    """A sequence of four small frames; every second one has ground truth."""

    name = "four frames"
    covered: frozenset[int] = frozenset()
    """Frames whose right lens is covered."""
    grid_frame = "velodyne"
    description = SourceDescription()
    rig = StereoRig(PinholeCamera(LEFT_P, 160, 48), PinholeCamera(RIGHT_P, 160, 48), OPTICAL_FROM_GRID)

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> StereoFrame:
        texture = np.random.default_rng(index).integers(0, 255, (48, 172, 3), np.uint8)
        left, right = np.ascontiguousarray(texture[:, :160]), np.ascontiguousarray(texture[:, 12:])
        if index in self.covered:
            right = np.zeros_like(right)
        return StereoFrame(f"frame-{index}", index * 100_000_000, left, right)

    def ground_truth(self, index: int) -> SceneGroundTruth | None:
        grid = VoxelGrid.semantic_kitti()
        return SceneGroundTruth(labels_of(grid), grid, "synthetic") if index % 2 == 0 else None

    def period_s(self) -> float:
        return 0.1


def labels_of(grid: VoxelGrid) -> np.ndarray:
    labels = np.zeros(grid.size, np.uint8)
    labels[:, :, :2] = 9
    labels[30:40, 100:110, 2:8] = 1
    return labels


class ExactPredictor:
    """A predictor that returns the ground truth of `FourFrames`."""

    name = "stereo-geometry"
    free_space = FreeSpace.SUPPORTED

    def calibrate(self, rig: StereoRig, grid: VoxelGrid) -> None:
        self.grid = grid

    def infer(self, left: ImageArray, right: ImageArray) -> Occupancy:
        labels = labels_of(self.grid)
        full = np.full(self.grid.size, 200, np.uint8)
        seen = np.ones(self.grid.size, np.uint8)
        return Occupancy(labels, full, seen, np.full(left.shape[:2], 7.0, np.float32), {"thinking": 1.0})


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "open_chosen_source", lambda arguments: FourFrames())
    monkeypatch.setattr("occdepth_ros.engine.create_predictor", lambda *_, **__: ExactPredictor())


def digests(folder: Path) -> dict[str, str]:
    return json.loads((folder / "manifest.json").read_text())["files"]


def test_two_runs_give_equal_files(stage: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        assert main(["run", "--out", str(tmp_path / name), "--count", "2", "--images", "--octomap"]) == 0
    first, second = ((tmp_path / name / "manifest.json").read_bytes() for name in "ab")
    assert first == second
    files = digests(tmp_path / "a")
    assert {
        "000000.npz",
        "000001.npz",
        "000000.bt",
        "000001.ot",
        "frame_000000.png",
        "panels/000000_ground_truth_view.png",
    } <= set(files)
    assert "panels/000001_ground_truth_view.png" not in files
    for name, digest in files.items():
        assert hashlib.sha256((tmp_path / "a" / name).read_bytes()).hexdigest() == digest
    printed = capsys.readouterr().out
    assert "thinking" in printed and "against synthetic (1 scenes): SC IoU 100.0 %" in printed


def test_the_grid_can_be_placed_elsewhere(stage: None, tmp_path: Path) -> None:
    # on the ground truth's lattice there are scores, between its voxels there are none
    for name, x, scored in (("on", "1.6", True), ("between", "1.65", False)):
        out = tmp_path / name
        place = ["--grid-origin", x, "-25.6", "-2", "--grid-size", "64", "256", "32"]
        assert main(["run", "--out", str(out), "--count", "1", *place]) == 0
        with np.load(out / "000000.npz") as result:
            assert result["origin"].tolist() == [float(x), -25.6, -2.0]
            assert result["labels"].shape == (64, 256, 32)
        report = json.loads((out / "report.json").read_text())
        assert bool(report["scores"]) == scored


def test_an_invalid_grid_is_refused(stage: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--out", str(tmp_path / "a"), "--grid-size", "0", "256", "32"]) == 2
    assert "not three positive counts" in capsys.readouterr().err
    assert main(["run", "--out", str(tmp_path / "a"), "--grid-origin", "nan", "0", "0"]) == 2
    assert "not three finite numbers" in capsys.readouterr().err


def test_a_grid_that_no_octomap_can_hold_is_refused_before_the_first_prediction(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new"
    assert main(["run", "--out", str(out), "--octomap", "--grid-origin", "0", "-25.6", "-0.3"]) == 2
    assert "multiple of the resolution" in capsys.readouterr().err
    assert not out.exists()


def test_the_result_contains_the_prediction(stage: None, tmp_path: Path) -> None:
    assert main(["run", "--out", str(tmp_path), "--start", "3"]) == 0
    with np.load(tmp_path / "000003.npz") as result:
        assert np.array_equal(result["labels"], labels_of(VoxelGrid.semantic_kitti()))
        assert (result["confidence"] == 200).all() and (result["visibility"] == 1).all()
        assert result["origin"].tolist() == [0.0, -25.6, -2.0] and result["resolution"] == 0.2
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["complete"] and manifest["frames"] == {"000003": "frame-3"}
    assert manifest["model"] == "stereo-geometry" and manifest["grid"]["size"] == [256, 256, 32]


def test_the_report_as_json(stage: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--out", str(tmp_path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((tmp_path / "report.json").read_text())
    assert report["frames"] == 4 and report["timings_ms"]["thinking"] == {"first": 1.0, "mean": 1.0, "p95": 1.0}


def test_a_wrong_size_ends_a_run_before_the_first_frame(
    stage: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = kitti_odometry(tmp_path / "00", 4)
    for i in range(4):
        save(path / "image_3" / f"{i:06d}.png", np.roll(make_image(i), -12, axis=1))
    save(path / "image_3" / "000002.png", np.zeros((48, 162, 3), np.uint8))
    monkeypatch.setattr(verb, "open_chosen_source", lambda _: open_source(path))
    assert main(["run", "--out", str(tmp_path / "out")]) == 2
    assert "1 of 8 images are not 160x48" in (printed := " ".join(capsys.readouterr().err.split()))
    assert "000002.png (162x48)" in printed
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["complete"] is False and "000002.png" in report["error"]
    assert (report["frames"], report["requested_frames"]) == (0, 4)
    # frames before the wrong one can be run
    assert main(["run", "--out", str(tmp_path / "out"), "--count", "2"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["complete"] is True and report["error"] is None and report["frames"] == 2


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), OSError("the disk is gone")])
def test_an_interrupted_run_has_a_report(
    stage: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interruption: BaseException
) -> None:
    good = FourFrames.__getitem__

    def interrupted(self: FourFrames, index: int) -> StereoFrame:
        if index == 2 and (tmp_path / "000000.npz").exists():  # frame 1 is predicted meanwhile
            raise interruption
        return good(self, index)

    monkeypatch.setattr(FourFrames, "__getitem__", interrupted)
    arguments = argparse.ArgumentParser()
    verb.add_arguments(arguments)
    with pytest.raises(type(interruption)):
        verb.run(arguments.parse_args(["--out", str(tmp_path)]))
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["frames"] == 2 and report["complete"] is False
    assert report["error"] == (str(interruption) or "KeyboardInterrupt")
    assert report["timings_ms"]["thinking"]["mean"] == 1.0


def test_a_run_interrupted_while_the_ground_is_measured_has_a_report(
    stage: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object, **options: object) -> StereoRig:
        raise KeyboardInterrupt

    monkeypatch.setattr(verb, "checked_rig", interrupted)
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    with pytest.raises(KeyboardInterrupt):
        verb.run(parser.parse_args(["--out", str(tmp_path)]))
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["error"] == "KeyboardInterrupt" and report["frames"] == 0 and not report["complete"]
    assert json.loads((tmp_path / "manifest.json").read_text())["complete"] is False


def test_help_names_bags(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    assert "bag" in capsys.readouterr().out


def break_frames(monkeypatch: pytest.MonkeyPatch, *damaged: int) -> None:
    good = FourFrames.__getitem__

    def broken(self: FourFrames, index: int) -> StereoFrame:
        if index in damaged:
            raise ImageError("the image is cut off", where=f"{index:06d}.png")
        return good(self, index)

    monkeypatch.setattr(FourFrames, "__getitem__", broken)


@pytest.mark.parametrize("damaged", [0, 1, 3])
def test_a_damaged_frame_is_named_and_the_others_are_predicted(
    stage: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], damaged: int
) -> None:
    break_frames(monkeypatch, damaged)
    assert main(["run", "--out", str(tmp_path)]) == 0
    name = f"{damaged:06d}"
    assert (
        f"damaged_image (frame {damaged}, not predicted): {name}.png: the image is cut off" in capsys.readouterr().err
    )
    assert sorted(digests(tmp_path)) == [f"{i:06d}.npz" for i in range(4) if i != damaged]
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["frames"], report["requested_frames"], report["left_out_frames"]) == (3, 4, 1)
    assert report["complete"] and any("damaged_image" in warning for warning in report["warnings"])


def test_a_run_whose_frames_are_all_damaged_fails(
    stage: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    break_frames(monkeypatch, 0, 1, 2, 3)
    assert main(["run", "--out", str(tmp_path)]) == 2
    assert "000003.png: the image is cut off" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.npz"))
    assert json.loads((tmp_path / "report.json").read_text())["left_out_frames"] == 4


@pytest.mark.parametrize(("start", "count"), [(-1, None), (5, None), (0, 0), (0, -2), (3, 3), (0, 6)])
def test_ranges_outside_the_sequence_are_errors(start: int, count: int | None) -> None:
    with pytest.raises(SourceError, match="5 frames"):
        select_frames(5, start, count, "sequence")


def test_ranges_within_the_sequence() -> None:
    assert list(select_frames(5, 0, None, "")) == [0, 1, 2, 3, 4]
    assert list(select_frames(5, 3, 2, "")) == [3, 4]


def test_a_frame_with_a_covered_lens_is_reported_and_left_out(
    stage: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(FourFrames, "covered", frozenset({1, 2}))
    assert main(["run", "--out", str(tmp_path)]) == 0
    assert "no_structure (frame 1, 2, not predicted)" in capsys.readouterr().err
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["frames"] == 2 and "the right image is black" in report["warnings"][0]
    assert sorted(path.name for path in tmp_path.glob("*.npz")) == ["000000.npz", "000003.npz"]


def test_a_run_without_any_usable_pair_fails_by_name(
    stage: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(FourFrames, "covered", frozenset(range(4)))
    assert main(["run", "--out", str(tmp_path)]) != 0
    assert "without structure" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.npz"))


def test_a_frozen_camera_is_named_unless_allowed(
    stage: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = FourFrames()[0]
    monkeypatch.setattr(FourFrames, "__getitem__", lambda self, index: frame)
    assert main(["run", "--out", str(tmp_path / "a")]) == 0
    assert "images_unchanged (frame 1, 2, 3, predicted)" in capsys.readouterr().err
    assert len(list((tmp_path / "a").glob("*.npz"))) == 4
    assert main(["run", "--out", str(tmp_path / "b"), "--allow-unchanged"]) == 0
    assert "images_unchanged" not in capsys.readouterr().err
    assert len(list((tmp_path / "b").glob("*.npz"))) == 4


def test_late_right_images_in_a_turn_are_reported(
    stage: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    left, right = (PinholeCamera(projection(intrinsics(), x), WIDTH, HEIGHT) for x in (0.0, BASELINE))
    monkeypatch.setattr(FourFrames, "rig", StereoRig(left, right, OPTICAL_FROM_GRID))
    monkeypatch.setattr(
        FourFrames,
        "__getitem__",
        lambda _, index: StereoFrame("", index * 10**8, *turned_pair(2.0 * max(index - 1, 0), 1.5 * (index > 1))),
    )
    assert main(["run", "--out", str(tmp_path)]) == 0
    assert "rows_differ (frame 2, 3, predicted): stereo pair: the rows of " in capsys.readouterr().err
