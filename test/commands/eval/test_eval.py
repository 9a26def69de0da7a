"""`occdepth eval` and the SemanticKITTI layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from helpers.sequences import kitti_odometry, labelled_scans, textured_wall

from occdepth_ros.classes import SEMANTIC_KITTI, UNKNOWN
from occdepth_ros.cli import main
from occdepth_ros.data.semantic_kitti.dataset import SPLITS, SemanticKitti, expand_sequences, find_root, voxel_frames
from occdepth_ros.data.synthetic.dataset import SyntheticDataset
from occdepth_ros.data.synthetic.folder import write_scene
from occdepth_ros.errors import SourceError
from occdepth_ros.evaluation.metrics import CompletionScores
from occdepth_ros.evaluation.regions import fixed_regions, range_mask, visibility_regions
from occdepth_ros.evaluation.report import SetScores
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.predictor import FreeSpace, ImageArray, Occupancy
from occdepth_ros.sources.ground_truth import BENCHMARK_GRID
from occdepth_ros.sources.layouts.kitti_odometry import open_kitti_odometry

SIZE = BENCHMARK_GRID.size


def ground_truth_labels() -> np.ndarray:
    labels = np.zeros(SIZE, np.uint8)
    labels[:, :, 3] = SEMANTIC_KITTI.id_of("road")
    labels[40:60, 100:140, 4:10] = SEMANTIC_KITTI.id_of("car")
    return labels


def write_labels(sequence: Path, frame: str, invalid: np.ndarray | None = None) -> None:
    folder = sequence / "voxels"
    folder.mkdir(exist_ok=True)
    SEMANTIC_KITTI.to_raw(ground_truth_labels()).astype("<u2").tofile(folder / f"{frame}.label")
    np.packbits(np.zeros(SIZE, bool) if invalid is None else invalid).tofile(folder / f"{frame}.invalid")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Sequence 08 with six frames; the first and the last have labels."""
    sequence = kitti_odometry(tmp_path / "kitti" / "dataset" / "sequences" / "08", 6)
    for frame in ("000000", "000005"):
        write_labels(sequence, frame)
    return tmp_path / "kitti"


class Knowing:
    """A predictor that returns the ground truth on the requested grid."""

    name = "stereo-geometry"
    free_space = FreeSpace.SUPPORTED

    def calibrate(self, rig: Any, grid: VoxelGrid) -> None:
        self.lift = grid.offset_to(BENCHMARK_GRID)[2]

    def infer(self, left: ImageArray, right: ImageArray) -> Occupancy:
        labels = np.roll(ground_truth_labels(), -self.lift, axis=2)
        full = np.full(SIZE, 200, np.uint8)
        return Occupancy(labels, full, full // 200, np.full(left.shape[:2], 7.0, np.float32))


@pytest.fixture
def knowing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("occdepth_ros.engine.create_predictor", lambda *_, **__: Knowing())


def evaluate(root: Path, out: Path, *more: str) -> dict[str, Any]:
    assert main(["eval", "--root", str(root), "--json", str(out), *more]) == 0
    return json.loads(out.read_text())


def test_a_perfect_prediction_scores_100_percent(
    knowing: None, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = ["--images", str(tmp_path / "drawn"), "--reliability", str(tmp_path / "r.png")]
    report = evaluate(root, tmp_path / "e.json", *figures)
    assert (tmp_path / "r.png").stat().st_size > 1000
    assert report["frames"] == 2 and report["sequences"] == ["08"] and report["ground_truth"] == "semantic_kitti"
    assert report["sc_iou"] == report["sc_precision"] == report["sc_recall"] == 100
    assert report["per_class"]["road"] == report["per_class"]["car"] == pytest.approx(100, abs=1e-3)
    assert report["ssc_miou"] == pytest.approx(200 / 19, abs=1e-3)
    assert [row["frame"] for row in report["by_frame"]] == ["000000", "000005"]
    assert report["complete"] is False and report["benchmark_frames"] == 815
    printed = capsys.readouterr().out
    assert "semantic_kitti, 2 frames, percent" in printed and "2 of the 815 frames" in printed
    assert report["present_classes"] == ["car", "road"] and report["present_miou"] == pytest.approx(100, abs=1e-3)
    assert report["places"] == {"count": 1, "mean": {"sc_iou": 100, "ssc_miou": pytest.approx(200 / 19, abs=1e-3)}}
    # right at a confidence of 200 of 255
    errors = [part["ece"] for part in report["calibration"].values()]
    assert errors == pytest.approx([100 * 55 / 255] * 3, abs=1e-3)
    assert "calibration of the labels" in printed and "2 classes present" in printed
    drawn = {path.name for path in (tmp_path / "drawn").iterdir()}
    assert drawn == {"best_1_08_000000.png", "best_2_08_000005.png"}


def test_pairs_that_a_run_leaves_out_are_scored_and_named(
    knowing: None, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sequence = textured_wall(root / "dataset" / "sequences" / "08", 6, 6)
    assert evaluate(root, tmp_path / "e.json")["refused_pairs"] == {}
    assert "left out" not in capsys.readouterr().err
    right = str(sequence / "image_3" / "000005.png")
    cv2.imwrite(right, np.zeros_like(cv2.imread(right)))
    report = evaluate(root, tmp_path / "e.json")
    assert report["frames"] == 2 and report["refused_pairs"] == {"no_structure": ["08/000005"]}
    assert "1 of 2 pairs are scored here" in (err := capsys.readouterr().err)
    assert "left out by `occdepth run`" in err and "no_structure 1 (08/000005)" in err


def test_labels_are_created_from_scans_by_a_rule(knowing: None, tmp_path: Path) -> None:
    labelled_scans(tmp_path / "dataset" / "sequences" / "08")
    report = evaluate(tmp_path, tmp_path / "e.json", "--labels", "scans", "--rule", "any-sight", "--later", "1")
    assert report["ground_truth"] == "scans, any-sight" and report["later"] == 1 and report["frames"] == 2


def test_voxels_are_compared_by_place_or_by_index(knowing: None, root: Path, tmp_path: Path) -> None:
    by_index = evaluate(root, tmp_path / "e.json", "--align", "index")
    # with a shift of one layer, only the inner layers of the car overlap
    assert by_index["sc_iou"] < 20 and by_index["per_class"]["road"] == 0


def test_regions_partition_the_labelled_voxels(knowing: None, root: Path, tmp_path: Path) -> None:
    report = evaluate(root / "dataset", tmp_path / "e.json")
    voxels = {name: region["voxels"] for name, region in report["regions"].items()}
    everything = 2 * BENCHMARK_GRID.count
    assert voxels["range_51.2"] == voxels["in_view"] + voxels["out_of_view"] == everything
    assert voxels["range_25.6"] == everything // 4 and voxels["range_12.8"] == everything // 16
    assert voxels["seen"] + voxels["completed"] == everything
    # visibility comes from the ground truth and is limited by the image; the predictor marks everything as seen
    assert 0.3 * voxels["in_view"] < voxels["seen"] < voxels["in_view"]


def test_voxels_of_the_invalid_file_do_not_count(knowing: None, root: Path, tmp_path: Path) -> None:
    invalid = np.zeros(SIZE, bool)
    invalid[:, :, 16:] = True
    for frame in ("000000", "000005"):
        write_labels(root / "dataset" / "sequences" / "08", frame, invalid)
    report = evaluate(root, tmp_path / "e.json")
    assert report["regions"]["range_51.2"]["voxels"] == BENCHMARK_GRID.count


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--sequences", "07"], "sequence 07 is missing; there are 08"),
        (["--sequences", "33"], "there is no sequence '33'"),
        (["--labels", "recon10"], r"--labels official"),
        (["--rule", "recon10"], "labels of the kind official are not made of scans"),
        (["--json", "."], "the path is a folder"),
        (["--images", __file__], "the path is a file"),
        (["--memory", "2", "--rig-variants"], "other rigs are scored without a memory"),
        (["--count", "0"], "--count: 0 is not a positive number of scenes"),
        (["--dataset", "synthetic"], "there are no scenes (test-SEED-INDEX.npz)"),
    ],
)
def test_invalid_arguments_are_refused(
    root: Path, arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", "--root", str(root), *arguments]) == 2
    assert reason in capsys.readouterr().err


def test_a_wrong_root_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval"]) == 2
    assert "--root: the folder of the data set is not given" in capsys.readouterr().err
    assert main(["eval", "--root", str(tmp_path)]) == 2
    assert "neither sequences nor dataset/sequences" in capsys.readouterr().err
    assert main(["eval", "--root", str(tmp_path / "nowhere")]) == 2
    assert "the folder does not exist" in capsys.readouterr().err


def test_labels_without_invalid_or_images_are_refused(root: Path) -> None:
    sequence = root / "dataset" / "sequences" / "08"
    (sequence / "image_2" / "000005.png").unlink()
    (sequence / "image_3" / "000005.png").unlink()
    with pytest.raises(SourceError, match="1 of 2 frames with labels have no images: 000005"):
        list(SemanticKitti(root, ["08"]))
    (sequence / "voxels" / "000000.invalid").unlink()
    with pytest.raises(SourceError, match=r"1 of 2 frames with labels have no \.invalid file: 000000"):
        SemanticKitti(root, ["08"])


def test_derived_labels_keep_their_name(root: Path) -> None:
    voxels = root / "dataset" / "sequences" / "08" / "voxels"
    np.savez_compressed(voxels / "000003.recon10.npz", target=ground_truth_labels())
    (sequence,) = SemanticKitti(root, ["val"], "recon10")
    assert list(sequence.frames) == ["000003"] and list(sequence.rows) == [3]
    assert sequence.ground_truth(0).name == "recon10"


def test_only_the_first_frames(knowing: None, root: Path, tmp_path: Path) -> None:
    report = evaluate(root, tmp_path / "e.json", "--count", "1")
    assert [row["frame"] for row in report["by_frame"]] == ["000000"] and report["complete"] is False


def test_held_out_scenes_are_generated_and_read(tmp_path: Path) -> None:
    out = tmp_path / "street.json"
    scenes = ["--model", "occdepth-edge-sfa", "--dataset", "synthetic"]
    arguments = [*scenes, "--images", str(tmp_path / "drawn"), "--json", str(out)]
    assert main(["eval", *arguments, "--count", "2", "--seed", "3"]) == 0
    report = json.loads(out.read_text())
    assert (
        report["frames"] == 2
        and report["ground_truth"] == "synthetic"
        and report["split"] == "test"
        and report["seed"] == 3
    )
    names = [row["frame"] for row in report["by_frame"]]
    assert names == ["test-3-000000", "test-3-000001"] and report["align"] == "place"
    assert report["sc_precision"] > 40 and report["per_class"]["road"] > 10
    assert len(list((tmp_path / "drawn").glob("*_test-3-00000[01].png"))) == 2
    write_scene(SyntheticDataset(3, 1, split="test")[0], tmp_path / "scenes" / "test-3-000000.npz")
    assert main(["eval", *arguments, "--root", str(tmp_path / "scenes")]) == 0
    again = json.loads(out.read_text())
    # the scene's images went through JPEG
    assert again["by_frame"][0]["sc_iou"] == pytest.approx(report["by_frame"][0]["sc_iou"], abs=2)


def test_the_splits_of_the_benchmark() -> None:
    frames = {split: sum(len(voxel_frames(name)) for name in names) for split, names in SPLITS.items()}
    assert frames["train"] == 3834 and frames["val"] == 815
    assert expand_sequences(["8", "val", "train"]) == ["08", *SPLITS["train"]]
    assert not set(SPLITS["test"]) & set(SPLITS["train"])


def test_the_root_may_be_any_of_three_folders(root: Path) -> None:
    places = [root, root / "dataset", root / "dataset" / "sequences"]
    assert {find_root(place) for place in places} == {root / "dataset"}


def test_a_set_is_scored_as_a_whole(root: Path) -> None:
    rng = np.random.default_rng(0)
    rig = open_kitti_odometry(root / "dataset" / "sequences" / "08").rig
    grid = VoxelGrid((0.0, -3.2, -2.2), (32, 32, 16), 0.2)
    together, apart = CompletionScores(), SetScores()
    for frame in range(3):
        predicted = rng.integers(0, 20, grid.size, dtype=np.uint8)
        ground_truth = rng.choice(np.array([0, 1, 9, UNKNOWN], np.uint8), grid.size)
        together.add(predicted, ground_truth)
        visibility = rng.integers(0, 3, grid.size, dtype=np.uint8)
        apart.add(
            "08", str(frame), predicted, ground_truth, {**fixed_regions(grid, rig), **visibility_regions(visibility)}
        )
    np.testing.assert_array_equal(apart.total.confusion, together.confusion)
    for pair in (("seen", "completed"), ("in_view", "out_of_view")):
        parts = sum(apart.by_region[name].confusion for name in pair)
        np.testing.assert_array_equal(parts, together.confusion)
    report = apart.report()
    assert report["sc_iou"] == pytest.approx(100 * together.iou, abs=1e-4)
    assert report["by_sequence"]["08"]["ssc_miou"] == report["ssc_miou"]


def test_ranges_are_squares_before_the_vehicle() -> None:
    mask = range_mask(BENCHMARK_GRID, 12.8)[..., 0]
    assert mask[:64, 96:160].all() and mask.sum() == 64 * 64


def test_real_frames(kitti_mini: Path, tmp_path: Path) -> None:
    report = evaluate(
        kitti_mini, tmp_path / "e.json", "--sequences", "00", "--labels", "recon10", "--model", "stereo-geometry"
    )
    assert report["frames"] == 2 and report["ground_truth"] == "recon10"
    assert 26 < report["sc_iou"] < 32 and report["per_class"]["road"] > 30
