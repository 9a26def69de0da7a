"""The comparison: budget, rows, and resuming, on a few tiny scenes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.networks.exports import pair, rig_of
from helpers.scenes import scene
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from benchmarks.comparison import __main__ as command
from benchmarks.comparison import rows as making
from benchmarks.comparison.ablation import ABLATION, TEACHER
from benchmarks.comparison.balance import LEVELS, REACH, addend_of, balanced, balanced_bev, level
from benchmarks.comparison.rows import SHIPPED, TRAINED, TrainedRow, blind_labels, recipe_of, score, table_rows
from benchmarks.comparison.scenes import synthetic_scenes
from benchmarks.comparison.section import SHOWN_APART, markers, write_section
from occdepth_ros.data.example import SceneExample
from occdepth_ros.errors import OutputError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge_bev.config import ZONES
from occdepth_ros.models.registry import MODELS
from occdepth_ros.training.config import Recipe
from occdepth_ros.training.reporting import LOG
from occdepth_ros.training.run import write_weights
from occdepth_ros.training.task import ClassifyingTask, collate
from occdepth_ros.training.tasks.edge_bev import EdgeBevOptions, EdgeBevTask

BEGIN, END = markers("comparison")
SUMMARY = {
    "budget": {"train": 3, "test": 2, "steps": 5, "seed": 0},
    "machine": {"cores": 2, "cpu": "a CPU"},
    "date": "2026-01-02T00:00:00",
}


def scenes(count: int) -> list[SceneExample]:
    return [replace(scene(seed), name=f"train-0-{seed:06d}") for seed in range(count)]


def test_rows_differ_only_in_the_network() -> None:
    recipes = {row.key: recipe_of(row, 50, 25, 7) for row in TRAINED}
    assert {row.model for row in TRAINED} <= set(MODELS)
    assert {name: recipe.task_options().model for name, recipe in recipes.items()} == {
        row.key: row.model for row in TRAINED
    }
    common = {_without_task(recipe) for recipe in recipes.values()}
    assert len(common) == 1
    # the bird's-eye view is computed as a whole
    assert {recipe.task.get("window") for name, recipe in recipes.items() if name != "birds-eye-view"} == {64}
    assert all(recipe.epochs == 2 and recipe.seed == 7 for recipe in recipes.values())


def _without_task(recipe: Recipe) -> str:
    values = {name: getattr(recipe, name) for name in recipe.__dataclass_fields__ if name not in ("family", "task")}
    return repr(values)


def test_rows_of_one_model_differ_by_their_options() -> None:
    row = TrainedRow("occdepth-small", "without", "occdepth", task={"losses": {"relation": 0.0}}, name="no-relation")
    recipe = recipe_of(row, 50, 25, 7)
    assert row.key == "no-relation"
    options = recipe.task_options()
    assert (options.model, options.window, options.losses.relation) == ("occdepth-small", 64, 0.0)  # type: ignore[attr-defined]


def test_shipped_rows_form_a_section(quick: list[str], tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"{BEGIN}\n{END}\n")
    arguments = ["--out", str(tmp_path), "--train", "3", "--test", "2", "--steps", "5", "--rows", SHIPPED[0]]
    assert command.main([*arguments, "--readme", str(readme)]) == 0
    assert quick == []
    assert f"| {SHIPPED[0]} |" in readme.read_text()


def test_the_blind_prior_is_equal_for_all_scenes() -> None:
    training = scenes(3)
    predict = blind_labels(training)
    assert np.array_equal(predict(training[0]), predict(training[1]))
    report = score(training, predict)
    assert report["frames"] == 3
    # the prior of three equal scenes predicts them exactly
    assert report["sc_iou"] == 100
    assert set(report["regions"]) >= {"in_view", "range_25.6"}


def test_synthetic_scenes_are_generated_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = synthetic_scenes(tmp_path, "test", 1)
    assert [p.name for p in tmp_path.iterdir()] == ["test-0-000000.npz"]
    assert made[0].name == "test-0-000000"
    before = (tmp_path / "test-0-000000.npz").stat().st_mtime_ns
    assert len(synthetic_scenes(tmp_path, "test", 1)) == 1
    assert (tmp_path / "test-0-000000.npz").stat().st_mtime_ns == before


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Tiny scenes, and networks whose training only records the name."""
    trained: list[str] = []

    def train_row(
        row: making.TrainedRow, training: Any, out: Path, *, steps: int, seed: int, teacher: Path | None = None
    ) -> Path:
        assert teacher == (out.parent / row.teacher / "weights.safetensors" if row.teacher else None)
        if row.key in trained:
            return out / "weights.safetensors"
        trained.append(row.key)
        out.mkdir(parents=True, exist_ok=True)
        (out / LOG).write_text("step,seconds_per_step\n10,6.0\n15,6.0\n")
        return out / "weights.safetensors"

    monkeypatch.setattr(command, "synthetic_scenes", lambda folder, split, count, workers, past: scenes(count))
    monkeypatch.setattr(command, "train_row", train_row)
    monkeypatch.setattr(command, "balance_row", lambda row, training, weights: (weights, -1.0))
    monkeypatch.setattr(command, "row_labels", lambda row, weights: lambda example: example.target)
    monkeypatch.setattr(command, "engine_labels", lambda model, weights: lambda example: example.target)
    return trained


def test_finished_rows_are_kept_and_all_rows_are_in_the_table(
    quick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--out", str(tmp_path), "--train", "3", "--test", "2", "--steps", "5"]
    assert command.main([*arguments, "--rows", "monoscene-small"]) == 0
    assert quick == ["monoscene-small"]
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert command.main([*arguments, "--readme", str(readme)]) == 0
    others = [row.key for row in TRAINED if row.key != "monoscene-small"]
    assert quick == ["monoscene-small", *others]
    summary = json.loads((tmp_path / "comparison.json").read_text())
    assert list(summary["rows"]) == ["blind-prior", "stereo-geometry", *(row.key for row in TRAINED), *SHIPPED]
    assert summary["rows"]["occdepth-small"]["sc_iou"] == 100
    assert summary["rows"]["occdepth-small"]["minutes"] == 1.5
    assert summary["rows"]["occdepth-small"]["addend"] == -1
    assert summary["rows"]["occdepth-small"]["as_trained"]["sc_iou"] == 100
    text = readme.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert "| OccDepth | 100.0 |" in text
    assert "stereo geometry" in capsys.readouterr().out
    # shipped weights, which were not trained on the budget, follow the table under their own heading
    table, apart = text.split(SHOWN_APART)
    assert not any(f"| {name} |" in table for name in SHIPPED)
    assert all(f"| {name} |" in apart for name in SHIPPED)
    assert "paper IoU" in table and "paper IoU" not in apart and "minutes" not in apart


def test_a_teacher_is_trained_before_its_students(quick: list[str], tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("".join(f"{a}\n{b}\n" for a, b in (markers("comparison"), markers("ablation"))))
    arguments = ["--out", str(tmp_path), "--train", "3", "--test", "2", "--steps", "5", "--table", "ablation"]
    assert command.main([*arguments, "--rows", "monoocc"]) == 0
    assert quick == [TEACHER, "monoocc"]
    assert command.main([*arguments, "--readme", str(readme)]) == 0
    assert sorted(quick) == sorted(row.key for row in ABLATION)
    comparison, ablation = readme.read_text().split(markers("ablation")[0])
    assert comparison == "".join(f"{line}\n" for line in markers("comparison"))
    assert all(f"| {row.title} |" in ablation for row in ABLATION)


def test_rows_of_the_ablation_differ_by_their_contributions() -> None:
    recipes = {row.key: recipe_of(row, 5, 5, 0, Path("t") if row.teacher else None) for row in ABLATION}
    options: dict[str, Any] = {name: recipe.task_options() for name, recipe in recipes.items()}
    assert len({_without_task(recipe) for recipe in recipes.values()}) == 1
    assert options.pop(TEACHER).preset == TEACHER
    found = {name: (o.preset, o.semantic, o.late, o.teacher) for name, o in options.items()}
    assert found == {
        "monoocc": ("monoocc-edge", True, True, "t"),
        "monoocc-undistilled": ("monoocc-edge", True, True, ""),
        "monoocc-no-late": ("monoocc-edge", True, False, "t"),
        "monoocc-no-pixels": ("monoocc-edge", False, True, "t"),
    }


def test_rows_of_two_budgets_are_not_combined(
    quick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--out", str(tmp_path), "--train", "3", "--test", "2", "--rows", "blind-prior", "--steps"]
    assert command.main([*arguments, "5"]) == 0
    assert command.main([*arguments, "6"]) == 2
    assert "another budget" in capsys.readouterr().err
    assert command.main([*arguments, "0"]) == 2


def test_the_section_requires_its_markers(tmp_path: Path) -> None:
    report = {"sc_iou": 1.0, "sc_precision": 1.0, "sc_recall": 1.0, "ssc_miou": 1.0}
    rows = table_rows({"blind-prior": {**report, "regions": {"in_view": report, "range_25.6": report}}})
    for content in (None, "no markers", f"{END} {BEGIN}"):
        path = tmp_path / "some.md"
        if content is not None:
            path.write_text(content)
        with pytest.raises(OutputError):
            write_section(path, rows, [], SUMMARY)
        if content is not None:
            assert path.read_text() == content


class Painted:
    """A task whose logits of three classes are stored in the scene."""

    classes = ("empty", "road", "car")

    def __init__(self) -> None:
        self.network = torch.nn.Module()
        self.network.bias = torch.nn.Parameter(torch.tensor([0.5, 0.5, 0.0, 0.0, -1.0, -1.0]))  # two fine voxels

    def prepare(self, example: Any, rng: object) -> Any:
        return example

    def logits(self, batch: Any) -> torch.Tensor:
        return batch["logits"]


def iou(logits: torch.Tensor, target: torch.Tensor, addend: float) -> float:
    """SC IoU of the argmax with an addend of the empty class."""
    labelled = target != 255
    found = (logits[1:].amax(0) > logits[0] + addend)[labelled]
    true = (target != 0)[labelled]
    return float((found & true).sum() / (found | true).sum().clamp_min(1))


@given(st.integers(0, 2**32 - 1), st.floats(-3, 3))
def test_the_selected_addend_scores_highest(seed: int, lean: float) -> None:
    random = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn((3, 4, 5, 6), generator=random).clamp(-1.2, 1.2)
    target = torch.randint(0, 3, (4, 5, 6), generator=random).to(torch.uint8)
    logits[0] += lean
    target[0, 0] = 255
    levels = level((logits[1:].amax(0) - logits[0]).flatten())
    counts = [
        np.bincount(levels[chosen.flatten()].numpy(), minlength=LEVELS + 1)
        for chosen in (target == 0, (target != 0) & (target != 255))
    ]
    best = iou(logits, target, addend_of(*counts))
    between = (np.arange(LEVELS + 1) - 0.5) * 2 * REACH / LEVELS - REACH
    assert best == pytest.approx(max(iou(logits, target, float(addend)) for addend in between))


def test_balanced_weights_of_the_birds_eye_view_differ_in_the_offset_of_the_occupancy(tmp_path: Path) -> None:
    small = {"image": [64, 128], "stages": [16, 16, 16, 16], "depths": [1, 1, 1, 1], "hidden": 16}
    task = EdgeBevOptions(network=small).build()
    grid = VoxelGrid((0.0, -3.2, -2.2), (64, 32, 32), 0.2)
    target = np.zeros(grid.size, np.uint8)
    target[:, :, 2:12] = 9
    training: Any = [SceneExample(str(i), *pair(64, 128, i), rig_of(64, 128), grid, target) for i in range(2)]
    file, out = tmp_path / "weights.safetensors", tmp_path / "balanced.safetensors"
    write_weights(file, task.network.state_dict(), model="row")
    task.network.eval()

    def score_of(weights: Path) -> float:
        task.network.load_state_dict(load_file(weights))
        with torch.inference_mode():
            labels = task.predict(collate([task.prepare(training[0], None)]))[0].numpy()
        found, true = (labels != 0) & (labels != 255), target != 0
        return float((found & true).sum() / (found | true).sum())

    addend = balanced_bev(task, file, training, out, precision="float32")
    before, after = load_file(file), load_file(out)
    torch.testing.assert_close(after["calibration"] - before["calibration"], torch.tensor([[0.0, -addend]] * ZONES))
    assert all(torch.equal(before[name], tensor) for name, tensor in after.items() if name != "calibration")
    assert score_of(out) > score_of(file)


def test_balanced_weights_differ_in_the_biases_of_the_empty_class(tmp_path: Path) -> None:
    task: Any = Painted()
    file = tmp_path / "row" / "weights.safetensors"
    write_weights(file, task.network.state_dict(), model="row")
    target = torch.zeros((2, 2, 2), dtype=torch.uint8)
    target[0] = 1
    # the logits of occupied voxels are 1.05 below the decision threshold
    logits = torch.stack(
        [torch.full((2, 2, 2), 1.0), torch.where(target == 1, -0.05, -3.0), torch.full((2, 2, 2), -9.0)]
    )
    scenes: Any = [{"logits": logits, "target": target}] * 3
    addend = balanced(task, file, scenes, tmp_path / "row" / "b.safetensors", bias="bias", precision="float32")
    assert -4 < addend < -1.05
    found = load_file(tmp_path / "row" / "b.safetensors")["bias"]
    assert torch.allclose(found, torch.tensor([0.5 + addend, 0.5 + addend, 0.0, 0.0, -1.0, -1.0]))


def test_every_row_names_the_biases_of_its_classes() -> None:
    for row in (*TRAINED, *ABLATION):
        task = recipe_of(row, 1, 1, 0).task_options().build()
        if isinstance(task, EdgeBevTask):
            continue
        assert isinstance(task, ClassifyingTask)
        assert task.network.get_parameter(row.bias).numel() % len(task.classes) == 0
