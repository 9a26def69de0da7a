"""`occdepth eval`: score a model on a data set by the rules of its benchmark, by region and place, with calibration."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from occdepth_ros.commands.eval.data import SCORED, Opened, open_scenes
from occdepth_ros.commands.eval.refused_pairs import RefusedPairs
from occdepth_ros.commands.options.scenes import add_scan_arguments
from occdepth_ros.commands.reproducibility import make_repeatable, sha256_of
from occdepth_ros.commands.run.statistics import RunStatistics
from occdepth_ros.data.example import SceneDataset, SceneExample
from occdepth_ros.data.factory import CHECKS, current_name
from occdepth_ros.data.semantic_kitti.dataset import OFFICIAL, expand_sequences
from occdepth_ros.engine import one_ahead
from occdepth_ros.errors import ModelError, SourceError
from occdepth_ros.evaluation.report import HEADLINE, SetScores, write_report
from occdepth_ros.evaluation.report_tables import print_memory, print_report, print_variants
from occdepth_ros.evaluation.rig_variants import VARIANTS, VariantScenes
from occdepth_ros.evaluation.scenes import SceneModel, default_alignment
from occdepth_ros.files import check_file_path, check_folder_path, write_whole
from occdepth_ros.models.predictor import StatefulPredictor
from occdepth_ros.models.registry import DEFAULT_MODEL, MODELS
from occdepth_ros.prediction import OccupancyPrediction
from occdepth_ros.sources.base import SceneGroundTruth
from occdepth_ros.visualization import draw_frame, frame_title
from occdepth_ros.visualization.reliability import write_reliability

SUMMARY = "score a model against the ground truth of a data set"

DRAWN = 3
"""Number of best and of worst frames to draw."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    add = parser.add_argument
    add(
        "--dataset",
        type=current_name,
        choices=[*SCORED, *(name for name in CHECKS if name not in SCORED)],
        default="semantic_kitti",
        help="default: %(default)s; nyu and tartanair can be checked only, because the models have other classes",
    )
    add(
        "--root",
        type=Path,
        metavar="DIR",
        help="the folder with dataset/, or dataset itself; for synthetic, a folder that `occdepth synthetic` wrote "
        "(default: held-out scenes are generated)",
    )
    add(
        "--sequences",
        nargs="+",
        metavar="SS",
        default=[],
        help="numbers, or train, val (default: 08); nyu: train or test; tartanair: such as Easy/P005, or train, val; "
        "folder: names of folders below the root",
    )
    add("--labels", metavar="NAME", default=OFFICIAL, help="official, scans, or a derived ground truth such as recon10")
    add_scan_arguments(parser)
    add("--count", type=int, metavar="N", help="only the first N scenes (default: all; generated scenes: 32)")
    add("--seed", type=int, metavar="S", default=0, help="of generated scenes (default: %(default)s)")
    add("--model", choices=list(MODELS), metavar="NAME", default=DEFAULT_MODEL, help="model (default: %(default)s)")
    add("--weights", type=Path, metavar="FILE", help="checkpoint of the model")
    add("--device", metavar="D", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add(
        "--align",
        choices=["place", "index"],
        help="compare voxels at the same place or with the same index: the benchmark's layers lie 0.2 m below the "
        "grid that published networks project with, although they were trained index by index (default: index for "
        "models with published checkpoints, place for all others)",
    )
    add("--check", action="store_true", help="only list missing, truncated and wrong files of the sequences")
    add("--cache", type=Path, metavar="DIR", help="folder of labels computed from scans (default: they are not kept)")
    add(
        "--rig-variants",
        action="store_true",
        help="score the same scenes by other rigs, too",
    )
    add("--memory", type=int, metavar="N", help="score again with a memory of the N pairs before each scene")
    add("--fixed-ground", action="store_true", help="predict in the grid's frame, not in one that follows the ground")
    add("--reliability", type=Path, metavar="PNG", help="draw accuracy against confidence by region")
    add("--json", type=Path, metavar="FILE", help="write the report there")
    add("--images", type=Path, metavar="DIR", help=f"draw the {DRAWN} best and worst frames next to their ground truth")


def run(arguments: argparse.Namespace) -> int:
    """Run the verb; with `--check` the exit code is 1 if a file is missing or wrong.

    Raises:
        OccDepthError: data set, model or output path is not usable.
    """
    if arguments.check:
        return check_files(arguments.dataset, arguments.root, arguments.sequences)
    check_file_path(arguments.json)
    check_file_path(arguments.reliability)
    check_folder_path(arguments.images)
    if arguments.memory is not None and arguments.rig_variants:
        raise SourceError(
            "other rigs are scored without a memory of earlier pairs",
            where="--memory, --rig-variants",
            remedy="Give one of them.",
        )
    opened = open_scenes(arguments)
    align = arguments.align or default_alignment(arguments.model)
    model = SceneModel(
        arguments.model,
        weights=arguments.weights,
        device=arguments.device,
        align=align,
        follows_ground=not arguments.fixed_ground,
    )
    scores, timings, refused = SetScores(), RunStatistics(), RefusedPairs()
    score_scenes(model, opened.scenes, scores, timings, refused=refused)
    report = {**describe(arguments, opened, align), **scores.report(), "timings_ms": timings.timings()}
    report["refused_pairs"] = refused.by_fault
    print_report(report, Console())
    if refused.warning:
        print(refused.warning, file=sys.stderr)
    if opened.caveat:
        Console().print(opened.caveat, highlight=False)
    if arguments.memory is not None:
        report["with_memory"] = score_with_memory(model, opened.scenes, arguments.memory)
        print_memory(report, Console())
    if arguments.rig_variants:
        report["rig_variants"] = score_variants(model, opened.scenes)
        print_variants(report["rig_variants"], Console())
    if arguments.json is not None:
        write_report(arguments.json, report)
    if arguments.reliability is not None:
        write_reliability(arguments.reliability, report["calibration"], f"{arguments.model}, {opened.ground_truth}")
    if arguments.images is not None:
        draw_extremes(model, opened, scores.by_frame, arguments.images)
    return 0


def score_scenes(
    model: SceneModel,
    scenes: SceneDataset,
    scores: SetScores,
    timings: RunStatistics,
    memory: int = 0,
    refused: RefusedPairs | None = None,
) -> None:
    """Predict and score all scenes in order, with a progress line on stderr.

    Args:
        model: predicts the scenes.
        scenes: the data set.
        scores, timings: receive the scores and the times of each scene.
        memory: as in `SceneModel.begin`.
        refused: receives the scenes whose images a check refuses; None = they are not checked.

    Raises:
        OccDepthError: a scene or the model is not usable.
    """

    def begun() -> Iterator[tuple[SceneExample, Callable[[], OccupancyPrediction]]]:
        for index in range(len(scenes)):
            example = scenes[index]
            if index == 0:
                make_repeatable(model.engine_for(example))
            if refused is not None:
                refused.add(example)
            yield example, model.begin(example, memory)

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(model.model, total=len(scenes))
        for example, complete in one_ahead(begun()):
            prediction = complete()
            timings.add(prediction, None)
            model.count(scores, example, prediction)
            progress.update(task, advance=1)


def score_with_memory(model: SceneModel, scenes: SceneDataset, pairs: int) -> dict[str, Any]:
    """Return the report of the scenes scored with a memory of earlier pairs.

    Raises:
        ModelError: the model is not stateful.
        SourceError: the scenes have no earlier pairs, or the number is not positive.
    """
    if pairs < 1:
        raise SourceError(f"{pairs} pairs are no memory", where="--memory", remedy="Give 1 or more.")
    if not isinstance(model.engine_for(scenes[0]).predictor, StatefulPredictor):
        raise ModelError("the model uses no earlier pairs", where=f"--memory, {model.model}", remedy="Leave it out.")
    if scenes[0].history is None:
        raise SourceError("the scenes have no earlier pairs with poses", where="--memory", remedy="Leave it out.")
    scores = SetScores()
    score_scenes(model, scenes, scores, RunStatistics(), pairs)
    return {"pairs": pairs, **scores.report()}


def score_variants(model: SceneModel, scenes: SceneDataset) -> dict[str, dict[str, Any]]:
    """Return the scores of the scenes seen by other rigs, percent, by name of the variant.

    Raises:
        OccDepthError: the model cannot use a rig.
    """
    rows: dict[str, dict[str, Any]] = {}
    for variant in VARIANTS:
        scores = SetScores()
        score_scenes(model, VariantScenes(scenes, variant), scores, RunStatistics())
        report = scores.report()
        keys = ("sc_iou", "ssc_miou", "present_miou")
        rows[variant.name] = {"about": variant.about, **{key: report[key] for key in keys}}
    return rows


def check_files(dataset: str, root: Path | None, sequences: Sequence[str]) -> int:
    """List the missing and wrong files of a download; return 1 if there are any, else 0."""
    if dataset not in CHECKS:
        raise SourceError(
            f"{dataset} is not a downloaded data set", where="--check", remedy=f"Check {', '.join(CHECKS)}."
        )
    if root is None:
        raise SourceError("a download to check is not given", where="--root", remedy="Give the data set's folder.")
    count = 0
    for problem in CHECKS[dataset](root, sequences):
        print(problem)
        count += 1
    names = ", ".join(expand_sequences(sequences or ("val",)) if dataset == "semantic_kitti" else sequences)
    print(f"{names or dataset}: {f'{count} problems' if count else 'complete'}")
    return 1 if count else 0


def describe(arguments: argparse.Namespace, opened: Opened, align: str) -> dict[str, Any]:
    """Return the description of model and ground truth for the report."""
    weights: Path | None = arguments.weights
    digest = sha256_of(weights) if weights is not None and weights.is_file() else None
    return {
        "dataset": arguments.dataset,
        "ground_truth": opened.ground_truth,
        "model": arguments.model,
        "weights": None if weights is None else {"name": weights.name, "sha256": digest},
        "align": align,
        **opened.about,
    }


def draw_extremes(model: SceneModel, opened: Opened, by_frame: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Predict the best and worst frames by SC IoU again, and draw each next to its ground truth.

    Raises:
        OutputError: an image cannot be written.
    """
    ranked = sorted(range(len(by_frame)), key=lambda index: -by_frame[index]["sc_iou"])
    count = min(DRAWN, len(ranked))
    chosen = {f"best_{rank + 1}": ranked[rank] for rank in range(count)}
    chosen |= {f"worst_{rank + 1}": ranked[-1 - rank] for rank in range(min(count, len(ranked) - count))}
    for name, index in chosen.items():
        example, row = opened.scenes[index], by_frame[index]
        image = draw_frame(
            model.predict(example),
            example.left,
            example.rig,
            title=frame_title(f"{opened.title}/{row['sequence']}".rstrip("/"), row["frame"]),
            ground_truth=SceneGroundTruth(example.target, example.grid, opened.ground_truth),
            scores={HEADLINE[key]: row[key] / 100 for key in ("sc_iou", "ssc_miou")},
        )
        buffer = io.BytesIO()
        Image.fromarray(image.overview).save(buffer, "PNG", compress_level=4)
        stem = "_".join(part for part in (name, row["sequence"], row["frame"]) if part)
        write_whole(folder / f"{stem}.png", buffer.getvalue())
