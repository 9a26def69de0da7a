"""The rows: what each is, how it is trained on the common budget, how all are scored."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file

from benchmarks.anchors.prior import BlindPrior
from benchmarks.comparison.balance import balanced
from occdepth_ros.data.example import SceneDataset, SceneExample
from occdepth_ros.engine import Engine
from occdepth_ros.evaluation.regions import fixed_regions
from occdepth_ros.evaluation.report import SetScores
from occdepth_ros.models.loading import load_strict
from occdepth_ros.models.registry import MODELS
from occdepth_ros.training.config import Recipe, read_recipe, task_options
from occdepth_ros.training.reporting import CsvTable
from occdepth_ros.training.run import train
from occdepth_ros.training.task import ClassifyingTask, collate

Labels = npt.NDArray[np.uint8]

RECIPE = "comparison"
FOLDS = 8
"""Parts that training scenes are put into to choose the blind prior's threshold."""


@dataclass(frozen=True)
class TrainedRow:
    """A network of the table.

    Args:
        model: its name in the registry.
        title: what the paper's table calls it.
        family: of its recipe.
        paper: SC IoU and SSC mIoU in the paper's table 1, percent; None = it is not in it.
        task: what its section `task` has besides the common one, such as a loss that is switched off.
        name: of the row, for folders and `--rows`; empty = the model's. Rows of one model need several.
        recipe: the one that it shares with the other rows of its table.
        teacher: name of the row whose weights it imitates, which is trained first; empty = none.
        bias: name of the weights that are added to the class logits, see `benchmarks.comparison.balance`.
    """

    model: str
    title: str
    family: str
    paper: tuple[float, float] | None = None
    task: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    recipe: str = RECIPE
    teacher: str = ""
    bias: str = "classes.conv.bias"

    @property
    def past(self) -> tuple[int, ...]:
        """Offsets of the earlier images that the row looks at."""
        past: tuple[int, ...] = getattr(recipe_of(self, 1, 1, 0).task_options(), "past", ())
        return past

    @property
    def key(self) -> str:
        """Name of the row."""
        return self.name or self.model


_OCCDEPTH = "net_3d_decoder.ssc_head.conv_classes.bias"
TRAINED = (
    TrainedRow("lmscnet-stereo", "LMSCNet, stereo occupancy", "lmscnet", (33.00, 5.80), bias="heads.1.classes.bias"),
    TrainedRow("aicnet-stereo", "AICNet, RGB and stereo depth", "aicnet", (32.80, 6.80)),
    TrainedRow("js3cnet-stereo", "JS3C-Net, stereo points", "js3cnet", (34.00, 8.97)),
    TrainedRow("monoscene-small", "MonoScene", "occdepth", (34.16, 11.08), bias=_OCCDEPTH),
    TrainedRow("monoscene-stereo-small", "MonoScene-stereo", "occdepth", (40.84, 13.57), bias=_OCCDEPTH),
    TrainedRow("occdepth-small", "OccDepth", "occdepth", (45.10, 15.90), bias=_OCCDEPTH),
)
"""In the order of the paper's table."""

ANCHORS = {"blind-prior": "blind prior", "stereo-geometry": "stereo geometry"}

SHIPPED = ("occdepth-edge", "occdepth-edge-kitti")
"""Models whose weights come with the package, trained at length and elsewhere: scored here, shown apart."""


def recipe_of(row: TrainedRow, steps: int, scenes: int, seed: int, teacher: Path | None = None) -> Recipe:
    """The common recipe in a row's terms, for so many steps on so many scenes.

    Args:
        row: the row.
        steps, scenes, seed: the budget.
        teacher: weights of the row's teacher; None = it has none.
    """
    recipe = read_recipe(row.recipe)
    # a family has those of the common options that its networks have a use for
    known = {option.name for option in fields(task_options(row.family))}
    common = {key: value for key, value in {**recipe.task, "preset": row.model}.items() if key in known}
    epochs = steps * recipe.scenes_per_step / scenes
    # what it says of a scene is the same for all who imitate it
    imitation = {} if teacher is None else {"teacher": str(teacher), "teacher_cache": str(teacher.parent / "volumes")}
    task = {**common, **row.task, **imitation}
    return replace(recipe, family=row.family, task=task, epochs=epochs, seed=seed)


def train_row(
    row: TrainedRow, training: SceneDataset, out: Path, *, steps: int, seed: int, teacher: Path | None = None
) -> Path:
    """Train a row, or go on where it was cut off; a finished one is left as it is.

    Args:
        row: the row.
        training: the scenes.
        out: folder of its training.
        steps, seed: the budget.
        teacher: weights of the row's teacher; None = it has none.

    Returns:
        the weights file in `out`.

    Raises:
        OccDepthError: the scenes do not fit, or the folder holds the training of another budget.
    """
    weights = out / "weights.safetensors"
    recipe = recipe_of(row, steps, len(training), seed, teacher)
    if not (out / "scores.json").exists():
        train(recipe, training, None, out, device="cpu", resume=True)
    return weights


def balance_row(row: TrainedRow, training: SceneDataset, weights: Path) -> tuple[Path, float]:
    """The row's weights with the best addend of the empty class's logit on training scenes, and that addend."""
    recipe = recipe_of(row, 1, len(training), 0)
    task = recipe.task_options().build()
    assert isinstance(task, ClassifyingTask)
    path = weights.with_name("balanced.safetensors")
    return path, balanced(task, weights, training, path, bias=row.bias, precision=recipe.precision)


def minutes_of(log: Path) -> float:
    """Duration of a training by its log, whatever stood between its parts."""
    total, done = 0.0, 0
    for line in CsvTable(log).rows():
        total += float(line["seconds_per_step"]) * (int(line["step"]) - done)
        done = int(line["step"])
    return round(total / 60, 2)


def score(test: SceneDataset, predict: Callable[[SceneExample], Labels]) -> dict[str, Any]:
    """The report of a row as `occdepth eval` counts, and seconds a scene.

    Args:
        test: the held-out scenes.
        predict: labels of a scene on its grid, `[X, Y, Z]`.
    """
    scores = SetScores()
    seconds = 0.0
    for index in range(len(test)):
        example = test[index]
        start = time.perf_counter()
        labels = predict(example)
        seconds += time.perf_counter() - start
        scores.add("street", example.name, labels, example.target, fixed_regions(example.grid, example.rig))
    return {**scores.report(), "seconds_per_scene": round(seconds / len(test), 3)}


def engine_labels(model: str, weights: Path | None) -> Callable[[SceneExample], Labels]:
    """Labels as the engine gives them; every scene has its own rig."""
    engine: Engine | None = None

    def predict(example: SceneExample) -> Labels:
        nonlocal engine
        if engine is None:
            engine = Engine(example.rig, example.grid, model=model, weights=weights, device="cpu")
        else:
            engine.calibrate(example.rig)
        return engine.predict(example.left, example.right).labels

    return predict


def row_labels(row: TrainedRow, weights: Path) -> Callable[[SceneExample], Labels]:
    """Labels of a row: the engine's, or training's where no live model is of its kind."""
    return engine_labels(row.model, weights) if row.model in MODELS else task_labels(row, weights)


def task_labels(row: TrainedRow, weights: Path) -> Callable[[SceneExample], Labels]:
    """Labels as training predicts them, for networks that look at more than a live pair."""
    task = recipe_of(row, 1, 1, 0).task_options().build()
    load_strict(task.network, load_file(weights), where=str(weights))
    task.network.eval()

    @torch.inference_mode()
    def predict(example: SceneExample) -> Labels:
        return np.asarray(task.predict(collate([task.prepare(example, None)]))[0].numpy())

    return predict


def blind_labels(training: SceneDataset) -> Callable[[SceneExample], Labels]:
    """The blind prior of the training scenes: one answer for every scene."""
    targets = [training[index].target for index in range(len(training))]
    labels = BlindPrior(targets, [index % FOLDS for index in range(len(targets))]).labels()
    return lambda _: labels


def table_rows(
    reports: Mapping[str, Mapping[str, Any]], trained: Sequence[TrainedRow] = TRAINED
) -> list[dict[str, Any]]:
    """The table, in percent: anchors first, then the networks in their order."""
    rows = [_scored(title, reports[name]) for name, title in ANCHORS.items() if name in reports]
    for row in trained:
        if row.key in reports:
            rows.append(_scored(row.title, reports[row.key], row.paper))
    return rows


def shipped_rows(reports: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same of the shipped weights, which the budget does not hold for."""
    return [_scored(name, reports[name]) for name in SHIPPED if name in reports]


def _scored(title: str, report: Mapping[str, Any], paper: tuple[float, float] | None = None) -> dict[str, Any]:
    as_trained = report.get("as_trained", {})
    return {
        "row": title,
        "SC IoU": report["sc_iou"],
        "precision": report["sc_precision"],
        "recall": report["sc_recall"],
        "SSC mIoU": report["ssc_miou"],
        "IoU in view": report["regions"]["in_view"]["sc_iou"],
        "mIoU in view": report["regions"]["in_view"]["ssc_miou"],
        "IoU 25.6 m": report["regions"]["range_25.6"]["sc_iou"],
        "IoU as trained": as_trained.get("sc_iou"),
        "paper IoU": None if paper is None else paper[0],
        "paper mIoU": None if paper is None else paper[1],
        "minutes": report.get("minutes"),
    }
