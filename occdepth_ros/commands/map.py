"""`occdepth map`: fuse the predictions of a whole drive into one map, without ROS."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

from occdepth_ros.commands.drives.batch import add_drive_arguments, is_pattern, run_drives
from occdepth_ros.commands.drives.task import REPORT
from occdepth_ros.commands.options.frames import select_frames
from occdepth_ros.commands.options.grid import add_grid_arguments, chosen_grid
from occdepth_ros.commands.options.source import add_source_arguments, checked_rig, open_chosen_source
from occdepth_ros.commands.predicting import predicted
from occdepth_ros.commands.reproducibility import make_repeatable
from occdepth_ros.engine import Engine
from occdepth_ros.errors import GridError, ImageError, SourceError
from occdepth_ros.evaluation.ground_truth_scores import GroundTruthScores, comparable, scores_line
from occdepth_ros.files import whole_file, write_whole
from occdepth_ros.mapping import MapConfig, OccupancyMap
from occdepth_ros.mapping.files import SUFFIXES, load_map, save_map
from occdepth_ros.mapping.fusion import REANCHORED
from occdepth_ros.mapping.resampling import resample
from occdepth_ros.models.registry import DEFAULT_MODEL
from occdepth_ros.outputs.selection import BORDER_VOXELS, Selection, selected_labels
from occdepth_ros.sources.base import StereoFrame, StereoSource
from occdepth_ros.sources.readable import DAMAGED, first_readable, readable_frames
from occdepth_ros.stereo.pair_checks.input_checks import InputChecks, UnusablePairError
from occdepth_ros.stereo.pair_checks.pair_warnings import periodic_warnings
from occdepth_ros.stereo.pair_checks.row_watch import RowWatch
from occdepth_ros.visualization.map_view import draw_drive

SUMMARY = "fuse the predictions of a drive into one map, and score it"


@dataclass
class MapReport:
    """Measurements of one `occdepth map`.

    Args:
        single: scores of the single frames.
        causal: scores of the map after each frame, on the grid of that frame.
        whole: scores of the finished map, on the grid of each frame.
        fusion_ms: time of each fusion, milliseconds.
        track: positions of the grid's frame in the map, metres.
        faults: frames that were left out, by the fault of their images.
        doubts: text of the first warning about the images, and frames, by its name.
    """

    single: GroundTruthScores = field(default_factory=GroundTruthScores)
    causal: GroundTruthScores = field(default_factory=GroundTruthScores)
    whole: GroundTruthScores = field(default_factory=GroundTruthScores)
    fusion_ms: list[float] = field(default_factory=list)
    track: list[tuple[float, float, float]] = field(default_factory=list)
    faults: dict[str, list[str]] = field(default_factory=dict)
    doubts: dict[str, tuple[str, list[str]]] = field(default_factory=dict)

    def left_out(self) -> list[str]:
        """Return one line for each fault of the images: name and frames."""
        lines = [f"{name}: not fused: {', '.join(frames)}" for name, frames in self.faults.items()]
        return lines + [f"{name}: fused: {', '.join(frames)}: {text}" for name, (text, frames) in self.doubts.items()]

    def note_doubt(self, name: str, text: str, frame: str) -> None:
        """Record a warning about the images of a frame that is fused."""
        self.doubts.setdefault(name, (text, []))[1].append(frame)

    def summary(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {
            "frames": len(self.fusion_ms),
            "fusion_ms": {
                "p50": round(float(np.percentile(self.fusion_ms, 50)), 2),
                "p95": round(float(np.percentile(self.fusion_ms, 95)), 2),
            },
            "scores": {
                "single frames": self.single.summary(),
                "map so far": self.causal.summary(),
                "whole map": self.whole.summary(),
            },
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    add = parser.add_argument
    add_source_arguments(parser)
    add(
        "--out",
        type=Path,
        metavar="FILE",
        required=True,
        help=f"the map: {', '.join(SUFFIXES)}; a folder for many drives",
    )
    add("--load", type=Path, metavar="FILE", help="map file whose map the drive is added to; same frame and resolution")
    add("--model", metavar="NAME", default=DEFAULT_MODEL, help="model (default: %(default)s)")
    add("--weights", type=Path, metavar="FILE", help="checkpoint of the model")
    add("--device", metavar="D", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add("--start", type=int, metavar="N", default=0, help="first frame (default: %(default)s)")
    add("--count", type=int, metavar="N", help="number of frames (default: all)")
    add_grid_arguments(parser)
    add("--image", type=Path, metavar="FILE", help="draw the map from above and along the drive, as PNG")
    add("--report", type=Path, metavar="FILE", help="write scores and timings as JSON")
    add("--json", action="store_true", help="print the report as JSON instead of lines")
    add_drive_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        OccDepthError: the source has no poses, or source, model, range or output cannot be used.
    """
    if is_pattern(arguments.source):
        return run_drives("map", arguments, _results)
    if arguments.out.suffix not in SUFFIXES:
        raise SourceError(
            f"maps are written as {', '.join(SUFFIXES)}", where=str(arguments.out), remedy="Change the suffix of --out."
        )
    source = open_chosen_source(arguments)
    frames = select_frames(len(source), arguments.start, arguments.count, source.name)
    if first_readable(source, frames).world_from_grid is None:
        raise SourceError(
            "the recording has no poses, so its frames cannot be fused",
            where=source.name,
            remedy="Add poses.txt (KITTI), OXTS records, or TF to a fixed frame (bags); `occdepth run` needs none.",
        )
    grid = chosen_grid(arguments, source.grid_frame)
    rig = checked_rig(source, grid, frames, use_measured=arguments.measured_pose)
    engine = Engine(rig, grid, model=arguments.model, weights=arguments.weights, device=arguments.device)
    make_repeatable(engine)
    world = OccupancyMap(MapConfig(resolution=grid.resolution))
    if arguments.load:
        load_map(arguments.load, world)
    report = fuse_drive(source, engine, frames, world)
    warnings = [f"{warning.name}: {warning}" for warning in source.description.warnings] + report.left_out()
    for text in report.left_out():
        print(text, file=sys.stderr)
    try:
        save_map(arguments.out, world)
        if arguments.image:
            figure = draw_drive(world.whole(), report.track)
            with whole_file(arguments.image) as partial:
                Image.fromarray(figure).save(partial)
    except GridError as error:
        # the predictions of a long drive take hours
        kept = arguments.out.with_suffix(".npz")
        save_map(kept, world)
        raise GridError(
            f"the map is too large for the file or its figure, and is saved as {kept}: {error.what}",
            where=str(arguments.out),
            remedy="Give --out a file .npz and leave --image out, or map the drive in parts (--start, --count).",
        ) from error
    about = {"source": source.name, "model": engine.predictor.name, "events": world.events, "warnings": warnings}
    summary = {**about, **report.summary()}
    if arguments.report:
        write_whole(arguments.report, json.dumps(summary, indent=2).encode())
    if arguments.json:
        print(json.dumps(summary, indent=2))
    else:
        print_report(summary, arguments.out)
    return 0


def _results(arguments: argparse.Namespace, folder: Path) -> dict[str, Path]:
    """Return the arguments of one drive that name its result files."""
    folder.mkdir(parents=True, exist_ok=True)
    return {"out": folder / "map.npz", "image": folder / "map.png", "report": folder / REPORT}


def fuse_drive(source: StereoSource, engine: Engine, frames: Sequence[int], world: OccupancyMap) -> MapReport:
    """Predict and fuse the frames in order, and score single frames, the map after each, and the finished map.

    Pairs without stereo information and damaged images are not fused and named in `MapReport.faults`.

    Raises:
        SourceError: a frame has no pose.
        UnusablePairError: no pair contains stereo information.
        ImageError: no pair can be read.
    """
    report = MapReport()
    scored = []
    # a stationary vehicle may repeat its images, which does not change the map
    checks = InputChecks(source.rig, allow_unchanged=True)
    rows = RowWatch(source.rig, only_turns=True)
    unusable: UnusablePairError | None = None

    def leave_out(index: int, error: ImageError) -> None:
        report.faults.setdefault(DAMAGED, []).append(f"{index:06d} ({error})")

    def usable() -> Iterator[tuple[int, StereoFrame]]:
        nonlocal unusable
        shown = track(frames, description=engine.predictor.name, console=Console(stderr=True))
        for index, frame in readable_frames(source, shown, leave_out):
            if frame.world_from_grid is None:
                raise SourceError(f"frame {frame.name} has no pose", where=source.name, remedy="Leave it out.")
            try:
                found = checks.check(frame.left, frame.right)
                for warning in (*found, *rows.check(frame.left, frame.right, "stereo pair")):
                    report.note_doubt(warning.name, str(warning), frame.name)
            except UnusablePairError as error:
                unusable = error
                report.faults.setdefault(error.name, []).append(frame.name)
                continue
            yield index, frame

    for index, frame, prediction in predicted(engine, usable(), checks):
        pose = frame.world_from_grid
        assert pose is not None
        for text in periodic_warnings(engine.ambiguous_share):
            report.note_doubt("periodic_texture", text, frame.name)
        began = time.perf_counter()
        # as the node does: networks predict false terrain at the side faces of the grid
        labels = selected_labels(prediction, Selection("all", border=BORDER_VOXELS))
        world.integrate(replace(prediction, labels=labels), pose)
        report.fusion_ms.append(1e3 * (time.perf_counter() - began))
        report.track.append((float(pose[0, 3]), float(pose[1, 3]), float(pose[2, 3])))
        ground_truth = comparable(source.ground_truth(index), engine.grid)
        if ground_truth is not None and (snapshot := world.snapshot()) is not None:
            report.single.add(prediction, ground_truth)
            report.causal.add(resample(snapshot, engine.grid, pose), ground_truth)
            scored.append((index, pose))
    if unusable is not None and not report.fusion_ms:
        raise unusable
    if scored:
        blocks = world.blocks()
        for index, pose in scored:
            near = world.part(blocks, engine.grid, pose)
            report.whole.add(resample(near, engine.grid, pose), comparable(source.ground_truth(index), engine.grid))
    return report


def print_report(summary: dict[str, Any], out: Path) -> None:
    """Print scores and timings as lines."""
    console = Console()
    console.print(f"{summary['model']}, {summary['frames']} frames fused", style="bold", highlight=False)
    for kind, scores in summary["scores"].items():
        for ground_truth, values in scores.items():
            console.print(f"{kind} {scores_line(ground_truth, values)}", soft_wrap=True, highlight=False)
    for event in summary["events"]:
        text = event if event.startswith(REANCHORED) else f"reset: {event}"
        console.print(f"the map was {text}", highlight=False)
    times = summary["fusion_ms"]
    console.print(f"fusion p50 {times['p50']} ms, p95 {times['p95']} ms; map in {out}", soft_wrap=True, highlight=False)
