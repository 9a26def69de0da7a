"""`occdepth render`: a video of the completed scene along a sequence with its ground truth, and meshes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from occdepth_ros.commands.options.frames import select_frames
from occdepth_ros.commands.options.grid import add_grid_arguments, chosen_grid
from occdepth_ros.commands.options.source import (
    add_source_arguments,
    checked_rig,
    open_chosen_source,
    print_damaged,
)
from occdepth_ros.commands.predicting import predicted
from occdepth_ros.commands.reproducibility import make_repeatable
from occdepth_ros.engine import Engine
from occdepth_ros.errors import OutputError
from occdepth_ros.evaluation.ground_truth_scores import GroundTruthScores, scores_line
from occdepth_ros.files import check_folder_path
from occdepth_ros.models.registry import DEFAULT_MODEL, MODELS
from occdepth_ros.outputs.mesh import voxel_mesh, write_ply
from occdepth_ros.sources.base import SceneGroundTruth, StereoSource
from occdepth_ros.sources.readable import readable_frames
from occdepth_ros.visualization.canvas import ImageArray
from occdepth_ros.visualization.orbit_frame import OrbitFrame
from occdepth_ros.visualization.video_file import SUFFIXES, check_video_name, write_video
from occdepth_ros.visualization.video_frame import VideoFrame

PANELS, ORBIT = "panels", "orbit"
VIEWS = 3
"""Viewpoints of the layout orbit for each pair, so that it moves smoothly."""
SUMMARY = "make a video of the completed scene along a sequence, and meshes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    add = parser.add_argument
    add_source_arguments(parser)
    add("--out", type=Path, metavar="FILE", help=f"the video, {', '.join(SUFFIXES)}")
    add(
        "--mesh",
        type=Path,
        metavar="DIR",
        help="write a mesh of each frame, and of its ground truth, as PLY files there",
    )
    add(
        "--ground-truth",
        action="store_true",
        help="also show the ground truth; frames without ground truth show the last available one",
    )
    add("--model", choices=list(MODELS), metavar="NAME", default=DEFAULT_MODEL, help="model (default: %(default)s)")
    add("--weights", type=Path, metavar="FILE", help="checkpoint of the model")
    add("--device", metavar="D", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add("--start", type=int, default=0, metavar="I", help="index of the first frame (default: 0)")
    add("--count", type=int, metavar="N", help="number of frames (default: all)")
    add_grid_arguments(parser)
    add(
        "--layout",
        choices=(PANELS, ORBIT),
        default=PANELS,
        help="panels: image, voxels from behind and from above; orbit: image, and voxels from a viewpoint that moves, "
        f"{VIEWS} frames a pair (default: %(default)s)",
    )
    add("--fps", type=float, metavar="HZ", help="frames a second (default: as recorded)")


def run(arguments: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        OccDepthError: source, model, range or output path is not usable.
    """
    if arguments.out is None and arguments.mesh is None:
        raise OutputError(
            "there is nothing to write", where="--out", remedy="Give --out FILE.mp4, --mesh DIR, or both."
        )
    if arguments.out is not None:
        check_video_name(arguments.out)
    check_folder_path(arguments.mesh)
    if arguments.layout == ORBIT and arguments.ground_truth:
        raise OutputError(
            "the layout orbit does not show ground truth",
            where="--ground-truth",
            remedy="Leave it out, or use --layout panels.",
        )
    source = open_chosen_source(arguments)
    frames = select_frames(len(source), arguments.start, arguments.count, source.name)
    views = VIEWS if arguments.layout == ORBIT else 1
    fps = frame_rate(arguments.fps, source, views)
    grid = chosen_grid(arguments, source.grid_frame)
    rig = checked_rig(source, grid, frames, use_measured=arguments.measured_pose)
    engine = Engine(rig, grid, model=arguments.model, weights=arguments.weights, device=arguments.device)
    make_repeatable(engine)
    scores = GroundTruthScores()
    images = draw_frames(
        source,
        engine,
        frames,
        scores,
        mesh=arguments.mesh,
        video=arguments.out is not None,
        with_ground_truth=arguments.ground_truth,
        orbit=arguments.layout == ORBIT,
    )
    console = Console()
    if arguments.out is None:
        for _ in images:
            pass
    else:
        written = write_video(arguments.out, images, fps, notify=lambda message: console.print(message, soft_wrap=True))
        console.print(f"{views * len(frames)} frames at {fps:.3g} Hz in {written}", soft_wrap=True, highlight=False)
    if arguments.mesh is not None:
        console.print(f"{len(frames)} meshes in {arguments.mesh}", soft_wrap=True, highlight=False)
    if arguments.ground_truth and not scores.summary():
        console.print("note: the source has no ground truth for these frames", soft_wrap=True, highlight=False)
    for ground_truth, values in scores.summary().items():
        console.print(scores_line(ground_truth, values), soft_wrap=True, highlight=False)
    return 0


def frame_rate(requested: float | None, source: StereoSource, views: int = 1) -> float:
    """Return the rate of the video: the requested one, or that of the recording clipped to 1 to 60 Hz.

    Args:
        requested: rate of `--fps`, Hz; None = that of the recording.
        source: the recording.
        views: frames of the video for each pair.

    Raises:
        OutputError: the rate is out of range.
    """
    if requested is None:
        period = source.period_s()
        return min(60.0, max(1.0, views / period)) if period > 0 else 10.0 * views
    if not 0.1 <= requested <= 120:
        raise OutputError(f"{requested:g} frames a second cannot be shown", where="--fps", remedy="Give 0.1 to 120.")
    return requested


def draw_frames(
    source: StereoSource,
    engine: Engine,
    frames: range,
    scores: GroundTruthScores,
    *,
    mesh: Path | None,
    video: bool,
    with_ground_truth: bool,
    orbit: bool = False,
) -> Iterator[ImageArray]:
    """Predict each frame, score it if it has ground truth, write its meshes, and draw it.

    Args:
        source: the sequence.
        engine: engine calibrated for the sequence.
        frames: indices of the frames.
        scores: accumulates the scores.
        mesh: folder of the meshes; None = no meshes.
        video: whether frames are drawn; otherwise nothing is yielded.
        with_ground_truth: whether ground truth is also drawn and written.
        orbit: whether the frames have the layout `OrbitFrame`; the viewpoint completes one curve.
    """
    orbits = OrbitFrame(engine.rig)
    figure: VideoFrame | None = None
    shown: SceneGroundTruth | None = None
    shown_frame = ""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(engine.predictor.name, total=len(frames))
        for index, frame, prediction in predicted(engine, readable_frames(source, frames, print_damaged)):
            ground_truth = source.ground_truth(index) if with_ground_truth else None
            frame_scores = scores.add(prediction, ground_truth)
            if mesh is not None:
                comment = f"{source.name} frame {frame.name}"
                shape = voxel_mesh(prediction.labels, prediction.grid)
                write_ply(
                    mesh / f"{index:06d}.ply", shape, prediction.classes, comment=f"{comment}, {prediction.model}"
                )
                if ground_truth is not None:
                    shape = voxel_mesh(ground_truth.labels, ground_truth.grid)
                    path = mesh / f"{index:06d}_ground_truth.ply"
                    write_ply(path, shape, prediction.classes, comment=f"{comment}, ground truth {ground_truth.name}")
            if video and orbit:
                for view in range(VIEWS):
                    phase = (index - frames[0] + view / VIEWS) / len(frames)
                    yield orbits.draw(frame.left, prediction, phase)
            elif video:
                title = "/".join(Path(source.name).parts[-2:])
                figure = figure or VideoFrame(engine.rig, prediction.classes, title, with_ground_truth)
                if ground_truth is not None:
                    shown, shown_frame = ground_truth, frame.name
                caption = "    ".join(f"{name} {100 * value:.1f} %" for name, value in frame_scores.items())
                yield figure.draw(
                    frame.left,
                    prediction,
                    shown,
                    ground_truth_frame="" if ground_truth is not None else shown_frame,
                    caption=f"{caption}    frame {frame.name}".strip(),
                )
            progress.update(task, advance=1)
