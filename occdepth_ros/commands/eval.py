"""`occdepth eval`: score a model on a data set as its benchmark counts, and by region."""

from __future__ import annotations

import argparse
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from occdepth_ros.commands.run import Tally, make_repeatable, sha256_of
from occdepth_ros.data.semantic_kitti import (
    OFFICIAL,
    SCANS,
    LabelledSequence,
    SemanticKitti,
    expand_sequences,
    find_root,
    voxel_frames,
)
from occdepth_ros.data.semantic_kitti_check import check_sequence
from occdepth_ros.engine import Engine
from occdepth_ros.errors import OutputError
from occdepth_ros.evaluation.alignment import aligned_labels
from occdepth_ros.evaluation.regions import Mask, fixed_regions, sight_regions
from occdepth_ros.evaluation.report import HEADLINE, SetScores, print_report, write_report
from occdepth_ros.files import write_whole
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.pictures import draw_frame, frame_title
from occdepth_ros.prediction import OccupancyPrediction
from occdepth_ros.registry import DEFAULT_MODEL, MODELS
from occdepth_ros.sources.base import SceneTruth

SUMMARY = "score a model against the ground truth of a data set"

PICTURED = 3
"""Pictures are made of this many of the best frames and as many of the worst."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    add = parser.add_argument
    add("--dataset", choices=["semantic_kitti"], default="semantic_kitti", help="layout (default: %(default)s)")
    add("--root", type=Path, metavar="DIR", required=True, help="the folder with dataset/, or dataset itself")
    add("--sequences", nargs="+", metavar="SS", default=["08"], help="numbers, or train, val (default: 08)")
    add("--labels", metavar="NAME", default=OFFICIAL, help="official, or a derived truth such as recon10")
    add("--model", choices=list(MODELS), metavar="NAME", default=DEFAULT_MODEL, help="model (default: %(default)s)")
    add("--weights", type=Path, metavar="FILE", help="checkpoint of the model")
    add("--device", metavar="D", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add(
        "--align",
        choices=["place", "index"],
        help="compare voxels at one place, or of one index: the benchmark's layers lie 0.2 m lower than the grid that "
        "published networks project with, though they were trained index by index (default: index for those that "
        "need weights, place for all others)",
    )
    add("--check", action="store_true", help="only name every file of the sequences that is missing, cut or wrong")
    add("--json", type=Path, metavar="FILE", help="write the report there")
    add("--pictures", type=Path, metavar="DIR", help=f"draw the {PICTURED} best and worst frames beside their truth")


def run(arguments: argparse.Namespace) -> int:
    """Run the verb; with `--check` the exit code is 1 where a file is missing or wrong.

    Raises:
        OccDepthError: data set, model or a result's place cannot be used.
    """
    if arguments.check:
        return check_files(arguments.root, arguments.sequences)
    for place, is_wrong in ((arguments.json, Path.is_dir), (arguments.pictures, Path.is_file)):
        if place is not None and is_wrong(place):
            raise OutputError("there is something else of this name", where=str(place), remedy="Give another name.")
    data = SemanticKitti(arguments.root, arguments.sequences, arguments.labels)
    align = arguments.align or ("index" if MODELS[arguments.model].needs_weights else "place")
    scores, timings = SetScores(), Tally()
    runner = Runner(arguments, align)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(arguments.model, total=len(data))
        for sequence in data:
            runner.start(sequence)
            for index in range(len(sequence)):
                prediction, truth = runner.predict(index)
                timings.add(prediction, None)
                labels, regions = runner.on_truth(prediction, truth)
                scores.add(sequence.name, sequence.frames[index], labels, truth.labels, regions)
                progress.update(task, advance=1)
    report = {**describe(arguments, data, align), **scores.report(), "timings_ms": timings.timings()}
    print_report(report, Console())
    if not report["complete"]:
        Console().print(caveat(report), highlight=False)
    if arguments.json is not None:
        write_report(arguments.json, report)
    if arguments.pictures is not None:
        draw_extremes(runner, data, scores.by_frame, arguments.pictures)
    return 0


def check_files(root: Path, sequences: Sequence[str]) -> int:
    """Name the files of a download that are missing or wrong; 1 where there are some, else 0."""
    names, count = expand_sequences(sequences), 0
    folder = find_root(root) / "sequences"
    for name in names:
        for problem in check_sequence(folder / name):
            print(problem)
            count += 1
    print(f"{', '.join(names)}: {f'{count} problems' if count else 'complete'}")
    return 1 if count else 0


def caveat(report: Mapping[str, Any]) -> str:
    """Why the scores are not the benchmark's."""
    if report["truth"] != "semantic_kitti":
        return f"{report['truth']} is not the benchmark's truth: compare these scores with each other only."
    return f"{report['frames']} of the {report['benchmark_frames']} frames that the benchmark scores."


def describe(arguments: argparse.Namespace, data: SemanticKitti, align: str) -> dict[str, Any]:
    """What was scored against what."""
    expected = sum(len(voxel_frames(name)) for name in data.names if name in SCANS)
    weights: Path | None = arguments.weights
    return {
        "dataset": arguments.dataset,
        "truth": "semantic_kitti" if data.labels == OFFICIAL else data.labels,
        "model": arguments.model,
        "weights": None if weights is None else {"name": weights.name, "sha256": sha256_of(weights)},
        "align": align,
        "sequences": data.names,
        "benchmark_frames": expected,
        "complete": data.labels == OFFICIAL and len(data) == expected,
    }


class Runner:
    """Predicts the frames of labelled sequences with one engine, and brings predictions onto the truth's grid.

    Args:
        arguments: model, weights and device.
        align: "place" or "index".
    """

    def __init__(self, arguments: argparse.Namespace, align: str) -> None:
        self._arguments = arguments
        self._align = align
        self._engine: Engine | None = None
        self._regions: dict[str, Mask] | None = None

    def start(self, sequence: LabelledSequence) -> None:
        """Take over the calibration of a sequence."""
        self.sequence = sequence
        self._regions = None
        rig = sequence.source.rig
        if self._engine is None:
            given = self._arguments
            grid = VoxelGrid.semantic_kitti(sequence.source.grid_frame)
            self._engine = Engine(rig, grid, model=given.model, weights=given.weights, device=given.device)
            make_repeatable(self._engine)
        elif rig.fingerprint != self._engine.rig.fingerprint:
            self._engine.calibrate(rig)

    @property
    def engine(self) -> Engine:
        """The engine, calibrated for the sequence that was started last."""
        if self._engine is None:
            raise RuntimeError("no sequence was started")
        return self._engine

    def predict(self, index: int) -> tuple[OccupancyPrediction, SceneTruth]:
        """Predict the labelled frame of this index and read its truth."""
        frame = self.sequence.source[self.sequence.rows[index]]
        return self.engine.predict(frame.left, frame.right, stamp_ns=frame.stamp_ns), self.sequence.truth(index)

    def on_truth(
        self, prediction: OccupancyPrediction, truth: SceneTruth
    ) -> tuple[npt.NDArray[np.uint8], dict[str, Mask]]:
        """Labels and regions of a prediction on the truth's grid."""
        labels, visibility = prediction.labels, prediction.visibility
        if self._align == "place":
            labels = aligned_labels(labels, prediction.grid, truth.grid)
            visibility = aligned_labels(visibility, prediction.grid, truth.grid)
        if self._regions is None:
            self._regions = fixed_regions(truth.grid, self.engine.rig)
        return labels, {**self._regions, **sight_regions(visibility)}


def draw_extremes(runner: Runner, data: SemanticKitti, by_frame: Sequence[dict[str, Any]], folder: Path) -> None:
    """Predict the best and the worst frames by SC IoU once more, and draw each beside its truth.

    Raises:
        OutputError: a picture cannot be written.
    """
    ranked = sorted(by_frame, key=lambda row: -row["sc_iou"])
    count = min(PICTURED, len(ranked))
    chosen = {f"best_{rank + 1}": ranked[rank] for rank in range(count)}
    chosen |= {f"worst_{rank + 1}": ranked[-1 - rank] for rank in range(min(count, len(ranked) - count))}
    for name, row in chosen.items():
        sequence = data.open(row["sequence"])
        runner.start(sequence)
        index = sequence.frames.index(row["frame"])
        prediction, truth = runner.predict(index)
        picture = draw_frame(
            prediction,
            sequence.source[sequence.rows[index]].left,
            runner.engine.rig,
            title=frame_title(sequence.source.name, row["frame"]),
            truth=truth,
            scores={HEADLINE[key]: row[key] / 100 for key in ("sc_iou", "ssc_miou")},
        )
        buffer = io.BytesIO()
        Image.fromarray(picture.overview).save(buffer, "PNG", compress_level=4)
        write_whole(folder / f"{name}_{row['sequence']}_{row['frame']}.png", buffer.getvalue())
