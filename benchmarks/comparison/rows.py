"""The rows of the comparison: definition, training with the common budget, scoring."""

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
from benchmarks.comparison.balance import balanced, balanced_bev
from occdepth_ros.data.example import SceneDataset, SceneExample
from occdepth_ros.engine import Engine
from occdepth_ros.evaluation.regions import fixed_regions
from occdepth_ros.evaluation.report import SetScores
from occdepth_ros.models.loading.state import load_strict
from occdepth_ros.models.registry import MODELS
from occdepth_ros.training.config import Recipe, read_recipe, task_options
from occdepth_ros.training.reporting import CsvTable
from occdepth_ros.training.run import train
from occdepth_ros.training.task import ClassifyingTask, collate
from occdepth_ros.training.tasks.edge_bev import EdgeBevTask

Labels = npt.NDArray[np.uint8]

RECIPE = "comparison"
FOLDS = 8
"""Number of folds of the training scenes for the threshold of the blind prior."""


@dataclass(frozen=True)
class TrainedRow:
    """A network of the table.

    Args:
        model: name in the registry.
        title: name in the paper's table.
        family: family of the recipe.
        paper: SC IoU and SSC mIoU in the paper's table 1, percent; None = not in the table.
        task: overrides of the recipe's section `task`, such as a disabled loss.
        name: name of the row for folders and `--rows`; empty = name of the model; must be unique.
        recipe: recipe of all rows of the table.
        teacher: name of the teacher's row, which is trained first; empty = no teacher.
        bias: name of the bias of the class logits, see `benchmarks.comparison.balance`; not used by family `edge_bev`.
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
        """Frame offsets of the earlier images that the row uses."""
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
    TrainedRow(
        "occdepth-edge",
        "bird's-eye view, this package",
        "edge_bev",
        task={"freeze_image": False, "columns": 6000, "losses": {"pixels": 1.0}},
        name="birds-eye-view",
    ),
)
"""Rows in the order of the paper's table, then the architecture of this package."""

ANCHORS = {"blind-prior": "blind prior", "stereo-geometry": "stereo geometry"}

SHIPPED = ("occdepth-edge", "occdepth-edge-kitti", "occdepth-edge-sfa")
"""Models with shipped weights, which were not trained with this budget; they are shown separately."""


def recipe_of(row: TrainedRow, steps: int, scenes: int, seed: int, teacher: Path | None = None) -> Recipe:
    """Return the recipe of a row with the common budget.

    Args:
        row: the row.
        steps, scenes, seed: the budget.
        teacher: weights of the row's teacher; None = no teacher.
    """
    recipe = read_recipe(row.recipe)
    # a family has only the common options that apply to its networks
    known = {option.name for option in fields(task_options(row.family))}
    common = {key: value for key, value in {**recipe.task, "preset": row.model}.items() if key in known}
    epochs = steps * recipe.scenes_per_step / scenes
    # the features of a scene are equal for all of its students
    distillation = (
        {} if teacher is None else {"teacher": str(teacher), "teacher_cache": str(teacher.parent / "volumes")}
    )
    task = {**common, **row.task, **distillation}
    return replace(recipe, family=row.family, task=task, epochs=epochs, seed=seed)


def train_row(
    row: TrainedRow, training: SceneDataset, out: Path, *, steps: int, seed: int, teacher: Path | None = None
) -> Path:
    """Train a row, or resume its training; a finished training is kept.

    Args:
        row: the row.
        training: the training scenes.
        out: folder of the training.
        steps, seed: the budget.
        teacher: weights of the row's teacher; None = no teacher.

    Returns:
        the weights file in `out`.

    Raises:
        OccDepthError: the scenes do not fit, or the folder contains a training with another budget.
    """
    weights = out / "weights.safetensors"
    recipe = recipe_of(row, steps, len(training), seed, teacher)
    if not (out / "scores.json").exists():
        train(recipe, training, None, out, device="cpu", resume=True)
    return weights


def balance_row(row: TrainedRow, training: SceneDataset, weights: Path) -> tuple[Path, float]:
    """Return the row's weights with the best addend of the empty class's logit on training scenes, and the addend."""
    recipe = recipe_of(row, 1, len(training), 0)
    task = recipe.task_options().build()
    path = weights.with_name("balanced.safetensors")
    if isinstance(task, EdgeBevTask):
        return path, balanced_bev(task, weights, training, path, precision=recipe.precision)
    assert isinstance(task, ClassifyingTask)
    return path, balanced(task, weights, training, path, bias=row.bias, precision=recipe.precision)


def minutes_of(log: Path) -> float:
    """Return the duration of a training from its log, without interruptions."""
    total, done = 0.0, 0
    for line in CsvTable(log).rows():
        total += float(line["seconds_per_step"]) * (int(line["step"]) - done)
        done = int(line["step"])
    return round(total / 60, 2)


def score(test: SceneDataset, predict: Callable[[SceneExample], Labels]) -> dict[str, Any]:
    """Return the report of a row as in `occdepth eval`, and seconds per scene.

    Args:
        test: the held-out scenes.
        predict: function that returns the labels of a scene on its grid, `[X, Y, Z]`.
    """
    scores = SetScores()
    seconds = 0.0
    for index in range(len(test)):
        example = test[index]
        start = time.perf_counter()
        labels = predict(example)
        seconds += time.perf_counter() - start
        scores.add("synthetic", example.name, labels, example.target, fixed_regions(example.grid, example.rig))
    return {**scores.report(), "seconds_per_scene": round(seconds / len(test), 3)}


def engine_labels(model: str, weights: Path | None) -> Callable[[SceneExample], Labels]:
    """Predict labels with the engine; every scene has its own rig."""
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
    """Predict labels of a row with the engine, or with the training task if the registry has no such model."""
    return engine_labels(row.model, weights) if row.model in MODELS else task_labels(row, weights)


def task_labels(row: TrainedRow, weights: Path) -> Callable[[SceneExample], Labels]:
    """Predict labels with the training task, for networks whose input is more than a stereo pair."""
    task = recipe_of(row, 1, 1, 0).task_options().build()
    load_strict(task.network, load_file(weights), where=str(weights))
    task.network.eval()

    @torch.inference_mode()
    def predict(example: SceneExample) -> Labels:
        return np.asarray(task.predict(collate([task.prepare(example, None)]))[0].numpy())

    return predict


def blind_labels(training: SceneDataset) -> Callable[[SceneExample], Labels]:
    """Return the blind prior of the training scenes, which is equal for every scene."""
    targets = [training[index].target for index in range(len(training))]
    labels = BlindPrior(targets, [index % FOLDS for index in range(len(targets))]).labels()
    return lambda _: labels


def table_rows(
    reports: Mapping[str, Mapping[str, Any]], trained: Sequence[TrainedRow] = TRAINED
) -> list[dict[str, Any]]:
    """Return the table, in percent: anchors first, then the networks in their order."""
    rows = [_scored(title, reports[name]) for name, title in ANCHORS.items() if name in reports]
    for row in trained:
        if row.key in reports:
            rows.append(_scored(row.title, reports[row.key], row.paper))
    return rows


def shipped_rows(reports: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the table of the shipped weights, which were not trained with the budget."""
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
