"""`occdepth run`: predict every frame of a stereo sequence and write the results, reproducibly and without ROS."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from occdepth_ros import __version__
from occdepth_ros.camera import StereoRig
from occdepth_ros.commands.drives.batch import add_drive_arguments, is_pattern, run_drives
from occdepth_ros.commands.options.frames import select_frames
from occdepth_ros.commands.options.grid import add_grid_arguments, chosen_grid
from occdepth_ros.commands.options.source import add_source_arguments, checked_rig, open_chosen_source
from occdepth_ros.commands.predicting import predicted
from occdepth_ros.commands.reproducibility import make_repeatable, sha256_of
from occdepth_ros.commands.run.files import REPORT, ResultFolder, write_npz
from occdepth_ros.commands.run.statistics import RunStatistics
from occdepth_ros.engine import Engine
from occdepth_ros.errors import ImageError
from occdepth_ros.evaluation.ground_truth_scores import comparable, scores_line
from occdepth_ros.models.registry import DEFAULT_MODEL, MODELS
from occdepth_ros.outputs.octomap import write_bt, write_ot
from occdepth_ros.outputs.octree.lattice import lattice_key
from occdepth_ros.prediction import OccupancyPrediction
from occdepth_ros.sources.base import SceneGroundTruth, SizedSource, StereoFrame, StereoSource
from occdepth_ros.sources.readable import DAMAGED, readable_frames
from occdepth_ros.stereo.pair_checks.input_checks import InputChecks, UnusablePairError
from occdepth_ros.stereo.pair_checks.pair_warnings import periodic_warnings
from occdepth_ros.stereo.pair_checks.row_watch import RowWatch
from occdepth_ros.visualization import draw_frame, frame_title

SUMMARY = "predict every frame of a stereo sequence and write the results"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    width = max(map(len, MODELS))
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "models:\n" + "\n".join(f"  {name:{width}}  {entry.summary}" for name, entry in MODELS.items())
    add = parser.add_argument
    add_source_arguments(parser)
    add("--out", type=Path, metavar="DIR", required=True, help="result folder: new, empty, or of an earlier run")
    add("--model", metavar="NAME", default=DEFAULT_MODEL, help="one of the models below (default: %(default)s)")
    add(
        "--weights",
        type=Path,
        metavar="FILE",
        help="checkpoint of the model, or an exported model from occdepth export",
    )
    add("--device", metavar="D", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add("--start", type=int, metavar="N", default=0, help="first frame (default: %(default)s)")
    add("--count", type=int, metavar="N", help="number of frames (default: all)")
    add_grid_arguments(parser)
    add(
        "--allow-unchanged",
        action="store_true",
        help="no warning about pairs with the same images as the previous pair, which indicate a frozen camera",
    )
    add("--octomap", action="store_true", help="write OctoMap files: FFFFFF.bt, FFFFFF.ot with colour")
    add("--images", action="store_true", help="write frame_FFFFFF.png and the single panels")
    add("--json", action="store_true", help="print the report as JSON instead of tables")
    add_drive_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        OccDepthError: the source, the model, the range or the folder cannot be used.
    """
    if is_pattern(arguments.source):
        return run_drives("run", arguments, lambda _, folder: {"out": folder})
    source = open_chosen_source(arguments)
    frames = select_frames(len(source), arguments.start, arguments.count, source.name)
    grid = chosen_grid(arguments, source.grid_frame)
    if arguments.octomap:
        lattice_key(grid)  # a grid that no OctoMap can hold is refused before the first prediction
    results = ResultFolder(arguments.out)
    engine: Engine | None = None
    statistics = RunStatistics()
    began = time.perf_counter()
    error: BaseException | None = None
    try:
        rig = checked_rig(source, grid, frames, use_measured=arguments.measured_pose)
        engine = Engine(rig, grid, model=arguments.model, weights=arguments.weights, device=arguments.device)
        make_repeatable(engine)
        if isinstance(source, SizedSource):
            source.check_sizes(frames)
        checks = InputChecks(source.rig, allow_unchanged=arguments.allow_unchanged)
        predict_frames(
            source, engine, frames, results, statistics, checks, octomap=arguments.octomap, images=arguments.images
        )
    except BaseException as raised:  # an interruption by the user also ends with a report
        error = raised
        raise
    finally:
        about = {} if engine is None else describe(source, engine, arguments)
        results.write_manifest({**about, "frames": statistics.names}, complete=error is None)
        report = {
            "source": source.name,
            "model": arguments.model if engine is None else engine.predictor.name,
            "complete": error is None,
            "error": None if error is None else str(error) or type(error).__name__,
            "frames": len(statistics.names),
            "requested_frames": len(frames),
            "left_out_frames": statistics.left_out,
            "seconds": round(time.perf_counter() - began, 3),
            "timings_ms": statistics.timings(),
            "scores": statistics.scores.summary(),
            "warnings": [f"{warning.name}: {warning}" for warning in source.description.warnings]
            + statistics.input_warnings(),
        }
        results.write_json(REPORT, report)
    if arguments.json:
        print(json.dumps(report, indent=2))
    else:
        print_report(report, arguments.out, len(results.digests))
    return 0


def describe(source: StereoSource, engine: Engine, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return a description of the inputs for the manifest; runs with equal inputs give equal files."""
    rig, grid = engine.rig, engine.grid
    weights = arguments.weights
    return {
        "source": source.name,
        "model": engine.predictor.name,
        "weights": None if weights is None else {"name": weights.name, "sha256": sha256_of(weights)},
        "device": arguments.device,
        "versions": {
            "occdepth_ros": __version__,
            "python": ".".join(map(str, sys.version_info[:3])),
            "numpy": np.__version__,
            "opencv": cv2.__version__,
        },
        "grid": asdict(grid),
        "rig": {**rig.as_dict(), "fingerprint": rig.fingerprint},
    }


def predict_frames(
    source: StereoSource,
    engine: Engine,
    frames: Sequence[int],
    results: ResultFolder,
    statistics: RunStatistics,
    checks: InputChecks,
    *,
    octomap: bool = False,
    images: bool = False,
) -> None:
    """Predict, write and score the frames in order, with a progress bar on stderr.

    Pairs without stereo information and damaged images are skipped and recorded in `RunStatistics.faults`.

    Raises:
        UnusablePairError: no pair contains stereo information.
        ImageError: no pair can be read.
        OccDepthError: a result cannot be written.
    """
    unusable: UnusablePairError | None = None
    rows = RowWatch(source.rig, only_turns=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[rate]}"), console=Console(stderr=True)) as progress:
        task = progress.add_task(engine.predictor.name, total=len(frames), rate="")

        def leave_out(index: int, error: ImageError) -> None:
            statistics.note_fault(DAMAGED, str(error), index, is_predicted=False)
            progress.update(task, advance=1)

        def usable() -> Iterator[tuple[int, StereoFrame]]:
            nonlocal unusable
            for index, frame in readable_frames(source, frames, leave_out):
                try:
                    found = checks.check(frame.left, frame.right)
                    for warning in (*found, *rows.check(frame.left, frame.right, "stereo pair")):
                        statistics.note_fault(warning.name, str(warning), index, is_predicted=True)
                except UnusablePairError as error:
                    # two frozen cameras give the prediction of the previous pair, which is correct for these images
                    statistics.note_fault(error.name, str(error), index, is_predicted=error.is_consistent)
                    if not error.is_consistent:
                        unusable = error
                        progress.update(task, advance=1)
                        continue
                yield index, frame

        for index, frame, prediction in predicted(engine, usable(), checks):
            for warning in periodic_warnings(engine.ambiguous_share):
                statistics.note_fault("periodic_texture", warning, index, is_predicted=True)
            ground_truth = comparable(source.ground_truth(index), engine.grid)
            scores = statistics.add(prediction, ground_truth)
            stem = f"{index:06d}"
            results.write(f"{stem}.npz", partial(write_npz, arrays=arrays_of(prediction)))
            if octomap:
                results.write(f"{stem}.bt", partial(write_bt, prediction=prediction))
                results.write(f"{stem}.ot", partial(write_ot, prediction=prediction))
            if images:
                write_images(
                    results, stem, prediction, frame, frame.rig or engine.rig, source.name, ground_truth, scores
                )
            statistics.names[stem] = frame.name
            progress.update(task, advance=1, rate=f"{statistics.rate:.1f} Hz predicting")
    for warning in statistics.input_warnings():
        print(warning, file=sys.stderr)
    if unusable is not None and not statistics.names:
        raise unusable


def arrays_of(prediction: OccupancyPrediction) -> dict[str, Any]:
    """Return the arrays of a frame's npz file."""
    grid = prediction.grid
    return {
        "labels": prediction.labels,
        "confidence": prediction.confidence,
        "visibility": prediction.visibility,
        "origin": np.array(grid.origin, np.float64),
        "resolution": np.array(grid.resolution, np.float64),
        "stamp_ns": np.array(prediction.stamp_ns, np.int64),
    }


def write_images(
    results: ResultFolder,
    stem: str,
    prediction: OccupancyPrediction,
    frame: StereoFrame,
    rig: StereoRig,
    source: str,
    ground_truth: SceneGroundTruth | None,
    scores: Mapping[str, float],
) -> None:
    """Write the overview and the single panels of a frame."""
    title = frame_title(source, frame.name)
    drawn = draw_frame(prediction, frame.left, rig, title=title, ground_truth=ground_truth, scores=scores)
    figures = {f"frame_{stem}.png": drawn.overview}
    figures.update({f"panels/{stem}_{name}.png": panel for name, panel in drawn.panels.items()})
    for name, figure in figures.items():
        results.write(name, partial(Image.fromarray(figure).save, compress_level=4))


def print_report(report: Mapping[str, Any], out: Path, files: int) -> None:
    """Print the tables at the end of a run."""
    console = Console()
    console.print(f"{report['model']}, {report['frames']} frames", style="bold", highlight=False)
    table = Table()
    table.add_column("stage")
    table.add_column("first pair ms", justify="right")
    table.add_column("others: mean ms", justify="right")
    table.add_column("p95 ms", justify="right")
    for stage, values in report["timings_ms"].items():
        table.add_row(stage, *(f"{values[name]:.1f}" for name in ("first", "mean", "p95")))
    console.print(table)
    for ground_truth, scores in report["scores"].items():
        console.print(scores_line(ground_truth, scores), soft_wrap=True, highlight=False)
    console.print(f"{files} files in {out}, {report['seconds']:.1f} s", soft_wrap=True, highlight=False)
