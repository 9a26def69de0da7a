"""`occdepth submit`: write and check a submission to the scene completion benchmark of SemanticKITTI."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from occdepth_ros.commands.reproducibility import make_repeatable
from occdepth_ros.data.semantic_kitti.dataset import LISTED_ONLY, SPLITS, benchmark_frames, find_root
from occdepth_ros.data.semantic_kitti.submission import SubmissionWriter, check_submission
from occdepth_ros.engine import Engine, one_ahead
from occdepth_ros.errors import OutputError, SourceError
from occdepth_ros.evaluation.scenes import default_alignment
from occdepth_ros.files import check_new_files, whole_file
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.registry import DEFAULT_MODEL, MODELS
from occdepth_ros.sources.ground_truth import BENCHMARK_GRID
from occdepth_ros.sources.images import missing_names
from occdepth_ros.sources.layouts.kitti_odometry import open_kitti_odometry
from occdepth_ros.sources.sequence import FileSequence

SUMMARY = "write and check a submission to the SemanticKITTI completion benchmark"

SHOWN = 20
"""Number of problems that are printed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    add = parser.add_argument
    add("file", type=Path, metavar="ZIP", help="the submission: written with --root, otherwise only checked")
    add("--root", type=Path, metavar="DIR", help="the folder with dataset/sequences/11 to 21: predict these sequences")
    add(
        "--check", action="store_true", help="check ZIP only; with --root, also against the voxel files of the data set"
    )
    add("--model", choices=list(MODELS), metavar="NAME", default=DEFAULT_MODEL, help="model (default: %(default)s)")
    add("--weights", type=Path, metavar="FILE", help="checkpoint of the model")
    add("--device", metavar="D", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add("--align", choices=["place", "index"], help="as for `occdepth eval`")


def run(arguments: argparse.Namespace) -> int:
    """Run the verb; the exit code is 1 if the benchmark would refuse the submission.

    Raises:
        OccDepthError: data set, model or file cannot be used.
    """
    root = None if arguments.root is None else find_root(arguments.root)
    for text in list_warnings(root) if root is not None else ():
        print(f"warning: {text}", file=sys.stderr)
    if root is not None and not arguments.check:
        write_submission(arguments, root)
    problems = list(check_submission(arguments.file, root))
    for problem in problems[:SHOWN]:
        print(problem)
    if len(problems) > SHOWN:
        print(f"and {len(problems) - SHOWN} more")
    if root is None and set(LISTED_ONLY) & set(SPLITS["test"]):
        print(f"the frames of sequence {', '.join(LISTED_ONLY)} can be checked only with --check --root DIR")
    print(f"{arguments.file}: {f'{len(problems)} problems' if problems else 'complete and valid'}")
    return 1 if problems else 0


def list_warnings(root: Path) -> Iterator[str]:
    """Yield a warning for each sequence whose voxel files differ from the benchmark's known frames.

    Args:
        root: the folder with `sequences`.
    """
    for name in SPLITS["test"]:
        if name in LISTED_ONLY:
            continue
        listed, known = benchmark_frames(name, root), benchmark_frames(name)
        if listed != known:
            missing = sorted({*known} - {*listed})
            lacking = f", without {missing_names(missing)}" if missing else ""
            yield (
                f"{root / 'sequences' / name / 'voxels'} lists {len(listed)} frames where the benchmark has "
                f"{len(known)}{lacking}: extract data_odometry_voxels.zip again unless the benchmark has changed"
            )


def write_submission(arguments: argparse.Namespace, root: Path) -> None:
    """Predict all test sequences into the zip, which is complete or absent.

    Args:
        arguments: arguments of the verb.
        root: the folder with `sequences`.

    Raises:
        OccDepthError: as for `run`.
    """
    path: Path = arguments.file
    check_new_files([path])
    if path.suffix != ".zip":
        raise OutputError(
            "the name of a submission ends in .zip", where=str(path), remedy=f"Write {path.with_suffix('.zip').name}."
        )
    frames = {name: benchmark_frames(name, root) for name in SPLITS["test"]}
    sources = {name: open_test_sequence(root / "sequences" / name, frames[name]) for name in frames}
    with whole_file(path) as partial:
        writer = SubmissionWriter(partial)
        try:
            predict_sequences(arguments, sources, frames, writer)
        finally:
            writer.close()


def open_test_sequence(folder: Path, frames: Sequence[str]) -> FileSequence:
    """Open a sequence that has images of these frames.

    Raises:
        SourceError, ImageError, CalibrationError: images are missing, or the sequence cannot be used.
    """
    if not folder.is_dir():
        raise SourceError("the sequence is missing", where=str(folder), remedy="A submission needs all of 11 to 21.")
    source = open_kitti_odometry(folder)
    missing = sorted(set(frames) - set(source.frames))
    if missing:
        raise SourceError(
            f"{len(missing)} frames of the benchmark have no images: {missing_names(missing)}",
            where=str(folder),
            remedy="Extract the colour images of the KITTI odometry data set completely.",
        )
    return source


def predict_sequences(
    arguments: argparse.Namespace,
    sources: Mapping[str, FileSequence],
    frames: Mapping[str, Sequence[str]],
    writer: SubmissionWriter,
) -> None:
    """Predict the frames of all sequences into the writer."""
    by_index = (arguments.align or default_alignment(arguments.model)) == "index"
    engine: Engine | None = None
    for name, source in sources.items():
        if engine is None:
            grid = VoxelGrid.semantic_kitti() if by_index else BENCHMARK_GRID
            engine = Engine(source.rig, grid, model=arguments.model, weights=arguments.weights, device=arguments.device)
            make_repeatable(engine)
        else:
            engine.calibrate(source.rig)
        row_of = {frame: row for row, frame in enumerate(source.frames)}
        shown = track(frames[name], f"sequence {name}", console=Console(stderr=True))
        read = (source[row_of[frame_name]] for frame_name in shown)
        begun = ((frame.name, engine.begin(frame.left, frame.right, stamp_ns=frame.stamp_ns)) for frame in read)
        for frame_name, complete in one_ahead(begun):
            writer.add(name, frame_name, complete().labels)
